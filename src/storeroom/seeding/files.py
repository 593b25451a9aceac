"""Finds the seed files of an environment and puts what they say into the order of planting."""

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import msgspec

from storeroom.seeding.errors import SeedFileInvalid, SeedFilesMissing, UnknownEnvironment
from storeroom.seeding.model import FILE_BYTES_MAX, ROWS_MAX, TABLES, Environment, SeedData

_NAME: Final = re.compile(r"(\d{3})_[a-z0-9_]+\.toml")


class SeedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was read."""

    name: str  # folder and name
    checksum: str
    data: SeedData


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One table of one file."""

    file: str
    table: str
    checksum: str  # of the file
    rows: list[Any]

    @property
    def name(self) -> str:
        """Under which it is remembered."""
        return f"{self.file}:{self.table}"


def seeds_folder() -> Path:
    """The seeds that come with storeroom: in the installed package, or in the repository beside the source."""
    package = Path(str(files("storeroom")))
    installed = package / "_seeds"
    return installed if installed.is_dir() else package.parents[1] / "seeds"


def environment_of(name: str) -> Environment:
    """The environment of this name. Raises UnknownEnvironment."""
    try:
        return Environment(name)
    except ValueError:
        raise UnknownEnvironment(environment=name, known=[*Environment]) from None


def read_environment(environment: Environment, folder: Path | None = None) -> list[SeedFile]:
    """The files of `base`, then those of the environment, each in the order of their numbers.

    Raises:
        SeedFilesMissing: there is no such folder.
        SeedFileInvalid: a file is wrong, has no number, or shares it.
    """
    root, found = folder or seeds_folder(), []
    for part in dict.fromkeys((Environment.BASE, environment)):
        if not (root / part).is_dir():
            raise SeedFilesMissing(path=str(root / part))
        numbers: dict[str, str] = {}
        for path in sorted((root / part).glob("*.toml")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                raise SeedFileInvalid(file=f"{part}/{path.name}", reason="call it as in 010_test_users.toml")
            if (other := numbers.setdefault(match[1], path.name)) != path.name:
                raise SeedFileInvalid(file=f"{part}/{path.name}", reason=f"{other} has the same number")
            found.append(read_file(path))
    return found


def read_file(path: Path) -> SeedFile:
    """One file. Raises SeedFilesMissing, SeedFileInvalid."""
    name = f"{path.parent.name}/{path.name}"
    try:
        with path.open("rb") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise SeedFilesMissing(path=str(path)) from error
    if len(text) > FILE_BYTES_MAX:
        raise SeedFileInvalid(file=name, reason=f"larger than {FILE_BYTES_MAX} bytes")
    try:
        data = msgspec.toml.decode(text, type=SeedData)
    except msgspec.DecodeError as error:  # msgspec's ValidationError, which names the place, is one too
        raise SeedFileInvalid(file=name, reason=str(error)) from error
    for table in TABLES:
        if len(getattr(data, table)) > ROWS_MAX:
            raise SeedFileInvalid(file=name, reason=f"{table} has more than {ROWS_MAX} rows")
    return SeedFile(name=name, checksum=hashlib.sha256(text).hexdigest(), data=data)


def sections(files: Sequence[SeedFile]) -> list[Section]:
    """What is planted, in order: table by table as SeedData has them, within a table file by file.

    So a file may say things in any order, and 010_test_users may come before the products of 011.

    Raises:
        SeedFileInvalid: two rows of a table have the same key.
    """
    found, seen = [], set()
    for table in TABLES:
        for file in files:
            rows = getattr(file.data, table)
            if not rows:
                continue
            for row in rows:
                key = getattr(row, "key", None) or getattr(row, "user", None) or row.status
                if (table, key) in seen:
                    raise SeedFileInvalid(file=file.name, reason=f"{table}: {key} is there twice")
                seen.add((table, key))
            found.append(Section(file=file.name, table=table, checksum=file.checksum, rows=rows))
    return found
