"""The installation's secret replaced: what was sealed is sealed again, while others read and write."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pyotp
import pytest
from standardwebhooks import Webhook as StandardWebhook

import mapped
from factories import open_shop
from storeroom.conversions import ProviderKind
from storeroom.core.crypto import KeyRing, SealBroken, key_id
from storeroom.core.ids import new_id
from storeroom.core.secrets import Secret
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM
from storeroom.doctor import seals_open
from storeroom.erp import ErpAuth
from storeroom.flows.secrets import KeyStanding, SecretNeeded, rotate, unreadable, uses
from storeroom.identity import Proof, SigningSecretMissing, TokenRefused, UserRole
from storeroom.notices import Channel, Notice, opened, queue
from storeroom.room import Shop, Storeroom

OLD, NEW, OTHER = (f"{word} {secrets.token_hex(20)}" for word in ("old", "new", "other"))
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of a source
DEADLINE_S = 60.0
ROWS = 250  # more than two batches


@pytest.fixture
async def own(fresh_database: Callable[..., Awaitable[str]]) -> AsyncIterator[Database]:
    """A database in which nothing else is sealed."""
    async with await Database.open(await fresh_database()) as db:
        yield db


def installation(db: Database, secret: str | None, *others: str) -> Storeroom:
    """A process with these secrets."""
    return Storeroom(db, secret=secret, other_secrets=others)


async def sealed_shop(room: Storeroom) -> Shop:
    """One shop with one of everything that is sealed."""
    shop = await open_shop(room, actor=SYSTEM)
    await shop.gateways.create(id="mpgs", name="MPGS", config={"merchant_id": "M", "api_password": "p", "salt": "s"})
    await shop.configuration.set(key="mail.password", value="m")
    endpoint, _ = await shop.endpoints.create(name="there", url="https://there.example/hooks")
    await shop.erp.connect(base_url="https://erp.example/api", auth=ErpAuth.BEARER, credential="t")
    await shop.endpoints.change_secret(endpoint_id=endpoint.id)  # it keeps the one before, too
    await shop.webhook_sources.create(code="erp", secret=SIGNING)
    await shop.webhook_sources.rotate(code="erp")  # as above
    await shop.conversions.create_provider(kind=ProviderKind.META, name="pixel", account_id="1", secret="EAAB")
    notice = Notice(tenant_id=shop.tenant_id, kind="phone_code", channel=Channel.SMS, to="1", facts={"code": "493817"})
    await queue(room.db, keys=room.token_keys, notice=notice, entity_type="phone_code", entity_id=new_id())
    return shop


async def opens(room: Storeroom, shop: Shop) -> bool:
    here = room.tenant(shop.tenant_id)
    try:
        config = await here.gateways.config(gateway_id="mpgs")
        row = await room.db.fetchrow(
            "SELECT id, payload FROM webhook_queue WHERE tenant_id = $1 AND destination = 'sms'", shop.tenant_id
        )
        notice = opened(room.token_keys, tenant_id=shop.tenant_id, webhook_id=row["id"], payload=row["payload"])
        assert notice.facts == {"code": "493817"}
        told, now = new_id().hex, datetime.now(UTC)
        headers = {"webhook-id": told, "webhook-timestamp": str(int(now.timestamp()))}
        headers["webhook-signature"] = StandardWebhook(SIGNING).sign(told, now, "{}")
        assert (await here.inbound.receive(source="erp", body=b"{}", headers=headers)).id is not None
        return (
            config.secret("api_password"),
            config.secret("salt"),
            await here.configuration.get(key="mail.password"),
        ) == (
            Secret("p"),
            Secret("s"),
            "m",
        )
    except SealBroken:
        return False


async def standing(room: Storeroom) -> dict[tuple[str, str], int]:
    return {(use.what, use.standing): use.rows for use in await uses(room.db, room.token_keys) if use.rows}


async def test_everything_is_sealed_again(own: Database) -> None:
    old = installation(own, OLD)
    shop, second = await sealed_shop(old), await sealed_shop(old)
    member = await shop.users.create(email="bo@shop.example", role=UserRole.STAFF)
    app = pyotp.TOTP((await shop.second_factors.enrol(user_id=member.id)).secret)
    both = installation(own, NEW, OLD)
    assert await standing(both) == {
        ("second factors", "other"): 1,
        ("payment gateways", "other"): 2,
        ("store configuration", "other"): 2,
        ("webhook endpoints", "other"): 2,
        ("notices", "other"): 2,
        ("webhook sources", "other"): 2,
        ("conversion providers", "other"): 2,
        ("erp connections", "other"): 2,
    }
    assert [(each.what, each.resealed, each.unreadable) for each in await rotate(own, both.token_keys)] == [
        ("second factors", 1, 0),
        ("payment gateways", 2, 0),
        ("store configuration", 2, 0),
        ("webhook endpoints", 2, 0),
        ("notices", 2, 0),
        ("webhook sources", 2, 0),
        ("conversion providers", 2, 0),
        ("erp connections", 2, 0),
    ]
    assert {each.resealed for each in await rotate(own, both.token_keys)} == {0}  # again is no error
    new = installation(own, NEW)
    assert await standing(new) == {
        ("second factors", "current"): 1,
        ("payment gateways", "current"): 2,
        ("store configuration", "current"): 2,
        ("webhook endpoints", "current"): 2,
        ("notices", "current"): 2,
        ("webhook sources", "current"): 2,
        ("conversion providers", "current"): 2,
        ("erp connections", "current"): 2,
    }
    assert [await opens(new, each) for each in (shop, second)] == [True, True]
    assert not await opens(old, shop)
    assert await new.tenant(shop.tenant_id).second_factors.confirm(user_id=member.id, code=app.now())
    assert await unreadable(own, new.token_keys, size=10) == []


async def test_servers_of_both_secrets_work_side_by_side(own: Database) -> None:
    """First everybody learns the new one, then it is used: at each step each opens what any other has sealed."""
    steps = [(OLD,), (OLD, NEW), (NEW, OLD), (NEW,)]
    shop = await sealed_shop(installation(own, OLD))
    for before, after in itertools.pairwise(steps):
        servers = [installation(own, *secrets_) for secrets_ in (before, after)]
        if after == (NEW,):
            await rotate(own, servers[0].token_keys)
        for writer in servers:
            here = writer.tenant(shop.tenant_id)
            await here.gateways.update(gateway_id="mpgs", config={"api_password": "p"})
            await here.configuration.set(key="mail.password", value="m")
            assert [await opens(reader, shop) for reader in servers] == [True, True], (before, after)


async def test_control_a_secret_replaced_at_once_stops_the_servers_that_have_it(own: Database) -> None:
    shop = await sealed_shop(installation(own, OLD))
    await rotate(own, installation(own, NEW, OLD).token_keys)
    assert not await opens(installation(own, OLD), shop)


async def test_sessions_go_on_while_a_secret_is_replaced(own: Database) -> None:
    old, both, new = installation(own, OLD), installation(own, NEW, OLD), installation(own, NEW)
    shop = await open_shop(old, actor=SYSTEM)
    user = await shop.users.create(email="ann@shop.example", role=UserRole.STAFF)
    token = (await shop.sessions.start(proof=Proof(user_id=user.id))).access_token
    assert (await both.tenant(shop.tenant_id).sessions.authenticate(access_token=token)).user_id == user.id
    with pytest.raises(TokenRefused):
        await new.tenant(shop.tenant_id).sessions.authenticate(access_token=token)
    fresh = (await both.tenant(shop.tenant_id).sessions.start(proof=Proof(user_id=user.id))).access_token
    assert (await new.tenant(shop.tenant_id).sessions.authenticate(access_token=fresh)).user_id == user.id


async def test_what_is_written_during_a_rotation_is_kept(own: Database) -> None:
    """The rotation has read the row; a new secret is set before it writes."""
    shop = await sealed_shop(installation(own, OLD))
    both = installation(own, NEW, OLD)
    here = both.tenant(shop.tenant_id)

    async def changed_before(name: str, table: Any) -> None:
        rows = table.rows

        async def read_then_overtaken(db: Any, after: tuple[str, str], size: int) -> Any:
            found = await rows(db, after, size)
            if found:
                await here.gateways.update(gateway_id="mpgs", config={"api_password": "newer"})
                await here.configuration.set(key="mail.password", value="newer")
            return found

        object.__setattr__(table, "rows", read_then_overtaken)
        try:
            await rotate(own, both.token_keys)
        finally:
            object.__setattr__(table, "rows", rows)

    from storeroom.configuration import CONFIG_SEALS
    from storeroom.gateways import GATEWAY_SEALS

    await changed_before("gateways", GATEWAY_SEALS)
    assert (await here.gateways.config(gateway_id="mpgs")).secret("api_password") == Secret("newer")
    await changed_before("configuration", CONFIG_SEALS)
    assert await here.configuration.get(key="mail.password") == "newer"
    await rotate(own, both.token_keys)
    config = await installation(own, NEW).tenant(shop.tenant_id).gateways.config(gateway_id="mpgs")
    assert (config.secret("api_password"), config.secret("salt")) == (Secret("newer"), Secret("s"))


async def test_what_no_key_opens_is_left_and_told(own: Database) -> None:
    shop = await sealed_shop(installation(own, OTHER))
    good = await sealed_shop(installation(own, OLD))
    both = installation(own, NEW, OLD)
    before = await own.fetch("SELECT config FROM payment_gateways WHERE tenant_id = $1", shop.tenant_id)
    done = {each.what: (each.resealed, each.unreadable) for each in await rotate(own, both.token_keys)}
    assert done == {
        "second factors": (0, 0),
        "payment gateways": (1, 1),
        "store configuration": (1, 1),
        "webhook endpoints": (1, 1),
        "notices": (1, 1),
        "webhook sources": (1, 1),
        "conversion providers": (1, 1),
        "erp connections": (1, 1),
    }
    assert await own.fetch("SELECT config FROM payment_gateways WHERE tenant_id = $1", shop.tenant_id) == before
    assert await opens(both, good)
    assert (await standing(both))["payment gateways", KeyStanding.UNKNOWN] == 1
    result = await seals_open(own, both.token_keys)
    assert result.broken and [(each.tenant_id, each.subject, each.detail) for each in result.findings[:2]] == [
        (shop.tenant_id, "payment gateways, mpgs", "does not open: salt, api_password"),
        (shop.tenant_id, "store configuration, mail.password", "does not open: value"),
    ]
    assert (await seals_open(own, installation(own, OTHER).token_keys)).count == 7  # now the other shop's
    assert (await seals_open(own, installation(own, None).token_keys)).count == 14
    assert (await seals_open(own, installation(own, OLD, OTHER, NEW).token_keys)).count == 0


@pytest.mark.requirement("STO-CFG-07")
async def test_a_database_with_secrets_is_not_opened_without_one(
    fresh_database: Callable[..., Awaitable[str]],
) -> None:
    dsn = await fresh_database()
    async with Storeroom.open(dsn) as room:  # nothing is sealed yet
        shop = await open_shop(room, actor=SYSTEM)
        with pytest.raises(SigningSecretMissing):
            await shop.configuration.set(key="mail.password", value="m")
    async with Storeroom.open(dsn, secret=OLD) as room:
        await room.tenant(shop.tenant_id).configuration.set(key="mail.password", value="m")
    with pytest.raises(SecretNeeded, match=r"store configuration are sealed here.*STOREROOM_SECRET"):
        async with Storeroom.open(dsn):
            pass
    async with Storeroom.open(dsn, require_secret=False) as room:
        assert (await room.tenant(shop.tenant_id).configuration.entry(key="mail.password")).value is None


# --- As processes of their own ----------------------------------------------------------------------------------------


@asynccontextmanager
async def rotation(dsn: str, *words: str) -> AsyncIterator[Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STOREROOM_")} | {
        "STOREROOM_DATABASE_URL": dsn,
        "STOREROOM_SECRET": NEW,
        "STOREROOM_SECRET_PREVIOUS": OLD,
        **mapped.environment(),
    }
    main = "from storeroom.cli import main; main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", main, "secrets", *words, stdout=PIPE, stderr=PIPE, env=environment
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_a_rotation_killed_in_the_middle_is_run_again(fresh_database: Callable[..., Awaitable[str]]) -> None:
    """It is stopped where it writes the last row, after batches that are committed, and killed there."""
    dsn = await fresh_database()
    async with Storeroom.open(dsn, secret=OLD) as room:
        shop = await open_shop(room, actor=SYSTEM)
        for n in range(ROWS):
            await shop.configuration.set(key=f"key{n:04}", value=f"secret {n}", is_encrypted=True)
        held = await asyncpg.connect(dsn)
        try:
            lock = held.transaction()
            await lock.start()
            await held.execute("SELECT FROM store_configs WHERE key = 'key0249' FOR UPDATE")
            waits = "SELECT pid FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid))"
            async with rotation(dsn, "rotate") as process, asyncio.timeout(DEADLINE_S):
                while (pid := await room.db.fetchval(waits, held.get_server_pid())) is None:
                    await asyncio.sleep(0.01)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                await room.db.fetchval("SELECT 1")
            await held.execute("SELECT pg_terminate_backend($1)", pid)
            await lock.rollback()
        finally:
            await held.close()

        new = KeyRing([Secret(NEW)], purpose="store configuration, 1").current
        rows = await room.db.fetch("SELECT key, value FROM store_configs")
        assert 0 < sum(key_id(row["value"]) == new for row in rows) < ROWS
        both = installation(room.db, NEW, OLD)
        read = both.tenant(shop.tenant_id).configuration
        assert [await read.get(key=f"key{n:04}") for n in range(0, ROWS, 7)] == [
            f"secret {n}" for n in range(0, ROWS, 7)
        ]

        async with rotation(dsn, "rotate") as process:
            out, error = await process.communicate()
            assert process.returncode == 0, error
            assert b"store configuration" in out
        only = installation(room.db, NEW).tenant(shop.tenant_id).configuration
        assert [await only.get(key=f"key{n:04}") for n in range(ROWS)] == [f"secret {n}" for n in range(ROWS)]


async def test_status_counts_rows_by_key(fresh_database: Callable[..., Awaitable[str]]) -> None:
    dsn = await fresh_database()
    async with Storeroom.open(dsn, secret=OLD) as room:
        await sealed_shop(room)
    async with rotation(dsn, "status") as process:
        out, error = await process.communicate()
        assert process.returncode == 0, error
        assert b"other" in out and b"current" in out
    async with Storeroom.open(dsn, secret=OTHER) as room:
        await sealed_shop(room)
    async with rotation(dsn, "status", "--json") as process:
        out, error = await process.communicate()
        assert process.returncode == 1 and b"STOREROOM_SECRET_PREVIOUS" in error
        assert out.count(b'"unknown"') == 7
    for secret in (OLD, NEW, OTHER):
        assert secret.encode() not in out + error
