"""What is sent about people over HTTP, and what comes back."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar.params import FromPath, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.contact import (
    EMAIL_LENGTH_MAX,
    PHONE_LENGTH_MAX,
    Address,
    InvalidEmail,
    InvalidPhone,
)
from storeroom.core.ids import SessionId, UserId
from storeroom.identity.errors import (
    CommonPassword,
    EmailTaken,
    InvalidPassword,
    InvalidPerson,
    PasswordsBusy,
    PhoneTaken,
)
from storeroom.identity.model import (
    FULL_NAME_LENGTH_MAX,
    LABEL_LENGTH_MAX,
    PASSWORD_LENGTH_MAX,
    PASSWORD_LENGTH_MIN,
    PROFILE_NAME_LENGTH_MAX,
    SEARCH_LENGTH_MAX,
    SOURCE_LENGTH_MAX,
    URL_LENGTH_MAX,
    AddressType,
    KycStatus,
    Permission,
    Profile,
    SignedIn,
    User,
    UserRole,
    UserStatus,
)
from storeroom.identity.tokens import TOKEN_LENGTH_MAX

Email = Annotated[str, Meta(min_length=3, max_length=EMAIL_LENGTH_MAX, examples=["ada@example.com"])]
Password = Annotated[str, Meta(min_length=PASSWORD_LENGTH_MIN, max_length=PASSWORD_LENGTH_MAX)]
PresentPassword = Annotated[str, Meta(min_length=1, max_length=1000)]
FullName = Annotated[str, Meta(min_length=1, max_length=FULL_NAME_LENGTH_MAX, examples=["Ada Lovelace"])]
Phone = Annotated[str, Meta(min_length=3, max_length=PHONE_LENGTH_MAX, examples=["+1 512 555 0123"])]
ProfileName = Annotated[str, Meta(max_length=PROFILE_NAME_LENGTH_MAX)]
Label = Annotated[str, Meta(max_length=LABEL_LENGTH_MAX)]
Token = Annotated[str, Meta(min_length=1, max_length=TOKEN_LENGTH_MAX)]
Utm = Annotated[str, Meta(max_length=URL_LENGTH_MAX)]  # longer than what is kept: a long one is cut, not refused
Permissions = Annotated[list[Permission], Meta(max_length=len(Permission))]
UserPath = FromPath[UUID]
SearchParameter = Annotated[
    str | None,
    QueryParameter(description="A part of a name, mail address or number.", min_length=1, max_length=SEARCH_LENGTH_MAX),
]
StatusParameter = Annotated[UserStatus | None, QueryParameter(description="Only accounts of this status.")]


# --- What is sent and what comes back ---------------------------------------------------------------------------------


class Registration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who registers, and where they came from."""

    email: Email
    password: Password
    full_name: FullName
    phone: Phone | None = None
    utm_source: Utm | None = None
    utm_medium: Utm | None = None
    utm_campaign: Utm | None = None
    utm_term: Utm | None = None
    utm_content: Utm | None = None
    referrer_url: Utm | None = None
    landing_page: Utm | None = None


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account as its owner sees it."""

    id: UserId
    email: str
    email_verified: bool
    full_name: str | None
    phone: str | None
    phone_verified: bool
    role: UserRole
    permissions: list[str]
    status: UserStatus
    age_verified: bool
    kyc_status: KycStatus
    created_at: datetime


class AccountProfile(msgspec.Struct, frozen=True, kw_only=True):
    """What the person said about themselves."""

    first_name: str | None
    last_name: str | None
    display_name: str | None
    date_of_birth: date | None
    preferred_currency: str
    timezone: str
    locale: str
    marketing_consent: bool
    marketing_consent_at: datetime | None
    sms_consent: bool
    sms_consent_at: datetime | None


class OwnAccount(msgspec.Struct, frozen=True, kw_only=True):
    """The account with its profile."""

    account: Account
    profile: AccountProfile


class AccountChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change; what is left out stays, null forgets."""

    full_name: FullName | UnsetType = UNSET
    phone: Phone | UnsetType | None = UNSET
    first_name: ProfileName | UnsetType | None = UNSET
    last_name: ProfileName | UnsetType | None = UNSET
    display_name: ProfileName | UnsetType | None = UNSET
    date_of_birth: date | UnsetType | None = UNSET
    preferred_currency: Annotated[str, Meta(min_length=3, max_length=10)] | UnsetType = UNSET
    timezone: Annotated[str, Meta(min_length=1, max_length=50)] | UnsetType = UNSET
    locale: Annotated[str, Meta(min_length=2, max_length=20)] | UnsetType = UNSET
    marketing_consent: bool | UnsetType = UNSET
    sms_consent: bool | UnsetType = UNSET


class PasswordChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The present password and the next one."""

    current_password: PresentPassword
    new_password: Password


class AccountClosing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The present password, where the account has one."""

    current_password: PresentPassword | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """Send the access token as `Authorization: Bearer …`; exchange the refresh token before the other ends."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    token_type: str = "Bearer"  # noqa: S105
    account: Account


class TokenToRefresh(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A refresh token."""

    refresh_token: Token


class NewGuestSession(msgspec.Struct, frozen=True, kw_only=True):
    """Send the token as the header Storeroom-Session; browsers have it as a cookie."""

    session_id: UUID
    token: str
    expires_at: datetime


class OwnSession(msgspec.Struct, frozen=True, kw_only=True):
    """One of my sessions: a browser or a program that is signed in."""

    id: SessionId
    device: str | None
    ip_address: str | None
    user_agent: str | None
    last_used_at: datetime
    expires_at: datetime
    signed_in_at: datetime
    current: bool  # the one that asks


class AddressDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An address as it shall be kept."""

    address: Address
    address_type: AddressType = AddressType.SHIPPING
    label: Label | None = None
    is_default: bool = False


class AddressChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole address; without a type it keeps the one it has."""

    address: Address
    address_type: AddressType | None = None
    label: Label | None = None


class NewUser(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account that staff make."""

    email: Email
    role: UserRole = UserRole.CUSTOMER
    password: Password | None = None
    full_name: FullName | None = None
    phone: Phone | None = None
    permissions: Permissions = []


class RoleChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The role from now on."""

    role: UserRole


class PermissionsChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All permissions from now on."""

    permissions: Permissions


class StatusChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The status from now on."""

    status: UserStatus


class KycChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the check of the person has come."""

    status: KycStatus


class ValidationSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By whose word."""

    source: Annotated[str, Meta(min_length=1, max_length=SOURCE_LENGTH_MAX, examples=["manual"])]


def tokens_of(signed_in: SignedIn) -> Tokens:
    """What a client gets of a session."""
    return Tokens(
        access_token=signed_in.access_token,
        access_expires_at=signed_in.access_expires_at,
        refresh_token=signed_in.refresh_token,
        refresh_expires_at=signed_in.refresh_expires_at,
        account=account_of(signed_in.user),
    )


def account_of(user: User) -> Account:
    """What an owner sees of an account."""
    return Account(**{name: getattr(user, name) for name in Account.__struct_fields__})


def profile_of(profile: Profile) -> AccountProfile:
    """What an owner sees of a profile."""
    return AccountProfile(**{name: getattr(profile, name) for name in AccountProfile.__struct_fields__})


def given_of(changes: msgspec.Struct, names: Sequence[str]) -> dict[str, Any]:
    """Those of the fields that were sent."""
    return {name: getattr(changes, name) for name in names if getattr(changes, name) is not UNSET}


PERSON_REFUSALS: Final = (
    InvalidEmail,
    InvalidPhone,
    InvalidPerson,
    InvalidPassword,
    CommonPassword,
    EmailTaken,
    PhoneTaken,
    PasswordsBusy,
)
