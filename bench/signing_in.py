"""Signing in over HTTP, and the test of the password alone: a sign-in should cost that test and little else."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import argon2
import asyncpg
import msgspec

from bench.ground import TENANT, Ground
from bench.http_client import fetch, load, request
from bench.measure import BenchFailed, Measure, Processors, Subject, closed_loop, latency
from bench.serving import HOST, HOST_NAME, Running
from storeroom.core.ids import new_id
from storeroom.identity import passwords

PASSWORD = "a password of the bench"
PEOPLE = 5_000  # who sign in one after the other: the limits are of one account and of one address
AT_ONCE = passwords.AT_ONCE_MAX
PATH = "/v1/auth/sign-in"


@asynccontextmanager
async def people(dsn: str) -> AsyncIterator[str]:
    """Accounts that may sign in; the hash that all of them have."""
    password_hash = await passwords.hashed(PASSWORD)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.executemany(
            "INSERT INTO users (tenant_id, id, email, full_name, password_hash, status) "
            "VALUES ($1, $2, $3, 'Ann Buyer', $4, 'active')",
            [(TENANT, new_id(), address(number), password_hash) for number in range(PEOPLE)],
        )
        await connection.execute("VACUUM ANALYZE users")
    finally:
        await connection.close()
    yield password_hash


def address(number: int) -> str:
    """The mail address of one of them."""
    return f"ann{number}@example.com"


def requests(password: str = PASSWORD) -> Iterator[bytes]:
    """Everybody signs in, each from a network address of their own."""
    for number in itertools.cycle(range(PEOPLE)):
        body = msgspec.json.encode({"email": address(number), "password": password})
        yield request("POST", PATH, HOST_NAME, body, {"x-forwarded-for": f"2001:db8:0:{number:x}::1"})


async def check_equal(server: Running, password_hash: str) -> None:
    """The server tests the password that the reference tests, with the same parameters, and refuses another one.

    Raises:
        BenchFailed: it does not.
    """
    for password, expected in ((PASSWORD, 200), ("another password", 401)):
        answer = await fetch(HOST, server.port, next(requests(password)))
        if answer.status != expected:
            raise BenchFailed(f"{PATH}: {answer.status} {answer.body[:500]!r}")
    if passwords.outdated(password_hash):
        raise BenchFailed("the hash is not one of today's parameters")


def signing_in(ground: Ground, server: Running) -> Subject:
    """Sign-ins a second."""
    made = requests()

    async def measure(seconds: float) -> Measure:
        processors = Processors({"server": server.process.pid, "postgres": ground.pid}, here="client")
        rate, latencies = await load(
            HOST, server.port, lambda: next(made), connections=AT_ONCE, seconds=seconds, status=200
        )
        return Measure(rate, {**latency(latencies), **processors.seen(len(latencies))})

    return measure


@asynccontextmanager
async def verifying(password_hash: str) -> AsyncIterator[Subject]:
    """Tests of a password a second, by argon2-cffi in as many threads as the server has for it."""
    hasher = argon2.PasswordHasher()
    with ThreadPoolExecutor(AT_ONCE) as threads:

        async def verify() -> None:
            await asyncio.get_running_loop().run_in_executor(threads, hasher.verify, password_hash, PASSWORD)

        async def measure(seconds: float) -> Measure:
            processors = Processors({}, here="python")
            rate, latencies = await closed_loop(AT_ONCE, seconds, verify)
            return Measure(rate, {**latency(latencies), **processors.seen(len(latencies))})

        yield measure
