"""The whole suite under other names: STOREROOM_TEST_NAMES="room_,products=goods" gives every table, type, function and
index a prefix, and some a name of their own.

The package is told by its ordinary way, the names of its handle, and by the environment where a test starts a process.
Tests go on writing `SELECT … FROM orders`: what a file of tests/ sends is parsed, and the names that are ours are
replaced on the way to the driver. What the package sends is never touched, so a name that it wrote without braces finds
no table and fails.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any

import asyncpg
from pglast import ast, parse_sql
from pglast.parser import ParseError

from storeroom.database import distribution, migrations, pool
from storeroom.database.migrations import comparing, running
from storeroom.database.names import TableNames

VARIABLE = "STOREROOM_TEST_NAMES"
TESTS = str(Path(__file__).parent) + os.sep

# What cannot follow, and why. The reasons are printed with the number of tests.
CATALOGUE = "reads names of tables, indexes or partitions in the catalogue"
STAY: dict[str, str] = {
    "tests/database/": "makes tables and installations with names of its own",
    "tests/lint/": "reads names in the files and in the catalogue",
    "tests/plans/": "reads the names of indexes and tables in plans",
    "tests/bench/": "measures, and looks at plans",
    "tests/platform/test_schema.py": CATALOGUE,
    "tests/platform/test_rows.py": CATALOGUE,
    "tests/security/": CATALOGUE,
    "tests/analytics/test_partitions.py": CATALOGUE,
    "tests/audit/test_trail.py::test_only_the_documented_indexes_are_there": CATALOGUE,
    "tests/audit/test_trail.py::test_a_month_boundary_lies_between_two_partitions": CATALOGUE,
    "tests/flows/test_checkout_plans.py": "reads the names of tables in statistics",
    "tests/identity/test_personal_data.py::test_no_table_about_people_is_forgotten": CATALOGUE,
    "tests/identity/test_sessions.py::test_no_token_and_no_password_is_anywhere_in_the_database": CATALOGUE,
    "tests/identity/test_users.py::test_signing_in_and_testing_tokens_never_read_profiles": CATALOGUE,
    "tests/worker/test_worker.py::test_every_job_of_the_schedule_finds_its_work": CATALOGUE,
    "tests/conversions/test_sending.py::test_a_thousand_events": CATALOGUE,
    "tests/conversions/test_sending.py::test_the_table_is_swept": CATALOGUE,
    "tests/domains/test_helpers.py::test_a_process_asks_once_however_many_call": "reads the text of a statement",
    "tests/seeding/test_seeding.py::test_a_wrong_file_is_refused_whole": "reads the name of a table in a message",
    "tests/web/test_idempotency.py::test_the_key_of_a_killed_process": "its process is of an ordinary installation",
    "tests/messaging/test_promises.py::test_a_worker_killed": "its process is of an ordinary installation",
    "tests/cli/test_commands.py::test_tables_may_have_other_names": "gives names itself",
    "tests/test_readme.py::test_the_program_of_the_readme_places_an_order": "the program is that of an ordinary installation",
}


def names_of_the_run() -> TableNames:
    prefix, *pairs = os.environ.get(VARIABLE, "").split(",")
    return TableNames(prefix.strip(), dict(pair.strip().split("=") for pair in pairs))


NAMES = names_of_the_run()


def environment() -> dict[str, str]:
    """What tells a process of its own the same."""
    if TableNames() == NAMES:
        return {}
    return {
        "STOREROOM_TABLE_PREFIX": NAMES.prefix,
        "STOREROOM_TABLE_NAMES": ",".join(f"{name}={actual}" for name, actual in NAMES.tables.items()),
    }


def install() -> None:
    """Make the names of the run the default of every handle, and translate what tests write themselves."""
    if TableNames() == NAMES:
        return
    for module in (pool, comparing, running, distribution):
        module.TableNames = _default  # type: ignore[misc, assignment]
    for executor in (pool.Database, pool.Transaction):
        for method in ("fetch", "fetchrow", "fetchval", "execute"):
            _translate(executor, method, lambda self: self.names)
    for method in ("fetch", "fetchrow", "fetchval", "execute", "executemany", "prepare", "cursor"):
        _translate(asyncpg.Connection, method, lambda _: NAMES)
    _translate(asyncpg.Connection, "copy_to_table", lambda _: NAMES, whole=True)


def reason_to_stay(nodeid: str) -> str | None:
    """Why a test stays out of a mapped run; None where it takes part."""
    if TableNames() == NAMES:
        return None
    return next((why for where, why in STAY.items() if nodeid.startswith(where)), None)


def _default(prefix: str = "", tables: dict[str, str] | None = None) -> TableNames:
    return TableNames(prefix, tables) if prefix or tables else NAMES


def _translate(owner: type, method: str, names_of: Callable[[Any], TableNames], *, whole: bool = False) -> None:
    original = getattr(owner, method)

    @wraps(original)
    def call(self: Any, sql: str, *args: Any, **options: Any) -> Any:
        if sys._getframe(1).f_code.co_filename.startswith(TESTS):
            sql = names_of(self).resolve(sql) if whole else translated(sql, names_of(self))
        return original(self, sql, *args, **options)

    setattr(owner, method, call)


# --- Statements of tests ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def ours() -> frozenset[str]:
    """Every name that the package's files write in braces."""
    return migrations.Sources.packaged().names()


