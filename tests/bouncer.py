"""PgBouncer in transaction mode, where the machine has it."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from ports import free_port
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.errors import DatabaseUnavailable
from storeroom.database.pool import Database


@pytest.fixture
def bouncer(postgres: EmbeddedPostgres, dsn: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """PgBouncer in transaction mode before the worker's database, with two server connections."""
    binary = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if binary is None:
        pytest.skip("pgbouncer is not installed")
    run_dir = postgres.run_dir
    owner = run_dir.stat().st_uid  # only this user may enter the folder of the socket
    folder = Path(os.environ["STOREROOM_TEST_RUN_FOLDER"]) / f"bouncer-{uuid.uuid4().hex[:8]}"
    folder.mkdir(mode=0o700)
    port = free_port()
    name = dsn.partition("?")[0].rpartition("/")[2]
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n{name} = host={run_dir} dbname={name} user=postgres\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"pool_mode = transaction\ndefault_pool_size = 2\nlogfile = {folder}/log\n"
    )
    for path in (folder, folder / "pgbouncer.ini"):
        os.chown(path, owner, -1)
    as_owner = {"user": owner, "group": run_dir.stat().st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    process = subprocess.Popen([binary, "-q", str(folder / "pgbouncer.ini")], cwd="/", **as_owner)  # type: ignore[call-overload]
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    try:
        yield f"postgresql://{getpass.getuser()}@127.0.0.1:{port}/{name}", tuple(map(int, version.split(".")))
    finally:
        process.kill()  # asked to end, some versions wait for their clients
        process.wait()


async def open_soon(dsn: str, *, statement_cache: bool) -> Database:
    """The bouncer needs a moment to listen; each try is a real connection."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await Database.open(dsn, statement_cache=statement_cache, role=None)
            except DatabaseUnavailable:
                await asyncio.sleep(0.01)
