"""A shop with people, and what a test wants to know of the tables behind them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from storeroom.core.clock import FixedClock
from storeroom.core.contact import Address
from storeroom.core.ids import UserId
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind
from storeroom.identity import Permission, User, UserRole
from storeroom.room import Shop, Storeroom

SECRET = "a secret of the installation, for tests only"
PASSWORD = "correct horse battery"
HOME = Address(
    recipient_name="Ann Buyer",
    street_line_1="1 Main Street",
    city="Albany",
    state_province="NY",
    postal_code="12207",
    country_code="US",
)
_rooms: dict[tuple[int, str | None], tuple[Storeroom, FixedClock]] = {}  # of this worker; each test sets the clock


@dataclass
class House:
    """One tenant's shop, on a clock that a test moves."""

    room: Storeroom
    shop: Shop
    clock: FixedClock

    @classmethod
    async def open(cls, db: Database, *, secret: str | None = SECRET) -> House:
        now = datetime.now(UTC)
        if (id(db), secret) not in _rooms:
            clock = FixedClock(now)
            _rooms[id(db), secret] = Storeroom(db, clock=clock, secret=secret), clock
        room, clock = _rooms[id(db), secret]
        clock.move(now - clock.now())
        tenant_id = f"t_{secrets.token_hex(6)}"
        await room.tenants.create(tenant_id, name="A shop", currency="USD")
        return cls(room, room.tenant(tenant_id), clock)

    @property
    def db(self) -> Database:
        return self.room.db

    def of(self, user: User | None, kind: ActorKind = ActorKind.CUSTOMER) -> Shop:
        """The shop in somebody's name; None: a guest's."""
        return self.shop.acting(actor=Actor(kind=kind, user_id=user.id if user else None))

    def by(self, user: User) -> Shop:
        """The shop in the name of one who works there."""
        return self.of(user, ActorKind.ADMIN)

    async def customer(self, email: str = "ann@example.com", **more: Any) -> User:
        return await self.shop.users.register(
            **{"email": email, "password": PASSWORD, "full_name": "Ann Buyer", **more}
        )

    async def member(self, role: UserRole, *permissions: Permission) -> User:
        return await self.shop.users.create(
            email=f"{secrets.token_hex(4)}@shop.example", role=role, permissions=permissions
        )

    async def run(self, sql: str, *args: object) -> str:
        return await self.db.execute(self.db.names.render(sql), self.shop.tenant_id, *args)

    async def one(self, sql: str, *args: object) -> Any:
        return await self.db.fetchval(self.db.names.render(sql), self.shop.tenant_id, *args)

    async def rows(self, sql: str, *args: object) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await self.db.fetch(self.db.names.render(sql), self.shop.tenant_id, *args)]

    async def count(self, table: str) -> int:
        return await self.one(f"SELECT count(*) FROM {{{table}}} WHERE tenant_id = $1")

    async def column(self, name: str, user_id: UserId) -> Any:
        return await self.one(f"SELECT {name} FROM {{users}} WHERE tenant_id = $1 AND id = $2", user_id)
