"""Sending one webhook: signed, to the address that was checked, bounded in time and in what is read."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Self
from uuid import UUID

import httpcore
import msgspec
from standardwebhooks import Webhook as Signer
from typing_extensions import override

from storeroom import __version__
from storeroom.core.networks import Network
from storeroom.core.secrets import Secret
from storeroom.integration.destinations import checked_url, resolve
from storeroom.integration.errors import DestinationRefused, InvalidWebhook, NoAnswer
from storeroom.integration.model import (
    BODY_KEPT_MAX,
    CONNECTION_HEADERS,
    ERROR_LENGTH_MAX,
    TIMEOUT_DEFAULT,
    Outcome,
)

KEEP_ALIVE_S: Final = 30.0
CONNECT_S: Final = 2.0  # for an address of a name that has more of them; the last may take all the time there is
READ_BYTES_MAX: Final = 8 * 1024  # of an answer; the rest is not waited for
ANSWER_BYTES_MAX: Final = 1024 * 1024  # of what we ask for, unless the caller says another bound
CONNECTIONS_MAX: Final = 512
SENDING_ERRORS: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    OSError,  # of TLS, before httpcore has it
)
OWN_HEADERS: Final = CONNECTION_HEADERS | {
    "content-type", "user-agent", "webhook-id", "webhook-timestamp", "webhook-signature",
}  # fmt: skip


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said whom we asked."""

    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes
    duration_ms: int


class Courier:
    """Carries webhooks over HTTP. One for a process; it keeps connections open."""

    def __init__(self, *, allowed: Sequence[Network] = ()) -> None:
        """Nothing is connected yet.

        Args:
            allowed: networks that may be sent to although they are not public.
        """
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX,
            keepalive_expiry=KEEP_ALIVE_S,
            network_backend=_CheckedNetwork(tuple(allowed)),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of all connections."""
        await self._pool.aclose()

    async def send(
        self,
        url: str,
        body: bytes,
        *,
        delivery_id: UUID,
        secrets: Sequence[Secret] = (),
        headers: Mapping[str, str] | None = None,
        within: timedelta = TIMEOUT_DEFAULT,
        now: datetime | None = None,
    ) -> Outcome:
        """Post the body; what comes of it is an outcome, never an error.

        Args:
            url: of the receiver. Redirects are not followed.
            body: JSON.
            delivery_id: the same for every attempt, so that the receiver can drop repeats.
            secrets: each signs, by the Standard Webhooks scheme; none: not signed.
            headers: more of them. They go before ours where nothing is signed; those of the connection are left out.
            within: all of it has to be done.
            now: what the signature says; None: now.
        """
        return await self._deliver(url, body, _headers(body, delivery_id, secrets, headers or {}, now), within)

    async def post(self, url: str, body: bytes, *, within: timedelta = TIMEOUT_DEFAULT) -> Outcome:
        """Post JSON to an interface that is no webhook's; otherwise as `send`.

        Nothing of the address or the body stands in what comes back, unless the other side repeats it.
        """
        headers = {"content-type": "application/json", "user-agent": f"Storeroom/{__version__}"}
        return await self._deliver(url, body, headers, within)

    async def _deliver(self, url: str, body: bytes, headers: Mapping[str, str], within: timedelta) -> Outcome:
        began = time.monotonic()
        try:
            async with asyncio.timeout(within.total_seconds()):
                status, text = await self._post(url, body, headers)
        except TimeoutError:
            return _failed(began, f"no answer within {within.total_seconds():g} s")
        except (DestinationRefused, InvalidWebhook, NoAnswer) as refused:
            return _failed(began, str(refused))
        except SENDING_ERRORS as error:
            return _failed(began, f"{type(error).__name__}: {error}".rstrip(": "))
        outcome = Outcome(duration_ms=_since(began), response_status=status, response_body=text)
        if 200 <= status < 300:
            return outcome
        told = "redirects are not followed" if 300 <= status < 400 else "not taken"
        return msgspec.structs.replace(outcome, error=f"answered {status}: {told}")

    async def ask(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        within: timedelta = TIMEOUT_DEFAULT,
        bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Answer:
        """Ask another system something, and read what it says, whatever its status.

        Args:
            method: GET, POST, …
            url: of what is asked. Redirects are not followed.
            body: of the request.
            headers: all of them but those of the connection.
            within: all of it has to be done.
            bytes_max: of the answer; more is refused while it is read.

        Raises:
            NoAnswer: nobody answered in time, or not in HTTP, or too much; or the name is not known just now.
            DestinationRefused, InvalidWebhook: we do not ask there.
        """
        began = time.monotonic()
        said = {"user-agent": f"Storeroom/{__version__}", **(headers or {}), "content-length": str(len(body))}
        read = bytearray()
        checked_url(url)
        try:
            async with (
                asyncio.timeout(within.total_seconds()),
                self._pool.stream(method, url, headers=list(said.items()), content=body) as answer,
            ):
                async for chunk in answer.aiter_stream():
                    read += chunk
                    if len(read) > bytes_max:
                        raise NoAnswer(reason=f"an answer of more than {bytes_max} bytes")
        except TimeoutError:
            raise NoAnswer(reason=f"no answer within {within.total_seconds():g} s") from None
        except SENDING_ERRORS as error:
            raise NoAnswer(reason=f"{type(error).__name__}: {error}".rstrip(": ")[:ERROR_LENGTH_MAX]) from None
        heard = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        return Answer(status=answer.status, headers=heard, body=bytes(read), duration_ms=_since(began))

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str]:
        checked_url(url)
        read = b""
        async with self._pool.stream("POST", url, headers=list(headers.items()), content=body) as answer:
            async for chunk in answer.aiter_stream():
                read += chunk
                if len(read) >= READ_BYTES_MAX:
                    break
        kept = read[:READ_BYTES_MAX].decode("utf-8", "replace").replace("\x00", "")
        return answer.status, kept[:BODY_KEPT_MAX]


class _CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to the very address that was looked at; the certificate is still asked for the name."""

    def __init__(self, allowed: Sequence[Network]) -> None:
        self._allowed = allowed
        self._network = httpcore.AnyIOBackend()

    @override
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        *others, last = await resolve(host, port, allowed=self._allowed)
        for address in others:  # one that is away, or that we have no way to, is no reason to give up
            within = CONNECT_S if timeout is None else min(CONNECT_S, timeout)
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._network.connect_tcp(str(address), port, within, local_address, socket_options)
        return await self._network.connect_tcp(str(last), port, timeout, local_address, socket_options)


def _headers(
    body: bytes, delivery_id: UUID, secrets: Sequence[Secret], more: Mapping[str, str], now: datetime | None
) -> dict[str, str]:
    at = now or datetime.now(UTC)
    ours = {
        "content-type": "application/json",
        "user-agent": f"Storeroom/{__version__}",
        "webhook-id": str(delivery_id),
        "webhook-timestamp": str(int(at.timestamp())),
    }
    if secrets:
        text = body.decode()
        ours["webhook-signature"] = " ".join(
            Signer(secret.reveal()).sign(str(delivery_id), at, text) for secret in secrets
        )
    kept = OWN_HEADERS if secrets else CONNECTION_HEADERS
    given = {name.lower(): (name, value) for name, value in more.items() if name.lower() not in kept}
    return dict(given.values()) | {name: value for name, value in ours.items() if name not in given}


def _failed(began: float, error: str) -> Outcome:
    return Outcome(duration_ms=_since(began), error=error.replace("\x00", "")[:ERROR_LENGTH_MAX])


def _since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
