"""What the OpenAPI document promises, held against the running server by a tool that did not write either."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from served import SECRET
from test_serve import DEADLINE_S, folder, serving  # noqa: F401 - a fixture

from storeroom.identity import UserRole
from storeroom.room import Storeroom

CONFIG = Path(__file__).with_name("schemathesis.toml")
EXAMPLES_MAX = 4  # for each operation; `st run` by hand takes more
PERSON = {"email": "admin@example.com", "password": "a long password"}
RUN_TIMEOUT_S = 150.0


@pytest.mark.timeout(240)
async def test_no_server_error_and_nothing_that_the_document_does_not_say(
    folder: Path,  # noqa: F811
    fresh_database: Any,
) -> None:
    dsn = await fresh_database()
    async with Storeroom.open(dsn, secret=SECRET) as room:
        await room.tenants.create("default", name="Demo", currency="USD")
        users = room.tenant("default").users
        admin = await users.register(**PERSON, full_name="Ada Admin")
        await users.set_role(user_id=admin.id, role=UserRole.SUPER_ADMIN)
    variables = {"STOREROOM_DATABASE_URL": dsn, "STOREROOM_SECRET": SECRET, "STOREROOM_WORKER": "off"}
    async with serving(folder, **variables) as server, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        signed_in = await http.post(f"{server.url}/v1/auth/sign-in", json=PERSON)
        token = signed_in.json()["access_token"]
        report = await schemathesis(
            *("--config-file", str(CONFIG), "run", f"{server.url}/schema/openapi.json", "--no-color", "--seed", "1"),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES_MAX)),
            *("--header", f"Authorization: Bearer {token}"),
            # Its own sign-ups would use up the limits; without the token the account routes answer 401 as they say.
            *("--exclude-checks", "ignored_auth"),
            cwd=folder,
        )
        assert (await http.get(f"{server.url}/ready")).status_code == 200
    lines = [line for line in server.lines() if line["event"] == "request"]
    assert len(lines) > 500
    assert [line for line in lines if line["status"] >= 500 or line["status"] == 0] == []
    assert len({line["path"] for line in lines if line["status"] < 300}) > 30
    assert report[0] == 0, report[1]


async def schemathesis(*arguments: str, cwd: Path) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        *arguments,
        cwd=cwd,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(RUN_TIMEOUT_S):
            out, _ = await process.communicate()
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode()
