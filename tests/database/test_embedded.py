"""The launcher against real servers: shared, killed, half made, in awkward places, as root and as anybody."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import psutil
import pytest

from storeroom.database import embedded
from storeroom.database.embedded import (
    BinariesMissing,
    CommandFailed,
    EmbeddedPostgres,
    FolderClosed,
    FolderUnusable,
    InvalidSetting,
    WrongVersion,
)

BINARIES = os.environ.get("STOREROOM_TEST_POSTGRES_BIN")
DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
SETTINGS = {"fsync": "off", "shared_buffers": "16MB"}
DEADLINE_S = 120
LAUNCHERS: list[EmbeddedPostgres] = []  # of the running test; what it did not stop is stopped after it

# Another process that holds the server: prints a line per step, ends when its standard input does.
HOLDER = """
import json, os, sys
import subprocess, shutil, tempfile  # loaded while we may still read the interpreter's own folder
from pathlib import Path
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.core.errors import StoreroomError
folder, binaries, settings, uid, before_rename = json.loads(sys.argv[1])
if before_rename:  # goes no further than to a cluster that was made under another name
    Path.rename = lambda *_: sys.stdin.readline()
if uid is not None:
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
server = EmbeddedPostgres(Path(folder), binaries=binaries and Path(binaries), settings=settings)
print("ready", flush=True)
sys.stdin.readline()
try:
    server.start()
except StoreroomError as error:
    sys.exit(f"{error.code}: {error}")
print("started", int((server.data / "postmaster.pid").read_text().split()[0]), flush=True)
sys.stdin.readline()
print("stopped", server.stop(), flush=True)
"""


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder any user can pass through, unlike pytest's own; what still runs below it is ended afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="storeroom-embedded-"))
    folder.chmod(0o755)
    yield folder
    while LAUNCHERS:
        LAUNCHERS.pop().stop()
    for process in processes_below(folder):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: not processes_below(folder), what="the end of what the test left running")
    shutil.rmtree(folder)


def processes_below(folder: Path) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cwd"]) if (p.info["cwd"] or "").startswith(str(folder))]


def launcher(folder: Path, *, binaries: Path | None = None, settings: dict[str, str] | None = None) -> EmbeddedPostgres:
    named = binaries or (Path(BINARIES) if BINARIES else None)
    LAUNCHERS.append(EmbeddedPostgres(folder, binaries=named, settings=SETTINGS | (settings or {})))
    return LAUNCHERS[-1]


def pid_of(server: EmbeddedPostgres) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # nobody may reap it in a container
    except psutil.NoSuchProcess:
        return False


def ask(server: EmbeddedPostgres, question: str, database: str = "postgres") -> object:
    async def answer() -> object:
        connection = await asyncpg.connect(server.dsn(database))
        try:
            return await connection.fetchval(question)
        finally:
            await connection.close()

    with asyncio.Runner() as runner:
        return runner.run(answer())


def until(condition: Callable[[], object], *, what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_S} s"
        os.sched_yield()


class Holder:
    """A process of HOLDER, driven a step at a time."""

    def __init__(self, folder: Path, *, uid: int | None = None, before_rename: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, json.dumps([str(folder), BINARIES, SETTINGS, uid, before_rename])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._hear("ready")

    def _hear(self, word: str) -> str:
        assert self.process.stdout
        said = self.process.stdout.readline().split()
        assert said[:1] == [word], f"expected {word}, heard {said}: {self.end()}"
        return said[-1]

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def started(self) -> int:
        return int(self._hear("started"))

    def stopped(self) -> bool:
        return self._hear("stopped") == "True"

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, errors


def test_it_starts_keeps_its_rows_over_a_stop_and_starts_again(base):
    server = launcher(base / "shop")
    assert not server.running()
    server.start()
    assert server.running()
    assert server.ensure_database("storeroom")
    assert not server.ensure_database("storeroom")
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer", "storeroom")
    assert server.stop()
    assert not server.running()
    with pytest.raises(OSError, match="No such file"):
        ask(server, "SELECT 1")
    assert not server.stop(), "a second stop has nothing to give up"
    server.start()
    assert ask(server, "SELECT answer FROM kept", "storeroom") == 42
    assert server.stop()


def test_only_the_socket_lets_anybody_in(base):
    with launcher(base / "shop") as server:
        assert ask(server, "SHOW listen_addresses") == ""
        sockets = psutil.Process(pid_of(server)).net_connections(kind="inet")
        assert [s for s in sockets if s.status == psutil.CONN_LISTEN] == []
        assert stat.S_IMODE(server.run_dir.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.data.stat().st_mode) == 0o700


def test_of_two_holders_the_last_stops_it(base):
    first, second = launcher(base / "shop"), launcher(base / "shop")
    first.start()
    pid = pid_of(first)
    second.start()
    assert pid_of(second) == pid
    assert not first.stop()
    assert second.running()
    assert ask(second, "SELECT 1") == 1
    assert second.stop()
    until(lambda: not lives(pid), what="the end of the postmaster")


def test_starting_twice_is_one_lease(base):
    server = launcher(base / "shop")
    server.start()
    server.start()
    assert server.stop()


def test_a_fork_does_not_stop_its_parents_server(base):
    script = f"""
