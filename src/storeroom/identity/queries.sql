-- Whoever changes an account, its profile, its addresses or the set of its sessions first locks the account's row
-- (`lock_user`), as checkout does: rules over several rows of a person then hold under rivals.
-- Signing in and testing tokens read {users} and {auth_sessions}, never {user_profiles}.

-- Accounts ------------------------------------------------------------------------------------------------------------

-- name: insert_user(tenant_id, id, email, full_name?, phone?, password_hash?, auth_provider, role, permissions, status, metadata)
INSERT INTO {users} (tenant_id, id, email, full_name, phone, password_hash, auth_provider, role, permissions, status,
                     metadata)
VALUES (:tenant_id, :id, :email, :full_name, :phone, :password_hash, :auth_provider, :role, :permissions, :status,
        :metadata);

-- name: user(tenant_id, user_id) -> User?
SELECT id, email, email_verified, email_verified_at, full_name, phone, phone_verified, auth_provider, role, permissions,
       status, age_verified, age_verified_at, kyc_status, kyc_verified_at, erp_customer_id, erp_synced_at, metadata,
       created_at, updated_at, deleted_at
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND deleted_at IS NULL;

-- name: user_by_email(tenant_id, email) -> User?
SELECT id, email, email_verified, email_verified_at, full_name, phone, phone_verified, auth_provider, role, permissions,
       status, age_verified, age_verified_at, kyc_status, kyc_verified_at, erp_customer_id, erp_synced_at, metadata,
       created_at, updated_at, deleted_at
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND email = :email
   AND deleted_at IS NULL;

-- name: users_newest(tenant_id, before_at?, before_id?, rows) -> User*
SELECT id, email, email_verified, email_verified_at, full_name, phone, phone_verified, auth_provider, role, permissions,
       status, age_verified, age_verified_at, kyc_status, kyc_verified_at, erp_customer_id, erp_synced_at, metadata,
       created_at, updated_at, deleted_at
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND deleted_at IS NULL
   AND (created_at, id) < (:before_at, :before_id)   -- if before_at
 ORDER BY created_at DESC, id DESC
 LIMIT :rows;

-- name: users_of_status(tenant_id, status, before?, rows) -> User*
-- Ids grow with time, so this too is newest first.
SELECT id, email, email_verified, email_verified_at, full_name, phone, phone_verified, auth_provider, role, permissions,
       status, age_verified, age_verified_at, kyc_status, kyc_verified_at, erp_customer_id, erp_synced_at, metadata,
       created_at, updated_at, deleted_at
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND status = :status
   AND deleted_at IS NULL
   AND id < :before                                  -- if before
 ORDER BY id DESC
 LIMIT :rows;

-- name: users_matching(tenant_id, pattern, statuses?, looked_at, rows) -> User*
-- The expression is that of the trigram index idx_users_search, word by word. So many matches are gathered before they
-- are sorted: an order by key would read the key's index and test every account. The limit stands outside of the first
-- WITH, which is then planned as if all were wanted and still stops early; inside, it makes a scan of the table look cheap.
-- The status is asked last: before, its index would seem the better way.
WITH matching AS MATERIALIZED (
    SELECT id
      FROM {users}
     WHERE tenant_id = :tenant_id
       AND deleted_at IS NULL
       AND (coalesce(full_name, '') || ' ' || (email COLLATE "default") || ' ' || coalesce(phone, '')) ILIKE :pattern),
looked_at AS (
    SELECT id
      FROM matching
     LIMIT :looked_at)
SELECT u.id, u.email, u.email_verified, u.email_verified_at, u.full_name, u.phone, u.phone_verified, u.auth_provider,
       u.role, u.permissions, u.status, u.age_verified, u.age_verified_at, u.kyc_status, u.kyc_verified_at,
       u.erp_customer_id, u.erp_synced_at, u.metadata, u.created_at, u.updated_at, u.deleted_at
  FROM looked_at m
  JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = m.id
                AND u.status = ANY (:statuses)       -- if statuses
 ORDER BY u.id DESC
 LIMIT :rows;

-- name: role_of(tenant_id, user_id) -> UserRole?
SELECT role
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND deleted_at IS NULL;

-- name: role_of_any(tenant_id, user_id) -> UserRole?
-- Of a deleted account as well.
SELECT role
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: lock_user(tenant_id, user_id) -> Managed?
-- Until the transaction ends. Not FOR UPDATE: carts and orders that point here go on.
SELECT id, role, status
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND deleted_at IS NULL
   FOR NO KEY UPDATE;

