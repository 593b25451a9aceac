"""Write `queries.pyi` beside every `queries.sql`, from what the database itself says about each statement.

    python -m storeroom.database.stubs              write the stubs
    python -m storeroom.database.stubs carts orders write those of these slices only
    python -m storeroom.database.stubs --check      change nothing; fail where a stub is not what would be written

Each statement is prepared on a migrated database. The types of its arguments come from there; its columns are compared
with the fields of the struct it promises, by name, by order and by type, an enum also by its labels. A column that may
be null, or comes from the far side of an outer join, needs a field that may be None, unless the statement says
`column IS NOT NULL`. Only plain columns are known to be so; for an expression that stays with the reader.

Without --database, a server of its own is started in a temporary folder and migrated.
"""

import argparse
import asyncio
import contextlib
import importlib
import re
import sys
import tempfile
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg
import msgspec
from typing_extensions import override

import storeroom
from storeroom.core.errors import StoreroomError
from storeroom.core.money import Money
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import migrate
from storeroom.database.names import TableNames
from storeroom.database.queries import (
    Argument,
    Query,
    QueryFileError,
    Rows,
    Variant,
    model_of,
    parse,
    plain_type,
    result_type,
    struct_columns,
)

LINE_LENGTH: Final = 120
HEADING: Final = (
    "# Written by `python -m storeroom.database.stubs` from queries.sql; change that file, then run it again."
)

_TYPES: Final[Mapping[str, type]] = {
    **dict.fromkeys(("int2", "int4", "int8", "oid"), int),
    **dict.fromkeys(("float4", "float8"), float),
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "citext", "inet", "cidr", "tsquery", "regclass"), str),
    "bool": bool,
    "uuid": UUID,
    "numeric": Decimal,
    "timestamptz": datetime,
    "timestamp": datetime,
    "date": date,
    "time": time,
    "interval": timedelta,
    "bytea": bytes,
}
_ANYTHING: Final = frozenset({"json", "jsonb", "record"})  # as wide as JSON: the struct says what is inside


@dataclass(frozen=True)
class ColumnType:
    """A type of the database, reduced to what a stub needs."""

    name: str
    labels: frozenset[str] | None = None  # of an enum
    array: bool = False
    void: bool = False

    @override
    def __str__(self) -> str:
        return self.name + "[]" * self.array


@dataclass
class Slice:
    """A folder with a `queries.sql`."""

    package: str
    folder: Path
    model: types.ModuleType | None
    queries: list[Query]

    @property
    def stub(self) -> Path:
        """The file that is written."""
        return self.folder / "queries.pyi"


