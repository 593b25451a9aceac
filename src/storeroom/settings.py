"""What an installation is told by its environment: variables that begin with STOREROOM_."""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final, Self, TypeVar

import msgspec

from storeroom.core.errors import Misconfigured
from storeroom.core.networks import Network, networks
from storeroom.core.secrets import Secret
from storeroom.core.senders import Mailbox, SmsGateway, SmtpServer
from storeroom.database.names import TableNames
from storeroom.database.partitions import MONTHS_KEPT_MAX, MONTHS_KEPT_MIN
from storeroom.database.pool import POOL_SIZE_MAX

HOST_DEFAULT: Final = "127.0.0.1"
PORT_DEFAULT: Final = 8000
DATA_DIR_DEFAULT: Final = "data"
DATABASE_NAME: Final = "storeroom"  # of the embedded server
POOL_SIZE_LIMIT: Final = 200
PROXIES_MAX: Final = 10
FLOOD_REQUESTS_DEFAULT: Final = 3000  # of one address in ten seconds
KEY_CALLS_DEFAULT: Final = 1200  # a minute, over all servers
ACCOUNT_CALLS_DEFAULT: Final = 1200
ADDRESS_CALLS_DEFAULT: Final = 3000  # many people may share one
CALLS_MAX: Final = 1_000_000
SECRET_LENGTH_MIN: Final = 32
SECRET_LETTERS_MIN: Final = 12  # different ones, in production
SAMPLE_WORDS: Final = ("change", "default", "example", "password", "secret", "storeroom", "01234567", "abcdefgh")
OTHER_SECRETS_MAX: Final = 5
ARCHIVAL_RETENTION_DEFAULT: Final = timedelta(hours=2160)
ARCHIVAL_INTERVAL_DEFAULT: Final = timedelta(hours=24)
ARCHIVAL_RETENTION_MIN: Final = timedelta(hours=1)
ARCHIVAL_INTERVAL_MIN: Final = timedelta(seconds=1)
ARCHIVAL_MAX: Final = timedelta(days=3650)
SECRET_FILE: Final = "secret"  # noqa: S105  # the name of a file

T = TypeVar("T")


class SettingInvalid(Misconfigured):
    """A variable of the environment cannot be read."""

    code = "settings.invalid"

    def __init__(self, *, variable: str, reason: str) -> None:
        super().__init__(f"{variable}: {reason}")
        self.variable, self.reason = variable, reason


class SecretMissing(Misconfigured):
    """A server in production needs a secret that it was given, not one that it made."""

    code = "settings.secret_missing"

    def __init__(self) -> None:
        super().__init__(
            f"STOREROOM_SECRET: production needs one of {SECRET_LENGTH_MIN} characters or more, the same on all servers"
        )


