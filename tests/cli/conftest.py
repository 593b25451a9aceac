"""Installations to run commands on."""

import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from terminal import Terminal


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """For an embedded server: as root it runs as another user, who has to get through."""
    folder = Path(tempfile.mkdtemp(prefix="storeroom-cli-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
async def terminal(fresh_database: Callable[..., Awaitable[str]]) -> Terminal:
    """On a migrated, empty database of the test's own."""
    return Terminal({"STOREROOM_DATABASE_URL": await fresh_database()})
