"""Writes the pages of the manual that follow from the code, or says which are out of date.

    python docs/generate.py            write docs/data-model.md, docs/states.md, docs/errors/*.md
    python docs/generate.py --check    exit 1, naming every page that differs

The data model is read from a live, migrated database (an embedded one, made for this); states and errors from the code.
"""

import argparse
import asyncio
import importlib
import inspect
import pkgutil
import re
import sys
import tempfile
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

import asyncpg

import storeroom
from storeroom.core.errors import StoreroomError
from storeroom.core.states import mermaid
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import migrate
from storeroom.web.problems import status_of

DOCS = Path(__file__).resolve().parent
MIGRATIONS = Path(storeroom.__file__).parent / "migrations"
GENERATED = "<!-- Written by docs/generate.py from the code. Do not edit. -->\n"


def main() -> int:
    """Write the pages, or compare them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, write nothing, exit 1 where something differs")
    check = parser.parse_args().check
    modules = list(every_module())
    pages = {DOCS / "data-model.md": asyncio.run(data_model()), DOCS / "states.md": states(modules)}
    pages |= {
        DOCS / "errors" / f"{code}.md": error_page(error) for code, error in sorted(StoreroomError.by_code.items())
    }
    pages[DOCS / "errors" / "README.md"] = error_index()
    stale = [path for path in (DOCS / "errors").glob("*.md") if path not in pages]
    changed = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    if check:
        for path in changed + stale:
            print(f"out of date: {path.relative_to(DOCS.parent)}", file=sys.stderr)
        return 1 if changed or stale else 0
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages[path])
    for path in stale:
        path.unlink()
    print(f"{len(changed)} pages written, {len(stale)} removed, {len(pages) - len(changed)} as they were")
    return 0


def every_module() -> Iterator[object]:
    """Import all of the package, so that each error and each table of moves is known."""
    for found in pkgutil.walk_packages(storeroom.__path__, "storeroom."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


# --- States -----------------------------------------------------------------------------------------------------------


def states(modules: list[object]) -> str:
    """A diagram and a table for every `…_MOVES`."""
    text = [GENERATED, "# States and their moves\n"]
    text.append(
        "The tables of moves are data in each slice's `model.py`; statements carry the allowed sources in their WHERE.\n"
    )
    tables = {
        name: moves
        for module in modules
        for name, moves in vars(module).items()
        if name.endswith("_MOVES") and name[0] != "_"
    }
    for name, moves in sorted(tables.items()):
        states_ = list(moves)
        kind: type[Enum] = type(states_[0])
        text.append(f"## {kind.__name__} (`{name}`)\n")
        text.append(f"{inspect.cleandoc(kind.__doc__ or '')}\n")
        text.append(f"```mermaid\n{mermaid(moves).strip()}\n```\n")
        said = comments_of(kind)
        text.append("| state | means | goes on to |\n|---|---|---|")
        for state in states_:
            onward = ", ".join(f"`{to.value}`" for to in kind if to in moves[state]) or "nothing: final"
            text.append(f"| `{state.value}` | {said.get(state.name, '')} | {onward} |")
        text.append("")
    return "\n".join(text)


def comments_of(kind: type[Enum]) -> dict[str, str]:
    """What the source says beside each member."""
    return dict(re.findall(r"^    ([A-Z_]+) = .*?#\s*(.+)$", inspect.getsource(kind), re.MULTILINE))


# --- Errors -----------------------------------------------------------------------------------------------------------


def error_page(error: type[StoreroomError]) -> str:
    """What a caller wants to know of one code."""
    facts = [name for name in inspect.signature(error.__init__).parameters if name != "self"]
    lines = [GENERATED, f"# {error.code}\n", inspect.cleandoc(error.__doc__ or "") + "\n"]
    lines.append(f"- HTTP status: {status_of(error)}")
    lines.append(f"- The same call may succeed later: {'yes' if error.transient else 'no'}")
    lines.append(f"- In Python: `{error.__module__}.{error.__qualname__}`, a kind of `{kind_of(error)}`")
    if facts:
        lines.append(
            f"- Made from: {', '.join(f'`{name}`' for name in facts)}; what it knows stands in the problem's body"
        )
    return "\n".join(lines) + "\n"


def error_index() -> str:
    """All codes, by room."""
    lines = [GENERATED, "# Errors\n"]
    lines.append(
        "Every refusal is an `application/problem+json` (RFC 9457) with a `code` that is never renamed and never reused."
    )
    lines.append("Branch on the code, not on the text.\n")
    lines.append("| code | status | meaning |\n|---|---|---|")
    for code, error in sorted(StoreroomError.by_code.items()):
        meaning = inspect.cleandoc(error.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        lines.append(f"| [{code}]({code}.md) | {status_of(error)} | {meaning} |")
    return "\n".join(lines) + "\n"


def kind_of(error: type[StoreroomError]) -> str:
    """The nearest base that has no code of its own."""
    return next(base.__name__ for base in error.__mro__[1:] if "code" not in base.__dict__ or base is StoreroomError)


# --- The data model ---------------------------------------------------------------------------------------------------


async def data_model() -> str:
    """Tables by migration, with their columns, constraints and indexes, and a diagram of who refers to whom."""
    with tempfile.TemporaryDirectory(prefix="storeroom-docs-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # as root, the server runs as another user
        with EmbeddedPostgres(folder / "postgres", settings={"fsync": "off"}) as server:
            server.ensure_database("docs")
            await migrate(server.dsn("docs"))
            connection = await asyncpg.connect(server.dsn("docs"))
            try:
                return await drawn(connection)
            finally:
                await connection.close()


COLUMNS = """
SELECT c.relname AS tbl, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS required,
       pg_get_expr(d.adbin, d.adrelid) AS expression, a.attgenerated <> '' AS generated
  FROM pg_class c
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
 WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
 ORDER BY c.relname, a.attnum