class Mode(StrEnum):
    """How much a server may make up by itself."""

    DEVELOPMENT = "development"  # makes its secret, plants a demonstration shop
    PRODUCTION = "production"  # is told everything that matters


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is configured. `docs/configuration.md` lists the variables."""

    mode: Mode = Mode.DEVELOPMENT
    host: str = HOST_DEFAULT
    port: int = PORT_DEFAULT
    data_dir: Path = Path(DATA_DIR_DEFAULT)
    database_url: str | None = None  # None: an embedded PostgreSQL below data_dir
    direct_database_url: str | None = None  # past a pooler, to migrate and to listen
    statement_cache: bool = True  # off behind PgBouncer in transaction mode
    names: TableNames = TableNames()
    pool_size: int = POOL_SIZE_MAX
    migrate: bool = True  # the server migrates when it starts
    worker: bool = True  # the server runs the worker too
    secret: Secret | None = None  # signs and seals
    other_secrets: tuple[Secret, ...] = ()  # open as well, while one is replaced
    files_url: str | None = None  # where proofs are kept; None: a folder below data_dir
    trusted_proxies: int = 0  # of our own, each adds an address to X-Forwarded-For
    flood_requests: int = FLOOD_REQUESTS_DEFAULT  # 0: no limit
    archival_enabled: bool = False  # the worker moves old payments from wallets out of the ledger
    archival_retention: timedelta = ARCHIVAL_RETENTION_DEFAULT  # those older than this
    archival_interval: timedelta = ARCHIVAL_INTERVAL_DEFAULT  # so often
    key_calls: int = KEY_CALLS_DEFAULT  # a minute; 0: no limit, as for the two below
    account_calls: int = ACCOUNT_CALLS_DEFAULT
    address_calls: int = ADDRESS_CALLS_DEFAULT
    events_months: int = 0  # whole months of events that are kept before this one; 0: all
    events_drop: bool = False  # whether older ones are dropped, or only taken out of the table
    private_destinations: tuple[Network, ...] = ()  # networks that webhooks may go to although they are not public
    smtp: SmtpServer | None = None  # takes our mail; None: it is written to the folder of notices
    mail_from: Mailbox | None = None  # who mail is from, where a shop says nothing else
    sms: SmsGateway | None = None  # takes our text messages; None: as for mail
    meta_url: str | None = None  # of the Graph API; None: Meta's own
    ga4_url: str | None = None  # of the Measurement Protocol; None: Google's own

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the variables; an empty one is one that is not set.

        Raises:
            SettingInvalid: names the variable and says what it takes.
            InvalidTableName: a name cannot be used.
        """
        given = {name: text.strip() for name, text in (os.environ if environment is None else environment).items()}
        read = _Reader(given)
        none: tuple[Secret, ...] = ()
        secrets_given = (
            read("STOREROOM_SECRET", _secrets, none)
            or read("STOREROOM_SECRET_FILE", _secret_file, none)
            or read("APP_SECRET", _secrets, none)
        )
        others = read("STOREROOM_SECRET_PREVIOUS", _other_secrets, none)
        smtp, mail_from = (
            read("STOREROOM_SMTP_URL", SmtpServer.parse, None),
            read("STOREROOM_MAIL_FROM", Mailbox.parse, None),
        )
        if smtp is not None and mail_from is None:
            raise SettingInvalid(
                variable="STOREROOM_MAIL_FROM", reason="who mail is from, as in Shop <mail@shop.example>"
            )
        return cls(
            mode=read("STOREROOM_MODE", _one_of(Mode), Mode.DEVELOPMENT),
            host=read("STOREROOM_HOST", str, HOST_DEFAULT),
            port=read("STOREROOM_PORT", _number(0, 65535), PORT_DEFAULT),
            data_dir=read("STOREROOM_DATA_DIR", Path, Path(DATA_DIR_DEFAULT)),
            database_url=read("STOREROOM_DATABASE_URL", _dsn, None),
            direct_database_url=read("STOREROOM_DIRECT_DATABASE_URL", _dsn, None),
            statement_cache=read("STOREROOM_STATEMENT_CACHE", _switch, True),
            names=TableNames.from_environment(given),
            pool_size=read("STOREROOM_POOL_SIZE", _number(1, POOL_SIZE_LIMIT), POOL_SIZE_MAX),
            migrate=read("STOREROOM_MIGRATE", _switch, True),
            worker=read("STOREROOM_WORKER", _switch, True),
            secret=secrets_given[0] if secrets_given else None,
            other_secrets=(*secrets_given[1:], *others),
            files_url=read("STOREROOM_FILES_URL", str, None),
            trusted_proxies=read("STOREROOM_TRUSTED_PROXIES", _number(0, PROXIES_MAX), 0),
            flood_requests=read("STOREROOM_FLOOD_REQUESTS", _number(0, 10_000_000), FLOOD_REQUESTS_DEFAULT),
            archival_enabled=read.either(
                "STOREROOM_STORAGE_ARCHIVAL_ENABLED", "CEDROS_STORAGE_ARCHIVAL_ENABLED", _switch, False
            ),
            archival_retention=read.either(
                "STOREROOM_STORAGE_ARCHIVAL_RETENTION_PERIOD",
                "CEDROS_STORAGE_ARCHIVAL_RETENTION_PERIOD",
                _duration(ARCHIVAL_RETENTION_MIN, ARCHIVAL_MAX),
                ARCHIVAL_RETENTION_DEFAULT,
            ),
            archival_interval=read.either(
                "STOREROOM_STORAGE_ARCHIVAL_RUN_INTERVAL",
                "CEDROS_STORAGE_ARCHIVAL_RUN_INTERVAL",
                _duration(ARCHIVAL_INTERVAL_MIN, ARCHIVAL_MAX),
                ARCHIVAL_INTERVAL_DEFAULT,
            ),
            key_calls=read("STOREROOM_KEY_CALLS", _number(0, CALLS_MAX), KEY_CALLS_DEFAULT),
            account_calls=read("STOREROOM_ACCOUNT_CALLS", _number(0, CALLS_MAX), ACCOUNT_CALLS_DEFAULT),
            address_calls=read("STOREROOM_ADDRESS_CALLS", _number(0, CALLS_MAX), ADDRESS_CALLS_DEFAULT),
            events_months=read("STOREROOM_EVENTS_MONTHS", _months, 0),
            events_drop=read("STOREROOM_EVENTS_DROP", _switch, False),
            private_destinations=read("STOREROOM_PRIVATE_DESTINATIONS", _networks, ()),
            smtp=smtp,
            mail_from=mail_from,
            sms=read("STOREROOM_SMS_URL", partial(_sms, given), None),
            meta_url=read("STOREROOM_META_URL", _base_url, None),
            ga4_url=read("STOREROOM_GA4_URL", _base_url, None),
        )

    @property
    def postgres_dir(self) -> Path:
        """The folder of the embedded server."""
        return self.data_dir / "postgres"

    def known_secrets(self) -> tuple[Secret, ...]:
        """The ones given, the one in use first; in development, what lies in the data folder, if anything does."""
        if self.secret is not None:
            return (self.secret, *self.other_secrets)
        file = self.data_dir / SECRET_FILE
        if self.mode is Mode.PRODUCTION or not file.exists():
            return ()
        return (*self._kept(file), *self.other_secrets)

    def signing_secret(self) -> Secret:
        """What tokens are signed with: the one given; in development, one made once and kept in the data folder.

        Raises:
            SecretMissing: production, and none was given.
            SettingInvalid: production, and it is a sample or easily guessed; or the file holds no secret of ours.
        """
        if self.secret is not None:
            if self.mode is Mode.PRODUCTION and _guessable(self.secret.reveal()):
                raise SettingInvalid(
                    variable="STOREROOM_SECRET",
                    reason="a sample, or easily guessed; take a random one, as of `openssl rand -base64 48`",
                )
            return self.secret
        if self.mode is Mode.PRODUCTION:
            raise SecretMissing
        file = self.data_dir / SECRET_FILE
        self.data_dir.mkdir(parents=True, exist_ok=True)
        made = file.with_name(f"{SECRET_FILE}.{os.getpid()}")
        if not file.exists():
            made.touch(mode=0o600)
            made.write_text(secrets.token_urlsafe(48), "utf-8")
            try:
                os.link(made, file)  # whole and once, whoever else starts now
            except FileExistsError:
                pass
            finally:
                made.unlink()
        return self._kept(file)[0]

    @staticmethod
    def _kept(file: Path) -> tuple[Secret, ...]:
        try:
            return _lines(file.read_text("utf-8"))
        except ValueError:
            raise SettingInvalid(variable="STOREROOM_DATA_DIR", reason=f"{file} is too short; remove it") from None


