"""A lean HTTP/1.1 client: keep-alive connections in a closed loop, so that the client is not what is measured."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Self, cast

from typing_extensions import override

from bench.measure import BenchFailed

ANSWER_TIMEOUT_S = 30.0
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


@dataclass(frozen=True)
class Answer:
    """Status and body."""

    status: int
    body: bytes


def request(
    method: str, path: str, host: str, body: bytes = b"", headers: Mapping[str, str] = MappingProxyType({})
) -> bytes:
    """The bytes of a request."""
    head = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if body:
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._waiting: asyncio.Future[Answer] | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Connect."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(BenchFailed(f"the server closed the connection: {exc or 'no reason given'}"))

    @override
    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        end = self._received.find(_END_OF_HEAD)
        if end < 0 or self._waiting is None or self._waiting.done():
            return
        head = self._received[:end]
        at = head.lower().find(_LENGTH)
        if at < 0:
            self._waiting.set_exception(BenchFailed(f"an answer without a length: {head!r}"))
            return
        length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])
        begin = end + len(_END_OF_HEAD)
        if len(self._received) >= begin + length:
            answer = Answer(int(head[9:12]), self._received[begin : begin + length])
            self._received = b""
            self._waiting.set_result(answer)

    async def ask(self, text: bytes) -> Answer:
        """Send a request and wait for its answer."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(text)
        return await self._waiting

    def close(self) -> None:
        """Let go."""
        if self._transport is not None:
            self._transport.abort()


async def fetch(host: str, port: int, text: bytes) -> Answer:
    """One request on a connection of its own."""
    connection = await Connection.open(host, port)
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            return await connection.ask(text)
    finally:
        connection.close()


async def load(
    host: str, port: int, make: Callable[[], bytes], *, connections: int, seconds: float, status: int
) -> tuple[float, list[float]]:
    """Ask on so many connections again and again; answers a second, and every latency in seconds, sorted.

    Raises:
        BenchFailed: an answer had another status than `status`.
    """
    opened = [await Connection.open(host, port) for _ in range(connections)]
    latencies: list[float] = []
    begun = time.perf_counter()
    until = begun + seconds

    async def caller(connection: Connection) -> None:
        at = time.perf_counter()
        while at < until:
            answer = await connection.ask(make())
            if answer.status != status:
                raise BenchFailed(f"the server answered {answer.status}: {answer.body[:500]!r}")
            ended = time.perf_counter()
            latencies.append(ended - at)
            at = ended

    try:
        async with asyncio.timeout(seconds + ANSWER_TIMEOUT_S), asyncio.TaskGroup() as group:
            for connection in opened:
                group.create_task(caller(connection))
    except* BenchFailed as failed:
        raise failed.exceptions[0] from None
    finally:
        for connection in opened:
            connection.close()
    passed = time.perf_counter() - begun
    latencies.sort()
    return len(latencies) / passed, latencies