-- name: set_role(tenant_id, user_id, role)
UPDATE {users}
   SET role = :role, rights_changed_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: set_permissions(tenant_id, user_id, permissions)
UPDATE {users}
   SET permissions = :permissions, rights_changed_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: set_status(tenant_id, user_id, status, sources) -> count
UPDATE {users}
   SET status = :status, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND status = ANY (:sources);

-- name: delete_user(tenant_id, user_id)
-- The row stays for the orders that point to it, and keeps its mail address from being taken by another.
UPDATE {users}
   SET status = 'deleted', deleted_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: merge_metadata(tenant_id, user_id, changes) -> dict?
-- Keys that are not named stay. None where there is no such account.
UPDATE {users}
   SET metadata = metadata || :changes::jsonb, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND deleted_at IS NULL
RETURNING metadata;

-- name: set_name(tenant_id, user_id, full_name)
UPDATE {users}
   SET full_name = :full_name, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: set_email(tenant_id, user_id, email) -> count
-- What was proven of the old address is not proven of the new one; the same address again changes nothing.
UPDATE {users}
   SET email = :email, email_verified = FALSE, email_verified_at = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND email <> :email;

-- name: set_phone(tenant_id, user_id, phone?) -> count
UPDATE {users}
   SET phone = :phone, phone_verified = FALSE, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND phone IS DISTINCT FROM :phone;

-- name: set_phone_verified(tenant_id, phone) -> count
-- At most one: the unique index says so.
UPDATE {users}
   SET phone_verified = TRUE, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND phone = :phone
   AND deleted_at IS NULL
   AND NOT phone_verified;

-- name: take_phone(tenant_id, phone, user_id) -> UserId?
-- From whoever has said that it is theirs and never proved it: at most one, as above.
UPDATE {users}
   SET phone = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND phone = :phone
   AND id <> :user_id
   AND deleted_at IS NULL
   AND NOT phone_verified
RETURNING id;

-- name: set_age_verified(tenant_id, user_id)
UPDATE {users}
   SET age_verified = TRUE, age_verified_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: clear_age_verified(tenant_id, user_id)
UPDATE {users}
   SET age_verified = FALSE, age_verified_at = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND age_verified;

-- name: approve_kyc(tenant_id, user_id)
UPDATE {users}
   SET kyc_status = 'approved', kyc_verified_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: set_kyc(tenant_id, user_id, kyc_status)
UPDATE {users}
   SET kyc_status = :kyc_status, kyc_verified_at = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- Passwords -----------------------------------------------------------------------------------------------------------

-- name: credentials(tenant_id, email) -> Credentials?
SELECT id AS user_id, password_hash, status
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND email = :email
   AND deleted_at IS NULL;

-- name: password_hash(tenant_id, user_id) -> str?
SELECT password_hash
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND deleted_at IS NULL
   AND password_hash IS NOT NULL;

-- name: has_password(tenant_id, user_id) -> bool
SELECT password_hash IS NOT NULL
  FROM {users}
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: set_password(tenant_id, user_id, password_hash)
UPDATE {users}
   SET password_hash = :password_hash, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: replace_password_hash(tenant_id, user_id, old, new) -> count
-- A new password, or the same one under stronger parameters. Not where it was changed meanwhile.
UPDATE {users}
   SET password_hash = :new, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND password_hash = :old;

-- Profiles ------------------------------------------------------------------------------------------------------------

-- name: insert_profile(tenant_id, id, user_id, utm_source?, utm_medium?, utm_campaign?, utm_term?, utm_content?, referrer_url?, landing_page?) -> count
-- The only statement that writes where somebody came from. A second one for the same person changes nothing.
INSERT INTO {user_profiles} (tenant_id, id, user_id, utm_source, utm_medium, utm_campaign, utm_term, utm_content,
                             referrer_url, landing_page)
VALUES (:tenant_id, :id, :user_id, :utm_source, :utm_medium, :utm_campaign, :utm_term, :utm_content, :referrer_url,
        :landing_page)
    ON CONFLICT (tenant_id, user_id) DO NOTHING;

