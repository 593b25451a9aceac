# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again.

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from storeroom.core.ids import SessionId, UserId
from storeroom.database.executor import Executor
from storeroom.identity.model import (
    AccountSettings,
    AddressType,
    Authenticated,
    AuthProvider,
    ConsentChange,
    ConsentKind,
    Credentials,
    GuestSeen,
    KycStatus,
    LinkedIdentity,
    LockedAccount,
    Managed,
    OpenSession,
    Profile,
    RedeemedToken,
    Refreshed,
    RevokedSession,
    Rights,
    SavedAddress,
    Session,
    SyncedAccount,
    User,
    UserRole,
    UserStatus,
)

async def insert_user(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    email: str,
    full_name: str | None,
    phone: str | None,
    password_hash: str | None,
    auth_provider: AuthProvider,
    role: UserRole,
    permissions: Any,
    status: UserStatus,
    metadata: Any,
) -> None: ...
async def user(db: Executor, /, *, tenant_id: str, user_id: UUID) -> User | None: ...
async def user_by_email(db: Executor, /, *, tenant_id: str, email: str) -> User | None: ...
async def users_newest(
    db: Executor, /, *, tenant_id: str, before_at: datetime | None = None, before_id: UUID | None, rows: int
) -> list[User]: ...
async def users_of_status(
    db: Executor, /, *, tenant_id: str, status: UserStatus, before: UUID | None = None, rows: int
) -> list[User]: ...
async def users_matching(
    db: Executor,
    /,
    *,
    tenant_id: str,
    pattern: str,
    statuses: Sequence[UserStatus] | None = None,
    looked_at: int,
    rows: int,
) -> list[User]: ...
async def role_of(db: Executor, /, *, tenant_id: str, user_id: UUID) -> UserRole | None: ...
async def role_of_any(db: Executor, /, *, tenant_id: str, user_id: UUID) -> UserRole | None: ...
async def lock_user(db: Executor, /, *, tenant_id: str, user_id: UUID) -> Managed | None: ...
async def set_role(db: Executor, /, *, tenant_id: str, user_id: UUID, role: UserRole) -> None: ...
async def set_permissions(db: Executor, /, *, tenant_id: str, user_id: UUID, permissions: Any) -> None: ...
async def set_status(
    db: Executor, /, *, tenant_id: str, user_id: UUID, status: UserStatus, sources: Sequence[UserStatus]
) -> int: ...
async def delete_user(db: Executor, /, *, tenant_id: str, user_id: UUID) -> None: ...
async def merge_metadata(db: Executor, /, *, tenant_id: str, user_id: UUID, changes: Any) -> dict[str, Any] | None: ...
async def set_name(db: Executor, /, *, tenant_id: str, user_id: UUID, full_name: str) -> None: ...
async def set_email(db: Executor, /, *, tenant_id: str, user_id: UUID, email: str) -> int: ...
async def set_phone(db: Executor, /, *, tenant_id: str, user_id: UUID, phone: str | None) -> int: ...
async def set_phone_verified(db: Executor, /, *, tenant_id: str, phone: str) -> int: ...
async def take_phone(db: Executor, /, *, tenant_id: str, phone: str, user_id: UUID) -> UserId | None: ...
async def set_age_verified(db: Executor, /, *, tenant_id: str, user_id: UUID) -> None: ...
async def clear_age_verified(db: Executor, /, *, tenant_id: str, user_id: UUID) -> None: ...
async def approve_kyc(db: Executor, /, *, tenant_id: str, user_id: UUID) -> None: ...
async def set_kyc(db: Executor, /, *, tenant_id: str, user_id: UUID, kyc_status: KycStatus) -> None: ...
async def credentials(db: Executor, /, *, tenant_id: str, email: str) -> Credentials | None: ...
async def password_hash(db: Executor, /, *, tenant_id: str, user_id: UUID) -> str | None: ...
async def has_password(db: Executor, /, *, tenant_id: str, user_id: UUID) -> bool: ...
async def set_password(db: Executor, /, *, tenant_id: str, user_id: UUID, password_hash: str) -> None: ...
async def replace_password_hash(db: Executor, /, *, tenant_id: str, user_id: UUID, old: str, new: str) -> int: ...
async def insert_profile(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    user_id: UUID,
    utm_source: str | None,
    utm_medium: str | None,
    utm_campaign: str | None,
    utm_term: str | None,
    utm_content: str | None,
    referrer_url: str | None,
    landing_page: str | None,
) -> int: ...
async def profile(db: Executor, /, *, tenant_id: str, user_id: UUID) -> Profile | None: ...
async def update_profile(
    db: Executor,
    /,
    *,
    tenant_id: str,
    user_id: UUID,
    first_name: str | None,
    last_name: str | None,
    display_name: str | None,
    date_of_birth: date | None,
    preferred_currency: str,
    timezone: str,
    locale: str,
) -> None: ...
async def set_marketing_consent(db: Executor, /, *, tenant_id: str, user_id: UUID, given: bool) -> int: ...
async def set_synced_consent(
    db: Executor, /, *, tenant_id: str, user_id: UUID, given: bool, said_at: datetime
) -> int: ...
async def set_sms_consent(db: Executor, /, *, tenant_id: str, user_id: UUID, given: bool) -> int: ...
async def insert_consent_change(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    user_id: UUID,
    kind: ConsentKind,
    given: bool,
    actor_kind: str,
    ip: str | None,
    user_agent: str | None,
) -> None: ...
async def consent_changes(db: Executor, /, *, tenant_id: str, user_id: UUID, rows: int) -> list[ConsentChange]: ...
async def insert_address(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    user_id: UUID,
    address_type: AddressType,
    label: str | None,
    recipient_name: str,
    company: str | None,
    street_line_1: str,
    street_line_2: str | None,
    city: str,
    state_province: str,
    postal_code: str,
    country_code: str,
    phone: str | None,
) -> None: ...
async def address(db: Executor, /, *, tenant_id: str, user_id: UUID, address_id: UUID) -> SavedAddress | None: ...
async def address_holder(db: Executor, /, *, tenant_id: str, address_id: UUID) -> UserId | None: ...
async def addresses(db: Executor, /, *, tenant_id: str, user_id: UUID, rows: int) -> list[SavedAddress]: ...
async def default_address(
    db: Executor, /, *, tenant_id: str, user_id: UUID, address_type: AddressType
) -> SavedAddress | None: ...
async def addresses_counted(db: Executor, /, *, tenant_id: str, user_id: UUID) -> int: ...
async def update_address(
    db: Executor,
    /,
    *,
    tenant_id: str,
    user_id: UUID,
    address_id: UUID,
    address_type: AddressType,
    is_default: bool,
    label: str | None,
    recipient_name: str,
    company: str | None,
    street_line_1: str,
    street_line_2: str | None,
    city: str,
    state_province: str,
    postal_code: str,
    country_code: str,
    phone: str | None,
    validated: bool,
    validated_at: datetime | None,
    validation_source: str | None,
) -> None: ...
async def clear_default_address(
    db: Executor, /, *, tenant_id: str, user_id: UUID, address_type: AddressType
) -> None: ...
async def clear_default_addresses(db: Executor, /, *, tenant_id: str, user_id: UUID) -> None: ...
async def make_default_address(db: Executor, /, *, tenant_id: str, user_id: UUID, address_id: UUID) -> None: ...
async def set_address_validated(
    db: Executor, /, *, tenant_id: str, user_id: UUID, address_id: UUID, source: str
) -> int: ...
async def delete_address(db: Executor, /, *, tenant_id: str, user_id: UUID, address_id: UUID) -> int: ...
async def insert_guest(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    anonymous_id: str,
    token_hash: str,
    ip: str | None,
    user_agent: str | None,
    device: str | None,
    lifetime: timedelta,
) -> Session: ...
async def guest(db: Executor, /, *, tenant_id: str, token_hash: str, touch_every: timedelta) -> GuestSeen | None: ...
async def touch_guest(db: Executor, /, *, tenant_id: str, session_id: UUID, lifetime: timedelta) -> None: ...
async def hold_account(db: Executor, /, *, tenant_id: str, user_id: UUID) -> LockedAccount | None: ...
async def claim_guest(
    db: Executor,
    /,
    *,
    tenant_id: str,
    guest_hash: str,
    user_id: UUID,
    token_hash: str,
    family_hash: str,
    ip: str | None,
    user_agent: str | None,
    device: str | None,
    lifetime: timedelta,
) -> Session | None: ...
async def insert_session(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    user_id: UUID,
    anonymous_id: str,
    token_hash: str,
    family_hash: str,
    ip: str | None,
    user_agent: str | None,
    device: str | None,
    lifetime: timedelta,
) -> Session: ...
async def open_sessions(db: Executor, /, *, tenant_id: str, user_id: UUID, rows: int) -> list[OpenSession]: ...
async def revoked_lately(db: Executor, /, *, kept: timedelta, rows: int) -> list[RevokedSession]: ...
async def rights_changed_lately(db: Executor, /, *, kept: timedelta, rows: int) -> list[Rights]: ...
async def authenticated(
    db: Executor, /, *, tenant_id: str, session_id: UUID, user_id: UUID, statuses: Sequence[UserStatus]
) -> Authenticated | None: ...
async def refresh(
    db: Executor,
    /,
    *,
    tenant_id: str,
    family_hash: str,
    token_hash: str,
    replacement_hash: str,
    reason: str,
    lifetime: timedelta,
    grace: timedelta,
    lifetime_max: timedelta,
    statuses: Sequence[UserStatus],
) -> Refreshed | None: ...
async def end_family(db: Executor, /, *, tenant_id: str, family_hash: str, reason: str) -> SessionId | None: ...
async def revoke(db: Executor, /, *, tenant_id: str, session_id: UUID, reason: str) -> int: ...
async def revoke_all(
    db: Executor, /, *, tenant_id: str, user_id: UUID, reason: str, but: UUID | None = None
) -> list[SessionId]: ...
async def session(db: Executor, /, *, tenant_id: str, session_id: UUID) -> Session | None: ...
async def tenants_with_overdue(db: Executor, /, *, rows: int) -> list[str]: ...
async def expire_sessions(db: Executor, /, *, tenant_id: str, rows: int) -> int: ...
async def tenants_with_ended(db: Executor, /, *, kept: timedelta, rows: int) -> list[str]: ...
async def lock_ended(db: Executor, /, *, tenant_id: str, kept: timedelta, rows: int) -> list[SessionId]: ...
async def delete_sessions(db: Executor, /, *, tenant_id: str, ids: Sequence[UUID]) -> int: ...
async def strip_sessions(db: Executor, /, *, tenant_id: str, ids: Sequence[UUID]) -> int: ...
async def account_settings(db: Executor, /, *, tenant_id: str) -> AccountSettings | None: ...
async def set_account_settings(
    db: Executor,
    /,
    *,
    tenant_id: str,
    verify_email: bool,
    google_client_ids: Sequence[str],
    apple_client_ids: Sequence[str],
) -> None: ...
async def insert_account_token(
    db: Executor,
    /,
    *,
    tenant_id: str,
    id: UUID,
    purpose: str,
    token_hash: str,
    user_id: UUID | None,
    email: str | None,
    lifetime: timedelta,
) -> None: ...
async def delete_account_tokens(db: Executor, /, *, tenant_id: str, user_id: UUID, purpose: str) -> int: ...
async def delete_email_changes(db: Executor, /, *, tenant_id: str, user_id: UUID) -> int: ...
async def owner_of_token(db: Executor, /, *, tenant_id: str, token_hash: str, purpose: str) -> UserId | None: ...
async def redeem_token(db: Executor, /, *, tenant_id: str, token_hash: str, purpose: str) -> RedeemedToken | None: ...
async def set_email_verified(db: Executor, /, *, tenant_id: str, user_id: UUID, email: str) -> int: ...
async def tenants_with_old_tokens(db: Executor, /, *, rows: int) -> list[str]: ...
async def delete_old_tokens(db: Executor, /, *, tenant_id: str, rows: int) -> int: ...
async def account_of_identity(
    db: Executor, /, *, tenant_id: str, provider: AuthProvider, subject: str
) -> UserId | None: ...
async def insert_identity(
    db: Executor, /, *, tenant_id: str, provider: AuthProvider, subject: str, user_id: UUID, email: str
) -> int: ...
async def identities_of(db: Executor, /, *, tenant_id: str, user_id: UUID) -> list[LinkedIdentity]: ...
async def delete_identities(db: Executor, /, *, tenant_id: str, user_id: UUID, provider: AuthProvider) -> int: ...
async def set_auth_provider(db: Executor, /, *, tenant_id: str, user_id: UUID, provider: AuthProvider) -> None: ...
async def clear_password(db: Executor, /, *, tenant_id: str, user_id: UUID) -> None: ...
async def synced_by_email(db: Executor, /, *, tenant_id: str, email: str) -> SyncedAccount | None: ...
async def synced_account(db: Executor, /, *, tenant_id: str, user_id: UUID) -> SyncedAccount | None: ...
async def email_taken(db: Executor, /, *, tenant_id: str, email: str, user_id: UUID) -> bool: ...
async def phone_taken(db: Executor, /, *, tenant_id: str, phone: str, user_id: UUID) -> bool: ...
async def write_synced(
    db: Executor,
    /,
    *,
    tenant_id: str,
    user_id: UUID,
    vendure_customer_id: str,
    email: str,
    full_name: str | None,
    phone: str | None,
    phone_verified: bool,
    status: UserStatus,
    custom_fields: Any,
) -> None: ...
async def set_profile_names(
    db: Executor, /, *, tenant_id: str, user_id: UUID, first_name: str | None, last_name: str | None
) -> int: ...
async def add_to_metadata(db: Executor, /, *, tenant_id: str, user_id: UUID, more: Any) -> int: ...
async def set_vendure_address(
    db: Executor, /, *, tenant_id: str, user_id: UUID, address_id: UUID, vendure_address_id: str
) -> int: ...
async def clear_synced_default(
    db: Executor, /, *, tenant_id: str, user_id: UUID, address_type: AddressType
) -> None: ...
async def mark_synced(db: Executor, /, *, tenant_id: str, id: UUID, erp_id: str) -> int: ...
async def reset_synced(db: Executor, /, *, tenant_id: str, id: UUID) -> int: ...
async def reset_some_synced(db: Executor, /, *, tenant_id: str, size: int) -> int: ...
