"""What stands behind `web.Gate`: the hosts, sessions and database of the room."""

import base64
import binascii
import time
from typing import Any, Final

import msgspec

from storeroom.access import KEY, ApiKeyRefused, KeyText
from storeroom.core.crypto import KeyRing
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import TenantId
from storeroom.database.pool import Database
from storeroom.database.service import TENANT_CACHE_S, TenantUnknown
from storeroom.identity import TokenRefused
from storeroom.room import Shop, Storeroom
from storeroom.server.edge import LOOPBACK
from storeroom.settings import Settings
from storeroom.web import Call, InvalidToken, NewGuest, Principal, PrincipalKind, Quotas, call_of, network

ANSWERS: Final = "kept answers, 1"  # the purpose of the keys that seal them
HOSTS_CACHED_MAX: Final = 10_000
_SHOP: Final = "storeroom.shop"  # of the ASGI scope


class _Payload(msgspec.Struct):
    """Of an access token, before its signature was looked at: only to know who can look."""

    tid: str


class RoomGate:
    """The Gate of one room."""

    def __init__(self, room: Storeroom, settings: Settings | None = None) -> None:
        self._room = room
        self._settings = settings or Settings()
        self._quotas = Quotas(room.db)
        self._hosts: dict[str, tuple[TenantId, float]] = {}
        self._origins: dict[TenantId, tuple[frozenset[str], float]] = {}

    @property
    def db(self) -> Database:
        """Of the room."""
        return self._room.db

    @property
    def answers_ring(self) -> KeyRing | None:
        """Of the room's secret."""
        keys = self._room.token_keys
        return keys.ring(ANSWERS) if keys else None

    def shop(self, tenant_id: TenantId, call: Call) -> Shop:
        """A shop in nobody's name yet, for looking up who calls."""
        return self._room.tenant(tenant_id).acting(request_id=call.request_id, ip=call.ip, user_agent=call.user_agent)

    async def tenant_at(self, host: str) -> TenantId:
        """As `Tenants.at_host`, asked once in TENANT_CACHE_S for each host that has a shop."""
        kept = self._hosts.get(host)
        if kept is not None and time.monotonic() < kept[1]:
            return kept[0]
        tenant_id = await self._room.tenants.at_host(host)
        if len(self._hosts) >= HOSTS_CACHED_MAX:
            self._hosts.clear()  # made-up names of the one-shop case; they are found again
        self._hosts[host] = (tenant_id, time.monotonic() + TENANT_CACHE_S)
        return tenant_id

    async def require_tenant(self, tenant_id: TenantId) -> None:
        """Ask the room's cache of shops, which keeps those that exist."""
        if await self._room.tenants.cache.settings(tenant_id) is None:
            raise TenantUnknown(tenant_id=tenant_id)

    async def origins(self, call: Call) -> frozenset[str]:
        """The web origins that the call's shop allows, at most TENANT_CACHE_S old; none where there is no shop."""
        try:
            tenant_id = call.tenant_known or await self.tenant_at(call.domain or "")
            kept = self._origins.get(tenant_id)
            if kept is None or time.monotonic() >= kept[1]:
                found = frozenset(await self._room.tenant(tenant_id).origins.list())
                if len(self._origins) >= HOSTS_CACHED_MAX:
                    self._origins.clear()
                kept = self._origins[tenant_id] = (found, time.monotonic() + TENANT_CACHE_S)
        except StoreroomError:  # of the shop or the database; the answer itself says so
            return frozenset()
        return kept[0]

    async def authenticate(self, access_token: str) -> Principal:
        """Ask the sessions, or the keys, of the tenant that the token says it is of; they check that it is."""
        if access_token.startswith(KEY):
            return await self._program(access_token)
        shop = self._room.tenant(_claimed_tenant(access_token))
        try:
            account = await shop.sessions.authenticate(access_token)
        except (TokenRefused, TenantUnknown) as error:
            raise InvalidToken from error
        return Principal(
            kind=PrincipalKind.ACCOUNT,
            tenant_id=account.tenant_id,
            user_id=account.user_id,
            session_id=account.session_id,
            role=account.role,
            permissions=frozenset(account.permissions),
            name=account.email,
        )

    async def _program(self, text: str) -> Principal:
        try:
            tenant_id = KeyText.read(text).tenant_id
            key = await self._room.tenant(tenant_id).api_keys.authenticate(text)
        except (ApiKeyRefused, TenantUnknown) as error:
            raise InvalidToken from error
        return Principal(
            kind=PrincipalKind.KEY,
            tenant_id=tenant_id,
            key_id=key.id,
            permissions=frozenset(key.permissions),
            name=f"key {key.name} {key.id}",  # names are not unique
            calls_per_minute=key.calls_per_minute,
        )

    async def guest(self, tenant_id: TenantId, token: str) -> Principal | None:
        """Ask the tenant's sessions."""
        try:
            visitor = await self._room.tenant(tenant_id).sessions.visitor(token)
        except TenantUnknown:  # the token names it, whoever made it up
            return None
        if visitor is None:
            return None
        return Principal(kind=PrincipalKind.GUEST, tenant_id=tenant_id, session_id=visitor.session_id)

    async def new_guest(self, tenant_id: TenantId, call: Call) -> NewGuest:
        """Make a session outside of the request's idempotency claim: it is not the work that the key stands for."""
        session, token = await self.shop(tenant_id, call).sessions.guest()
        return NewGuest(session_id=session.id, token=token, expires_at=session.expires_at)

    async def admit(self, principal: Principal, ip: str | None) -> None:
        """A key has a quota of its own. Everybody else shares that of the address, and an account has one beside."""
        known = self._settings
        if principal.kind is PrincipalKind.KEY:
            times = known.key_calls if principal.calls_per_minute is None else principal.calls_per_minute
            await self._count(principal.tenant_id, f"calls_key:{principal.key_id}", times)
            return
        if principal.kind is PrincipalKind.ACCOUNT:
            await self._count(principal.tenant_id, f"calls_account:{principal.user_id}", known.account_calls)
        if (
            ip is not None and (caller := network(ip)) not in LOOPBACK
        ):  # behind a proxy that nobody told us of, all are one address
            await self._count(principal.tenant_id, f"calls_address:{caller}", known.address_calls)

    async def _count(self, tenant_id: TenantId, bucket: str, times: int) -> None:
        if times:
            await self._quotas.take(tenant_id=tenant_id, bucket=bucket, times=times)


async def shop_of(scope: Any, room: Storeroom) -> Shop:
    """The shop of a request, in the name of whoever sent it; made once."""
    shop = scope.get(_SHOP)
    if not isinstance(shop, Shop):
        call = call_of(scope)
        tenant_id, actor = await call.tenant(), await call.actor()
        shop = scope[_SHOP] = room.tenant(tenant_id).acting(
            actor=actor, request_id=call.request_id, ip=call.ip, user_agent=call.user_agent, claim=call.claim
        )
    return shop


def _claimed_tenant(token: str) -> TenantId:
    try:
        payload = token.split(".")[1]
        raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        return TenantId(msgspec.json.decode(raw, type=_Payload).tid)
    except (IndexError, ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
        raise InvalidToken from None
