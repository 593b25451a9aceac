"""The outermost layer: gives every request its id and its Call, counts and logs its answer, once.

It stands around the router, so that also what no route answers (404, 405, 413) has an id, a log line and our headers.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.registry import Collector

from storeroom.core.errors import StoreroomError
from storeroom.web import PROBLEM_JSON, Call, Flood, Gate, attach, problem

FLOOD_WINDOW_S: Final = 10.0
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED: Final = "unmatched"  # instead of a path that anybody can make up
POLLED: Final = frozenset({"/health", "/ready", "/metrics"})  # logged only when they fail
LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
)
BUCKETS_S: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)

_log = structlog.get_logger("storeroom.access")


class Metrics:
    """What /metrics shows of one application; what its process and worker count is in the library's own registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("method", "path", "status")
        self._requests = Counter("storeroom_requests", "Requests answered.", labels, registry=self.registry)
        self._seconds = Histogram(
            "storeroom_request_seconds",
            "From the first byte to the last one of the answer.",
            ("method", "path"),
            registry=self.registry,
            buckets=BUCKETS_S,
        )
        self._known: dict[tuple[str, str, int], tuple[Callable[[], None], Callable[[float], None]]] = {}

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count one answer."""
        key = (method, path, status)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = (
                self._requests.labels(method, path, str(status)).inc,
                self._seconds.labels(method, path).observe,
            )
        known[0]()
        known[1](seconds)

    def add(self, collector: Collector) -> None:
        """Show something else too."""
        self.registry.register(collector)


class Edge:
    """Wraps the application's own ASGI handler."""

    def __init__(
        self,
        app: ASGIApp,
        gate: Gate,
        metrics: Metrics,
        *,
        allowed: Mapping[str, bytes],
        trusted_proxies: int = 0,
        flood_requests: int = 0,
    ) -> None:
        """Wrap it.

        Args:
            app: the handler.
            gate: for the Call of each request.
            metrics: where answers are counted.
            allowed: what OPTIONS answers for each path.
            trusted_proxies: see Call.
            flood_requests: of one address in FLOOD_WINDOW_S; 0 for any number.
        """
        self._app = app
        self._gate = gate
        self._metrics = metrics
        self._allowed = allowed
        self._trusted_proxies = trusted_proxies
        self._flood = Flood(times=flood_requests, window_s=FLOOD_WINDOW_S, monotonic=time.monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request; anything else passes through."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        call = Call(cast("dict[str, Any]", scope), self._gate, trusted_proxies=self._trusted_proxies)
        attach(scope, call)
        method = str(scope["method"]) if scope["method"] in METHODS else "OTHER"
        status = 0  # nothing was answered

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"]
                if method == "OPTIONS" and (allowed := self._allowed.get(scope.get("path_template", ""))):
                    headers = [*(pair for pair in headers if pair[0] != b"allow"), (b"allow", allowed)]
                message["headers"] = [
                    *headers,
                    *HEADERS,
                    (b"x-request-id", call.request_id.encode()),
                    *((b"set-cookie", cookie) for cookie in call.cookies),
                ]
            await send(message)

        try:
            if call.ip is not None and call.ip not in LOOPBACK:
                self._flood.hit(call.ip)
            await self._app(scope, receive, answer)
        except StoreroomError as error:
            await _refuse(error, call, answer)
        finally:
            seconds = time.perf_counter() - started
            path = scope.get("path_template") or UNMATCHED
            self._metrics.answered(method, path, status, seconds)
            if path not in POLLED or status >= 400:
                _log.info(
                    "request",
                    method=method,
                    path=path,
                    status=status,
                    ms=round(seconds * 1000, 2),
                    request_id=call.request_id,
                    tenant=call.tenant_known,
                    ip=call.ip,
                )


async def _refuse(error: StoreroomError, call: Call, send: Send) -> None:
    """The one refusal that is older than the router: a flood."""
    found = problem(error, request_id=call.request_id)
    body = msgspec.json.encode({name: value for name, value in found.items() if value is not None})
    headers = [
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", str(getattr(error, "retry_after_s", 1)).encode()),
    ]
    await send({"type": "http.response.start", "status": int(str(found["status"])), "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