-- name: profile(tenant_id, user_id) -> Profile?
SELECT user_id, first_name, last_name, display_name, date_of_birth, preferred_currency, timezone, locale,
       marketing_consent, marketing_consent_at, sms_consent, sms_consent_at, utm_source, utm_medium, utm_campaign,
       utm_term, utm_content, referrer_url, landing_page, created_at, updated_at
  FROM {user_profiles}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id;

-- name: update_profile(tenant_id, user_id, first_name?, last_name?, display_name?, date_of_birth?, preferred_currency, timezone, locale)
UPDATE {user_profiles}
   SET first_name = :first_name, last_name = :last_name, display_name = :display_name, date_of_birth = :date_of_birth,
       preferred_currency = :preferred_currency, timezone = :timezone, locale = :locale, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id;

-- name: set_marketing_consent(tenant_id, user_id, given) -> count
-- The instant is that of the last change, so saying the same again must not move it.
UPDATE {user_profiles}
   SET marketing_consent = :given, marketing_consent_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND marketing_consent <> :given;

-- name: set_synced_consent(tenant_id, user_id, given, said_at) -> count
-- As another system says it, unless the customer said otherwise here since. The instant is that of the saying, so that what is
-- said there next is compared with it by the same clock; one that is ahead of ours does not outlast what is said here after.
UPDATE {user_profiles}
   SET marketing_consent = :given, marketing_consent_at = least(:said_at, now()), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND marketing_consent <> :given
   AND coalesce(marketing_consent_at <= :said_at, TRUE);

-- name: set_sms_consent(tenant_id, user_id, given) -> count
UPDATE {user_profiles}
   SET sms_consent = :given, sms_consent_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND sms_consent <> :given;

-- name: insert_consent_change(tenant_id, id, user_id, kind, given, actor_kind, ip?, user_agent?)
-- Beside the flag that it proves, in the same transaction.
INSERT INTO {consent_changes} (tenant_id, id, user_id, kind, given, actor_kind, ip_address, user_agent)
VALUES (:tenant_id, :id, :user_id, :kind, :given, :actor_kind, :ip, :user_agent);

-- name: consent_changes(tenant_id, user_id, rows) -> ConsentChange*
-- Newest first.
SELECT kind, given, actor_kind, host(ip_address) AS ip_address, user_agent, created_at
  FROM {consent_changes}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
 ORDER BY id DESC
 LIMIT :rows;

-- Addresses -----------------------------------------------------------------------------------------------------------

-- name: insert_address(tenant_id, id, user_id, address_type, label?, recipient_name, company?, street_line_1, street_line_2?, city, state_province, postal_code, country_code, phone?)
INSERT INTO {user_addresses} (tenant_id, id, user_id, address_type, label, recipient_name, company, street_line_1,
                              street_line_2, city, state_province, postal_code, country_code, phone)
VALUES (:tenant_id, :id, :user_id, :address_type, :label, :recipient_name, :company, :street_line_1, :street_line_2,
        :city, :state_province, :postal_code, :country_code, :phone);

-- name: address(tenant_id, user_id, address_id) -> SavedAddress?
SELECT id, user_id, address_type, is_default, label, recipient_name, company, street_line_1, street_line_2, city,
       state_province, postal_code, country_code, phone, validated, validated_at, validation_source, created_at,
       updated_at
  FROM {user_addresses}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND id = :address_id
   AND deleted_at IS NULL;

-- name: address_holder(tenant_id, address_id) -> UserId?
-- Whose address it is, for another system that has given it to somebody else.
SELECT user_id
  FROM {user_addresses}
 WHERE tenant_id = :tenant_id
   AND id = :address_id
   AND deleted_at IS NULL;

-- name: addresses(tenant_id, user_id, rows) -> SavedAddress*
-- The defaults first, then the newest.
SELECT id, user_id, address_type, is_default, label, recipient_name, company, street_line_1, street_line_2, city,
       state_province, postal_code, country_code, phone, validated, validated_at, validation_source, created_at,
       updated_at
  FROM {user_addresses}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND deleted_at IS NULL
 ORDER BY is_default DESC, id DESC
 LIMIT :rows;

-- name: default_address(tenant_id, user_id, address_type) -> SavedAddress?
SELECT id, user_id, address_type, is_default, label, recipient_name, company, street_line_1, street_line_2, city,
       state_province, postal_code, country_code, phone, validated, validated_at, validation_source, created_at,
       updated_at
  FROM {user_addresses}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND address_type = :address_type
   AND deleted_at IS NULL
   AND is_default;

