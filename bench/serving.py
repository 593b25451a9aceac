"""The server as people run it: `storeroom serve` in a process of its own; its speed, its memory, its first answer."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import psutil

from bench.ground import PAYMENT_METHOD, Ground, any_variant
from bench.http_client import Answer, fetch, load, request
from bench.measure import BenchFailed, Measure, Processors, Subject, latency
from bench.orders import CALLERS, HOME

HOST = "127.0.0.1"
STOREROOM = str(Path(sys.executable).with_name("storeroom"))
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 40.0
LOOK_S = 0.005  # between two looks whether it answers yet
SETTLE_TIMEOUT_S = 120.0
SETTLE_LOOK_S = 0.1  # between two looks whether anything is left to bring
SAMPLE_S = 0.25  # between two looks at its memory
READERS = 8  # connections that read the list
PRODUCTS_PATH = "/v1/products?limit=24"
HOST_NAME = "bench.example"  # one shop answers to every name


@dataclass(frozen=True)
class Running:
    """A process of ours that answers on a port."""

    command: list[str]
    process: "subprocess.Popen[bytes]"
    port: int

    async def get(self, path: str) -> Answer:
        """One GET on a connection of its own."""
        return await fetch(HOST, self.port, request("GET", path, HOST_NAME))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(
    command: list[str], log: Path, *, port: int, path: str, environment: dict[str, str] | None = None
) -> AsyncIterator[Running]:
    """Start a server, wait for its first 200 at `path`, and stop it in the end by SIGTERM."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        server = Running(command, process, port)
        await _answering(server, path, log)
        yield server
    finally:
        await asyncio.to_thread(_stop, process)


async def _answering(server: Running, path: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    answer: Answer | None = None
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            answer = await server.get(path)
        except OSError:
            await asyncio.sleep(LOOK_S)
            continue
        if answer.status == 200:
            return
        await asyncio.sleep(LOOK_S)
    said = log.read_text("utf-8", "replace")[-3000:]
    raise BenchFailed(f"no 200 at {path} (the last answer: {answer}) from {' '.join(server.command)}:\n{said}")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise BenchFailed(f"{process.args!r} did not stop within {STOP_TIMEOUT_S:g} s of SIGTERM") from None


def environment_of(port: int, *, data: Path, dsn: str | None = None) -> dict[str, str]:
    """What `storeroom serve` is told."""
    told = {"STOREROOM_PORT": str(port), "STOREROOM_HOST": HOST, "STOREROOM_DATA_DIR": str(data)}
    return {**told, "STOREROOM_DATABASE_URL": dsn or ""}


@asynccontextmanager
async def storeroom(ground: Ground, dsn: str, **settings: str) -> AsyncIterator[Running]:
    """The server with all that it does by default, the worker too, on the PostgreSQL of the bench."""
    port = free_port()
    environment = {**environment_of(port, data=ground.folder / "served", dsn=dsn), **settings}
    log = ground.folder / "server.log"
    async with running([STOREROOM, "serve"], log, port=port, path="/ready", environment=environment) as server:
        yield server


@asynccontextmanager
async def reference(ground: Ground, dsn: str) -> AsyncIterator[Running]:
    """The bare query under the same server."""
    port = free_port()
    command = [sys.executable, "-m", "bench.reference_products", dsn, str(port)]
    environment = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *_path()])}
    log = ground.folder / "reference.log"
    async with running(command, log, port=port, path=PRODUCTS_PATH, environment=environment) as server:
        yield server


def _path() -> list[str]:
    named = os.environ.get("PYTHONPATH")
    return [named] if named else []


async def check_equal(server: Running, bare: Running) -> None:
    """The reference must answer the same products.

    Raises:
        BenchFailed: it does not.
    """
    ours, theirs = [_items(await one.get(PRODUCTS_PATH)) for one in (server, bare)]
    if ours != theirs or len(ours) != 24:
        at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), 0)
        raise BenchFailed(f"the lists differ, or are not 24 long: {ours[at : at + 1]} and {theirs[at : at + 1]}")


def _items(answer: Answer) -> list[Any]:
    if answer.status != 200:
        raise BenchFailed(f"{PRODUCTS_PATH}: {answer.status} {answer.body[:500]!r}")
    items: list[Any] = msgspec.json.decode(answer.body)["items"]
    return items