import os, sys
from pathlib import Path
from storeroom.database.embedded import EmbeddedPostgres
binaries = {BINARIES!r}
server = EmbeddedPostgres(Path({str(base / "shop")!r}), binaries=binaries and Path(binaries))
server.start()
child = os.fork()
if child == 0:
    os._exit(1 if server.stop() else 0)
assert os.waitpid(child, 0)[1] == 0, "the child stopped it"
assert server.running()
assert server.stop()
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=DEADLINE_S)


def test_a_holder_killed_leaves_a_server_that_the_next_one_reuses_and_stops(base):
    holder = Holder(base / "shop")
    holder.go()
    pid = holder.started()
    holder.process.kill()
    holder.end()
    server = launcher(base / "shop")
    assert server.running()
    server.start()
    assert pid_of(server) == pid
    assert server.stop()
    until(lambda: not lives(pid), what="the end of the postmaster")


@pytest.mark.parametrize("by_whom", ["the holder", "somebody new"])
def test_a_killed_postmaster_is_followed_by_a_new_one_that_lost_nothing_committed(base, by_whom):
    server = launcher(base / "shop", settings={"fsync": "on"})
    server.start()
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    until(lambda: not server.running(), what="the death of the postmaster")
    saviour = server if by_whom == "the holder" else launcher(base / "shop")
    saviour.start()
    assert pid_of(server) != pid
    assert ask(server, "SELECT answer FROM kept") == 42
    assert server.stop() is (saviour is server)
    assert saviour.stop() is (saviour is not server)


def test_a_backend_that_outlives_its_postmaster_is_waited_for(base):
    """Two servers over one folder ruin it: the orphan has the files open, so nothing boots until it is gone."""
    server, saviour = launcher(base / "shop"), launcher(base / "shop")
    server.start()

    async def scenario() -> None:
        connection = await asyncpg.connect(server.dsn("postgres"))
        backend = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
        backend.suspend()  # it cannot notice that its postmaster has gone
        os.kill(pid_of(server), signal.SIGKILL)
        start = asyncio.create_task(asyncio.to_thread(saviour.start))
        try:
            done, _ = await asyncio.wait({start}, timeout=1)
            assert not done
            assert not saviour.running()
        finally:
            backend.resume()
        await asyncio.wait_for(start, DEADLINE_S)
        connection.terminate()

    with asyncio.Runner() as runner:
        runner.run(scenario())
    assert ask(saviour, "SELECT 1") == 1


