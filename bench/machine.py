"""The machine that was measured, and PostgreSQL on it: a ratio without them says little."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import psutil

from storeroom import __version__

SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size", "checkpoint_timeout")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except FileNotFoundError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def load() -> str:
    """Over 1, 5 and 15 minutes. More than a little before the run means that somebody else was at work."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


async def machine(dsn: str) -> dict[str, str]:
    """What there is to know, for people."""
    connection = await asyncpg.connect(dsn)
    try:
        version = await connection.fetchval("SHOW server_version")
        settings = {name: await connection.fetchval(f"SHOW {name}") for name in SETTINGS}
    finally:
        await connection.close()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "storeroom": __version__,
        "processor": f"{os.cpu_count()} x {_processor()}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load before": load(),
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": f"{version}, {', '.join(f'{name} = {value}' for name, value in settings.items())}",
    }
