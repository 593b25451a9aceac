"""The shop that `storeroom serve --demo` shows: planted once, with an administrator whose password nobody has kept."""

from typing import Final

import msgspec

from storeroom.core.ids import human_code
from storeroom.database.service import TenantSuspended
from storeroom.identity import EmailTaken, UserRole, UserStatus
from storeroom.room import Storeroom
from storeroom.seeding import queries
from storeroom.seeding.model import Environment
from storeroom.seeding.service import plant
from storeroom.tenants import DEFAULT_TENANT

ADMIN_EMAIL: Final = "admin@example.com"
CUSTOMER_EMAIL: Final = "ada@example.com"


class Demonstration(msgspec.Struct, frozen=True, kw_only=True):
    """What was made, to be told once."""

    planted: bool  # False: there was a shop already, and it was left as it is
    password: str | None  # of the administrator, where the account was just made; only its hash is kept
    admin_email: str = ADMIN_EMAIL
    customer_email: str = CUSTOMER_EMAIL  # has the same password, where the shop was just planted


async def demonstrate(room: Storeroom) -> Demonstration:
    """Make the demonstration shop in an empty database; in any other one do nothing.

    Where a first call was killed halfway, a second one completes it.
    """
    password = human_code(20, 5)
    empty = not (await room.tenants.list(limit=1)).items
    if empty:
        await plant(room, Environment.DEVELOPMENT, variables={"STOREROOM_SEED_PASSWORD": password})
    elif not await _is_demonstration(room):
        return Demonstration(planted=False, password=None)
    try:
        await room.tenant(DEFAULT_TENANT).users.create(
            email=ADMIN_EMAIL,
            role=UserRole.SUPER_ADMIN,
            password=password,
            full_name="Demonstration Admin",
            status=UserStatus.ACTIVE,
        )
    except (EmailTaken, TenantSuspended):  # made before, perhaps deleted since; or the shop is closed
        return Demonstration(planted=empty, password=None)
    return Demonstration(planted=empty, password=password)


async def _is_demonstration(room: Storeroom) -> bool:
    planted = await queries.planted_seeds(room.db, tenant_id=DEFAULT_TENANT)
    return any(seed.name.startswith(f"{Environment.DEVELOPMENT}/") for seed in planted)
