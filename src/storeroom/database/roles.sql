-- The roles of the schema, before its migrations. Roles belong to the whole server, so another database may be making
-- the same ones at this moment: then the block fails, and the runner repeats it until there is nothing left to make.
--
--   storeroom_owner          owns tables and functions; migrations and partitions run as it
--   storeroom_app            the service: every row, but no right to change history
--   storeroom_tenant         whoever works for one tenant directly: its rows only (setting storeroom.tenant_id)
--   storeroom_authenticated  a customer of a tenant, as PostgREST and Supabase know one
--
-- No role can log in. The login that migrates becomes a member of the first two; a login of the service's own needs
-- GRANT storeroom_app.
DO $$
DECLARE
    wanted      TEXT;
    grantable   BOOLEAN := current_setting('server_version_num')::INTEGER >= 160000;  -- options of a membership
    member      BOOLEAN;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['storeroom_owner', 'storeroom_app', 'storeroom_tenant', 'storeroom_authenticated'] LOOP
        IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = wanted) THEN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        END IF;
    END LOOP;

    -- From 16 on who creates a role is its member, but may not work as it. The owner's rights are then not inherited:
    -- a login that serves and migrates must not get past the lock on history without saying SET ROLE.
    IF grantable THEN
        member := pg_has_role('storeroom_owner', 'SET');
        IF NOT member THEN
            EXECUTE 'GRANT storeroom_owner TO CURRENT_USER WITH INHERIT FALSE, SET TRUE';
        END IF;
        member := pg_has_role('storeroom_app', 'SET') AND pg_has_role('storeroom_app', 'USAGE');
        IF NOT member THEN
            EXECUTE 'GRANT storeroom_app TO CURRENT_USER WITH INHERIT TRUE, SET TRUE';
        END IF;
    ELSE
        IF NOT pg_has_role('storeroom_owner', 'MEMBER') THEN
            GRANT storeroom_owner TO CURRENT_USER;
        END IF;
        IF NOT pg_has_role('storeroom_app', 'MEMBER') THEN
            GRANT storeroom_app TO CURRENT_USER;
        END IF;
    END IF;

    IF NOT (has_schema_privilege('storeroom_owner', current_schema(), 'CREATE')
            AND has_schema_privilege('storeroom_owner', current_schema(), 'USAGE')) THEN
        EXECUTE format('GRANT USAGE, CREATE ON SCHEMA %I TO storeroom_owner', current_schema());
    END IF;
    FOREACH wanted IN ARRAY ARRAY['storeroom_app', 'storeroom_tenant', 'storeroom_authenticated'] LOOP
        IF NOT has_schema_privilege(wanted, current_schema(), 'USAGE') THEN
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), wanted);
        END IF;
    END LOOP;
END
$$;
