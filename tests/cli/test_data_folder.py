"""Commands and the embedded server of a data folder: joined where it runs, started and stopped where it does not."""

import asyncio
import re
import signal
import subprocess
import time
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
import pytest
from terminal import PROGRAM, Terminal

from ports import free_port
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import LOCK_KEY

DEADLINE_S = 120.0


def test_a_command_starts_the_server_and_stops_it(data_folder: Path) -> None:
    terminal = Terminal({"STOREROOM_DATA_DIR": str(data_folder)})
    server = EmbeddedPostgres(data_folder / "postgres")
    terminal.text("migrate")
    assert not server.running()
    terminal.text("tenant", "create", "default", "--name", "Shop", "--currency", "USD")
    terminal.refused("tenant", "show", "nobody", code="tenants.unknown")
    assert not server.running()

    with server:  # somebody else's, such as `storeroom serve`
        assert [t["tenant_id"] for t in terminal.json("tenant", "list")["items"]] == ["default"]
        assert server.running()
    assert not server.running()


@contextmanager
def serving(terminal: Terminal, url: str) -> Iterator["subprocess.Popen[str]"]:
    """`storeroom serve --demo`, once it answers; killed at the end, if it still runs."""
    process = subprocess.Popen(
        [*PROGRAM, "serve", "--demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=terminal.variables,
    )
    try:
        deadline = time.monotonic() + DEADLINE_S
        while not _answers(url):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def stopped(process: "subprocess.Popen[str]") -> str:
    """End it as a supervisor does; what it has said to people."""
    process.send_signal(signal.SIGTERM)
    said, logs = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, logs
    return said


@pytest.fixture
def port() -> int:
    return free_port()


def test_the_demonstration_is_made_once_and_its_password_shown_once(data_folder: Path, port: int) -> None:
    """From nothing to a shop that sells, with an admin whose password is nowhere but on the screen."""
    terminal = Terminal({"STOREROOM_DATA_DIR": str(data_folder), "STOREROOM_PORT": str(port)})
    url = f"http://127.0.0.1:{port}"
    with serving(terminal, url) as process:
        products = httpx.get(f"{url}/v1/products").json()["items"]
        assert len(products) == 13
        doctor = terminal.json("doctor")  # meanwhile, through the server's own PostgreSQL
        assert [result["name"] for result in doctor if result["broken"]] == []
        said = stopped(process)

    assert url in said
    assert str(data_folder) in said
    shown = re.search(r"admin +(\S+)\n +password +(\S+) ", said)
    assert shown is not None
    email, password = shown.groups()
    assert len(password) >= 20
    assert not EmbeddedPostgres(data_folder / "postgres").running()

    with serving(terminal, url) as process:
        body = {"email": email, "password": password}
        admin = httpx.post(f"{url}/v1/auth/sign-in", json=body)
        assert admin.status_code < 300, admin.text
        customer = httpx.post(f"{url}/v1/auth/sign-in", json=body | {"email": "ada@example.com"})
        assert customer.status_code < 300, customer.text
        assert len(httpx.get(f"{url}/v1/products").json()["items"]) == 13
        said = stopped(process)
    assert "password" not in said
    assert [t["tenant_id"] for t in terminal.json("tenant", "list")["items"]] == ["default"]


def test_the_demonstration_leaves_a_shop_that_is_there_alone(data_folder: Path, port: int) -> None:
    terminal = Terminal({"STOREROOM_DATA_DIR": str(data_folder), "STOREROOM_PORT": str(port)})
    terminal.text("migrate")
    terminal.text("tenant", "create", "default", "--name", "Mine", "--currency", "EUR")
    with serving(terminal, f"http://127.0.0.1:{port}") as process:
        assert httpx.get(f"http://127.0.0.1:{port}/v1/products").json()["items"] == []
        assert "password" not in stopped(process)
    assert terminal.json("tenant", "show", "default")["name"] == "Mine"


def test_production_shows_no_demonstration(data_folder: Path) -> None:
    terminal = Terminal({"STOREROOM_DATA_DIR": str(data_folder), "STOREROOM_MODE": "production"})
    terminal.refused("serve", "--demo", code="seeding.environment_refused")
    assert list(data_folder.iterdir()) == []


async def test_sigterm_in_the_middle_of_a_command_stops_what_it_started(data_folder: Path) -> None:
    """The command waits for its turn to migrate; ended by its supervisor it leaves no server behind."""
    terminal = Terminal({"STOREROOM_DATA_DIR": str(data_folder)})
    terminal.text("migrate")
    server = EmbeddedPostgres(data_folder / "postgres")
    with server:
        connection = await asyncpg.connect(server.dsn("storeroom"))
        await connection.execute(f"SELECT pg_advisory_lock({LOCK_KEY})")
        process = await asyncio.create_subprocess_exec(*PROGRAM, "migrate", stdout=PIPE, env=terminal.variables)
        others = (  # not the server's own autovacuum
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'storeroom' AND pid <> pg_backend_pid() "
            "AND backend_type = 'client backend'"
        )
        async with asyncio.timeout(DEADLINE_S):
            while not await connection.fetchval(others):
                await asyncio.sleep(0.01)
    try:
        assert server.running()  # by the command alone
        process.terminate()
        async with asyncio.timeout(DEADLINE_S):
            await process.communicate()
        assert process.returncode == 128 + signal.SIGTERM
        assert not server.running()
    finally:
        connection.terminate()
