"""A receiver of webhooks: a real server on loopback, which answers as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Request:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


Answer = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


async def ok(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


def status(code: int, body: bytes = b"", *headers: str) -> Answer:
    async def answer(_: Request, writer: asyncio.StreamWriter) -> None:
        lines = "".join(f"{header}\r\n" for header in headers)
        writer.write(f"HTTP/1.1 {code} X\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body)

    return answer


async def garbage(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.write(b"\x00\xffthis is no HTTP\r\n\r\n")
    writer.close()


async def reset(_: Request, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def drip(_: Request, writer: asyncio.StreamWriter) -> None:
    """An answer that never ends, and never stands still for long."""
    writer.write(b"HTTP/1.1 200 OK\r\nx-drip: ")
    while not writer.is_closing():
        writer.write(b".")
        await writer.drain()
        await asyncio.sleep(0.1)


async def hang(_: Request, __: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


@dataclass
class Receiver:
    """What came, in order. `answer` may be changed at any time."""

    port: int
    answer: Answer = ok
    requests: list[Request] = field(default_factory=list)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks"

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.requests]

    async def heard(self, count: int, within_s: float = 120) -> None:
        """Until so many requests came."""
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while not writer.is_closing():
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(head[0].split(" ")[1], headers, body)
                async with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                await self.answer(request, writer)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving(answer: Answer = ok, port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver(port, answer)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await receiver.serve(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
