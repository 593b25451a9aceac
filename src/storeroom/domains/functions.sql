-- What removes a domain from rows that the service may not change. Called by name, never fired; frozen once released
-- (a change is a _v2).

-- function: remove_domain_v1
-- Removes one domain; history keeps its rows, which no longer name it. True where there was one. It runs as its owner,
-- because the service may not rewrite history, and does nothing else than this. The domain's row is locked first: whoever
-- writes history of it has either committed, and is cleared, or finds it gone.
CREATE FUNCTION {remove_domain_v1}(p_tenant TEXT, p_domain UUID)
RETURNS BOOLEAN
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $function$
BEGIN
    PERFORM FROM {domains} d WHERE d.tenant_id = p_tenant AND d.id = p_domain FOR UPDATE;
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;
    UPDATE {guest_user_audits} SET domain_id = NULL WHERE tenant_id = p_tenant AND domain_id = p_domain;
    DELETE FROM {domains} WHERE tenant_id = p_tenant AND id = p_domain;
    RETURN TRUE;
END
$function$;

-- function: remove_domain_v2
-- As remove_domain_v1, and of the audit of invoices as well.
CREATE FUNCTION {remove_domain_v2}(p_tenant TEXT, p_domain UUID)
RETURNS BOOLEAN
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path FROM CURRENT
AS $function$
BEGIN
    PERFORM FROM {domains} d WHERE d.tenant_id = p_tenant AND d.id = p_domain FOR UPDATE;
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;
    UPDATE {guest_user_audits} SET domain_id = NULL WHERE tenant_id = p_tenant AND domain_id = p_domain;
    UPDATE {invoice_audits} SET domain_id = NULL WHERE tenant_id = p_tenant AND domain_id = p_domain;
    DELETE FROM {domains} WHERE tenant_id = p_tenant AND id = p_domain;
    RETURN TRUE;
END
$function$;
