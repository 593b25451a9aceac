"""Where mail and text messages leave: what an operator says of a mail server and of a gateway. Pure."""

import re
from collections.abc import Mapping
from email.utils import parseaddr
from enum import StrEnum
from typing import Any, Final, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import msgspec
from typing_extensions import override

from storeroom.core.contact import InvalidEmail, normal_email
from storeroom.core.secrets import Secret

SMTP_PORT: Final = 587
SMTPS_PORT: Final = 465
RELAY_PORT: Final = 25  # without a user
HEADERS_MAX: Final = 20
LENGTH_MAX: Final = 5_000
_PLACE: Final = re.compile(r"\{(to|text|from|token|id)\}")
_LEFT: Final = re.compile(r"\{[a-z_]+\}")
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,100}")


class Tls(StrEnum):
    """How a connection to the mail server is encrypted."""

    IMPLICIT = "implicit"  # from the first byte: smtps://
    REQUIRED = "required"  # by STARTTLS, or nothing is sent
    AUTO = "auto"  # by STARTTLS where the server offers it
    OFF = "off"


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """Who a mail is from."""

    address: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `shop@shop.example` or `The shop <shop@shop.example>`. Raises ValueError."""
        name, address = parseaddr(text)
        if not text.isprintable() or not address:
            raise ValueError("an address, or a name and <an address>")
        try:
            return cls(address=normal_email(address), name=" ".join(name.split()))
        except InvalidEmail as error:
            raise ValueError(error.reason) from None


class SmtpServer(msgspec.Struct, frozen=True, kw_only=True):
    """The server that takes our mail."""

    host: str
    port: int
    tls: Tls
    user: str | None = None
    password: Secret | None = None
    ca_file: str | None = None  # trusted instead of the system's authorities

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `smtp://user:password@mail.example:587?starttls=required` or `smtps://…`. Raises ValueError.

        The text may hold a password, so no error repeats it.
        """
        try:
            parts = urlsplit(text)
            port, query = parts.port, dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        except ValueError:
            raise ValueError("an address such as smtp://mail.example:587") from None
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path not in {"", "/"} or parts.fragment:
            raise ValueError("an address that begins with smtp:// or smtps:// and a host")
        if query.keys() - {"starttls", "ca"}:
            raise ValueError("its options are starttls and ca")
        user = unquote(parts.username) if parts.username else None
        tls = Tls.IMPLICIT if parts.scheme == "smtps" else Tls.REQUIRED if user else Tls.AUTO
        if (asked := query.get("starttls")) is not None:
            if parts.scheme == "smtps" or asked not in {Tls.REQUIRED, Tls.AUTO, Tls.OFF}:
                raise ValueError("starttls is required, auto or off, of smtp:// alone")
            tls = Tls(asked)
        return cls(
            host=parts.hostname,
            port=port or (SMTPS_PORT if tls is Tls.IMPLICIT else SMTP_PORT if user else RELAY_PORT),
            tls=tls,
            user=user,
            password=Secret(unquote(parts.password)) if parts.password else None,
            ca_file=query.get("ca"),
        )


class SmsRequest(msgspec.Struct, frozen=True):
    """What is sent to the gateway for one message."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes | None

    @override
    def __repr__(self) -> str:
        return f"SmsRequest({self.method})"


class SmsGateway(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP service that takes text messages, by templates that say {to}, {text}, {from}, {token} and {id}."""

    url: str
    method: str = "POST"
    body: str = '{"to": "{to}", "text": "{text}", "from": "{from}"}'  # JSON, or a form: To={to}&Body={text}
    headers: dict[str, str] = {}
    sender: str = ""
    token: Secret = Secret("")

    @override
    def __repr__(self) -> str:
        return f"SmsGateway({self.method})"  # its address and headers may hold what opens it

    def check(self) -> Self:
        """Raise ValueError where a template cannot be right."""
        parts = _split(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or _PLACE.search(parts.netloc):
            raise ValueError("its address begins with https:// or http:// and a host")
        if self.method not in {"GET", "POST", "PUT"}:
            raise ValueError("its method is GET, POST or PUT")
        if len(self.headers) > HEADERS_MAX or not all(_HEADER.fullmatch(name) for name in self.headers):
            raise ValueError(f"at most {HEADERS_MAX} headers, of letters, digits and hyphens")
        templates = [self.url, *self.headers.values(), "" if self.method == "GET" else self.body]
        if any(len(each) > LENGTH_MAX or not each.isprintable() for each in templates):
            raise ValueError(f"a template has at most {LENGTH_MAX} printable characters")
        said = "".join(templates)
        if wrong := {each for each in _LEFT.findall(said) if not _PLACE.fullmatch(each)}:
            raise ValueError(
                f"there is no {', '.join(sorted(wrong))}; say {{to}}, {{text}}, {{from}}, {{token}}, {{id}}"
            )
        if "{to}" not in said or "{text}" not in said:
            raise ValueError("{to} and {text} have to stand in the address or the body")
        self._body(dict.fromkeys(("to", "text", "from", "token", "id"), "1"))
        return self

    def request(self, *, to: str, text: str, message_id: str) -> SmsRequest:
        """For one message. A value cannot leave its place, whatever it holds.

        Args:
            to: E.164 digits.
            text: of the message.
            message_id: the same each time this message is tried.
        """
        values = {"to": to, "text": text, "from": self.sender, "token": self.token.reveal(), "id": message_id}
        headers = {name: _filled(value, values) for name, value in self.headers.items()}
        if self.token and not headers and "{token}" not in self.url + self.body:
            headers["Authorization"] = f"Bearer {self.token.reveal()}"
        if any(not value.isprintable() or not value.isascii() for value in headers.values()):
            raise ValueError("a header takes visible ASCII characters")
        parts = _split(self.url)
        quoted = {name: quote(value, safe="") for name, value in values.items()}
        url = urlunsplit(parts._replace(path=_filled(parts.path, quoted), query=_filled(parts.query, quoted)))
        if self.method == "GET":
            return SmsRequest(self.method, url, {"Idempotency-Key": message_id, **headers}, None)
        kind, body = self._body(values)
        return SmsRequest(self.method, url, {"Content-Type": kind, "Idempotency-Key": message_id, **headers}, body)

    def _body(self, values: Mapping[str, str]) -> tuple[str, bytes]:
        if self.body.lstrip().startswith(('{"', "{ ", "[")):
            try:
                shape = msgspec.json.decode(self.body)
            except msgspec.DecodeError:
                raise ValueError("its body is neither JSON nor a form") from None
            return "application/json", msgspec.json.encode(_woven(shape, values))
        pairs = [(name, _filled(value, values)) for name, value in parse_qsl(self.body, keep_blank_values=True)]
        return "application/x-www-form-urlencoded", urlencode(pairs).encode()


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("its address begins with https:// or http:// and a host") from None
    return parts


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Each place once, so that what a value says is not read again."""
    return _PLACE.sub(lambda place: values[place.group(1)], template)


def _woven(shape: Any, values: Mapping[str, str]) -> Any:
    if isinstance(shape, str):
        return _filled(shape, values)
    if isinstance(shape, list):
        return [_woven(each, values) for each in shape]
    if isinstance(shape, dict):
        return {name: _woven(each, values) for name, each in shape.items()}
    return shape
