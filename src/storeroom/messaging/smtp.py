"""The mail server: a few connections, kept open for a while, each step bounded in time."""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Final, Self

from aiosmtplib import SMTP, SMTPException, SMTPNotSupported, SMTPResponseException

from storeroom.core.senders import SmtpServer, Tls
from storeroom.messaging.mime import Letter

CONNECTIONS_MAX: Final = 4  # of one process
STEP_TIMEOUT_S: Final = 20.0  # for one answer of the server
SEND_MAX_S: Final = 85.0  # for one mail, with the wait for a connection: less than CARRY_MAX
TAKE_MIN_S: Final = 30.0  # of them for the answer to the mail itself: who gives up early sends it twice
IDLE_MAX_S: Final = 30.0  # servers close what says nothing for long
LETTERS_MAX: Final = 100  # by one connection
NOBODY: Final = frozenset({550, 551, 552, 553})  # of a receiver: there is no such mailbox, or it takes nothing
NOT_LET: Final = re.compile(r"\s*5\.7\.\d")  # it is we who are refused, RFC 3463


class NotTaken(Exception):
    """A mail was not taken. What the server said may hold the receiver's address, so it is cut by whoever shows it."""

    def __init__(self, told: str, *, status: int | None = None, final: bool = False) -> None:
        super().__init__(told)
        self.told, self.status, self.final = told, status, final


class _Line:
    """One connection."""

    def __init__(self, client: SMTP) -> None:
        self.client = client
        self.letters = 0
        self.used_at = time.monotonic()

    @property
    def usable(self) -> bool:
        fresh = time.monotonic() - self.used_at < IDLE_MAX_S and self.letters < LETTERS_MAX
        return fresh and self.client.is_connected


class Smtp:
    """Hands mails to one server. `async with` it, or close it."""

    def __init__(self, server: SmtpServer, *, timeout_s: float = STEP_TIMEOUT_S) -> None:
        """Nothing is connected yet.

        Args:
            server: where it is.
            timeout_s: for each answer.
        """
        self._server, self._timeout_s = server, timeout_s
        self._idle: list[_Line] = []
        self._free = asyncio.Semaphore(CONNECTIONS_MAX)
        self._tls: ssl.SSLContext | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Say goodbye on all connections; the next mail opens another."""
        lines, self._idle = self._idle, []
        for line in lines:
            await self._end(line)

    async def send(self, letter: Letter, *, since_s: float | None = None) -> str:
        """Hand one over; return what the server said.

        Args:
            letter: the mail.
            since_s: the instant that SEND_MAX_S counts from, by the monotonic clock; None: now.

        Raises:
            NotTaken: whether it may be tried again stands in it. What was refused for one receiver of a copy is not
                an error: the mail is for the first.
        """
        until = (time.monotonic() if since_s is None else since_s) + SEND_MAX_S
        async with self._line() as line:
            return await self._hand_over(line.client, letter, until)

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[_Line]:
        async with self._free:
            line = await self._connected()
            try:
                yield line
            except NotTaken:
                if not await self._cleared(line):
                    line.client.close()
                    raise
                self._keep(line)
                raise
            except BaseException:
                line.client.close()  # in the middle of something: nobody knows where
                raise
            self._keep(line)

    def _keep(self, line: _Line) -> None:
        line.letters += 1
        line.used_at = time.monotonic()
        self._idle.append(line)

    async def _connected(self) -> _Line:
        while self._idle:
            line = self._idle.pop()
            if line.usable and await self._cleared(line):
                return line
            await self._end(line)
        server = self._server
        client = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password.reveal() if server.user and server.password else None,
            timeout=self._timeout_s,
            use_tls=server.tls is Tls.IMPLICIT,
            start_tls={Tls.REQUIRED: True, Tls.AUTO: None}.get(server.tls, False),
            tls_context=self._context(),
        )
        try:
            async with asyncio.timeout(self._timeout_s * 2):
                await client.connect()
        except (SMTPException, OSError, TimeoutError, ValueError) as error:
            client.close()
            # Who is refused at the door is refused for our sake, not for this mail's: it waits.
            status = error.code if isinstance(error, SMTPResponseException) else None
            raise NotTaken(f"the mail server is not reached: {_said(error)}", status=status) from None
        except BaseException:
            client.close()
            raise
        return _Line(client)

    async def _hand_over(self, client: SMTP, letter: Letter, until: float) -> str:
        options = ["SMTPUTF8", "BODY=8BITMIME"] if letter.utf8 else []
        encoding = "utf-8" if letter.utf8 else "ascii"
        if letter.utf8 and not client.supports_extension("smtputf8"):
            raise NotTaken("the mail server takes no address beyond ASCII", final=True)
        receivers = () if letter.copy else letter.receivers[:1]
        copies = letter.receivers[len(receivers) :]
        step = "the sender"
        try:
            await client.mail(letter.sender, options=options, encoding=encoding)
            step = "the receiver"
            for each in receivers:
                await client.rcpt(each, encoding=encoding)
            taken = [await self._copy(client, each, encoding) for each in copies]
            if not receivers and not any(taken):
                raise NotTaken("nobody could get it")
            step = "the mail"
            left = until - time.monotonic()
            if left < TAKE_MIN_S:
                raise NotTaken("the mail server is too slow")
            answer = await client.data(letter.content, timeout=left)
        except SMTPNotSupported as error:
            raise NotTaken(_said(error), final=True) from None
        except SMTPResponseException as error:
            # Whatever else is refused is our own: a sender, a login, a relay. It waits until somebody sets it right.
            final = step == "the receiver" and error.code in NOBODY and not NOT_LET.match(error.message)
            raise NotTaken(f"{step} was refused: {_said(error)}", status=error.code, final=final) from None
        except (SMTPException, OSError, TimeoutError) as error:
            raise NotTaken(f"the connection broke: {_said(error)}") from None
        return f"{answer.code} {answer.message}"

    async def _copy(self, client: SMTP, receiver: str, encoding: str) -> bool:
        try:
            await client.rcpt(receiver, encoding=encoding)
        except SMTPResponseException:
            return False
        return True

    async def _cleared(self, line: _Line) -> bool:
        """Whether the connection is there and ready for the next mail."""
        try:
            await line.client.rset()
        except (SMTPException, OSError, TimeoutError):
            return False
        return True

    async def _end(self, line: _Line) -> None:
        try:
            await line.client.quit(timeout=2)
        except (SMTPException, OSError, TimeoutError):
            pass
        finally:
            line.client.close()

    def _context(self) -> ssl.SSLContext | None:
        if self._server.tls is Tls.OFF:
            return None
        if self._tls is None:
            try:
                self._tls = ssl.create_default_context(cafile=self._server.ca_file)
            except OSError as error:
                raise NotTaken(f"its authorities cannot be read: {type(error).__name__}") from None
        return self._tls


def _said(error: BaseException) -> str:
    if isinstance(error, SMTPResponseException):
        return f"{error.code} {error.message}"
    return f"{type(error).__name__}: {error}".rstrip(": ")
