"""Accounts over HTTP: their owners, and the staff who look after them. Signing in is in `flows`.

No route that is sent a password or answers with a token takes an Idempotency-Key: the answer and a fingerprint of the
request would be kept.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.contact import (
    EMAIL_LENGTH_MAX,
    PHONE_LENGTH_MAX,
    Address,
    InvalidAddress,
    InvalidEmail,
    InvalidPhone,
)
from storeroom.core.ids import AddressId, SessionId, UserId
from storeroom.core.money import UnknownCurrency
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity.addresses import Addresses
from storeroom.identity.errors import (
    AddressNotFound,
    BirthDateMissing,
    EmailTaken,
    InvalidPassword,
    InvalidPerson,
    NotStaff,
    PasswordsBusy,
    PhoneTaken,
    RefreshRaced,
    RefreshReused,
    RoleForbidden,
    SearchRefused,
    SessionNotFound,
    TokenRefused,
    TooManyAddresses,
    TooYoung,
    UserNotFound,
    UserStatusRefused,
    WrongPassword,
)
from storeroom.identity.mail_proofs import MailProofs
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
    Attribution,
    ConsentChange,
    KycStatus,
    OpenSession,
    Permission,
    Profile,
    ProfileChanges,
    SavedAddress,
    SignedIn,
    User,
    UserRole,
    UserStatus,
)
from storeroom.identity.proof_routes import MessageSent, afterwards
from storeroom.identity.proof_routes import route_handlers as proof_routes
from storeroom.identity.service import Users
from storeroom.identity.sessions import Sessions
from storeroom.identity.tokens import TOKEN_LENGTH_MAX
from storeroom.web import (
    IDEMPOTENT,
    PAGE_SIZE_DEFAULT,
    Call,
    CursorParameter,
    Limiter,
    LimitParameter,
    Principal,
    RateLimited,
    SignInRequired,
    guest_token,
    requires,
    requires_account,
    says,
)

REGISTRATIONS_BY_ADDRESS: Final = 20  # in WINDOW
GUESTS_BY_ADDRESS: Final = 200
REFRESHES_BY_ADDRESS: Final = 300
PASSWORD_CHANGES_BY_ACCOUNT: Final = 10
WINDOW: Final = timedelta(minutes=15)

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
        account=_account(signed_in.user),
    )


def _account(user: User) -> Account:
    return Account(**{name: getattr(user, name) for name in Account.__struct_fields__})


def _profile(profile: Profile) -> AccountProfile:
    return AccountProfile(**{name: getattr(profile, name) for name in AccountProfile.__struct_fields__})


def _given(changes: msgspec.Struct, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(changes, name) for name in names if getattr(changes, name) is not UNSET}


def _user(account: Principal) -> UserId:
    if account.user_id is None:
        raise SignInRequired
    return account.user_id


# --- Anybody ----------------------------------------------------------------------------------------------------------

_PERSON: Final = (InvalidEmail, InvalidPhone, InvalidPerson, InvalidPassword, EmailTaken, PhoneTaken, PasswordsBusy)


@post(
    "/v1/auth/register",
    summary="Make an account",
    tags=["auth"],
    responses={
        **says(*_PERSON, RateLimited),
        202: ResponseSpec(MessageSent, description="The shop wants the mail address proven first."),
    },
)
async def register(
    data: JSONBody[Registration],
    users: NamedDependency[Users],
    mail_proofs: NamedDependency[MailProofs],
    limiter: NamedDependency[Limiter],
) -> Response[Account | MessageSent]:
    """The mail address is not proven yet: a message is sent there. Where the person came from is kept for ever.

    Where the shop wants addresses proven first, the answer is 202 for every address, known or not; elsewhere signing in
    and buying work at once.
    """
    await limiter.by_address("register", times=REGISTRATIONS_BY_ADDRESS, window=WINDOW)
    person: dict[str, Any] = {
        "email": data.email,
        "password": data.password,
        "full_name": data.full_name,
        "phone": data.phone,
        "attribution": Attribution(**{name: getattr(data, name) for name in Attribution.__struct_fields__}),
    }
    if (await mail_proofs.settings()).verify_email:
        new = await mail_proofs.prepare(**person)
        return Response(MessageSent(), status_code=202, background=afterwards(mail_proofs.finish, new=new))
    user = await users.register(**person)
    return Response(_account(user), background=afterwards(mail_proofs.send_verification, email=user.email))


@post("/v1/auth/guest", summary="Begin a guest session", tags=["auth"], responses=says(RateLimited))
async def begin_guest_session(
    call: NamedDependency[Call], sessions: NamedDependency[Sessions], limiter: NamedDependency[Limiter]
) -> NewGuestSession:
    """Making a cart begins one by itself. It is also sent as a cookie."""
    await limiter.by_address("guest", times=GUESTS_BY_ADDRESS, window=WINDOW)
    session, secret = await sessions.guest()
    token = guest_token(await call.tenant(), secret)
    call.set_guest_cookie(token, session.expires_at)
    return NewGuestSession(session_id=session.id, token=token, expires_at=session.expires_at)


@post(
    "/v1/auth/refresh",
    status_code=200,
    summary="Exchange a refresh token for new tokens",
    tags=["auth"],
    responses=says(TokenRefused, RefreshReused, RefreshRaced, RateLimited),
)
async def refresh_tokens(
    data: JSONBody[TokenToRefresh], sessions: NamedDependency[Sessions], limiter: NamedDependency[Limiter]
) -> Tokens:
    """Each works once. One that is used a second time ends its session: somebody has a copy."""
    await limiter.by_address("refresh", times=REFRESHES_BY_ADDRESS, window=WINDOW)
    return tokens_of(await sessions.refresh(data.refresh_token))


@post("/v1/auth/sign-out", status_code=204, summary="End a session", tags=["auth"], responses=says())
async def sign_out(data: JSONBody[TokenToRefresh], sessions: NamedDependency[Sessions]) -> None:
    """All its tokens are worthless at once. A token of none, or of one that has ended, is no error."""
    await sessions.sign_out(data.refresh_token)


# --- One's own account ------------------------------------------------------------------------------------------------

_OWN: Final = [requires_account]


@get("/v1/account", summary="Who I am", tags=["account"], guards=_OWN, responses=says(SignInRequired))
async def get_account(account: NamedDependency[Principal], users: NamedDependency[Users]) -> OwnAccount:
    """The account that the access token is of, with its profile."""
    return await _own(users, _user(account))


@patch(
    "/v1/account",
    summary="Change what is said about me",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, InvalidPerson, InvalidPhone, PhoneTaken, UnknownCurrency),
)
async def change_account(
    data: JSONBody[AccountChanges], account: NamedDependency[Principal], users: NamedDependency[Users]
) -> OwnAccount:
    """All of it or nothing. Another date of birth takes the verified age back, another phone its proof."""
    user_id = _user(account)
    await users.update(
        user_id=user_id,
        full_name=data.full_name,
        phone=data.phone,
        profile=ProfileChanges(**_given(data, ProfileChanges.__struct_fields__)),
    )
    return await _own(users, user_id)


async def _own(users: Users, user_id: UserId) -> OwnAccount:
    return OwnAccount(
        account=_account(await users.get(user_id=user_id)), profile=_profile(await users.profile(user_id=user_id))
    )


@put(
    "/v1/account/password",
    status_code=204,
    summary="Change my password",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, WrongPassword, InvalidPassword, RateLimited, PasswordsBusy),
)
async def change_password(
    data: JSONBody[PasswordChange],
    account: NamedDependency[Principal],
    users: NamedDependency[Users],
    limiter: NamedDependency[Limiter],
) -> None:
    """All other sessions of the account end."""
    user_id = _user(account)
    await limiter.by("password", str(user_id), times=PASSWORD_CHANGES_BY_ACCOUNT, window=WINDOW)
    await users.change_password(
        user_id=user_id,
        current_password=data.current_password,
        new_password=data.new_password,
        keep_session_id=account.session_id,
    )


@get(
    "/v1/account/sessions",
    summary="Where I am signed in",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired),
)
async def list_sessions(
    account: NamedDependency[Principal], sessions: NamedDependency[Sessions]
) -> Sequence[OwnSession]:
    """The newest first."""
    return [
        OwnSession(**msgspec.structs.asdict(session), current=session.id == account.session_id)
        for session in await sessions.list(user_id=_user(account))
    ]


@delete(
    "/v1/account/sessions",
    summary="Sign out everywhere",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired),
)
async def end_sessions(account: NamedDependency[Principal], sessions: NamedDependency[Sessions]) -> None:
    """Here too. Refresh tokens open nothing from now on; access tokens for half a minute more at other servers."""
    await sessions.end_all(user_id=_user(account))


@delete(
    "/v1/account/sessions/{session_id:uuid}",
    summary="End one of my sessions",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, SessionNotFound),
)
async def end_session(
    session_id: FromPath[UUID], account: NamedDependency[Principal], sessions: NamedDependency[Sessions]
) -> None:
    """Again is no error. Somebody else's is not found."""
    await sessions.end(session_id=SessionId(session_id), user_id=_user(account), reason="ended by its owner")


