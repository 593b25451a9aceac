-- What Citus would refuse, or quietly do otherwise, in a schema distributed by tenant_id; read from the catalogue of a
-- plain server. $1: the tables that are meant to have no tenant. Nothing comes back from a schema that keeps the rules.
--
-- Policies are not looked at: those of the service are constants, and storeroom_tenant's read a setting on purpose.
WITH every AS (
    SELECT c.oid, c.relname::TEXT AS name, a.attnum AS tenant, a.attnotnull AS required, a.atttypid AS type
      FROM pg_class AS c
      LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
     WHERE c.relnamespace = current_schema()::REGNAMESPACE
       AND c.relkind IN ('r', 'p')
       AND NOT EXISTS (SELECT 1 FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
),
placed AS (
    SELECT oid, name, tenant, required, type
      FROM every
     WHERE tenant IS NOT NULL
),
keys AS (
    SELECT k.conname::TEXT AS name, child.name AS child, child.tenant AS child_tenant, parent.tenant AS parent_tenant,
           k.conkey, k.confkey, k.confdeltype, k.confupdtype
      FROM pg_constraint AS k
      JOIN every AS child ON child.oid = k.conrelid
      JOIN every AS parent ON parent.oid = k.confrelid
     WHERE k.contype = 'f'
)
SELECT 'has no tenant_id and is not meant to have none' AS fault, name AS relation, NULL AS part
  FROM every
 WHERE tenant IS NULL AND name <> ALL($1::TEXT[])
UNION ALL
SELECT 'tenant_id is not the first column', name, NULL
  FROM placed
 WHERE tenant <> 1
UNION ALL
SELECT 'tenant_id is not TEXT: tables with another type cannot be colocated', name, format_type(type, NULL)
  FROM placed
 WHERE type <> 'TEXT'::REGTYPE
UNION ALL
SELECT 'tenant_id may be NULL', name, NULL
  FROM placed
 WHERE NOT required
UNION ALL
SELECT 'has no primary key: its shards could not be moved', name, NULL
  FROM placed
 WHERE NOT EXISTS (SELECT 1 FROM pg_index AS i WHERE i.indrelid = placed.oid AND i.indisprimary)
UNION ALL
SELECT 'unique without tenant_id in front', placed.name, i.indexrelid::REGCLASS::TEXT
  FROM placed
  JOIN pg_index AS i ON i.indrelid = placed.oid
 WHERE (i.indisunique OR i.indisexclusion)
   AND i.indkey[0] <> placed.tenant
UNION ALL
SELECT 'foreign key does not pair tenant_id with tenant_id', child, name
  FROM keys
 WHERE child_tenant IS NOT NULL
   AND parent_tenant IS NOT NULL
   AND NOT EXISTS (SELECT 1
                     FROM unnest(conkey, confkey) AS pair (child_column, parent_column)
                    WHERE child_column = child_tenant AND parent_column = parent_tenant)
UNION ALL
SELECT 'foreign key from a table without tenant into a tenant''s', child, name
  FROM keys
 WHERE child_tenant IS NULL AND parent_tenant IS NOT NULL
UNION ALL
SELECT 'foreign key would set tenant_id on delete or change it on update', child, name
  FROM keys
 WHERE child_tenant = ANY(conkey)
   AND (confdeltype IN ('n', 'd') OR confupdtype IN ('c', 'n', 'd'))
UNION ALL
SELECT 'deferrable: its failure would come at COMMIT, as XX000', placed.name, k.conname
  FROM pg_constraint AS k
  JOIN placed ON placed.oid = k.conrelid
 WHERE k.condeferrable
UNION ALL
SELECT 'trigger', every.name, t.tgname
  FROM pg_trigger AS t
  JOIN every ON every.oid = t.tgrelid
 WHERE NOT t.tgisinternal
UNION ALL
SELECT 'rule', every.name, r.rulename
  FROM pg_rewrite AS r
  JOIN every ON every.oid = r.ev_class
UNION ALL
SELECT 'counts in a sequence narrower than BIGINT', placed.name, a.attname
  FROM placed
  JOIN pg_attribute AS a ON a.attrelid = placed.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.atttypid IN ('INTEGER'::REGTYPE, 'SMALLINT'::REGTYPE)
   AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%')
 ORDER BY 1, 2, 3;
