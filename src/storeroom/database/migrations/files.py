"""What a release consists of for the database: its migrations and functions, as they stand in their files."""

import hashlib
import itertools
import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final, cast

import msgspec

from storeroom.database.migrations.errors import FunctionFileInvalid, MigrationMissing

RUNNERS_OWN: Final = frozenset({"schema_functions", "schema_migrations"})

_FILE: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
_NO_TRANSACTION: Final = re.compile(r"^--\s*transaction:\s*none\s*$", re.MULTILINE)
_FUNCTION: Final = re.compile(
    r"^CREATE(?P<replace> OR REPLACE)? (?:FUNCTION|PROCEDURE) \{(?P<name>\w+)\}", re.MULTILINE
)
_FUNCTION_LOOSE: Final = re.compile(
    r"^\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b", re.MULTILINE | re.IGNORECASE
)
_VERSIONED: Final = re.compile(r".*_v[1-9][0-9]*")
_TABLE: Final = re.compile(r"\bCREATE (?:UNLOGGED )?TABLE (?:IF NOT EXISTS )?\{(\w+)\}|\bRENAME TO \{(\w+)\}")
_VIEW: Final = re.compile(r"\bCREATE (?:OR REPLACE )?(?:MATERIALIZED )?VIEW (?:IF NOT EXISTS )?\{(\w+)\}")
_BRACED: Final = re.compile(r"\{([a-z_]\w*)\}")
TRAILING_COMMENTS: Final = re.compile(r"(?:\s*--[^\n]*)*\s*\Z")

BOOTSTRAP: Final = """
CREATE TABLE IF NOT EXISTS {schema_migrations} (
    version      INTEGER NOT NULL,
    name         TEXT NOT NULL,
    checksum     TEXT NOT NULL,
    duration     INTERVAL NOT NULL,
    applied_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {schema_migrations_pkey} PRIMARY KEY (version)
);
CREATE TABLE IF NOT EXISTS {schema_functions} (
    name         TEXT NOT NULL,
    checksum     TEXT NOT NULL,
    applied_at   TIMESTAMPTZ NOT NULL DEFAULT now(),

    CONSTRAINT {schema_functions_pkey} PRIMARY KEY (name)
);
"""


class Migration(msgspec.Struct, frozen=True, kw_only=True):
    """One file of `migrations/`."""

    version: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """Of the text as it is in the file, whatever the tables are called here."""
        return _checksum(self.text)

    @property
    def in_transaction(self) -> bool:
        """False where its header says `-- transaction: none`."""
        return _NO_TRANSACTION.search(self.text[:2000]) is None


class Function(msgspec.Struct, frozen=True, kw_only=True):
    """One statement of a `functions.sql`, from its CREATE to the comment before the next."""

    name: str
    text: str
    file: str
    replaceable: bool

    @property
    def checksum(self) -> str:
        """Of the text as it is in the file."""
        return _checksum(self.text)


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """What a release consists of for the database."""

    migrations: tuple[Migration, ...]
    functions: tuple[Function, ...] = ()

    @classmethod
    def read(cls, root: Traversable) -> "Sources":
        """Take `migrations/*.sql` and `*/functions.sql` below a folder.

        Raises:
            MigrationMissing: the numbers have a gap, or one is there twice.
            FunctionFileInvalid: a functions.sql is not a list of CREATE FUNCTION statements, or a name comes twice.
        """
        migrations = sorted(_migrations(root / "migrations"), key=lambda m: m.version)
        for place, migration in enumerate(migrations, start=1):
            if migration.version != place:
                twice = migration.version < place
                raise MigrationMissing(
                    version=migration.version if twice else place,
                    reason="two files have this number" if twice else "there is no such file, but there are later ones",
                )
        functions: list[Function] = []
        for folder in sorted((entry for entry in root.iterdir() if entry.is_dir()), key=lambda entry: entry.name):
            source = folder / "functions.sql"
            if source.is_file():
                functions.extend(_functions(source.read_text(encoding="utf-8"), f"{folder.name}/functions.sql"))
        seen: dict[str, str] = {}
        for function in functions:
            if seen.setdefault(function.name, function.file) != function.file or (
                sum(other.name == function.name for other in functions) > 1
            ):
                raise FunctionFileInvalid(file=function.file, reason=f"{function.name} is defined twice")
        return cls(migrations=tuple(migrations), functions=tuple(functions))

    @classmethod
    def packaged(cls) -> "Sources":
        """Those of this release."""
        return _packaged()

    @property
    def newest(self) -> int:
        """The number of the last migration; 0 where there is none."""
        return self.migrations[-1].version if self.migrations else 0

    def tables(self) -> frozenset[str]:
        """Every table they make, by the name in braces."""
        found = (a or b for m in self.migrations for a, b in _TABLE.findall(m.text))
        return frozenset(found) | RUNNERS_OWN

    def views(self) -> frozenset[str]:
        """Every view they make."""
        return frozenset(name for m in self.migrations for name in _VIEW.findall(m.text))

    def names(self) -> frozenset[str]:
        """Everything that they write in braces, so all that may be called otherwise."""
        texts = [BOOTSTRAP, *(m.text for m in self.migrations), *(f.text for f in self.functions)]
        return frozenset(name for text in texts for name in _BRACED.findall(text))

    def function_names(self) -> frozenset[str]:
        """Every function they make, in migrations too."""
        early = {match["name"] for m in self.migrations for match in _FUNCTION.finditer(m.text)}
        return frozenset(early | {function.name for function in self.functions})


def _migrations(folder: Traversable) -> Iterator[Migration]:
    for entry in folder.iterdir():
        if not entry.name.endswith(".sql"):
            continue
        match = _FILE.fullmatch(entry.name)
        if match is None:
            raise MigrationMissing(version=0, reason=f"{entry.name} is not called NNNN_name.sql")
        yield Migration(version=int(match[1]), name=match[2], text=entry.read_text(encoding="utf-8"))


def _functions(text: str, file: str) -> Iterator[Function]:
    starts = list(_FUNCTION.finditer(text))
    if len(starts) != len(_FUNCTION_LOOSE.findall(text)):
        raise FunctionFileInvalid(
            file=file, reason="each begins a line with CREATE FUNCTION {name}, its name in braces"
        )
    if not TRAILING_COMMENTS.fullmatch("\n" + text[: starts[0].start() if starts else None]):
        raise FunctionFileInvalid(file=file, reason="only functions stand here; before the first is other text")
    for start, following in itertools.zip_longest(starts, starts[1:]):
        body = text[start.start() : following.start() if following else None]
        body = body[: cast("re.Match[str]", TRAILING_COMMENTS.search(body)).start()].rstrip()
        name, replaceable = start["name"], start["replace"] is not None
        if replaceable == (_VERSIONED.fullmatch(name) is not None):
            rule = "a version ends in its name (_v1) and is CREATE FUNCTION, any other is CREATE OR REPLACE FUNCTION"
            raise FunctionFileInvalid(file=file, reason=f"{name}: {rule}")
        yield Function(name=name, text=body, file=file, replaceable=replaceable)


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()  # read with universal newlines


@cache
def _packaged() -> Sources:
    return Sources.read(files("storeroom"))
