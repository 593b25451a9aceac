"""Time tells nobody whether a mail address is known. The same statistic sees the difference where there is one."""

import asyncio
import json
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import pytest
from house import PASSWORD, House
from litestar import Litestar

from serving import app_of
from storeroom.identity import AccountSettings, UserRole, passwords
from storeroom.identity.model import UserStatus

TRIES = 30  # of each kind, in a round
SHUFFLES = 2000
CERTAIN = 0.001  # so seldom two kinds that are alike look as different as these
ROUNDS = 3  # and so often must they look different: once in a thousand million runs by chance
SEED = 20261120


@dataclass
class Stopwatch:
    """Asks the application directly: a client would wait for what is done after the answer too."""

    app: Litestar
    host: str
    addresses: Iterator[int] = field(default_factory=lambda: iter(range(0x10000)))

    async def post(self, path: str, body: dict[str, Any]) -> tuple[int, float]:
        """The status, and seconds until the answer was out; comes back when all is done."""
        content, sent, status, answered = json.dumps(body).encode(), False, 0, 0.0
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [
                (b"host", self.host.encode()),
                (b"content-type", b"application/json"),
                (b"content-length", str(len(content)).encode()),
            ],
            "client": (
                f"2001:db8:0:{next(self.addresses):x}::1",
                1,
            ),  # the limits of one address are not asked about here
            "server": (self.host, 80),
        }

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                await asyncio.sleep(3600)
            sent = True
            return {"type": "http.request", "body": content, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body"):
                answered = time.perf_counter()

        begun = time.perf_counter()
        await self.app(scope, receive, send)  # type: ignore[arg-type]
        return status, answered - begun


@pytest.fixture
async def stopwatch(house: House) -> Stopwatch:
    host = f"{secrets.token_hex(6)}.test"
    await house.room.tenants.add_host(house.shop.tenant_id, host)
    return Stopwatch(app_of(house.room), host)


def chance(ones: list[float], others: list[float]) -> float:
    """How often two medians lie as far apart as these when it is left to chance which value is whose.

    Medians, since one try that had to wait for a processor must not count; a permutation, since times have no
    distribution that one could name.
    """
    dice = random.Random(SEED)
    apart, both = abs(median(ones) - median(others)), [*ones, *others]
    further = 0
    for _ in range(SHUFFLES):
        dice.shuffle(both)
        further += abs(median(both[: len(ones)]) - median(both[len(ones) :])) >= apart
    return (further + 1) / (SHUFFLES + 1)


@dataclass
class Times:
    """Of tries with known and with unknown addresses, in a random order: whatever one leaves behind meets either kind."""

    known: list[float]
    unknown: list[float]

    @property
    def alike(self) -> bool:
        return chance(self.known, self.unknown) > CERTAIN

    def __str__(self) -> str:
        return f"known {median(self.known) * 1000:.2f} ms, unknown {median(self.unknown) * 1000:.2f} ms"


async def timed(stopwatch: Stopwatch, path: str, status: int, town: str, **more: Any) -> Times:
    """Until the answer, of the people of a town and of nobody."""
    answered = Times([], [])
    kinds = [("known", "ann"), ("unknown", "nobody")]
    tries = [(kind, name, number) for kind, name in kinds for number in range(TRIES)]
    random.Random().shuffle(tries)
    warming = [(kind, name, TRIES + number) for number in range(2) for kind, name in kinds]
    for kind, name, number in (*warming, *tries):
        body = {"email": f"{name}{number}@{town}.example", **more}
        found, until_answered = await stopwatch.post(path, body)
        assert found == status
        if number < TRIES:
            getattr(answered, kind).append(until_answered)
    return answered


async def people(house: House, town: str, role: UserRole = UserRole.CUSTOMER) -> None:
    """Each known address is tried once: an account's own limit is not asked about here."""
    password_hash = await passwords.hashed(PASSWORD)
    for number in range(TRIES + 2):
        user = await house.shop.users.create(email=f"ann{number}@{town}.example", status=UserStatus.ACTIVE, role=role)
        await house.run(
            "UPDATE {users} SET password_hash = $3 WHERE tenant_id = $1 AND id = $2", user.id, password_hash
        )


async def alike(
    house: House, stopwatch: Stopwatch, path: str, status: int, role: UserRole = UserRole.CUSTOMER, **more: Any
) -> list[Times]:
    """The rounds, until the answers of one look alike. Fails where those of none do."""
    seen = []
    for number in range(ROUNDS):
        await people(house, f"town{number}", role)
        seen.append(await timed(stopwatch, path, status, f"town{number}", **more))
        if seen[-1].alike:
            return seen
    raise AssertionError(f"told apart each time: {', '.join(map(str, seen))}")


async def test_a_wrong_password_of_nobody_takes_as_long_as_somebodys(house: House, stopwatch: Stopwatch) -> None:
    seen = await alike(house, stopwatch, "/v1/auth/sign-in", 401, password="not the password")
    assert median(seen[-1].known) > 0.005, "a password was tested"


async def test_a_wrong_password_of_staff_takes_as_long_as_nobodys(house: House, stopwatch: Stopwatch) -> None:
    """Each try leaves an entry in the audit trail: it is written once the answer is out."""
    seen = await alike(house, stopwatch, "/v1/auth/sign-in", 401, UserRole.STAFF, password="not the password")
    refused = "SELECT count(*) FROM {audit_logs} WHERE tenant_id = $1 AND action = 'identity.sign_in' AND NOT success"
    assert await house.one(refused) == len(seen) * (TRIES + 2)


async def test_control_without_the_work_for_nobody_the_times_tell(
    house: House, stopwatch: Stopwatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof of the proof: what tests no password where there is none answers at once, and it is seen."""
    plain = passwords.verified

    async def hasty(password_hash: str | None, password: str) -> bool:
        return password_hash is not None and await plain(password_hash, password)

    monkeypatch.setattr(passwords, "verified", hasty)
    await people(house, "town")
    answered = await timed(stopwatch, "/v1/auth/sign-in", 401, "town", password="not the password")
    assert not answered.alike, answered
    assert median(answered.unknown) < median(answered.known)


async def test_a_forgotten_password_of_nobody_takes_as_long_as_somebodys(house: House, stopwatch: Stopwatch) -> None:
    """Until the answer: what there is to do for somebody is done after it."""
    seen = await alike(house, stopwatch, "/v1/auth/forgot-password", 202)
    assert await house.count("account_tokens") == len(seen) * (TRIES + 2)


async def test_registering_a_known_address_takes_as_long_as_a_new_one(house: House, stopwatch: Stopwatch) -> None:
    """Where the shop wants addresses proven; elsewhere the answer itself says that an address is taken."""
    await house.shop.mail_proofs.set_settings(settings=AccountSettings(verify_email=True))
    await alike(house, stopwatch, "/v1/auth/register", 202, password=PASSWORD, full_name="Ann Buyer")


def test_control_chance_knows_what_is_alike_and_what_is_not() -> None:
    dice = random.Random(SEED)
    ones, others = [[dice.gauss(30, 3) for _ in range(TRIES)] for _ in range(2)]
    assert chance(ones, others) > CERTAIN
    assert chance(ones, [value + 5 for value in others]) <= CERTAIN
    assert chance(ones, [*others[1:], 10_000.0]) > CERTAIN, "one that had to wait counts for nothing"
