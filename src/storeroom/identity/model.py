"""People of a shop: accounts, what they may do, their profile and addresses, and the sessions of all who visit."""

import hashlib
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from storeroom.core.contact import Address
from storeroom.core.ids import AddressId, SessionId, TenantId, UserId
from storeroom.core.states import Moves, declare_moves
from storeroom.core.visitor import Visitor
from storeroom.database.service import ActorKind

PASSWORD_LENGTH_MIN: Final = 10
PASSWORD_LENGTH_MAX: Final = 200
FULL_NAME_LENGTH_MAX: Final = 100
METADATA_BYTES_MAX: Final = 10 * 1024  # of JSON
PROFILE_NAME_LENGTH_MAX: Final = 100
LABEL_LENGTH_MAX: Final = 50
SOURCE_LENGTH_MAX: Final = 50
REASON_LENGTH_MAX: Final = 100
CLIENT_IDS_MAX: Final = 20  # of one provider, in one shop
CLIENT_ID_LENGTH_MAX: Final = 255
UTM_LENGTH_MAX: Final = 100
URL_LENGTH_MAX: Final = 2000
DEVICE_LENGTH_MAX: Final = 255
USER_AGENT_LENGTH_MAX: Final = 500
SEARCH_LENGTH_MIN: Final = 3  # trigrams find nothing shorter
SEARCH_LENGTH_MAX: Final = 100
SEARCH_ROWS_MAX: Final = 50
SEARCH_LOOKED_AT_MAX: Final = 1_000  # matches, of which the newest are shown
ADDRESSES_MAX: Final = 50  # of one account
LEGAL_AGE: Final = 18  # years
BIRTH_YEAR_MIN: Final = 1900

ACCESS_TOKEN_LIFETIME: Final = timedelta(minutes=5)  # whatever happens to an account, no token outlives it for longer
REVOCATIONS_KEPT: Final = 2 * ACCESS_TOKEN_LIFETIME  # in memory; twice, since the clocks of servers differ
REVOCATIONS_MAX: Final = 100_000  # in memory; where more are fresh, the database is asked for each token
REVOCATIONS_EVERY: Final = timedelta(seconds=30)  # a process learns so late of what another one revoked
SESSIONS_LISTED_MAX: Final = 100
CONSENTS_LISTED_MAX: Final = 1_000
GUEST_SESSION_LIFETIME: Final = timedelta(days=30)  # from the last visit
SESSION_IDLE_MAX: Final = timedelta(days=30)  # a session not refreshed for so long has ended
SESSION_LIFETIME_MAX: Final = timedelta(days=180)  # then one signs in again, however often it was refreshed
REFRESH_GRACE: Final = timedelta(seconds=10)  # two tabs may refresh at once; later the old token counts as stolen
TOUCH_EVERY: Final = timedelta(minutes=1)  # how exactly last_used_at of a guest is kept
ENDED_SESSIONS_KEPT: Final = timedelta(days=90)
VERIFICATION_LIFETIME: Final = timedelta(days=2)  # of the token that proves a mail address
RESET_LIFETIME: Final = timedelta(hours=1)
NONCE_LIFETIME: Final = timedelta(minutes=10)


class UserRole(StrEnum):
    """What an account is to the shop."""

    CUSTOMER = "customer"
    WHOLESALE = "wholesale"
    STAFF = "staff"  # may do what its list of permissions says
    ADMIN = "admin"  # may do everything, but not make or touch an admin
    SUPER_ADMIN = "super_admin"


class UserStatus(StrEnum):
    """How far an account may be used."""

    PENDING_VERIFICATION = "pending_verification"  # the mail address is not proven; may sign in and buy
    ACTIVE = "active"
    SUSPENDED = "suspended"  # for a time
    BANNED = "banned"
    DELETED = "deleted"  # the row stays, for the orders; the mail address is not given to another


_S = UserStatus
USER_MOVES: Final[Moves[UserStatus]] = declare_moves(
    UserStatus,
    {
        _S.PENDING_VERIFICATION: [_S.ACTIVE, _S.SUSPENDED, _S.BANNED, _S.DELETED],
        _S.ACTIVE: [_S.SUSPENDED, _S.BANNED, _S.DELETED],
        _S.SUSPENDED: [_S.ACTIVE, _S.BANNED, _S.DELETED],
        _S.BANNED: [_S.ACTIVE, _S.DELETED],
    },
)
MAY_SIGN_IN: Final = (_S.PENDING_VERIFICATION, _S.ACTIVE)