def reading(ground: Ground, server: Running) -> Subject:
    """Lists a second."""
    text = request("GET", PRODUCTS_PATH, HOST_NAME)
    return _asking(ground, server, lambda: text, connections=READERS, status=200)


def buying(ground: Ground, server: Running) -> Subject:
    """Orders a second, each one POST with its line, its buyer, its address and its way to pay."""
    return _asking(ground, server, order_request, connections=CALLERS, status=201)


_ORDER = {
    "email": "ann@example.com",
    "name": "Ann Buyer",
    "shipping_address": msgspec.to_builtins(HOME),
    "payment_method": PAYMENT_METHOD,
}


def order_request() -> bytes:
    """A checkout of one unit of one of the 1,000 products."""
    body = msgspec.json.encode({"lines": [{"variant_id": any_variant(), "quantity": 1}], **_ORDER})
    return request("POST", "/v1/checkout", HOST_NAME, body)


def settled(dsn: str, subject: Subject) -> Subject:
    """The subject, begun once the worker has brought what the one before left: each pays for its own mails alone.

    The tables are analysed, as autovacuum does within the first minute of a shop. Until then the server keeps plans
    that it made when they were empty, and these read all orders to find one.
    """

    async def measure(seconds: float) -> Measure:
        connection = await asyncpg.connect(dsn)
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                while await connection.fetchval(_LEFT):
                    await asyncio.sleep(SETTLE_LOOK_S)
            await connection.execute("ANALYZE")
        except TimeoutError:
            raise BenchFailed(f"the worker had not brought everything after {SETTLE_TIMEOUT_S:g} s") from None
        finally:
            await connection.close()
        return await subject(seconds)

    return measure


_LEFT = """
    SELECT EXISTS (
        SELECT FROM webhook_queue
         WHERE status = 'processing' OR (status = 'pending' AND next_attempt_at <= now())
    )
"""


def _asking(ground: Ground, server: Running, make: Callable[[], bytes], *, connections: int, status: int) -> Subject:
    async def measure(seconds: float) -> Measure:
        processors = Processors({"server": server.process.pid, "postgres": ground.pid}, here="client")
        rate, latencies = await load(HOST, server.port, make, connections=connections, seconds=seconds, status=status)
        return Measure(rate, {**latency(latencies), **processors.seen(len(latencies))})

    return measure


# --- Memory -----------------------------------------------------------------------------------------------------------


def pss_mb(pid: int) -> float:
    """What the processes below a pid hold, shared pages divided among those who share them; PostgreSQL aside."""
    total_kb = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                if "postgres" in process.name():
                    continue
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text("ascii")
            except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                continue
            total_kb += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    except psutil.NoSuchProcess as error:
        raise BenchFailed(f"process {pid} is gone in the middle of a measurement") from error
    return total_kb * 1024 / 1e6


def under_load(ground: Ground, server: Running) -> Subject:
    """The most that the server held while it was read from and bought from at once, in MB."""
    both = (reading(ground, server), buying(ground, server))

    async def measure(seconds: float) -> Measure:
        before = pss_mb(server.process.pid)
        peak = before
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(subject(seconds)) for subject in both]
            while not all(task.done() for task in tasks):
                peak = max(peak, pss_mb(server.process.pid))
                await asyncio.sleep(SAMPLE_S)
        peak = max(peak, pss_mb(server.process.pid))
        return Measure(peak, {"before_mb": before, "lists": tasks[0].result().value, "orders": tasks[1].result().value})

    return measure


# --- Cold start -------------------------------------------------------------------------------------------------------


async def cold_starts(ground: Ground) -> Subject:
    """Seconds from the start of the process to the first answer of a page, embedded PostgreSQL included.

    The data folder is made before, by serving from it once.
    """
    data = ground.folder / "cold"
    log = ground.folder / "cold.log"

    async def start() -> float:
        port = free_port()
        begun = time.perf_counter()
        async with running(
            [STOREROOM, "serve"], log, port=port, path="/health", environment=environment_of(port, data=data)
        ):
            return time.perf_counter() - begun

    made = await start()

    async def measure(_: float) -> Measure:
        return Measure(await start(), {"first_ever_s": made})

    return measure
