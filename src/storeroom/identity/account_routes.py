"""Accounts over HTTP, for their owners."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from storeroom.core.contact import (
    InvalidAddress,
    InvalidPhone,
)
from storeroom.core.ids import AddressId, SessionId, UserId
from storeroom.core.money import UnknownCurrency
from storeroom.identity.addresses import Addresses
from storeroom.identity.errors import (
    AddressNotFound,
    CommonPassword,
    InvalidPassword,
    InvalidPerson,
    LastWayIn,
    PasswordsBusy,
    PhoneTaken,
    ProviderNotLinked,
    SessionNotFound,
    TooManyAddresses,
    WrongPassword,
)
from storeroom.identity.model import (
    AuthProvider,
    ConsentChange,
    LinkedIdentity,
    ProfileChanges,
    SavedAddress,
)
from storeroom.identity.provider_proofs import ProviderProofs
from storeroom.identity.service import Users
from storeroom.identity.sessions import Sessions
from storeroom.identity.wire import (
    AccountChanges,
    AccountClosing,
    AddressChange,
    AddressDraft,
    OwnAccount,
    OwnSession,
    PasswordChange,
    account_of,
    given_of,
    profile_of,
)
from storeroom.web import (
    IDEMPOTENT,
    Limiter,
    Principal,
    RateLimited,
    SignInRequired,
    requires_account,
    says,
)

PASSWORD_CHANGES_BY_ACCOUNT: Final = 10  # in WINDOW
PHONES_BY_ACCOUNT: Final = 10  # each refusal tells that somebody has the number
PROVIDER_LENGTH_MAX: Final = 20  # of a name that is none, in the answer
WINDOW: Final = timedelta(minutes=15)

_OWN: Final = [requires_account]


def _user_of(account: Principal) -> UserId:
    if account.user_id is None:
        raise SignInRequired
    return account.user_id


@get("/v1/account", summary="Who I am", tags=["account"], guards=_OWN, responses=says(SignInRequired))
async def get_account(account: NamedDependency[Principal], users: NamedDependency[Users]) -> OwnAccount:
    """The account that the access token is of, with its profile."""
    return await _own(users, _user_of(account))


@patch(
    "/v1/account",
    summary="Change what is said about me",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, InvalidPerson, InvalidPhone, PhoneTaken, UnknownCurrency, RateLimited),
)
async def change_account(
    data: JSONBody[AccountChanges],
    account: NamedDependency[Principal],
    users: NamedDependency[Users],
    limiter: NamedDependency[Limiter],
) -> OwnAccount:
    """All of it or nothing. Another date of birth takes the verified age back, another phone its proof."""
    user_id = _user_of(account)
    if isinstance(data.phone, str):
        await limiter.by("phone", str(user_id), times=PHONES_BY_ACCOUNT, window=WINDOW)
    await users.update(
        user_id=user_id,
        full_name=data.full_name,
        phone=data.phone,
        profile=ProfileChanges(**given_of(data, ProfileChanges.__struct_fields__)),
    )
    return await _own(users, user_id)


async def _own(users: Users, user_id: UserId) -> OwnAccount:
    return OwnAccount(
        account=account_of(await users.get(user_id=user_id)), profile=profile_of(await users.profile(user_id=user_id))
    )


@put(
    "/v1/account/password",
    status_code=204,
    summary="Change my password",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, WrongPassword, InvalidPassword, CommonPassword, RateLimited, PasswordsBusy),
)
async def change_password(
    data: JSONBody[PasswordChange],
    account: NamedDependency[Principal],
    users: NamedDependency[Users],
    limiter: NamedDependency[Limiter],
) -> None:
    """All other sessions of the account end."""
    user_id = _user_of(account)
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
        for session in await sessions.list(user_id=_user_of(account))
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
    await sessions.end_all(user_id=_user_of(account))


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
    await sessions.end(session_id=SessionId(session_id), user_id=_user_of(account), reason="ended by its owner")


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
    user_id = _user_of(account)
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
    return await users.consents(user_id=_user_of(account))


@get(
    "/v1/account/providers",
    summary="By which providers I sign in",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired),
)
async def list_providers(
    account: NamedDependency[Principal], provider_proofs: NamedDependency[ProviderProofs]
) -> Sequence[LinkedIdentity]:
    """In the order in which they were linked: by signing in with each."""
    return await provider_proofs.list(user_id=_user_of(account))


@delete(
    "/v1/account/providers/{provider:str}",
    summary="Sign in by a provider no longer",
    tags=["account"],
    guards=_OWN,
    responses=says(SignInRequired, ProviderNotLinked, LastWayIn),
)
async def unlink_provider(
    provider: FromPath[str], account: NamedDependency[Principal], provider_proofs: NamedDependency[ProviderProofs]
) -> None:
    """Refused where it is the last way in: set a password before, by the message for a forgotten one."""
    if provider not in {AuthProvider.GOOGLE, AuthProvider.APPLE}:
        raise ProviderNotLinked(provider=provider[:PROVIDER_LENGTH_MAX])
    await provider_proofs.unlink(user_id=_user_of(account), provider=AuthProvider(provider))


@get("/v1/account/addresses", summary="My addresses", tags=["account"], guards=_OWN, responses=says(SignInRequired))
async def list_addresses(
    account: NamedDependency[Principal], addresses: NamedDependency[Addresses]
) -> Sequence[SavedAddress]:
    """The defaults first, then the newest."""
    return await addresses.list(user_id=_user_of(account))


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
        user_id=_user_of(account),
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
    return await addresses.get(user_id=_user_of(account), address_id=AddressId(address_id))


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
        user_id=_user_of(account),
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
    return await addresses.set_default(user_id=_user_of(account), address_id=AddressId(address_id))


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
    await addresses.delete(user_id=_user_of(account), address_id=AddressId(address_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
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
    list_providers,
    unlink_provider,
)