class AuthProvider(StrEnum):
    """Who proves that a person is the owner of an account."""

    EMAIL = "email"
    GOOGLE = "google"
    APPLE = "apple"


class KycStatus(StrEnum):
    """How far the check of who a person is has come."""

    NOT_REQUIRED = "not_required"
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"


class SessionStatus(StrEnum):
    """Whether a session's token still opens anything."""

    ACTIVE = "active"
    EXPIRED = "expired"  # its time was up
    REVOKED = "revoked"  # signed out, or ended by somebody; the row says why


class TokenPurpose(StrEnum):
    """What a one-time token is good for."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105
    SIGN_IN_NONCE = "sign_in_nonce"


class ConsentKind(StrEnum):
    """What somebody may agree to."""

    MARKETING = "marketing"  # mail that sells
    SMS = "sms"  # messages by phone that sell


class AddressType(StrEnum):
    """What an address is for."""

    SHIPPING = "shipping"
    BILLING = "billing"
    BOTH = "both"


class Permission(StrEnum):
    """What staff may be allowed to do. A permission to write does not include the one to read."""

    CATALOG_WRITE = "catalog.write"
    INVENTORY_WRITE = "inventory.write"
    ORDERS_READ = "orders.read"
    ORDERS_WRITE = "orders.write"
    PAYMENTS_READ = "payments.read"
    PAYMENTS_VERIFY = "payments.verify"
    PAYMENTS_RECORD = "payments.record"  # say what wallets paid, and what they are offered: a pay server's key has it
    REFUNDS_WRITE = "refunds.write"  # give money back, as credit too
    USERS_READ = "users.read"
    USERS_WRITE = "users.write"
    SETTINGS_WRITE = "settings.write"
    GATEWAYS_WRITE = "gateways.write"  # the shop's accounts with providers; secrets are set, never read
    DOMAINS_WRITE = "domains.write"
    SUBSCRIPTIONS_WRITE = "subscriptions.write"
    AUDIT_READ = "audit.read"
    ANALYTICS_READ = "analytics.read"
    DISCOUNTS_WRITE = "discounts.write"
    WEBHOOKS_WRITE = "webhooks.write"
    CONVERSIONS_WRITE = "conversions.write"  # whom the shop tells of purchases; secrets are set, never read
    ERP_WRITE = "erp.write"  # where the ERP is, and what it is sent once more; credentials are set, never read
    KEYS_WRITE = "keys.write"  # make and revoke API keys; itself given to no key


ALL_PERMISSIONS_ROLES: Final = frozenset({UserRole.ADMIN, UserRole.SUPER_ADMIN})
_RANK: Final = {
    UserRole.CUSTOMER: 0,
    UserRole.WHOLESALE: 0,
    UserRole.STAFF: 1,
    UserRole.ADMIN: 2,
    UserRole.SUPER_ADMIN: 3,
}


CUSTOMER_ROLES: Final = frozenset(role for role, rank in _RANK.items() if rank == 0)  # all others are staff


def allows(role: UserRole, permissions: Iterable[str], permission: Permission) -> bool:
    """Whether such an account may do this: admins everything, staff what is on its list, nobody else anything."""
    return role in ALL_PERMISSIONS_ROLES or (role is UserRole.STAFF and permission in permissions)


def erased_email(tenant_id: str, email: str) -> str:
    """What stands in the place of the address of somebody who was erased: it tells nothing, and is known again.

    `flows` makes the same in `erase_person_v1`.
    """
    digest = hashlib.sha256(f"{tenant_id}\n{email}".encode()).hexdigest()
    return f"{digest[:40]}@erased.invalid"


def may_manage(role: UserRole, other: UserRole) -> bool:
    """Whether an account of one role may change an account of another, or make it one of that role.

    Only those below: otherwise staff who may edit accounts would make themselves admin. A super_admin has nobody above,
    so they manage each other, though never themselves.
    """
    return role is UserRole.SUPER_ADMIN or _RANK[role] > _RANK[other]


def age_on(born: date, day: date) -> int:
    """Years completed on a day; who was born on 29 February completes one on 1 March of a common year."""
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account."""

    id: UserId
    email: str
    email_verified: bool
    email_verified_at: datetime | None
    full_name: str | None
    phone: str | None  # E.164 digits
    phone_verified: bool
    auth_provider: AuthProvider
    role: UserRole
    permissions: list[str]  # counts for role staff only
    status: UserStatus
    age_verified: bool
    age_verified_at: datetime | None
    kyc_status: KycStatus
    kyc_verified_at: datetime | None
    erp_customer_id: str | None
    erp_synced_at: datetime | None
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None