@post(
    "/v1/account/close",
    status_code=204,
    summary="Close my account",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, WrongPassword, RateLimited, PasswordsBusy),
)
async def close_account(
    data: JSONBody[AccountClosing],
    account: NamedDependency[Principal],
    users: NamedDependency[Users],
    limiter: NamedDependency[Limiter],
) -> None:
    """For ever. Orders and what the law wants of them stay; the mail address is not given to another."""
    user_id = _user(account)
    await limiter.by("password", str(user_id), times=PASSWORD_CHANGES_BY_ACCOUNT, window=WINDOW)
    await users.close(user_id=user_id, current_password=data.current_password)


@get(
    "/v1/account/consents",
    summary="What I agreed to, and took back",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired),
)
async def list_consents(account: NamedDependency[Principal], users: NamedDependency[Users]) -> Sequence[ConsentChange]:
    """The newest first, with when and from where."""
    return await users.consents(user_id=_user(account))


@get("/v1/account/addresses", summary="My addresses", tags=["account"], guards=_OWN, responses=says(SignInRequired))
async def list_addresses(
    account: NamedDependency[Principal], addresses: NamedDependency[Addresses]
) -> Sequence[SavedAddress]:
    """The defaults first, then the newest."""
    return await addresses.list(user_id=_user(account))