@lru_cache(maxsize=4096)
def translated(sql: str, names: TableNames) -> str:
    """The statement with our names as they are called here; as it is where it does not parse."""
    try:
        statements = parse_sql(sql)
    except ParseError:
        return sql
    text = sql  # places are counted in characters
    edits: dict[int, tuple[int, str]] = {}
    for statement in statements:
        ctes = {node.ctename for node in _nodes(statement) if isinstance(node, ast.CommonTableExpr)}
        for at, name, alias in _places(statement, ctes, text):
            actual = names.resolve(name)
            quoted = text[at : at + 1] == '"'
            written = text[at + quoted : at + quoted + len(name)]
            if written.lower() != name:
                continue
            edits[at] = (len(name) + 2 * quoted, f"{actual} AS {name}" if alias else actual)
        if isinstance(statement.stmt, ast.DropStmt):
            return re.sub(r"\w+", lambda m: names.resolve(m[0]) if m[0] in ours() else m[0], sql)
    for at in sorted(edits, reverse=True):
        length, actual = edits[at]
        text = text[:at] + actual + text[at + length :]
    return text


def _nodes(node: Any) -> Iterator[ast.Node]:
    if isinstance(node, ast.Node):
        yield node
        for slot in node:
            yield from _nodes(getattr(node, slot))
    elif isinstance(node, tuple | list):
        for item in node:
            yield from _nodes(item)


def _places(statement: ast.Node, ctes: set[str], text: str) -> Iterator[tuple[int, str, bool]]:
    """Where a name of ours stands, and whether the rest of the statement may know it by the old one."""
    locks = {id(r) for n in _nodes(statement) if isinstance(n, ast.LockingClause) for r in n.lockedRels or ()}
    read = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt)
    rows = {id(r) for n in _nodes(statement) if isinstance(n, read) for r in _relations(n)}
    for node in _nodes(statement):
        if isinstance(node, ast.RangeVar) and not node.schemaname and id(node) not in locks:
            if node.relname in ours() and node.relname not in ctes:
                yield node.location, node.relname, id(node) in rows and node.alias is None
        elif isinstance(node, ast.TypeName) and node.names and len(node.names) == 1:
            name = node.names[0].sval
            if name in ours() and node.location >= 0:
                yield node.location, name, False
        elif isinstance(node, ast.FuncCall) and len(node.funcname) == 1 and node.funcname[0].sval in ours():
            yield node.location, node.funcname[0].sval, False
        if isinstance(node, ast.TypeCast) and node.typeName.names[-1].sval in ("regclass", "regtype"):
            written = re.search(r"'(\w+)'\s*$", text[: node.location])  # 'orders'::regclass; the node stands at the ::
            if written is not None and written[1] in ours():
                yield written.start(1), written[1], False


def _relations(node: Any) -> Iterator[ast.RangeVar]:
    if isinstance(node, ast.SelectStmt):
        yield from _of_from(node.fromClause)
    elif isinstance(node, ast.InsertStmt):
        yield node.relation
    elif isinstance(node, ast.UpdateStmt):
        yield node.relation
        yield from _of_from(node.fromClause)
    elif isinstance(node, ast.DeleteStmt):
        yield node.relation
        yield from _of_from(node.usingClause)


def _of_from(items: Any) -> Iterator[ast.RangeVar]:
    for item in items or ():
        if isinstance(item, ast.RangeVar):
            yield item
        elif isinstance(item, ast.JoinExpr):
            yield from _of_from((item.larg, item.rarg))