class Credentials(msgspec.Struct, frozen=True):
    """What a password is tested against. Never leaves this slice."""

    user_id: UserId
    password_hash: str | None
    status: UserStatus


class LockedAccount(User, frozen=True, kw_only=True):
    """An account under lock, as a proof is compared with it. Never leaves this slice."""

    password_hash: str | None
    second_factor_since: datetime | None

    @property
    def held(self) -> "HeldAccount":
        """What others may know of it."""
        user = User(**{name: getattr(self, name) for name in User.__struct_fields__})
        return HeldAccount(user=user, second_factor_since=self.second_factor_since)


class HeldAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account of a proof that holds; until the transaction ends nobody changes it."""

    user: User
    second_factor_since: datetime | None  # None: it has none that is confirmed


class Managed(msgspec.Struct, frozen=True):
    """An account under lock, with what decides who may change it."""

    id: UserId
    role: UserRole
    status: UserStatus


class SyncedAccount(msgspec.Struct, frozen=True, kw_only=True):
    """An account under lock, with what decides what another system may change of it."""

    id: UserId
    email: str
    email_verified: bool
    full_name: str | None
    phone: str | None
    phone_verified: bool
    status: UserStatus
    vendure_customer_id: str | None
    deleted_at: datetime | None
    is_own: bool  # somebody can sign in, or has proven the address, or is staff: it is theirs from then on


class SyncedCustomer(msgspec.Struct, frozen=True, kw_only=True):
    """A customer of another system, as far as accounts keep it."""

    external_id: str
    email: str
    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None  # as typed there
    phone_verified: bool = False
    marketing_consent: bool | None = None  # None: it does not say
    marketing_consent_at: datetime | None = None  # when it was said
    is_active: bool = True
    custom_fields: dict[str, Any] = {}


class SyncObstacle(StrEnum):
    """Why a customer of another system has no account here yet."""

    EMAIL_OF_ANOTHER = "email_of_another"  # of another customer of that system
    EMAIL_OF_DELETED = "email_of_deleted"
    EMAIL_NOT_PROVEN = "email_not_proven"  # somebody signed up here with it, and has not shown that it is theirs


class AccountSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How a shop lets people in."""

    verify_email: bool = False  # customers sign in only once they proved the mail address; nobody learns who is known
    google_client_ids: list[str] = []  # whom an ID token must be for; none: Google is not offered
    apple_client_ids: list[str] = []


class LinkedIdentity(msgspec.Struct, frozen=True):
    """An account elsewhere by which somebody signs in here."""

    provider: AuthProvider
    subject: str  # by what name the provider knows them
    email: str
    created_at: datetime


class RedeemedToken(msgspec.Struct, frozen=True):
    """What a one-time token was for."""

    user_id: UserId | None
    email: str | None


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody came from when they registered. Too long values are cut: nobody is refused for a long link."""

    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    referrer_url: str | None = None
    landing_page: str | None = None


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a person beside their account."""

    user_id: UserId
    first_name: str | None
    last_name: str | None
    display_name: str | None
    date_of_birth: date | None
    preferred_currency: str
    timezone: str  # IANA
    locale: str  # BCP 47
    marketing_consent: bool
    marketing_consent_at: datetime | None  # when it was last given or taken back
    sms_consent: bool
    sms_consent_at: datetime | None
    utm_source: str | None
    utm_medium: str | None
    utm_campaign: str | None
    utm_term: str | None
    utm_content: str | None
    referrer_url: str | None
    landing_page: str | None
    created_at: datetime
    updated_at: datetime


