-- What must be one round trip. Called by name, never fired; frozen once released (a change is a _v2).

-- function: refresh_session_v1
-- Uses a refresh token: no row where there is no such session, or nobody may use it any more. Else the outcome:
--
-- 'renewed': the token was the one handed out last; it is replaced, and the session's end put off by p_lifetime.
-- 'raced': it was the one before that, replaced less than p_grace ago; nothing is changed. Two tabs of one browser.
-- 'reused': it had been used before; the session is ended, with p_reason.
--
-- The session is found by what all its tokens share, so a token that was used before is known for one, however old. A rival
-- waits here for the row and then sees it as it was committed; the account is read after that, as it is then.
CREATE FUNCTION {refresh_session_v1}(
    p_tenant TEXT, p_family_hash TEXT, p_token_hash TEXT, p_replacement_hash TEXT, p_reason TEXT,
    p_lifetime INTERVAL, p_grace INTERVAL, p_lifetime_max INTERVAL, p_statuses {user_status}[]
)
RETURNS TABLE (session_id UUID, session_expires_at TIMESTAMPTZ, outcome TEXT, account {users})
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off  -- a plan made while a table is small would go on reading it whole while it grows
AS $function$
#variable_conflict use_column
DECLARE
    _now      CONSTANT TIMESTAMPTZ := now();
    _session  RECORD;
BEGIN
    SELECT s.id, s.user_id, s.refresh_token_hash, s.previous_token_hash, s.rotated_at, s.expires_at
      INTO _session
      FROM {auth_sessions} s
     WHERE s.tenant_id = p_tenant
       AND s.token_family_hash = p_family_hash
       AND s.status = 'active'
       AND s.expires_at > _now
       AND coalesce(s.signed_in_at, s.created_at) > _now - p_lifetime_max
       FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    account := (SELECT u
                  FROM {users} u
                 WHERE u.tenant_id = p_tenant
                   AND u.id = _session.user_id
                   AND u.status = ANY (p_statuses)
                   AND u.deleted_at IS NULL);
    IF account IS NULL THEN
        RETURN;
    END IF;

    session_id := _session.id;
    session_expires_at := _session.expires_at;
    IF _session.refresh_token_hash = p_token_hash THEN
        outcome := 'renewed';
        session_expires_at := _now + p_lifetime;
        UPDATE {auth_sessions}
           SET previous_token_hash = p_token_hash, refresh_token_hash = p_replacement_hash, rotated_at = _now,
               last_used_at = _now, expires_at = session_expires_at
         WHERE tenant_id = p_tenant
           AND id = _session.id;
    ELSIF _session.previous_token_hash = p_token_hash AND _session.rotated_at > _now - p_grace THEN
        outcome := 'raced';
    ELSE
        outcome := 'reused';
        UPDATE {auth_sessions}
           SET status = 'revoked', revoked_at = _now, revoked_reason = p_reason
         WHERE tenant_id = p_tenant
           AND id = _session.id;
    END IF;
    RETURN NEXT;
END
$function$;