-- name: addresses_counted(tenant_id, user_id) -> int
SELECT count(*)::INTEGER
  FROM {user_addresses}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND deleted_at IS NULL;

-- name: update_address(tenant_id, user_id, address_id, address_type, is_default, label?, recipient_name, company?, street_line_1, street_line_2?, city, state_province, postal_code, country_code, phone?, validated, validated_at?, validation_source?)
UPDATE {user_addresses}
   SET address_type = :address_type, is_default = :is_default, label = :label, recipient_name = :recipient_name,
       company = :company, street_line_1 = :street_line_1, street_line_2 = :street_line_2, city = :city,
       state_province = :state_province, postal_code = :postal_code, country_code = :country_code, phone = :phone,
       validated = :validated, validated_at = :validated_at, validation_source = :validation_source, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND id = :address_id
   AND deleted_at IS NULL;

-- name: clear_default_address(tenant_id, user_id, address_type)
UPDATE {user_addresses}
   SET is_default = FALSE, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND address_type = :address_type
   AND deleted_at IS NULL
   AND is_default;

-- name: clear_default_addresses(tenant_id, user_id)
-- Of every type: an address for both uses takes the place of both.
UPDATE {user_addresses}
   SET is_default = FALSE, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND deleted_at IS NULL
   AND is_default;

-- name: make_default_address(tenant_id, user_id, address_id)
UPDATE {user_addresses}
   SET is_default = TRUE, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND id = :address_id
   AND deleted_at IS NULL;

-- name: set_address_validated(tenant_id, user_id, address_id, source) -> count
UPDATE {user_addresses}
   SET validated = TRUE, validated_at = now(), validation_source = :source, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND id = :address_id
   AND deleted_at IS NULL;

-- name: delete_address(tenant_id, user_id, address_id) -> count
-- Carts that chose it keep pointing to the row.
UPDATE {user_addresses}
   SET deleted_at = now(), is_default = FALSE, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND id = :address_id
   AND deleted_at IS NULL;

-- Sessions ------------------------------------------------------------------------------------------------------------

-- name: insert_guest(tenant_id, id, anonymous_id, token_hash, ip?, user_agent?, device?, lifetime) -> Session
INSERT INTO {auth_sessions} (tenant_id, id, anonymous_id, refresh_token_hash, ip_address, user_agent,
                             device_fingerprint, expires_at)
VALUES (:tenant_id, :id, :anonymous_id, :token_hash, :ip, :user_agent, :device, now() + :lifetime)
RETURNING id, user_id, anonymous_id, status, expires_at, last_used_at, revoked_at, revoked_reason, created_at;

-- name: guest(tenant_id, token_hash, touch_every) -> GuestSeen?
-- A token of an account's session has a family and is no guest's.
SELECT id, last_used_at < now() - :touch_every::interval AS stale
  FROM {auth_sessions}
 WHERE tenant_id = :tenant_id
   AND refresh_token_hash = :token_hash
   AND user_id IS NULL
   AND status = 'active'
   AND expires_at > now();

-- name: touch_guest(tenant_id, session_id, lifetime)
UPDATE {auth_sessions}
   SET last_used_at = now(), expires_at = now() + :lifetime
 WHERE tenant_id = :tenant_id
   AND id = :session_id
   AND user_id IS NULL
   AND status = 'active';

-- name: hold_account(tenant_id, user_id) -> LockedAccount?
-- Against a change of password or status between the test of the password and the new session; with all that a sign-in
-- asks of an account, since each statement more is a wait.
SELECT u.id, u.email, u.email_verified, u.email_verified_at, u.full_name, u.phone, u.phone_verified, u.auth_provider,
       u.role, u.permissions, u.status, u.age_verified, u.age_verified_at, u.kyc_status, u.kyc_verified_at,
       u.erp_customer_id, u.erp_synced_at, u.metadata, u.created_at, u.updated_at, u.deleted_at, u.password_hash,
       f.confirmed_at AS second_factor_since
  FROM {users} u
  LEFT JOIN {second_factors} f ON f.tenant_id = :tenant_id AND f.user_id = u.id
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
   AND u.deleted_at IS NULL
   FOR NO KEY UPDATE OF u;

