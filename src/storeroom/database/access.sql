-- Who may do what, after the migrations: the statements that are still missing, in the order to run them. Nothing comes
-- back where everything is as it should be, so a migrate without news takes no lock on any table.
--
-- Row level security is on for every tenant's table. It costs the service nothing (its policy is a constant) and serves
-- whoever comes to the database directly. A partition has no grants: it is reached through its table.
--
--   $1 tables   $2 of them: rows never change and never go   $3: rows never go   $4: the service itself only reads
--   $5 a tenant only reads   $6 views   $7 functions   $8 what a customer reads: [{name, rule, columns}]   $9 of the views
WITH ours AS (
    SELECT c.oid, c.relname::TEXT AS name, c.oid::REGCLASS::TEXT AS quoted, c.relrowsecurity AS secured,
           EXISTS (SELECT 1
                     FROM pg_attribute AS a
                    WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped) AS of_tenant
      FROM pg_class AS c
     WHERE c.relnamespace = current_schema()::REGNAMESPACE
       AND c.relname = ANY($1::TEXT[])
       AND c.relkind IN ('r', 'p')
       AND NOT c.relispartition
),
partitions AS (
    SELECT p.relid::TEXT AS quoted
      FROM ours, pg_partition_tree(ours.oid) AS p
      JOIN pg_class AS c ON c.oid = p.relid
     WHERE ours.of_tenant AND p.level > 0 AND NOT c.relrowsecurity
),
rights AS (
    SELECT r.grantee, p.privilege, ours.oid, ours.quoted,
           CASE WHEN p.privilege = 'SELECT' THEN r.grantee = 'storeroom_app' OR ours.of_tenant
                WHEN ours.name = ANY($4::TEXT[]) THEN FALSE
                WHEN r.grantee = 'storeroom_tenant' AND (NOT ours.of_tenant OR ours.name = ANY($5::TEXT[])) THEN FALSE
                WHEN p.privilege = 'INSERT' THEN TRUE
                WHEN p.privilege = 'UPDATE' THEN ours.name <> ALL($2::TEXT[])
                WHEN p.privilege = 'DELETE' THEN ours.name <> ALL($2::TEXT[]) AND ours.name <> ALL($3::TEXT[])
                ELSE FALSE  -- TRUNCATE: the owner's
           END AS wanted
      FROM ours
     CROSS JOIN (VALUES ('storeroom_app'), ('storeroom_tenant')) AS r (grantee)
     CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) AS p (privilege)
),
-- A customer's rule is kept with its digest as the policy's comment: one that reads differently now is made anew.
customers AS (
    SELECT ours.oid, ours.name, ours.quoted, wanted.rule, md5(wanted.rule) AS mark, wanted.columns,
           policy.polname IS NOT NULL AS found,
           policy.polname IS NOT NULL
           AND coalesce(obj_description(policy.oid, 'pg_policy') = md5(wanted.rule), FALSE) AS kept
      FROM ours
      LEFT JOIN jsonb_to_recordset($8::TEXT::JSONB) AS wanted (name TEXT, rule TEXT, columns TEXT[]) ON wanted.name = ours.name
      LEFT JOIN pg_policy AS policy ON policy.polrelid = ours.oid AND policy.polname = 'storeroom_authenticated'
),
readable AS (
    SELECT c.oid, c.quoted,
           bool_or(held.it AND wanted.it IS NOT TRUE) AS too_much,
           bool_or(wanted.it AND NOT held.it) AS too_little,
           string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FILTER (WHERE wanted.it) AS columns
      FROM customers AS c
      JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     CROSS JOIN LATERAL (SELECT has_column_privilege('storeroom_authenticated', c.oid, a.attnum, 'SELECT') AS it) AS held
     CROSS JOIN LATERAL (SELECT a.attname::TEXT = ANY(c.columns) AS it) AS wanted
     GROUP BY c.oid, c.quoted
),
views AS (
    SELECT c.oid, c.relkind, c.relname::TEXT = ANY($9::TEXT[]) AS for_customers, c.oid::REGCLASS::TEXT AS quoted, coalesce(c.reloptions, '{}') AS options
      FROM pg_class AS c
     WHERE c.relnamespace = current_schema()::REGNAMESPACE
       AND c.relname = ANY($6::TEXT[])
       AND c.relkind IN ('v', 'm')
),
functions AS (
    SELECT f.oid, f.oid::REGPROCEDURE::TEXT AS quoted, f.prosecdef,
           f.proacl IS NULL OR EXISTS (SELECT 1 FROM aclexplode(f.proacl) AS a WHERE a.grantee = 0) AS public
      FROM pg_proc AS f
     WHERE f.pronamespace = current_schema()::REGNAMESPACE
       AND f.proname = ANY($7::TEXT[])
)
SELECT 1 AS place, format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', quoted) AS statement
  FROM ours
 WHERE of_tenant AND NOT secured