@dataclass
class Report:
    """What the generator found."""

    stubs: dict[Path, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def slices(
    only: Sequence[str] = (), *, root: Path | None = None, package: str = "storeroom"
) -> tuple[list[Slice], list[str]]:
    """Every slice that has statements, and what keeps some of them from being read.

    Args:
        only: names of slices; all without any.
        root: the folder of `package`.
        package: what the slices lie in.
    """
    root = root or Path(next(iter(storeroom.__path__)))
    found, faults = list[Slice](), list[str]()
    for file in sorted(root.rglob("queries.sql")):
        name = ".".join((package, *file.parent.relative_to(root).parts))
        if only and file.parent.name not in only:
            continue
        try:
            queries = parse(file.read_text(encoding="utf-8"), where=f"{name}/queries.sql")
            found.append(Slice(package=name, folder=file.parent, model=model_of(name), queries=queries))
        except Exception as error:  # noqa: BLE001 - importing a slice runs it; one that is broken must not stop the others
            faults.append(f"{name}: {type(error).__name__}: {error}")
    return found, faults


async def generate(
    connection: "asyncpg.Connection[Any]", found: Sequence[Slice], names: TableNames | None = None
) -> Report:
    """Prepare every statement on a migrated database; give the text of each stub, and what is wrong."""
    names = names or TableNames()
    known = await _known_types(connection, names)
    nullable = await _nullable_columns(connection)
    enums = _enums(found)
    report = Report()
    for part in found:
        writer = _Writer(part, enums)
        for query in part.queries:
            try:
                await _describe(connection, query, writer, names=names, known=known, nullable=nullable)
            except (asyncpg.PostgresError, QueryFileError, TypeError) as error:
                report.faults.append(f"{query.where}: {query.name}: {error}")
        report.faults.extend(writer.faults)
        report.stubs[part.stub] = writer.text()
    return report


async def _describe(
    connection: "asyncpg.Connection[Any]",
    query: Query,
    writer: "_Writer",
    *,
    names: TableNames,
    known: Mapping[int, ColumnType],
    nullable: Mapping[str, frozenset[str]],
) -> None:
    arguments: dict[str, ColumnType] = {}
    for variant in query.variants:
        sql = names.render(variant.sql)
        prepared = await connection.prepare(sql)
        arguments.update(_argument_types(variant, prepared, known))
        columns = [(a.name, known[a.type.oid]) for a in prepared.get_attributes()]
        writer.check(query, columns)
        if columns:
            writer.check_nulls(query, columns, await _maybe_null(connection, sql, len(variant.arguments), nullable))
    writer.add(query, arguments)


def _argument_types(
    variant: Variant, prepared: Any, known: Mapping[int, ColumnType]
) -> Iterator[tuple[str, ColumnType]]:
    for name, parameter in zip(variant.arguments, prepared.get_parameters(), strict=True):
        yield name, known[parameter.oid]


async def _nullable_columns(connection: "asyncpg.Connection[Any]") -> dict[str, frozenset[str]]:
    """The columns of each table that may be null; of a generated one that is not known."""
    rows = await connection.fetch(
        """
        SELECT c.oid::regclass::text AS relation, array_agg(a.attname::text) AS columns
          FROM pg_catalog.pg_class c
          JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attnotnull
           AND a.attgenerated = ''
         WHERE c.relkind IN ('r', 'p')
         GROUP BY c.oid
        """
    )
    return {row["relation"]: frozenset(row["columns"]) for row in rows}


async def _maybe_null(
    connection: "asyncpg.Connection[Any]", sql: str, arguments: int, nullable: Mapping[str, frozenset[str]]
) -> dict[int, str]:
    """Those columns of a statement that may be null, by their place; only plain columns of tables are judged."""
    # A generic plan, which knows no values: `= NULL` would be planned away, and with it what it reads.
    await connection.execute(f"SET plan_cache_mode = force_generic_plan; PREPARE asked AS {sql}")
    nulls = f"({', '.join(['NULL'] * arguments)})" if arguments else ""
    try:
        (row,) = await connection.fetch(f"EXPLAIN (VERBOSE, COSTS off, FORMAT json) EXECUTE asked{nulls}")
    finally:
        await connection.execute("DEALLOCATE asked")
    (explained,) = msgspec.json.decode(row[0])
    tables: dict[str, str] = {}
    optional: set[str] = set()
    _read_plan(explained["Plan"], tables, optional, outer=False)
    found: dict[int, str] = {}
    for at, output in enumerate(explained["Plan"].get("Output", ())):
        alias, _, column = output.rpartition(".")
        if not alias and len(tables) == 1:  # the plan names a table only where there are several
            alias = next(iter(tables))
        if alias not in tables or not column.isidentifier() or column in ("true", "false"):
            continue
        if alias in optional or column in nullable.get(tables[alias], ()):
            found[at] = column
    return found


def _read_plan(node: Mapping[str, Any], tables: dict[str, str], optional: set[str], *, outer: bool) -> None:
    if "Relation Name" in node:
        tables[node["Alias"]] = node["Relation Name"]
        if outer:
            optional.add(node["Alias"])
    filled = {"Left": {"Inner"}, "Right": {"Outer"}, "Full": {"Inner", "Outer"}}.get(node.get("Join Type", ""), set())
    for child in node.get("Plans", ()):
        if child.get("Parent Relationship") not in ("SubPlan", "InitPlan"):
            _read_plan(child, tables, optional, outer=outer or child.get("Parent Relationship") in filled)


async def _known_types(connection: "asyncpg.Connection[Any]", names: TableNames) -> dict[int, ColumnType]:
    """Every type by its oid; a domain is what lies beneath it."""
    rows = await connection.fetch(
        """
        SELECT t.oid, coalesce(nullif(t.typbasetype, 0), t.oid) AS base, t.typname, t.typtype::text, t.typelem,
               t.typcategory::text,
               (SELECT array_agg(e.enumlabel::text) FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid) AS labels
          FROM pg_catalog.pg_type t
        """
    )
    by_oid = {row["oid"]: row for row in rows}

    def reduced(row: Any) -> ColumnType:
        while row["typtype"] == "d":
            row = by_oid[row["base"]]
        if row["typcategory"] == "A" and row["typelem"]:
            element = reduced(by_oid[row["typelem"]])
            return ColumnType(name=element.name, labels=element.labels, array=True)
        labels = frozenset(row["labels"]) if row["labels"] else None
        name = names.original(row["typname"]) if labels else row["typname"]
        return ColumnType(name=name, labels=labels, void=name == "void")

    return {oid: reduced(row) for oid, row in by_oid.items()}


def _enums(found: Sequence[Slice]) -> dict[str, list[type[Enum]]]:
    """Every enum of every model, by its name."""
    enums: dict[str, list[type[Enum]]] = {}
    models = [part.model for part in found if part.model is not None] + _other_models(found)
    for model in models:
        for value in vars(model).values():
            if isinstance(value, type) and issubclass(value, Enum) and value.__module__ == model.__name__:
                enums.setdefault(value.__name__, []).append(value)
    return enums


def _other_models(found: Sequence[Slice]) -> list[types.ModuleType]:
    """The models of slices that are not asked for: a statement may well take an enum of theirs."""
    root, known = Path(next(iter(storeroom.__path__))), {part.package for part in found}
    models = []
    for file in sorted(root.glob("*/model.py")):
        package = f"storeroom.{file.parent.name}"
        if package not in known:
            with contextlib.suppress(Exception):  # its own stub is where it will be missed
                models.append(importlib.import_module(f"{package}.model"))
    return models


class _Writer:
    """Collects the signatures of one slice and the imports that they need."""

    def __init__(self, part: Slice, enums: Mapping[str, list[type[Enum]]]) -> None:
        self.part = part
        self.enums = enums
        self.faults: list[str] = []
        self.imports: dict[str, set[str]] = {"storeroom.database.executor": {"Executor"}}
        self.functions: list[str] = []

    def text(self) -> str:
        """The whole stub, as `ruff format` would leave it."""
        groups: dict[bool, list[str]] = {False: [], True: []}
        for module in sorted(self.imports):
            ours = module.partition(".")[0] == self.part.package.partition(".")[0] or module.startswith("storeroom.")
            groups[ours].append(_import(module, sorted(self.imports[module], key=_import_order)))
        imports = "\n\n".join("\n".join(group) for group in groups.values() if group)
        return "\n".join([HEADING, "", imports, "", *self.functions]) + "\n"

    # --- what comes back ---

    def check(self, query: Query, columns: list[tuple[str, ColumnType]]) -> None:
        """Compare the columns of a statement with what it promises."""
        if query.rows in (Rows.COUNT, Rows.NOTHING):
            if columns and query.rows is Rows.COUNT:
                self._fault(query, "counts the rows that it touches, but also returns columns")
            elif any(not kind.void for _, kind in columns):
                self._fault(query, "promises nothing and returns columns; add `-> T` to its header")
            return
        result = result_type(query, self.part.model)
        plain, _ = plain_type(result)
        if isinstance(plain, type) and issubclass(plain, msgspec.Struct):
            self._check_struct(query, plain, columns)
        elif len(columns) != 1:
            self._fault(query, f"returns one {query.type_name}, but {len(columns)} columns")
        else:
            self._check_type(query, columns[0][0], result, columns[0][1])

    def _check_struct(self, query: Query, struct: type[msgspec.Struct], columns: list[tuple[str, ColumnType]]) -> None:
        places = struct_columns(struct, [name for name, _ in columns])
        hints = typing.get_type_hints(struct)
        for name, at in places.items():
            self._check_type(query, name, hints[name], columns[at][1])

    def check_nulls(self, query: Query, columns: list[tuple[str, ColumnType]], nulls: Mapping[int, str]) -> None:
        """Compare the columns that may be null with the fields that may be None."""
        result = None if query.type_name is None else plain_type(result_type(query, self.part.model))[0]
        if not (isinstance(result, type) and issubclass(result, msgspec.Struct)):
            return
        hints = typing.get_type_hints(result)
        for name, at in struct_columns(result, [name for name, _ in columns]).items():
            if at not in nulls or plain_type(hints[name])[1] or plain_type(hints[name])[0] in (Any, object):
                continue
            said = re.compile(rf"\b{nulls[at]}\s+IS\s+NOT\s+NULL\b", re.IGNORECASE)
            if not any(said.search(variant.sql) for variant in query.variants):
                self._fault(query, f"{name} may be null; its field may not be None")

    def _check_type(self, query: Query, name: str, declared: Any, kind: ColumnType) -> None:
        plain, _ = plain_type(declared)
        if plain in (Any, object) or kind.name in _ANYTHING:
            return
        if plain is Money:
            if (kind.name, kind.array) != ("int8", False):
                self._fault(query, f"{name} is money, so its column is a bigint, not {kind}")
            return
        origin, inside = typing.get_origin(plain), typing.get_args(plain)
        if origin in (list, tuple, set, frozenset, Sequence) or plain in (list, tuple):
            if not kind.array:
                self._fault(query, f"{name} is {_plain_name(plain)}, its column {kind}")
                return
            if not inside:
                return
            plain, kind = plain_type(inside[0])[0], ColumnType(name=kind.name, labels=kind.labels)
            if plain in (Any, object):
                return
        if kind.array or not self._agrees(plain, kind):
            self._fault(query, f"{name} is {_plain_name(plain)}, its column {kind}")

    def _agrees(self, plain: Any, kind: ColumnType) -> bool:
        if isinstance(plain, type) and issubclass(plain, Enum):
            members: frozenset[object] = frozenset(member.value for member in plain)
            return members == kind.labels if kind.labels is not None else kind.name in ("text", "varchar")
        if kind.labels is not None:
            return plain is str or typing.get_origin(plain) is typing.Literal
        if kind.name in ("inet", "cidr"):
            return "IPv" in str(plain)
        expected = _TYPES.get(kind.name)
        if expected is str and typing.get_origin(plain) is typing.Literal:
            return True
        return expected is None or plain is expected

    def _fault(self, query: Query, message: str) -> None:
        text = f"{query.where}: {query.name}: {message}"
        if text not in self.faults:
            self.faults.append(text)

    # --- the signature ---

    def add(self, query: Query, arguments: Mapping[str, ColumnType]) -> None:
        """Write the signature of one statement."""
        given = [self._argument(argument, arguments[argument.name]) for argument in query.arguments]
        returned = {
            Rows.ONE: "{}",
            Rows.MAYBE: "{} | None",
            Rows.MANY: "list[{}]",
            Rows.COUNT: "int",
            Rows.NOTHING: "None",
        }[query.rows].format(self._name(result_type(query, self.part.model), query.type_name))
        heads = ["db: Executor", "/", *(["*", *given] if given else [])]
        self.functions.append(_signature(query.name, heads, returned))

    def _argument(self, argument: Argument, kind: ColumnType) -> str:
        annotation = self._annotation(kind)
        if argument.nullable and annotation != "Any":
            annotation += " | None"
        return f"{argument.name}: {annotation}{' = None' if argument.condition else ''}"

    def _annotation(self, kind: ColumnType) -> str:
        if kind.labels is not None:
            inner = self._enum(kind)
        elif kind.name in _TYPES:
            inner = self._name(_TYPES[kind.name], None)
        else:
            inner = self._import("typing", "Any")
        return f"{self._import('collections.abc', 'Sequence')}[{inner}]" if kind.array else inner

    def _enum(self, kind: ColumnType) -> str:
        """The enum whose name and labels are those of the database's type; the slice's own where two fit."""
        name = "".join(word.capitalize() for word in kind.name.split("_"))
        fitting = [e for e in self.enums.get(name, ()) if self._agrees(e, kind)]
        own = [e for e in fitting if e.__module__.startswith(f"{self.part.package}.")]
        for members in (own or fitting)[:1]:
            return self._import(members.__module__, members.__name__)
        return "str"

    def _name(self, found: Any, name: str | None) -> str:
        if found is None:
            return ""
        name = name or found.__name__
        module = getattr(found, "__module__", "builtins")
        if getattr(found, "__name__", name) != name:  # an alias, known where the model writes it
            module = typing.cast("types.ModuleType", self.part.model).__name__
        if module == "builtins":
            if found in (dict, list):
                return f"dict[str, {self._any()}]" if found is dict else f"list[{self._any()}]"
            return name
        return self._import(module, name)

    def _any(self) -> str:
        return self._import("typing", "Any")

    def _import(self, module: str, name: str) -> str:
        self.imports.setdefault(module, set()).add(name)
        return name


def _import_order(name: str) -> tuple[int, str, str]:
    """Constants, then classes, then functions, each by the alphabet whatever the case, as ruff sorts them."""
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2), name.lower(), name