-- name: claim_guest(tenant_id, guest_hash, user_id, token_hash, family_hash, ip?, user_agent?, device?, lifetime) -> Session?
-- The guest's session becomes the account's and keeps its visitor; its old token opens nothing from here on. Of two who
-- sign in with one guest's token at once, the second finds no guest any more.
UPDATE {auth_sessions}
   SET user_id = :user_id, refresh_token_hash = :token_hash, token_family_hash = :family_hash, ip_address = :ip,
       user_agent = :user_agent, device_fingerprint = :device, expires_at = now() + :lifetime, last_used_at = now(),
       signed_in_at = now()
 WHERE tenant_id = :tenant_id
   AND refresh_token_hash = :guest_hash
   AND user_id IS NULL
   AND status = 'active'
   AND expires_at > now()
RETURNING id, user_id, anonymous_id, status, expires_at, last_used_at, revoked_at, revoked_reason, created_at;

-- name: insert_session(tenant_id, id, user_id, anonymous_id, token_hash, family_hash, ip?, user_agent?, device?, lifetime) -> Session
INSERT INTO {auth_sessions} (tenant_id, id, user_id, anonymous_id, refresh_token_hash, token_family_hash, ip_address,
                             user_agent, device_fingerprint, expires_at, signed_in_at)
VALUES (:tenant_id, :id, :user_id, :anonymous_id, :token_hash, :family_hash, :ip, :user_agent, :device,
        now() + :lifetime, now())
RETURNING id, user_id, anonymous_id, status, expires_at, last_used_at, revoked_at, revoked_reason, created_at;

-- name: open_sessions(tenant_id, user_id, rows) -> OpenSession*
-- Newest first.
SELECT id, device_fingerprint AS device, host(ip_address) AS ip_address, user_agent, last_used_at, expires_at,
       coalesce(signed_in_at, created_at) AS signed_in_at
  FROM {auth_sessions}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND status = 'active'
   AND expires_at > now()
 ORDER BY id DESC
 LIMIT :rows;

-- name: revoked_lately(kept, rows) -> RevokedSession*
-- scope: all tenants
-- The few sessions of which an access token may still be about; every process asks now and then.
SELECT tenant_id, id AS session_id
  FROM {auth_sessions}
 WHERE status = 'revoked'
   AND revoked_at > now() - :kept::interval
 ORDER BY revoked_at
 LIMIT :rows;

-- name: rights_changed_lately(kept, rows) -> Rights*
-- scope: all tenants
-- What such accounts may do now: an access token made before the change says otherwise.
SELECT tenant_id, id AS user_id, role, permissions
  FROM {users}
 WHERE rights_changed_at > now() - :kept::interval
 ORDER BY rights_changed_at
 LIMIT :rows;

-- name: authenticated(tenant_id, session_id, user_id, statuses) -> Authenticated?
-- For when too much was revoked to be kept in memory. One look by two primary keys: is the session still open, and is
-- the account still one that may come in?
SELECT s.user_id, s.id AS session_id, s.tenant_id, u.email, u.role, u.permissions
  FROM {auth_sessions} s
  JOIN {users} u ON u.tenant_id = :tenant_id AND u.id = s.user_id
 WHERE s.tenant_id = :tenant_id
   AND s.id = :session_id
   AND s.user_id = :user_id
   AND s.user_id IS NOT NULL
   AND s.status = 'active'
   AND s.expires_at > now()
   AND u.status = ANY (:statuses)
   AND u.deleted_at IS NULL;

-- name: refresh(tenant_id, family_hash, token_hash, replacement_hash, reason, lifetime, grace, lifetime_max, statuses) -> Refreshed?
-- See functions.sql. No row: no such session, or nobody may use it any more.
SELECT (r.account).id, (r.account).email, (r.account).email_verified, (r.account).email_verified_at,
       (r.account).full_name, (r.account).phone, (r.account).phone_verified, (r.account).auth_provider,
       (r.account).role, (r.account).permissions, (r.account).status, (r.account).age_verified,
       (r.account).age_verified_at, (r.account).kyc_status, (r.account).kyc_verified_at, (r.account).erp_customer_id,
       (r.account).erp_synced_at, (r.account).metadata, (r.account).created_at, (r.account).updated_at,
       (r.account).deleted_at, r.session_id, r.session_expires_at, r.outcome
  FROM {refresh_session_v1}(:tenant_id, :family_hash, :token_hash, :replacement_hash, :reason, :lifetime, :grace, :lifetime_max,
                            :statuses) r;

