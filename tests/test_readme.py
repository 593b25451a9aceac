"""The README is true: its commands and its program are run as they are printed."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from process import ServerProcess

README = (Path(__file__).parent.parent / "README.md").read_text()
PYTHON = Path(sys.executable).parent
PATIENCE_S = 120
pytestmark = pytest.mark.timeout(600)  # a whole installation is made first


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    folder = Path(tempfile.mkdtemp(prefix="storeroom-readme-"))
    folder.chmod(0o755)  # as root, PostgreSQL runs as another user
    process = ServerProcess(folder, "--demo")
    process.start()
    yield process
    assert process.stop() == 0
    shutil.rmtree(folder)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_what_is_pasted_from_the_readme_sells_something(server: ServerProcess, tmp_path: Path) -> None:
    """Only the address and the password differ: both depend on who runs it."""
    look_and_order, verify, import_and_examine = blocks("bash")
    password = re.search(r"password\s+(\S+)", server.log())
    assert password is not None
    script = (look_and_order + verify).replace("http://127.0.0.1:8000", server.url)
    script = script.replace("the-one-that-was-printed", password.group(1))
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    placed = json.loads((tmp_path / "order.json").read_text())
    assert placed["order"]["status"] == "pending_payment"
    assert placed["order"]["subtotal"] == {"amount": 4800, "currency": "USD"}
    assert '"status":"awaiting_verification"' in done.stdout
    assert '"status":"completed"' in done.stdout
    assert '"status":"payment_received"' in done.stdout.rsplit("}{", 1)[-1]

    catalogue = Path(__file__).parent / "catalog" / "fixtures" / "readme.csv"
    shutil.copy(catalogue, tmp_path / "products.csv")
    script = import_and_examine.replace(".venv/bin/storeroom", str(PYTHON / "storeroom"))
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env=server.env,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout + done.stderr
    sold = httpx.get(f"{server.url}/v1/products/readme-scarf", timeout=30).json()
    assert sold["variants"][0]["price"] == {"amount": 1950, "currency": "USD"}


def test_what_is_pasted_from_the_first_page_places_an_order(server: ServerProcess) -> None:
    page = html.unescape(httpx.get(server.url, timeout=30).text)
    (command,) = re.findall(r"<pre>\s*(curl .*?)</pre>", page, re.DOTALL)
    done = subprocess.run(["bash", "-euc", command], capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert json.loads(done.stdout)["order"]["status"] == "pending_payment"


def test_the_process_shows_what_its_worker_does(server: ServerProcess) -> None:
    shown = re.compile(r'^storeroom_job_last_success_timestamp_seconds\{job="orders.fill_search"\} \d', re.MULTILINE)
    until = time.monotonic() + PATIENCE_S
    while not shown.search(httpx.get(f"{server.url}/metrics", timeout=30).text):  # its worker begins when it listens
        assert time.monotonic() < until
        time.sleep(0.1)


def test_the_program_of_the_readme_places_an_order(server: ServerProcess, tmp_path: Path) -> None:
    (program,) = blocks("python")
    (tmp_path / "sell.py").write_text(program)
    url = subprocess.run(
        [PYTHON / "storeroom", "db", "url"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=True,
        env=server.env,
    ).stdout.strip()
    done = subprocess.run(
        [sys.executable, "sell.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**server.env, "STOREROOM_DATABASE_URL": url},
    )
    assert done.returncode == 0, done.stderr
    assert re.match(r"field-notebook \S{9} \$41\.90\n", done.stdout)
    assert "reserved=3" in done.stdout


@pytest.mark.parametrize("page", re.findall(r"`(docs/[\w./-]+)`", README))
def test_the_pages_it_names_are_there(page: str) -> None:
    assert (Path(__file__).parent.parent / page).is_file()
