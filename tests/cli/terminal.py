"""The real command line, run as a process of its own on a data folder or a database."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

import mapped

TIMEOUT_S = 120.0
PROGRAM = (sys.executable, "-c", "from storeroom.cli import main; main()")


@dataclass
class Terminal:
    """What somebody at a terminal of one installation sees; `environment` are its STOREROOM_… variables."""

    environment: dict[str, str]
    base: dict[str, str] = field(
        default_factory=lambda: (
            {k: v for k, v in os.environ.items() if not k.startswith("STOREROOM_")} | mapped.environment()
        )
    )

    @property
    def variables(self) -> dict[str, str]:
        return self.base | self.environment

    def run(self, *arguments: str | Path, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        """One command, to its end. A traceback is never an answer."""
        done = subprocess.run(
            [*PROGRAM, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            env=self.variables | variables,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def text(self, *arguments: str | Path, **options: str) -> str:
        """The output of a command that succeeds."""
        done = self.run(*arguments, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *arguments: str | Path, status: int = 0, **options: str) -> Any:
        """The same for programs: nothing but JSON on standard output."""
        done = self.run(*arguments, "--json", **options)
        assert done.returncode == status, done.stderr
        return msgspec.json.decode(done.stdout)

    def refused(self, *arguments: str | Path, code: str, **options: str) -> str:
        """The one line of a command that was refused: status 1, its code, nothing on standard output."""
        done = self.run(*arguments, **options)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("storeroom: ")
        assert line.endswith(f"[{code}]")
        return line