def test_a_pid_that_went_to_the_server_of_another_folder_is_not_taken_for_ours(base):
    server, other = launcher(base / "shop"), launcher(base / "other")
    server.start()
    remains = (server.data / "postmaster.pid").read_text()
    assert server.stop()
    other.start()
    pid = pid_of(other)
    (server.data / "postmaster.pid").write_text(remains.replace(remains.split()[0], str(pid), 1))
    (server.run_dir / ".s.PGSQL.5432.lock").write_text(f"{pid}\n")
    assert not server.running()
    server.start()
    assert ask(server, "SELECT 1") == 1
    assert pid_of(server) != pid
    assert other.running()


def test_six_processes_at_once_make_one_server_and_the_last_one_out_stops_it(base):
    holders = [Holder(base / "shop") for _ in range(6)]
    for holder in holders:
        holder.go()
    assert len({holder.started() for holder in holders}) == 1
    for holder in holders:
        holder.go()
    assert [holder.stopped() for holder in holders].count(True) == 1
    assert [holder.end()[0] for holder in holders] == [0] * 6
    assert not launcher(base / "shop").running()


def test_a_first_start_killed_halfway_through_initdb_leaves_nothing_in_the_way(base):
    folder = base / "shop"
    holder = Holder(folder, before_rename=True)  # however late it is killed: its cluster has not got its name
    holder.go()
    until(lambda: list(folder.glob("data.new-*/global/pg_control")), what="initdb at work")
    holder.process.kill()
    holder.end()
    assert not (folder / "data").exists()
    server = launcher(folder)
    server.start()
    assert ask(server, "SELECT 1") == 1
    assert server.stop()


def test_a_start_killed_while_the_server_comes_up_is_joined_by_the_next(base):
    """pg_ctl goes on without us: its server is waited for, not raced."""
    first = launcher(base / "shop")
    first.start()
    os.kill(pid_of(first), signal.SIGKILL)
    until(lambda: not first.running(), what="the death of the postmaster")
    holder = Holder(base / "shop")
    before = (first.data / "postmaster.pid").read_text()
    holder.go()
    until(lambda: _changed(first.data / "postmaster.pid", before), what="the new postmaster.pid")
    holder.process.kill()
    holder.end()
    first.start()
    assert ask(first, "SELECT 1") == 1


def test_a_stop_that_lost_its_python_is_not_joined(base):
    """pg_ctl goes on stopping; whoever starts then gets a server that stays."""
    server = launcher(base / "shop")
    holder = Holder(base / "shop")
    holder.go()
    postmaster = psutil.Process(holder.started())
    postmaster.suspend()  # asked to stop, it does not yet
    holder.go()
    python = psutil.Process(holder.process.pid)
    until(lambda: any(_asked_to_stop(child) for child in python.children()), what="pg_ctl stop")
    holder.process.kill()
    holder.end()

    async def scenario() -> None:
        start = asyncio.create_task(asyncio.to_thread(server.start))
        try:
            done, _ = await asyncio.wait({start}, timeout=2)  # pg_ctl reports its progress every second
            assert not done, "joined a server that is about to stop"
        finally:
            postmaster.resume()
        await asyncio.wait_for(start, DEADLINE_S)

    with asyncio.Runner() as runner:
        runner.run(scenario())
    assert pid_of(server) != postmaster.pid
    assert ask(server, "SELECT 1") == 1