"""
CONSTRAINTS = """
SELECT k.conrelid::regclass::text AS tbl, k.conname AS name, k.contype::text AS kind, k.confrelid::regclass::text AS target,
       pg_get_constraintdef(k.oid) AS definition
  FROM pg_constraint k
 WHERE k.connamespace = 'public'::regnamespace AND k.conrelid <> 0 AND k.contype IN ('p', 'u', 'f', 'c')
 ORDER BY 1, array_position(ARRAY['p', 'u', 'f', 'c'], k.contype::text), 2
"""
INDEXES = """
SELECT i.indrelid::regclass::text AS tbl, i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
  FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid
 WHERE c.relnamespace = 'public'::regnamespace
   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u'))
 ORDER BY 1, 2
"""
ENUMS = """
SELECT t.typname AS name, array_agg(e.enumlabel ORDER BY e.enumsortorder) AS labels
  FROM pg_type t
  JOIN pg_enum e ON e.enumtypid = t.oid
 GROUP BY t.typname
 ORDER BY t.typname
"""


async def drawn(connection: asyncpg.Connection) -> str:
    """The page."""
    columns, constraints = await connection.fetch(COLUMNS), await connection.fetch(CONSTRAINTS)
    indexes, enums = await connection.fetch(INDEXES), await connection.fetch(ENUMS)
    text = [GENERATED, "# The data model\n"]
    text.append("Read from a migrated database. `tenant_id` comes first in every key and is left out of the diagrams.")
    text.append("Money is a BIGINT of the smallest unit beside its `currency`; ids are UUIDv7 from the application.\n")
    for file in sorted(MIGRATIONS.glob("*.sql")):
        source = file.read_text()
        tables = re.findall(r"^CREATE (?:TABLE|VIEW) \{(\w+)\}", source, re.MULTILINE)
        if not tables:
            continue
        text.append(f"## {file.stem}\n")
        text.append(first_sentence(source) + "\n")
        text += diagram(tables, constraints)
        for table in tables:
            text.append(f"### {table}\n")
            text.append("| column | type | | default |\n|---|---|---|---|")
            text += [column_row(row) for row in columns if row["tbl"] == table]
            text.append("")
            text += [f"- `{row['name']}`: `{row['definition']}`" for row in constraints if row["tbl"] == table]
            text += [f"- `{row['name']}`: `{short(row['definition'])}`" for row in indexes if row["tbl"] == table]
            text.append("")
    text.append("## Enumerated types\n")
    text += [f"- `{row['name']}`: {', '.join(row['labels'])}" for row in enums]
    return "\n".join(text) + "\n"


def first_sentence(source: str) -> str:
    """The opening comment of a migration, without its note on locks."""
    comment = re.match(r"(?:--.*\n)+", source)
    lines = [] if comment is None else [line.removeprefix("--").strip() for line in comment.group().splitlines()]
    kept = []
    for line in lines:
        if line.startswith("Lock:"):
            break
        kept.append(line)
    return " ".join(kept)


def diagram(tables: list[str], constraints: list[asyncpg.Record]) -> list[str]:
    """Who refers to whom, as far as one of them is in this file."""
    edges = {
        (row["target"], row["tbl"], row["name"]) for row in constraints if row["kind"] == "f" and row["tbl"] in tables
    }
    if not edges:
        return []
    drawn_ = [
        f"    {target} ||--o{{ {source} : {name.removeprefix(source + '_').removesuffix('_fkey')}"
        for target, source, name in sorted(edges)
    ]
    return ["```mermaid", "erDiagram", *drawn_, "```", ""]


def column_row(row: asyncpg.Record) -> str:
    """One column of one table."""
    expression = (row["expression"] or "").replace("|", "\\|")
    default = f"always `{expression}`" if row["generated"] else f"`{expression}`" if expression else ""
    return f"| {row['name']} | {row['type']} | {'required' if row['required'] else ''} | {default} |"


def short(definition: str) -> str:
    """An index's definition without what its heading says already."""
    return re.sub(r"^CREATE (UNIQUE )?INDEX \S+ ON \S+ USING ", r"\1", definition)


if __name__ == "__main__":
    sys.exit(main())
