"""The process: what it starts, what it finishes, what it refuses to begin."""

import asyncio
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

import mapped
from ports import free_port
from storeroom.database.embedded import EmbeddedPostgres

PROGRAM = """
from storeroom.core.errors import Conflict
from storeroom.server import run
from storeroom.settings import Settings

async def plant(room):
    try:
        await room.tenants.create("default", name="Demo", currency="USD")
    except Conflict:
        pass

run(Settings.from_environment(), prepare=plant)
"""
DEADLINE_S = 120.0
POLL_S = 0.02


class Server:
    """A server in a process of its own, and what it wrote."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, log: Path) -> None:
        self.process, self.port, self.log = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def lines_about(self, requests: list[dict[str, Any]]) -> str:
        """What else the log says of these requests."""
        ids = {request["request_id"] for request in requests}
        return "\n".join(json.dumps(line)[:3000] for line in self.lines() if line.get("request_id") in ids)

    async def ended(self) -> int:
        async with asyncio.timeout(DEADLINE_S):
            return await self.process.wait()


@asynccontextmanager
async def serving(folder: Path, *, answers: bool = True, **environment: str) -> AsyncIterator[Server]:
    port = int(environment.pop("STOREROOM_PORT", 0)) or free_port()
    log = folder / f"log-{port}"
    own = {name: text for name, text in os.environ.items() if not name.startswith("STOREROOM_") or "BIN" in name}
    variables = {
        **own,
        "STOREROOM_DATA_DIR": str(folder),
        "STOREROOM_PORT": str(port),
        **mapped.environment(),
        **environment,
    }
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, env=variables, stdout=out, stderr=out, start_new_session=True
        )
    server = Server(process, port, log)
    try:
        if answers:
            await answering(server)
        yield server
    finally:
        if process.returncode is None:
            process.terminate()
            await server.ended()


async def answering(server: Server) -> None:
    async with asyncio.timeout(DEADLINE_S), httpx.AsyncClient() as http:
        while server.process.returncode is None:
            try:
                if (await http.get(f"{server.url}/health")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(POLL_S)
    raise AssertionError(server.log.read_text())


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder that the user of an embedded server may enter."""
    path = Path(tempfile.mkdtemp(prefix="storeroom-serve-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.mark.requirement("STO-GEN-01")
async def test_postgresql_is_the_only_service_that_it_speaks_to(folder: Path) -> None:
    """A page, a cart and a look at the health; and no connection of it or its children leads to anything else."""
    async with serving(folder) as server, httpx.AsyncClient(base_url=server.url) as http:
        for method, path in (("GET", "/"), ("POST", "/v1/carts"), ("GET", "/ready")):
            assert (await http.request(method, path)).is_success
        root = psutil.Process(server.process.pid)
        spoken_to = [
            (process.pid, each.raddr)
            for process in [root, *root.children(recursive=True)]
            for each in connections_of(process)
            if each.raddr and each.laddr.port != server.port
        ]
        assert spoken_to == []


def connections_of(process: psutil.Process) -> list[Any]:
    try:
        return list(process.net_connections("inet"))
    except psutil.NoSuchProcess:  # it has ended since it was listed
        return []


async def test_it_starts_postgres_serves_and_puts_everything_away(folder: Path) -> None:
    async with serving(folder) as first, httpx.AsyncClient(base_url=first.url) as http:
        assert (await http.get("/ready")).status_code == 200
        cart = await http.post("/v1/carts")
        assert cart.status_code == 201
        assert EmbeddedPostgres(folder / "postgres").running()
        first.process.terminate()
        assert await first.ended() == 0
        assert not EmbeddedPostgres(folder / "postgres").running()
        events = [line["event"] for line in first.lines()]
        assert events.count("request") == 1  # the cart; probes are not logged while all is well
        assert events[-2:] == ["stopping", "stopped"]
    secret = folder / "secret"
    assert secret.stat().st_mode & 0o777 == 0o600
    kept = secret.read_text()
    async with serving(folder) as second, httpx.AsyncClient(base_url=second.url) as http:
        token = {"Storeroom-Session": cart.json()["token"]}
        assert (await http.get(f"/v1/carts/{cart.json()['id']}", headers=token)).status_code == 200
        assert not any(line["event"] == "migrated" for line in second.lines())
    assert secret.read_text() == kept


async def test_a_request_in_flight_is_finished_before_the_end(folder: Path, fresh_database: Any) -> None:
    dsn = await fresh_database()
    variables = {
        "STOREROOM_DATABASE_URL": dsn,
        "STOREROOM_WORKER": "off",
    }  # whose jobs would wait for the table as well
    async with serving(folder, **variables) as server, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        rival, watcher = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
        try:
            async with rival.transaction():
                await rival.execute("LOCK TABLE carts IN ACCESS EXCLUSIVE MODE")
                asked = asyncio.create_task(http.post(f"{server.url}/v1/carts"))
                await blocked_by(rival.get_server_pid(), watcher)
                server.process.send_signal(signal.SIGTERM)
                await refusing(server.port)
                assert not asked.done()
                assert server.process.returncode is None
            answer = await asked
        finally:
            await rival.close()
            await watcher.close()
        assert answer.status_code == 201
        assert await server.ended() == 0
    assert not (folder / "postgres").exists()


async def blocked_by(pid: int, watcher: asyncpg.Connection) -> None:
    """On another connection: inside of a transaction pg_stat_activity does not change."""
    blocked = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY (pg_blocking_pids(pid)))"
    async with asyncio.timeout(DEADLINE_S):
        while not await watcher.fetchval(blocked, pid):
            await asyncio.sleep(POLL_S)


async def refusing(port: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(POLL_S)


async def test_a_dead_postgres_is_brought_back(folder: Path) -> None:
    async with serving(folder) as server, httpx.AsyncClient(base_url=server.url, timeout=DEADLINE_S) as http:
        pid = int((folder / "postgres/data/postmaster.pid").read_text().split()[0])
        async with asyncio.timeout(DEADLINE_S):
            with (folder / "postgres/gate").open() as gate:
                fcntl.flock(gate, fcntl.LOCK_EX)  # whoever brings it back waits here until we have seen that it is gone
                os.kill(pid, signal.SIGKILL)
                while (answer := await http.get("/ready")).status_code != 503:
                    await asyncio.sleep(POLL_S)
            assert answer.json()["code"] == "server.not_ready"
            while (await http.get("/ready")).status_code != 200:
                await asyncio.sleep(POLL_S)
        assert (await http.post("/v1/carts")).status_code == 201


async def test_production_needs_a_secret_before_anything_is_started(folder: Path) -> None:
    async with serving(folder, answers=False, STOREROOM_MODE="production") as server:
        assert await server.ended() != 0
    assert "STOREROOM_SECRET" in server.log.read_text()
    assert not (folder / "postgres").exists()


async def test_a_taken_port_is_said_at_once(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        async with serving(folder, answers=False, STOREROOM_PORT=str(port)) as server:
            assert await server.ended() != 0
        assert f"127.0.0.1:{port}" in server.log.read_text()
        assert not (folder / "postgres").exists()


async def test_an_unmigrated_database_is_refused_where_migrating_is_switched_off(
    folder: Path, fresh_database: Any
) -> None:
    dsn = await fresh_database(empty=True)
    variables = {"STOREROOM_DATABASE_URL": dsn, "STOREROOM_MIGRATE": "off"}
    async with serving(folder, answers=False, **variables) as server:
        assert await server.ended() != 0
    assert "migrat" in server.log.read_text()