class ConsentChange(msgspec.Struct, frozen=True, kw_only=True):
    """One time somebody agreed to something, or took it back."""

    kind: ConsentKind
    given: bool
    actor_kind: ActorKind  # the person, or somebody in their name
    ip_address: str | None
    user_agent: str | None
    created_at: datetime


class ProfileChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What of a profile is to change; the rest stays. Where somebody came from is not among it."""

    first_name: str | UnsetType | None = UNSET
    last_name: str | UnsetType | None = UNSET
    display_name: str | UnsetType | None = UNSET
    date_of_birth: date | UnsetType | None = UNSET
    preferred_currency: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    locale: str | UnsetType = UNSET
    marketing_consent: bool | UnsetType = UNSET
    sms_consent: bool | UnsetType = UNSET


class SavedAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An address that an account keeps."""

    id: AddressId
    user_id: UserId
    address_type: AddressType
    is_default: bool
    label: str | None
    recipient_name: str
    company: str | None
    street_line_1: str
    street_line_2: str | None
    city: str
    state_province: str
    postal_code: str
    country_code: str
    phone: str | None
    validated: bool
    validated_at: datetime | None
    validation_source: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def address(self) -> Address:
        """The address itself, as orders copy it."""
        return Address(**{name: getattr(self, name) for name in Address.__struct_fields__})


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A browser's or a program's stay: of a guest, or of an account."""

    id: SessionId
    user_id: UserId | None  # None: a guest
    anonymous_id: str  # the visitor, the same before and after signing in
    status: SessionStatus
    expires_at: datetime
    last_used_at: datetime
    revoked_at: datetime | None
    revoked_reason: str | None
    created_at: datetime


class OpenSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session of an account, as its owner recognises it."""

    id: SessionId
    device: str | None  # what the client called itself
    ip_address: str | None
    user_agent: str | None
    last_used_at: datetime  # when its tokens were last exchanged
    expires_at: datetime
    signed_in_at: datetime


class RevokedSession(msgspec.Struct, frozen=True):
    """A session that ended before its access tokens did."""

    tenant_id: TenantId
    session_id: SessionId


class Rights(msgspec.Struct, frozen=True):
    """What an account may do."""

    tenant_id: TenantId
    user_id: UserId
    role: UserRole
    permissions: list[str]


class GuestSeen(msgspec.Struct, frozen=True):
    """A guest's session, and whether it is time to note the visit."""

    id: SessionId
    stale: bool


class RefreshOutcome(StrEnum):
    """What a refresh token that is one of ours has done."""

    RENEWED = "renewed"  # it was the one handed out last, and is replaced
    RACED = "raced"  # it was the one before, a moment ago; nothing is changed
    REUSED = "reused"  # it had been used before; the session is ended


class Refreshed(User, frozen=True, kw_only=True):
    """The account of a session, and what became of that."""

    session_id: SessionId
    session_expires_at: datetime
    outcome: RefreshOutcome

    @property
    def user(self) -> User:
        """The account alone, as it is shown."""
        return User(**{name: getattr(self, name) for name in User.__struct_fields__})


class AccessClaims(msgspec.Struct, frozen=True, kw_only=True):
    """What an access token says, once its signature was found right."""

    user_id: UserId
    session_id: SessionId
    tenant_id: TenantId
    email: str
    role: UserRole
    permissions: list[str]
    expires_at: datetime


class Authenticated(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever holds a valid access token: role and permissions as they are now, not as they were when it was made."""

    user_id: UserId
    session_id: SessionId
    tenant_id: TenantId
    email: str
    role: UserRole
    permissions: list[str]

    def allows(self, permission: Permission) -> bool:
        """Whether this account may do that."""
        return allows(self.role, self.permissions, permission)

    @property
    def visitor(self) -> Visitor:
        """The same, as carts and orders know it."""
        return Visitor(user_id=self.user_id, session_id=self.session_id)


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """The two tokens of an account's session. The refresh token is shown this once."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    session_id: SessionId
    was_guest: bool  # the session is the one that the guest had
    user: User