class _Reader:
    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given

    def __call__(self, variable: str, parse: Callable[[str], T], default: T) -> T:
        text = self._given.get(variable, "")
        if not text:
            return default
        try:
            return parse(text)
        except ValueError as error:
            raise SettingInvalid(variable=variable, reason=str(error)) from None

    def either(self, variable: str, alias: str, parse: Callable[[str], T], default: T) -> T:
        """Our own name goes before the one that another document gives the same setting. Both have to be readable."""
        other = self(alias, parse, default)
        return self(variable, parse, other)


def _number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}, not {text[:40]!r}")
        return int(text)

    return parse


def _months(text: str) -> int:
    if text == "0":
        return 0
    return _number(MONTHS_KEPT_MIN, MONTHS_KEPT_MAX)(text)


def _one_of(enum: type[Mode]) -> Callable[[str], Mode]:
    def parse(text: str) -> Mode:
        try:
            return enum(text.lower())
        except ValueError:
            raise ValueError(f"{' or '.join(enum)}, not {text[:40]!r}") from None

    return parse


def _switch(text: str) -> bool:
    words = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise ValueError(f"on or off, not {text[:40]!r}")
    return words[text.lower()]


_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?(?:h|ms|m|s))+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_DURATION_UNITS: Final = {
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}