-- name: end_family(tenant_id, family_hash, reason) -> SessionId?
-- Whichever of its tokens somebody has, the session ends.
UPDATE {auth_sessions}
   SET status = 'revoked', revoked_at = now(), revoked_reason = :reason
 WHERE tenant_id = :tenant_id
   AND token_family_hash = :family_hash
   AND status = 'active'
RETURNING id;

-- name: revoke(tenant_id, session_id, reason) -> count
UPDATE {auth_sessions}
   SET status = 'revoked', revoked_at = now(), revoked_reason = :reason
 WHERE tenant_id = :tenant_id
   AND id = :session_id
   AND status = 'active';

-- name: revoke_all(tenant_id, user_id, reason, but?) -> SessionId*
-- All open sessions of an account, but perhaps the one that asks.
UPDATE {auth_sessions}
   SET status = 'revoked', revoked_at = now(), revoked_reason = :reason
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND status = 'active'
   AND id <> :but                                    -- if but
   AND user_id IS NOT NULL
RETURNING id;

-- name: session(tenant_id, session_id) -> Session?
SELECT id, user_id, anonymous_id, status, expires_at, last_used_at, revoked_at, revoked_reason, created_at
  FROM {auth_sessions}
 WHERE tenant_id = :tenant_id
   AND id = :session_id;

-- Jobs ----------------------------------------------------------------------------------------------------------------

-- name: tenants_with_overdue(rows) -> str*
-- scope: all tenants
SELECT tenant_id
  FROM {auth_sessions}
 WHERE status = 'active'
   AND expires_at <= now()
 GROUP BY tenant_id
 ORDER BY tenant_id
 LIMIT :rows;

-- name: expire_sessions(tenant_id, rows) -> count
-- Two workers take different rows.
UPDATE {auth_sessions}
   SET status = 'expired'
 WHERE tenant_id = :tenant_id
   AND status = 'active'
   AND id = ANY (ARRAY(SELECT o.id
                         FROM {auth_sessions} o
                        WHERE o.tenant_id = :tenant_id
                          AND o.status = 'active'
                          AND o.expires_at <= now()
                        ORDER BY o.expires_at
                        LIMIT :rows
                          FOR UPDATE SKIP LOCKED));

-- name: tenants_with_ended(kept, rows) -> str*
-- scope: all tenants
SELECT tenant_id
  FROM {auth_sessions}
 WHERE status IN ('expired', 'revoked')
   AND expires_at < now() - :kept::interval
 GROUP BY tenant_id
 ORDER BY tenant_id
 LIMIT :rows;

-- name: lock_ended(tenant_id, kept, rows) -> SessionId*
SELECT id
  FROM {auth_sessions}
 WHERE tenant_id = :tenant_id
   AND status IN ('expired', 'revoked')
   AND expires_at < now() - :kept::interval
 ORDER BY expires_at
 LIMIT :rows
   FOR UPDATE SKIP LOCKED;

-- name: delete_sessions(tenant_id, ids) -> count
-- A guest's carts go with the session, by their foreign key; but a cart that became an order, or that another was merged
-- into, is still pointed to.
DELETE FROM {auth_sessions} s
 WHERE s.tenant_id = :tenant_id
   AND s.id = ANY (:ids)
   AND NOT EXISTS (SELECT FROM {carts} c
                    WHERE c.tenant_id = :tenant_id
                      AND c.session_id = s.id
                      AND (c.status = 'converted'
                           OR EXISTS (SELECT FROM {carts} m
                                       WHERE m.tenant_id = :tenant_id AND m.merged_into_cart_id = c.id)));

-- name: strip_sessions(tenant_id, ids) -> count
-- What could not be removed loses what it knows of a person, and is not looked at again.
UPDATE {auth_sessions}
   SET ip_address = NULL, user_agent = NULL, device_fingerprint = NULL, expires_at = 'infinity'
 WHERE tenant_id = :tenant_id
   AND id = ANY (:ids);

-- Proofs of a mail address --------------------------------------------------------------------------------------------

-- name: account_settings(tenant_id) -> AccountSettings?
SELECT verify_email, google_client_ids, apple_client_ids
  FROM {account_settings}
 WHERE tenant_id = :tenant_id;

