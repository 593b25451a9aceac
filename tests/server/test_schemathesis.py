"""What the OpenAPI document promises, held against the running server by a tool that did not write either."""

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from planted import plant, written
from served import SECRET
from test_serve import DEADLINE_S, folder, serving  # noqa: F401 - a fixture

from storeroom.identity import UserRole
from storeroom.room import Storeroom

CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")
EXAMPLES = "2"  # for each operation; `st run` by hand takes more
RUN_TIMEOUT_S = 780.0  # a fifth of it where nothing else runs


@dataclass(frozen=True)
class Sender:
    """Whose token goes along, what must never be answered to them, and how much of the API is theirs."""

    role: UserRole | None
    closed: tuple[str, ...]  # beginnings of paths
    paths_min: int  # that answer well
    paths: str = "^/"  # of these everything is tried
    reaches_all: bool = False  # no operation answers it nothing but 401 and 403

    @property
    def runs(self) -> Iterator[tuple[str, ...]]:
        """What is theirs from all sides; of what is closed to them one example of each operation, since none gets in."""
        yield ("--include-path-regex", self.paths, "--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES)
        if self.closed:
            yield ("--include-path-regex", "^/v1/admin", "--phases", "fuzzing", "--max-examples", "1")


CLOSED_MIN = 150  # operations of staff
METHODS = frozenset({"DELETE", "GET", "PATCH", "POST", "PUT"})
SENDERS = {
    "staff": Sender(UserRole.SUPER_ADMIN, (), 90, reaches_all=True),
    "customer": Sender(UserRole.CUSTOMER, ("/v1/admin",), 10, "^/v1/(?!admin)"),
    "nobody": Sender(None, ("/v1/admin", "/v1/account"), 8, "^/v1/(?!admin)"),
}


@pytest.mark.timeout(840)
@pytest.mark.parametrize("who", SENDERS)
async def test_no_server_error_and_nothing_that_the_document_does_not_say(
    folder: Path,  # noqa: F811
    fresh_database: Any,
    who: str,
) -> None:
    sender, values, signing_in = SENDERS[who], {}, {}
    dsn = await fresh_database()
    async with Storeroom.open(dsn, secret=SECRET) as room:
        await room.tenants.create("default", name="Demo", currency="USD")
        if sender.role is not None:
            shop = room.tenant("default")
            person = await shop.users.create(email="admin@example.com", full_name="Ada Admin")
            person = await shop.users.set_role(user_id=person.id, role=sender.role)
            values = await plant(shop, person)
            named = {"SIGN_IN_DSN": dsn, "SIGN_IN_SECRET": SECRET, "SIGN_IN_USER": str(person.id)}
            signing_in = {"SCHEMATHESIS_HOOKS": str(HOOKS), **named}
    variables = {
        "STOREROOM_DATABASE_URL": dsn,
        "STOREROOM_SECRET": SECRET,
        "STOREROOM_WORKER": "off",
        "STOREROOM_ACCOUNT_CALLS": "0",
    }
    async with serving(folder, **variables) as server, httpx.AsyncClient(timeout=DEADLINE_S) as http:
        config, document = str(written(folder, values, CONFIG)), f"{server.url}/schema/openapi.json"
        reports = [
            await schemathesis(
                *("--config-file", config, "run", document, "--no-color", "--seed", "1", *run),
                # These end the session whose token goes along, and everything after would be refused alike.
                *("--exclude-path-regex", "^/v1/account/(sessions|close)$"),
                # Its own sign-ups would use up the limits; without the token the account routes answer 401 as they say.
                *("--exclude-checks", "ignored_auth"),
                cwd=folder,
                **signing_in,
            )
            for run in sender.runs
        ]
        assert (await http.get(f"{server.url}/ready")).status_code == 200
    lines = [line for line in server.lines() if line["event"] == "request"]
    assert len(lines) > 300
    broken = [line for line in lines if line["status"] >= 500 or line["status"] == 0]
    assert broken == [], server.lines_about(broken)
    answers = defaultdict(set)
    for line in lines:
        if line["method"] in METHODS:
            answers[line["method"], line["path"]].add(line["status"])
    refused = {operation for operation, statuses in answers.items() if statuses <= {401, 403}}
    assert not (sender.reaches_all and refused), "its token is good until the end"
    well = {line["path"] for line in lines if line["status"] < 300 and line["method"] != "OPTIONS"}
    assert len(well) >= sender.paths_min
    assert [path for path in well if path.startswith(sender.closed)] == []
    closed = {operation for operation in answers if operation[1].startswith("/v1/admin")}
    assert len(closed) >= CLOSED_MIN, "they were sent there"
    assert sender.reaches_all or closed <= refused, sorted(closed - refused)
    for failed, said in reports:
        assert failed == 0, said


async def schemathesis(*arguments: str, cwd: Path, **environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        *arguments,
        cwd=cwd,
        env={**os.environ, "PYTHONWARNINGS": "ignore", **environment},
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