def _duration(low: timedelta, high: timedelta) -> Callable[[str], timedelta]:
    def parse(text: str) -> timedelta:
        if len(text) > 40 or not _DURATION.fullmatch(text):
            raise ValueError(f"a duration such as 2160h or 1h30m, not {text[:40]!r}")
        try:
            found = sum(
                (_DURATION_UNITS[unit] * float(count) for count, unit in _DURATION_PART.findall(text)),
                start=timedelta(),
            )
        except OverflowError:
            found = timedelta.max
        if not low <= found <= high:
            raise ValueError(f"from {low} to {high}, not {text[:40]!r}")
        return found

    return parse


def _dsn(text: str) -> str:
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("an address that begins with postgresql://")  # it may hold a password: not repeated
    return text


def _base_url(text: str) -> str:
    if not text.startswith(("https://", "http://")) or "?" in text or "@" in text:
        raise ValueError("an address that begins with https:// and has no query")
    return text.rstrip("/")


def _secrets(text: str) -> tuple[Secret, ...]:
    if len(text) < SECRET_LENGTH_MIN:
        raise ValueError(f"at least {SECRET_LENGTH_MIN} characters")
    return (Secret(text),)


def _other_secrets(text: str) -> tuple[Secret, ...]:
    """One, or a JSON list of them: any character may stand in a secret."""
    if not text.startswith("["):
        return _secrets(text)
    try:
        listed = msgspec.json.decode(text, type=list[str])
    except msgspec.MsgspecError:
        raise ValueError("one secret, or a JSON list of them") from None
    if len(listed) > OTHER_SECRETS_MAX:
        raise ValueError(f"at most {OTHER_SECRETS_MAX} secrets")
    return tuple(secret for each in listed for secret in _secrets(each))


def _secret_file(text: str) -> tuple[Secret, ...]:
    try:
        return _lines(Path(text).read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ValueError("a file that can be read") from None


def _sms(given: Mapping[str, str], url: str) -> SmsGateway:
    """The gateway, from all the variables that begin so. No error repeats the token."""
    known = SmsGateway(url=url)
    try:
        headers = msgspec.json.decode(given.get("STOREROOM_SMS_HEADERS") or "{}", type=dict[str, str])
    except msgspec.MsgspecError:
        raise ValueError('STOREROOM_SMS_HEADERS is a JSON object, as in {"X-Key": "{token}"}') from None
    return SmsGateway(
        url=url,
        method=(given.get("STOREROOM_SMS_METHOD") or known.method).upper(),
        body=given.get("STOREROOM_SMS_BODY") or known.body,
        headers=headers,
        sender=given.get("STOREROOM_SMS_FROM", ""),
        token=Secret(given.get("STOREROOM_SMS_TOKEN", "")),
    ).check()


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return networks(text)
    except ValueError:
        raise ValueError("networks such as 10.1.0.0/16, between commas") from None


def _lines(text: str) -> tuple[Secret, ...]:
    """A secret a line, the one in use first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= OTHER_SECRETS_MAX + 1:
        raise ValueError(f"one secret a line, at most {OTHER_SECRETS_MAX + 1}")
    return tuple(secret for line in lines for secret in _secrets(line))


def _guessable(secret: str) -> bool:
    """Whether it was made by a hand. A random one of 32 characters is taken for that once in millions."""
    repeated = secret in (secret + secret)[1:-1]  # as a turning wheel shows: "abcabc" comes round before its end
    return repeated or len(set(secret)) < SECRET_LETTERS_MIN or any(word in secret.lower() for word in SAMPLE_WORDS)