-- name: set_account_settings(tenant_id, verify_email, google_client_ids, apple_client_ids)
INSERT INTO {account_settings} (tenant_id, verify_email, google_client_ids, apple_client_ids)
VALUES (:tenant_id, :verify_email, :google_client_ids, :apple_client_ids)
    ON CONFLICT (tenant_id) DO UPDATE
   SET verify_email = excluded.verify_email, google_client_ids = excluded.google_client_ids,
       apple_client_ids = excluded.apple_client_ids, updated_at = excluded.updated_at;

-- name: insert_account_token(tenant_id, id, purpose, token_hash, user_id?, email?, lifetime)
INSERT INTO {account_tokens} (tenant_id, id, purpose, token_hash, user_id, email, expires_at)
VALUES (:tenant_id, :id, :purpose, :token_hash, :user_id, :email, now() + :lifetime);

-- name: delete_account_tokens(tenant_id, user_id, purpose) -> count
-- The one that was sent last is the one that works.
DELETE FROM {account_tokens}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND purpose = :purpose;

-- name: delete_email_changes(tenant_id, user_id) -> count
-- Tokens for another address than the account's: whoever asked for one has a new password, or asks for another one.
DELETE FROM {account_tokens} t
 USING {users} u
 WHERE t.tenant_id = :tenant_id
   AND t.user_id = :user_id
   AND t.purpose = 'verify_email'
   AND u.tenant_id = :tenant_id
   AND u.id = :user_id
   AND u.email <> t.email;

-- name: owner_of_token(tenant_id, token_hash, purpose) -> UserId?
-- Before the account is locked; whether the token still works is asked by `redeem_token`, after it.
SELECT user_id
  FROM {account_tokens}
 WHERE tenant_id = :tenant_id
   AND token_hash = :token_hash
   AND purpose = :purpose
   AND user_id IS NOT NULL;

-- name: redeem_token(tenant_id, token_hash, purpose) -> RedeemedToken?
-- The DELETE is the check: of two who have the token, one gets the row.
DELETE FROM {account_tokens}
 WHERE tenant_id = :tenant_id
   AND token_hash = :token_hash
   AND purpose = :purpose
   AND expires_at > now()
RETURNING user_id, email;

-- name: set_email_verified(tenant_id, user_id, email) -> count
-- Only of the address that was proven. An account that waited for this is active from here on.
UPDATE {users}
   SET email_verified = TRUE, email_verified_at = now(), updated_at = now(),
       status = CASE WHEN status = 'pending_verification' THEN 'active' ELSE status END
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND email = :email
   AND NOT email_verified;

-- name: tenants_with_old_tokens(rows) -> str*
-- scope: all tenants
SELECT tenant_id
  FROM {account_tokens}
 WHERE expires_at <= now()
 GROUP BY tenant_id
 ORDER BY tenant_id
 LIMIT :rows;

-- name: delete_old_tokens(tenant_id, rows) -> count
-- Two workers take different rows.
DELETE FROM {account_tokens}
 WHERE tenant_id = :tenant_id
   AND id = ANY (ARRAY(SELECT o.id
                         FROM {account_tokens} o
                        WHERE o.tenant_id = :tenant_id
                          AND o.expires_at <= now()
                        ORDER BY o.expires_at
                        LIMIT :rows
                          FOR UPDATE SKIP LOCKED));

-- Google and Apple ----------------------------------------------------------------------------------------------------

-- name: account_of_identity(tenant_id, provider, subject) -> UserId?
SELECT user_id
  FROM {account_identities}
 WHERE tenant_id = :tenant_id
   AND provider = :provider
   AND subject = :subject;

-- name: insert_identity(tenant_id, provider, subject, user_id, email) -> count
-- Of two first sign-ins at once, the second finds it done.
INSERT INTO {account_identities} (tenant_id, provider, subject, user_id, email)
VALUES (:tenant_id, :provider, :subject, :user_id, :email)
    ON CONFLICT (tenant_id, provider, subject) DO NOTHING;

-- name: identities_of(tenant_id, user_id) -> LinkedIdentity*
SELECT provider, subject, email, created_at
  FROM {account_identities}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
 ORDER BY created_at, provider, subject;

-- name: delete_identities(tenant_id, user_id, provider) -> count
DELETE FROM {account_identities}
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND provider = :provider;

-- name: set_auth_provider(tenant_id, user_id, provider)
UPDATE {users}
   SET auth_provider = :provider, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: clear_password(tenant_id, user_id)
UPDATE {users}
   SET password_hash = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- Accounts that another system keeps too ------------------------------------------------------------------------------

