"""What people and programs read: tables and lines for the ones, JSON for the others, refusals on standard error."""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from storeroom.core.errors import StoreroomError

WIDTH: Final = 140  # of tables that go into a file or a pipe


def say(text: str) -> None:
    """A line for people."""
    sys.stdout.write(f"{text}\n")


def warn(text: str) -> None:
    """A line beside the answer."""
    sys.stderr.write(f"{text}\n")


def complain(error: StoreroomError) -> None:
    """One line that says what was refused, and the code to look it up by."""
    text = " ".join(str(error).split())
    warn(f"storeroom: {text} [{error.code}]")


def show_json(value: object) -> None:
    """A value for programs: JSON, indented, and nothing else on standard output."""
    say(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Rows for people; `empty` where there are none."""
    from rich import box  # noqa: PLC0415  # not every command shows a table
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415  # what came from a shop is no markup

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    if not table.rows:
        say(empty)
        return
    Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
