"""The server as a process of its own, to be asked over a real socket and to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

import mapped
from ports import free_port

START_DEADLINE_S = 120.0
STOP_DEADLINE_S = 60.0


class ServerProcess:
    """`storeroom serve` on a port of its own, with the embedded PostgreSQL of its data folder unless `env` names another."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.arguments = arguments
        kept = {name: value for name, value in os.environ.items() if not name.startswith("STOREROOM_")}
        self.env = {
            **kept,
            **mapped.environment(),
            "STOREROOM_DATA_DIR": str(folder),
            "STOREROOM_PORT": str(self.port),
            **env,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "serve.log").open("ab") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).parent / "storeroom", "serve", *self.arguments],
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_DEADLINE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended: {self.log()[-3000:]}")
            try:
                if httpx.get(f"{self.url}/ready", timeout=10).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self.process.terminate()  # else it goes on after the test
        raise AssertionError(f"the server does not answer: {self.log()[-3000:]}")

    def kill(self) -> None:
        """SIGKILL to the server and every process of its group; its PostgreSQL lives in another."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_DEADLINE_S)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(STOP_DEADLINE_S)

    def log(self) -> str:
        return (self.folder / "serve.log").read_text(errors="replace")