-- name: synced_by_email(tenant_id, email) -> SyncedAccount?
-- Whoever has the address, a deleted account too: it is not given to another.
SELECT u.id, u.email, u.email_verified, u.full_name, u.phone, u.phone_verified, u.status, u.vendure_customer_id,
       u.deleted_at,
       u.password_hash IS NOT NULL OR u.email_verified OR u.role <> 'customer'
           OR EXISTS (SELECT FROM {account_identities} i WHERE i.tenant_id = :tenant_id AND i.user_id = u.id) AS is_own
  FROM {users} u
 WHERE u.tenant_id = :tenant_id
   AND u.email = :email
   FOR NO KEY UPDATE OF u;

-- name: synced_account(tenant_id, user_id) -> SyncedAccount?
SELECT u.id, u.email, u.email_verified, u.full_name, u.phone, u.phone_verified, u.status, u.vendure_customer_id,
       u.deleted_at,
       u.password_hash IS NOT NULL OR u.email_verified OR u.role <> 'customer'
           OR EXISTS (SELECT FROM {account_identities} i WHERE i.tenant_id = :tenant_id AND i.user_id = u.id) AS is_own
  FROM {users} u
 WHERE u.tenant_id = :tenant_id
   AND u.id = :user_id
   FOR NO KEY UPDATE OF u;

-- name: email_taken(tenant_id, email, user_id) -> bool
SELECT EXISTS (SELECT FROM {users} WHERE tenant_id = :tenant_id AND email = :email AND id <> :user_id);

-- name: phone_taken(tenant_id, phone, user_id) -> bool
SELECT EXISTS (SELECT FROM {users} WHERE tenant_id = :tenant_id AND phone = :phone AND id <> :user_id);

-- name: write_synced(tenant_id, user_id, vendure_customer_id, email, full_name?, phone?, phone_verified, status, custom_fields)
-- Of the custom fields the named ones change and the others stay.
UPDATE {users}
   SET vendure_customer_id = :vendure_customer_id, email = :email, full_name = :full_name, phone = :phone,
       phone_verified = :phone_verified, status = :status, metadata = metadata || :custom_fields::jsonb,
       vendure_synced_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id;

-- name: set_profile_names(tenant_id, user_id, first_name?, last_name?) -> count
UPDATE {user_profiles}
   SET first_name = :first_name, last_name = :last_name, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND (first_name IS DISTINCT FROM :first_name OR last_name IS DISTINCT FROM :last_name);

-- name: add_to_metadata(tenant_id, user_id, more) -> count
-- Keys that are not named stay. Merged where it lies, so that two who write at once both are kept.
UPDATE {users}
   SET metadata = metadata || :more::jsonb, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :user_id
   AND deleted_at IS NULL;

-- name: set_vendure_address(tenant_id, user_id, address_id, vendure_address_id) -> count
UPDATE {user_addresses}
   SET vendure_address_id = :vendure_address_id, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND id = :address_id;

-- name: clear_synced_default(tenant_id, user_id, address_type)
-- Of the addresses that came from there; one that was made here stays the default.
UPDATE {user_addresses}
   SET is_default = FALSE, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND user_id = :user_id
   AND address_type = :address_type
   AND vendure_address_id IS NOT NULL
   AND deleted_at IS NULL
   AND is_default;

-- The ERP -------------------------------------------------------------------------------------------------------------

-- name: mark_synced(tenant_id, id, erp_id) -> count
-- One that the ERP knows under another id is left alone: it would be there twice.
UPDATE {users}
   SET erp_customer_id = :erp_id, erp_synced_at = now(), updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id
   AND (erp_customer_id IS NULL OR erp_customer_id = :erp_id);

-- name: reset_synced(tenant_id, id) -> count
UPDATE {users}
   SET erp_synced_at = NULL, updated_at = now()
 WHERE tenant_id = :tenant_id
   AND id = :id;

-- name: reset_some_synced(tenant_id, size) -> count
UPDATE {users} r
   SET erp_synced_at = NULL, updated_at = now()
  FROM (SELECT id
          FROM {users}
         WHERE tenant_id = :tenant_id
           AND erp_customer_id IS NOT NULL
           AND erp_synced_at IS NOT NULL
         ORDER BY erp_synced_at
         LIMIT :size
           FOR NO KEY UPDATE SKIP LOCKED) d
 WHERE r.tenant_id = :tenant_id
   AND r.id = d.id;
