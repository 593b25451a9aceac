"""A shop at a host of its own, and tokens of all who may come."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx
from litestar import Litestar

from storeroom.database.service import Actor, ActorKind
from storeroom.identity import Permission, Proof, User, UserRole, UserStatus
from storeroom.room import Shop, Storeroom

SECRET = "a secret of the tests, long enough to sign with"


@dataclass
class Door:
    """One tenant's shop, seen by its operator, and its client, who has sent no token yet."""

    room: Storeroom
    app: Litestar
    shop: Shop
    host: str
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {**({"Authorization": f"Bearer {token}"} if token else {}), **more.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **more)

    async def member(self, role: UserRole, *permissions: Permission) -> User:
        user = await self.shop.users.create(
            email=f"{secrets.token_hex(6)}@shop.example", role=role, permissions=permissions
        )
        return await self.shop.users.set_status(user_id=user.id, status=UserStatus.ACTIVE) if _pending(user) else user

    async def token(self, user: User) -> str:
        """As after signing in, without the password's cost."""
        return (await self.shop.sessions.start(proof=Proof(user_id=user.id))).access_token

    async def token_of(self, role: UserRole, *permissions: Permission) -> str:
        return await self.token(await self.member(role, *permissions))

    async def guest(self) -> str:
        _, token = await self.shop.sessions.guest()
        return f"guest_{self.shop.tenant_id}.{token}"

    async def key(self, *permissions: Permission, name: str = "warehouse") -> str:
        return (await self.shop.api_keys.create(name=name, permissions=permissions))[1]

    def by(self, user: User) -> Shop:
        return self.shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=user.id, name=user.email))

    async def one(self, sql: str, *args: object) -> Any:
        db = self.room.db
        return await db.fetchval(db.names.render(sql), self.shop.tenant_id, *args)

    async def run(self, sql: str, *args: object) -> str:
        db = self.room.db
        return await db.execute(db.names.render(sql), self.shop.tenant_id, *args)


def _pending(user: User) -> bool:
    return user.status is UserStatus.PENDING_VERIFICATION


def client_of(app: Litestar, host: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, client=("203.0.113.9", 40000))
    return httpx.AsyncClient(transport=transport, base_url=f"http://{host}")


def code_of(answer: httpx.Response) -> tuple[int, str | None]:
    """What a refusal says; None where it is no problem body."""
    problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    return answer.status_code, answer.json()["code"] if problem else None


def but(permission: Permission) -> Iterable[Permission]:
    return (each for each in Permission if each is not permission)