@post(
    "/v1/account/addresses",
    summary="Keep an address",
    tags=["account"],
    guards=_OWN,
    opt=IDEMPOTENT,
    responses=says(SignInRequired, InvalidAddress, InvalidPerson, TooManyAddresses),
)
async def add_address(
    data: JSONBody[AddressDraft], account: NamedDependency[Principal], addresses: NamedDependency[Addresses]
) -> SavedAddress:
    """Brought into its stored form: country and state as codes, spaces tidied."""
    return await addresses.add(
        user_id=_user(account),
        address=data.address,
        address_type=data.address_type,
        label=data.label,
        is_default=data.is_default,
    )


@get(
    "/v1/account/addresses/{address_id:uuid}",
    summary="One of my addresses",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, AddressNotFound),
)
async def get_address(
    address_id: FromPath[UUID], account: NamedDependency[Principal], addresses: NamedDependency[Addresses]
) -> SavedAddress:
    """Somebody else's is not found."""
    return await addresses.get(user_id=_user(account), address_id=AddressId(address_id))


@put(
    "/v1/account/addresses/{address_id:uuid}",
    summary="Change an address",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, AddressNotFound, InvalidAddress, InvalidPerson),
)
async def change_address(
    address_id: FromPath[UUID],
    data: JSONBody[AddressChange],
    account: NamedDependency[Principal],
    addresses: NamedDependency[Addresses],
) -> SavedAddress:
    """At another place it is no longer a validated one. Carts see the change, orders keep their copy."""
    return await addresses.update(
        user_id=_user(account),
        address_id=AddressId(address_id),
        address=data.address,
        address_type=data.address_type,
        label=data.label,
    )