UNION ALL
SELECT 1, format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', quoted)
  FROM partitions
UNION ALL
SELECT 2, format('CREATE POLICY %s ON %s TO %1$s USING (%3$s) WITH CHECK (%3$s)', policy.name, ours.quoted, policy.rule)
  FROM ours
 CROSS JOIN (VALUES ('storeroom_app', 'TRUE'),
                    ('storeroom_tenant', 'tenant_id = current_setting(''storeroom.tenant_id'', TRUE)')
            ) AS policy (name, rule)
 WHERE ours.of_tenant
   AND NOT EXISTS (SELECT 1 FROM pg_policy AS p WHERE p.polrelid = ours.oid AND p.polname = policy.name)
UNION ALL
SELECT 2, format('DROP POLICY storeroom_authenticated ON %s', quoted)
  FROM customers
 WHERE found AND NOT kept
UNION ALL
SELECT 3, format('CREATE POLICY storeroom_authenticated ON %s FOR SELECT TO storeroom_authenticated USING (%s)', quoted, rule)
  FROM customers
 WHERE rule IS NOT NULL AND NOT kept
UNION ALL
SELECT 4, format('COMMENT ON POLICY storeroom_authenticated ON %s IS %L', quoted, mark)
  FROM customers
 WHERE rule IS NOT NULL AND NOT kept
UNION ALL
SELECT 5, format('REVOKE SELECT ON %s FROM storeroom_authenticated', quoted)  -- of the columns as well
  FROM readable
 WHERE too_much
UNION ALL
SELECT 6, format('GRANT SELECT (%s) ON %s TO storeroom_authenticated', columns, quoted)
  FROM readable
 WHERE columns IS NOT NULL AND (too_much OR too_little)
UNION ALL
SELECT 5, format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON %s FROM storeroom_authenticated', quoted)
  FROM ours
 WHERE has_table_privilege('storeroom_authenticated', oid, 'DELETE, TRUNCATE')
    OR has_any_column_privilege('storeroom_authenticated', oid, 'INSERT, UPDATE')
UNION ALL
SELECT 7, format(CASE WHEN bool_and(wanted) THEN 'GRANT %s ON %s TO %s' ELSE 'REVOKE %s ON %s FROM %s' END,
                 string_agg(privilege, ', ' ORDER BY privilege), quoted, grantee)
  FROM rights
 WHERE wanted <> has_table_privilege(grantee, oid, privilege)
 GROUP BY quoted, grantee, wanted
UNION ALL
SELECT 8, format('ALTER VIEW %s SET (security_invoker = TRUE)', quoted)
  FROM views
 WHERE relkind = 'v'
   AND NOT options && ARRAY['security_invoker=true', 'security_invoker=TRUE', 'security_invoker=on', 'security_invoker=1']
UNION ALL
SELECT 9, format('GRANT SELECT ON %s TO %s', quoted, r.grantee)
  FROM views
 CROSS JOIN (VALUES ('storeroom_app'), ('storeroom_tenant')) AS r (grantee)
 WHERE NOT has_table_privilege(r.grantee, oid, 'SELECT')
   AND (relkind = 'v' OR r.grantee = 'storeroom_app')  -- a materialized view knows no policies
UNION ALL
SELECT 9, format(CASE WHEN for_customers THEN 'GRANT SELECT ON %s TO %s' ELSE 'REVOKE SELECT ON %s FROM %s' END, quoted,
                 'storeroom_authenticated')
  FROM views
 WHERE has_table_privilege('storeroom_authenticated', oid, 'SELECT') <> for_customers
UNION ALL
SELECT 10, format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', quoted)
  FROM functions
 WHERE public
UNION ALL
SELECT 11, format(CASE WHEN r.wanted THEN 'GRANT EXECUTE ON ROUTINE %s TO %s' ELSE 'REVOKE EXECUTE ON ROUTINE %s FROM %s' END,
                  quoted, r.grantee)
  FROM functions
 -- What runs with its owner's rights knows no policies: only the service may call it.
 CROSS JOIN LATERAL (VALUES ('storeroom_app', TRUE), ('storeroom_tenant', NOT prosecdef), ('storeroom_authenticated', FALSE)
                    ) AS r (grantee, wanted)
 WHERE (public AND r.wanted) OR (NOT public AND has_function_privilege(r.grantee, oid, 'EXECUTE') <> r.wanted)
 ORDER BY place, statement;