def _import(module: str, names: Sequence[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= LINE_LENGTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in names), ")"])


def _signature(name: str, heads: Sequence[str], returned: str) -> str:
    line = f"async def {name}({', '.join(heads)}) -> {returned}: ..."
    if len(line) <= LINE_LENGTH:
        return line
    inner = f"    {', '.join(heads)}"
    lines = [inner] if len(inner) <= LINE_LENGTH else [f"    {head}," for head in heads]
    return "\n".join([f"async def {name}(", *lines, f") -> {returned}: ..."])


def _plain_name(plain: Any) -> str:
    return (
        re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(plain))
        if typing.get_args(plain)
        else getattr(plain, "__name__", str(plain))
    )


# --- The command ------------------------------------------------------------------------------------------------------


async def generate_from(dsn: str, found: Sequence[Slice]) -> Report:
    """Connect to a migrated database and generate the stubs of these slices."""
    connection = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        return await generate(connection, found, TableNames())
    finally:
        await connection.close()


def _generate_on_own_server(found: Sequence[Slice]) -> Report:
    with tempfile.TemporaryDirectory(prefix="storeroom-stubs-") as folder:
        Path(folder).chmod(0o755)  # as root the server runs as another user, who has to come in
        with EmbeddedPostgres(Path(folder) / "postgres", settings={"fsync": "off"}) as server:
            server.ensure_database("stubs")
            asyncio.run(_migrated(server.dsn("stubs")))
            return asyncio.run(generate_from(server.dsn("stubs"), found))


async def _migrated(dsn: str) -> None:
    await migrate(dsn)


def differing(report: Report) -> list[str]:
    """The stubs that are not what would be written."""
    return [str(path) for path, text in report.stubs.items() if not path.exists() or path.read_text("utf-8") != text]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 when every stub is right."""
    parser = argparse.ArgumentParser(prog="python -m storeroom.database.stubs", description="Write queries.pyi.")
    parser.add_argument("slices", nargs="*", help="only these; all without any")
    parser.add_argument("--check", action="store_true", help="write nothing, fail where a stub differs")
    parser.add_argument("--database", metavar="DSN", help="a migrated database; without it one is made and removed")
    options = parser.parse_args(arguments)
    try:
        found, faults = slices(options.slices)
        if options.database:
            report = asyncio.run(generate_from(options.database, found))
        else:
            report = _generate_on_own_server(found)
    except (StoreroomError, asyncpg.PostgresError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    faults += report.faults
    changed = differing(report)
    if options.check:
        faults += [f"{path} differs from queries.sql; run python -m storeroom.database.stubs" for path in changed]
    else:
        for path in changed:
            Path(path).write_text(report.stubs[Path(path)], encoding="utf-8")
            sys.stdout.write(f"{path}\n")
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