@put(
    "/v1/account/addresses/{address_id:uuid}/default",
    summary="Make an address the default of its type",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, AddressNotFound),
)
async def set_default_address(
    address_id: FromPath[UUID], account: NamedDependency[Principal], addresses: NamedDependency[Addresses]
) -> SavedAddress:
    """Instead of the one before."""
    return await addresses.set_default(user_id=_user(account), address_id=AddressId(address_id))


@delete(
    "/v1/account/addresses/{address_id:uuid}",
    summary="Forget an address",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, AddressNotFound),
)
async def delete_address(
    address_id: FromPath[UUID], account: NamedDependency[Principal], addresses: NamedDependency[Addresses]
) -> None:
    """Carts that chose it stay as they are."""
    await addresses.delete(user_id=_user(account), address_id=AddressId(address_id))


# --- Staff ------------------------------------------------------------------------------------------------------------

_TAGS: Final = ["admin: accounts"]
_READ: Final = [requires("users.read")]
_WRITE: Final = [requires("users.write")]


@get(
    "/v1/admin/users",
    summary="Accounts, newest first; with `q` those it finds",
    tags=_TAGS,
    guards=_READ,
    responses=says(InvalidCursor, SearchRefused),
)
async def list_users(
    users: NamedDependency[Users],
    q: SearchParameter = None,
    status: StatusParameter = None,
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[User]:
    """Without the deleted ones. A search gives one page; what is too much for it needs a longer `q`."""
    if q is not None:
        return Page(list(await users.search(text=q, limit=limit)))
    return await users.list(status=status, cursor=cursor, limit=limit)


@post(
    "/v1/admin/users",
    summary="Make an account",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(*_PERSON, RoleForbidden, NotStaff),
)
async def create_user(data: JSONBody[NewUser], users: NamedDependency[Users]) -> User:
    """Of a role below one's own. Without a password nobody can sign in by one."""
    return await users.create(
        email=data.email,
        role=data.role,
        password=data.password,
        full_name=data.full_name,
        phone=data.phone,
        permissions=data.permissions,
    )


@get(
    "/v1/admin/users/{user_id:uuid}",
    summary="One account",
    tags=_TAGS,
    guards=_READ,
    responses=says(UserNotFound),
)
async def get_user(user_id: UserPath, users: NamedDependency[Users]) -> User:
    """A deleted one is not found."""
    return await users.get(user_id=UserId(user_id))


@get(
    "/v1/admin/users/{user_id:uuid}/profile",
    summary="The profile of an account, and where the person came from",
    tags=_TAGS,
    guards=_READ,
    responses=says(UserNotFound),
)
async def get_user_profile(user_id: UserPath, users: NamedDependency[Users]) -> Profile:
    """With the attribution of the registration."""
    return await users.profile(user_id=UserId(user_id))


@put(
    "/v1/admin/users/{user_id:uuid}/role",
    summary="Give an account another role",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(UserNotFound, RoleForbidden),
)
async def set_user_role(user_id: UserPath, data: JSONBody[RoleChange], users: NamedDependency[Users]) -> User:
    """Account and role must both be below one's own; only a super_admin makes admins."""
    return await users.set_role(user_id=UserId(user_id), role=data.role)


@put(
    "/v1/admin/users/{user_id:uuid}/permissions",
    summary="Say what a member of staff may do",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(UserNotFound, RoleForbidden, NotStaff, InvalidPerson),
)
async def set_user_permissions(
    user_id: UserPath, data: JSONBody[PermissionsChange], users: NamedDependency[Users]
) -> User:
    """Only admins may."""
    return await users.set_permissions(user_id=UserId(user_id), permissions=data.permissions)


@put(
    "/v1/admin/users/{user_id:uuid}/status",
    summary="Suspend, ban or reactivate an account",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(UserNotFound, RoleForbidden, UserStatusRefused),
)
async def set_user_status(user_id: UserPath, data: JSONBody[StatusChange], users: NamedDependency[Users]) -> User:
    """One that may not sign in any more loses its sessions at once."""
    return await users.set_status(user_id=UserId(user_id), status=data.status)


@put(
    "/v1/admin/users/{user_id:uuid}/kyc",
    summary="Record how far the check of a person has come",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(UserNotFound, RoleForbidden),
)
async def set_user_kyc(user_id: UserPath, data: JSONBody[KycChange], users: NamedDependency[Users]) -> User:
    """Approving notes when."""
    return await users.set_kyc(user_id=UserId(user_id), status=data.status)


@post(
    "/v1/admin/users/{user_id:uuid}/verify-age",
    status_code=200,
    summary="Record that a proof of age was seen",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(UserNotFound, RoleForbidden, BirthDateMissing, TooYoung),
)
async def verify_user_age(user_id: UserPath, users: NamedDependency[Users]) -> User:
    """Of the date of birth in the profile."""
    return await users.verify_age(user_id=UserId(user_id))


@get(
    "/v1/admin/users/{user_id:uuid}/sessions",
    summary="Where an account is signed in",
    tags=_TAGS,
    guards=_READ,
    responses=says(UserNotFound),
)
async def list_user_sessions(user_id: UserPath, sessions: NamedDependency[Sessions]) -> Sequence[OpenSession]:
    """The newest first."""
    return await sessions.list(user_id=UserId(user_id))


@delete(
    "/v1/admin/users/{user_id:uuid}/sessions",
    summary="Sign an account out everywhere",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(UserNotFound, RoleForbidden),
)
async def end_user_sessions(user_id: UserPath, sessions: NamedDependency[Sessions]) -> None:
    """For a device that was lost."""
    await sessions.end_all(user_id=UserId(user_id), reason="ended by staff")


@post(
    "/v1/admin/users/{user_id:uuid}/addresses/{address_id:uuid}/validate",
    status_code=200,
    summary="Record that a parcel would arrive at an address",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(UserNotFound, AddressNotFound, RoleForbidden, InvalidPerson),
)
async def validate_user_address(
    user_id: UserPath,
    address_id: FromPath[UUID],
    data: JSONBody[ValidationSource],
    addresses: NamedDependency[Addresses],
) -> SavedAddress:
    """By the word of a carrier's service, or of staff."""
    return await addresses.mark_validated(user_id=UserId(user_id), address_id=AddressId(address_id), source=data.source)


@delete(
    "/v1/admin/users/{user_id:uuid}",
    summary="Close an account",
    tags=_TAGS,
    guards=_WRITE,
    responses=says(UserNotFound, RoleForbidden),
)
async def delete_user(user_id: UserPath, users: NamedDependency[Users]) -> None:
    """Its row, profile and orders stay, and its mail address is not given to another."""
    await users.delete(user_id=UserId(user_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    register,
    begin_guest_session,
    refresh_tokens,
    sign_out,
    get_account,
    change_account,
    change_password,
    list_sessions,
    end_sessions,
    end_session,
    close_account,
    list_consents,
    list_addresses,
    add_address,
    get_address,
    change_address,
    set_default_address,
    delete_address,
    list_users,
    create_user,
    get_user,
    get_user_profile,
    set_user_role,
    set_user_permissions,
    set_user_status,
    set_user_kyc,
    verify_user_age,
    list_user_sessions,
    end_user_sessions,
    validate_user_address,
    delete_user,
    *proof_routes,
)