def _asked_to_stop(child: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return child.cmdline()[-1:] == ["stop"]
    return False


def _changed(path: Path, before: str) -> bool:
    try:
        return path.read_text() not in {"", before}
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("name", ["with a space", "with 'quotes', a comma and 100%", "mit Äpfeln"])
def test_awkward_names_of_the_folder(base, name):
    with launcher(base / name) as server:
        assert ask(server, "SELECT 1") == 1
        assert server.ensure_database("storeroom")


def test_a_name_that_a_shell_would_read_is_refused_before_anything_is_made(base):
    with pytest.raises(FolderUnusable, match="name"):
        launcher(base / "$HOME").start()
    assert not (base / "$HOME").exists()


def test_a_path_too_long_for_a_socket_gets_a_short_one(base):
    folder = base / ("long" * 20) / ("longer" * 10)
    with launcher(folder) as server:
        assert not server.run_dir.is_relative_to(folder)
        assert stat.S_IMODE(server.run_dir.stat().st_mode) == 0o700
        assert ask(server, "SELECT 1") == 1
        run_dir = server.run_dir
    assert not run_dir.exists()


def test_a_short_socket_folder_that_somebody_else_made_is_refused(base):
    if os.geteuid() != 0:
        pytest.skip("only root can make a folder that belongs to somebody else")
    server = launcher(base / ("long" * 20) / ("longer" * 10))
    server.run_dir.mkdir()
    try:
        os.chown(server.run_dir, 4242, 4242)
        with pytest.raises(FolderUnusable, match="belongs to somebody else"):
            server.start()
    finally:
        server.run_dir.rmdir()


@pytest.mark.parametrize("binaries", [None, DEBIAN_15], ids=["ours", "debian-15"])
def test_text_search_knows_letters_beyond_ascii(base, binaries):
    if binaries is not None and not binaries.is_dir():
        pytest.skip(f"no {binaries}: Debian's postgresql-15 is not installed")
    with launcher(base / "shop", binaries=binaries) as server:
        version = int(str(ask(server, "SHOW server_version_num"))) // 10_000
        assert version == 15 if binaries else version >= 15
        ask(server, "CREATE EXTENSION pg_trgm")
        assert ask(server, "SELECT show_trgm('Юла') <> '{}'") is True
        assert ask(server, "SELECT show_trgm('Юла') = show_trgm('юла')") is True
        assert ask(server, "SELECT show_trgm('naïve') <> show_trgm('nave')") is True
        assert ask(server, "SELECT show_trgm('naïve') <> show_trgm('na ve')") is True
        assert ask(server, "SELECT upper('ï')") == "Ï"
        assert ask(server, "SHOW timezone") == "UTC"


def test_the_data_of_another_major_version_is_refused_untouched(base):
    server = launcher(base / "shop")
    server.start()
    assert server.stop()
    (server.data / "PG_VERSION").write_text("9\n")
    before = {path: path.stat().st_mtime_ns for path in server.data.iterdir()}
    with pytest.raises(WrongVersion, match="pg_upgrade") as refusal:
        server.start()
    assert refusal.value.found == "9"
    assert {path: path.stat().st_mtime_ns for path in server.data.iterdir()} == before
    assert not server.stop(), "a start that failed keeps no lease"


def test_a_folder_full_of_something_else_is_left_alone(base):
    (base / "shop/data").mkdir(parents=True)
    (base / "shop/data/letters.txt").write_text("dear")
    with pytest.raises(FolderUnusable, match="not a PostgreSQL data folder"):
        launcher(base / "shop").start()
    assert (base / "shop/data/letters.txt").read_text() == "dear"


def test_settings_count_from_the_next_boot_and_are_included_once(base):
    with launcher(base / "shop", settings={"max_connections": "17", "application_name": r"O'Neil \ sons"}) as server:
        assert ask(server, "SHOW max_connections") == "17"
        assert ask(server, "SELECT reset_val FROM pg_settings WHERE name = 'application_name'") == r"O'Neil \ sons"
    with launcher(base / "shop", settings={"max_connections": "18"}) as server:
        assert ask(server, "SHOW max_connections") == "18"
        assert (server.data / "postgresql.conf").read_text().count("storeroom.conf") == 1


@pytest.mark.parametrize(
    ("name", "value"), [("listen_addresses", "*"), ("x = 1\ny", "1"), ("log_line_prefix", "a\nfsync = off")]
)
def test_settings_that_are_ours_or_no_settings_are_refused(base, name, value):
    with pytest.raises(InvalidSetting):
        launcher(base / "shop", settings={name: value}).start()
    assert not launcher(base / "shop").running()


def test_a_server_that_does_not_come_up_says_why(base):
    server = launcher(base / "shop", settings={"shared_buffers": "plenty"})
    with pytest.raises(CommandFailed, match='invalid value for parameter "shared_buffers": "plenty"'):
        server.start()
    assert not server.running()
    mended = launcher(base / "shop")
    mended.start()
    assert mended.stop(), "the failed start kept its lease"


def test_missing_programs_are_named(base, monkeypatch):
    monkeypatch.setenv("STOREROOM_POSTGRES_BIN", str(base / "nowhere"))
    with pytest.raises(BinariesMissing, match="nowhere"):
        EmbeddedPostgres(base / "shop").start()


def test_the_environment_names_the_programs(base, monkeypatch):
    if not DEBIAN_15.is_dir():
        pytest.skip(f"no {DEBIAN_15}: Debian's postgresql-15 is not installed")
    monkeypatch.setenv("STOREROOM_POSTGRES_BIN", str(DEBIAN_15))
    with EmbeddedPostgres(base / "shop") as server:
        assert str(ask(server, "SHOW server_version")).startswith("15.")


def test_below_a_closed_folder_root_serves_from_a_namespace_of_its_own(base):
    """As in a folder that `mkdtemp` made: nobody but root may pass, and root may not be who runs the server."""
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's server runs as that user, whom the own folders are open to")
    closed = base / "closed"
    closed.mkdir(mode=0o700)
    first = launcher(closed / "shop")
    with first:
        assert ask(first, "SELECT 1") == 1
        assert stat.S_IMODE(first.run_dir.stat().st_mode) == 0o700
        os.kill(pid_of(first), signal.SIGKILL)
        until(lambda: not first.running(), what="the death of the postmaster")
        first.start()
        assert ask(first, "SELECT 1") == 1
        with launcher(closed / "shop") as second:
            assert pid_of(second) == pid_of(first)
    assert not first.running()
    with launcher(closed / "shop") as again:
        assert ask(again, "SELECT 1") == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700, "no folder but our own is opened"


def test_below_a_closed_folder_root_is_told_which_and_what_to_set(base, monkeypatch):
    """Where the system has no user namespaces."""
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's server runs as that user, whom the own folders are open to")
    monkeypatch.setattr(embedded, "_has_user_namespaces", lambda: False)
    closed = base / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(FolderClosed, match="STOREROOM_DATA_DIR") as refusal:
        launcher(closed / "shop").start()
    assert refusal.value.closed == str(closed)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700, "no folder but our own is opened"


@pytest.fixture
def anybody() -> int:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; the other tests ran as an ordinary one")
    return pwd.getpwnam("nobody").pw_uid


def test_as_an_ordinary_user(base, anybody):
    folder = base / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, anybody, anybody)
    holder = Holder(folder, uid=anybody)
    holder.go()
    assert psutil.Process(holder.started()).uids().real == anybody
    holder.go()
    assert holder.stopped()
    assert holder.end()[0] == 0


def test_an_ordinary_user_is_told_of_a_folder_that_is_not_theirs(base, anybody):
    (base / "roots").mkdir(mode=0o755)
    holder = Holder(base / "roots", uid=anybody)
    holder.go()
    code, errors = holder.end()
    assert code == 1
    assert errors.startswith("database.embedded_folder_closed: ")
    assert "STOREROOM_DATA_DIR" in errors


def test_root_serves_the_data_of_an_ordinary_user_as_that_user(base, anybody):
    """`sudo storeroom …` over somebody's folder must not leave files there which they cannot open."""
    folder = base / "theirs"
    folder.mkdir(mode=0o755)
    os.chown(folder, anybody, anybody)
    for who in (anybody, None, anybody):
        holder = Holder(folder, uid=who)
        holder.go()
        assert psutil.Process(holder.started()).uids().real == anybody
        holder.go()
        assert holder.stopped()
        assert holder.end()[0] == 0


def test_as_root_the_server_is_not(base):
    if os.geteuid() != 0:
        pytest.skip("not root")
    with launcher(base / "shop") as server:
        assert psutil.Process(pid_of(server)).uids().real != 0


def test_the_run_has_one_server(postgres):
    assert postgres.running()
    assert ask(postgres, "SHOW fsync") == "off"
