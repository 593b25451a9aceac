-- Who may do what, after the migrations: the statements that are still missing, in the order to run them. Nothing comes
-- back where everything is as it should be, so a migrate without news takes no lock on any table.
--
-- Row level security is on for every tenant's table. It costs the service nothing (its policy is a constant) and serves
-- whoever comes to the database directly. A partition has no grants: it is reached through its table.
--
--   $1 tables   $2 of them: rows never change and never go   $3: rows never go   $4: the service itself only reads
--   $5 a tenant only reads   $6 views   $7 functions
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
views AS (
    SELECT c.oid, c.relkind, c.oid::REGCLASS::TEXT AS quoted, coalesce(c.reloptions, '{}') AS options
      FROM pg_class AS c
     WHERE c.relnamespace = current_schema()::REGNAMESPACE
       AND c.relname = ANY($6::TEXT[])
       AND c.relkind IN ('v', 'm')
),
functions AS (
    SELECT f.oid, f.oid::REGPROCEDURE::TEXT AS quoted,
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
SELECT 3, format(CASE WHEN bool_and(wanted) THEN 'GRANT %s ON %s TO %s' ELSE 'REVOKE %s ON %s FROM %s' END,
                 string_agg(privilege, ', ' ORDER BY privilege), quoted, grantee)
  FROM rights
 WHERE wanted <> has_table_privilege(grantee, oid, privilege)
 GROUP BY quoted, grantee, wanted
UNION ALL
SELECT 4, format('ALTER VIEW %s SET (security_invoker = TRUE)', quoted)
  FROM views
 WHERE relkind = 'v'
   AND NOT options && ARRAY['security_invoker=true', 'security_invoker=TRUE', 'security_invoker=on', 'security_invoker=1']
UNION ALL
SELECT 5, format('GRANT SELECT ON %s TO %s', quoted, r.grantee)
  FROM views
 CROSS JOIN (VALUES ('storeroom_app'), ('storeroom_tenant')) AS r (grantee)
 WHERE NOT has_table_privilege(r.grantee, oid, 'SELECT')
   AND (relkind = 'v' OR r.grantee = 'storeroom_app')  -- a materialized view knows no policies
UNION ALL
SELECT 6, format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', quoted)
  FROM functions
 WHERE public
UNION ALL
SELECT 7, format('GRANT EXECUTE ON ROUTINE %s TO %s', quoted, r.grantee)
  FROM functions
 CROSS JOIN (VALUES ('storeroom_app'), ('storeroom_tenant')) AS r (grantee)
 WHERE public OR NOT has_function_privilege(r.grantee, oid, 'EXECUTE')
 ORDER BY place, statement;
