"""Accounts over HTTP, for the staff who look after them."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from litestar import delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler

from storeroom.core.ids import AddressId, UserId
from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity.addresses import Addresses
from storeroom.identity.errors import (
    AddressNotFound,
    BirthDateMissing,
    InvalidPerson,
    NotStaff,
    RoleForbidden,
    SearchRefused,
    TooYoung,
    UserNotFound,
    UserStatusRefused,
)
from storeroom.identity.model import (
    OpenSession,
    Profile,
    SavedAddress,
    User,
)
from storeroom.identity.service import Users
from storeroom.identity.sessions import Sessions
from storeroom.identity.wire import (
    PERSON_REFUSALS,
    KycChange,
    NewUser,
    PermissionsChange,
    RoleChange,
    SearchParameter,
    StatusChange,
    StatusParameter,
    UserPath,
    ValidationSource,
)
from storeroom.web import (
    PAGE_SIZE_DEFAULT,
    CursorParameter,
    LimitParameter,
    requires,
    says,
    without_key,
)

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
        statuses = None if status is None else [status]
        return Page(list(await users.search(text=q, statuses=statuses, limit=limit)))
    return await users.list(status=status, cursor=cursor, limit=limit)


@post(
    "/v1/admin/users",
    summary="Make an account",
    tags=_TAGS,
    guards=_WRITE,
    opt=without_key("it is sent a password, which is kept nowhere; the same address again is refused"),
    responses=says(*PERSON_REFUSALS, RoleForbidden, NotStaff),
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
)
