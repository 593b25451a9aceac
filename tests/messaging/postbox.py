"""A mail server on loopback, which answers as the test says."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOGIN = (b"shop@shop.example", b"p:a/ss@word")


@dataclass
class Letter:
    """A mail that was taken."""

    sender: str
    receivers: list[str]
    raw: bytes
    encrypted: bool
    login: str | None

    @property
    def mail(self) -> EmailMessage:
        parsed = message_from_bytes(self.raw, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def part(self, kind: str) -> str:
        body = self.mail.get_body((kind,))
        assert body is not None
        return str(body.get_content())


@dataclass
class Postbox:
    """What came, and what is said: the first of `answers` to each mail, `refused` to each receiver in it."""

    port: int = 0
    letters: list[Letter] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    connections: int = 0
    logins: list[Any] = field(default_factory=list)
    silent: bool = False  # takes a mail and never says so
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any) -> str:  # noqa: N802
        if (answer := self.refused.get(address)) is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> bytes:  # noqa: N802
        answer = self.answers.pop(0) if self.answers else "250 2.0.0 queued"
        if answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            login = session.auth_data if isinstance(session.auth_data, str) else None
            self.letters.append(
                Letter(str(envelope.mail_from), list(envelope.rcpt_tos), content, session.ssl is not None, login)
            )
            self.came.set()
            if self.silent:
                await asyncio.Event().wait()
        return answer.encode("utf-8", "surrogateescape")  # to the byte, also what is no text

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (data.login, data.password) == LOGIN
        self.logins.append(right)
        return AuthResult(success=right, handled=right, auth_data=data.login.decode() if right else None)


@asynccontextmanager
async def mailing(*, tls: ssl.SSLContext | None = None, implicit: bool = False) -> AsyncIterator[Postbox]:
    """A server; with a certificate it asks for STARTTLS and a login, or speaks TLS from the first byte."""
    box = Postbox()
    loop = asyncio.get_running_loop()
    open_: set[asyncio.Transport] = set()

    def protocol() -> SMTP:
        box.connections += 1
        wants = {"tls_context": tls, "require_starttls": True, "auth_required": True, "authenticator": box.authenticate}
        server = _Tracked(
            box, hostname="mail.test", enable_SMTPUTF8=True, loop=loop, **(wants if tls and not implicit else {})
        )
        server.open = open_
        return server

    server = await loop.create_server(protocol, "127.0.0.1", 0, ssl=tls if implicit else None)
    box.port = server.sockets[0].getsockname()[1]
    try:
        yield box
    finally:
        server.close()
        for transport in open_:
            transport.abort()
        await server.wait_closed()


class _Tracked(SMTP):
    open: set[asyncio.Transport]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.open.add(transport)
        super().connection_made(transport)


def certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Of a server at 127.0.0.1, signed by itself; and the file that makes it trusted."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file, private = folder / "mail.pem", folder / "mail.key"
    file.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, private)
    return context, file
