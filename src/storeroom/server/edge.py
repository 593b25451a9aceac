"""The outermost layer: gives every request its id and its Call, counts and logs its answer, once.

It stands around the router, so that also what no route answers (404, 405, 413) has an id, a log line and our headers.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, cast

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.registry import Collector

from storeroom.core.errors import StoreroomError
from storeroom.web import PROBLEM_JSON, Call, Flood, Gate, attach, network, problem

FLOOD_WINDOW_S: Final = 10.0
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED: Final = "unmatched"  # instead of a path that anybody can make up
POLLED: Final = frozenset({"/health", "/ready", "/metrics"})  # logged only when they fail
LOOPBACK: Final = frozenset({"127.0.0.1", "::1"})
HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"strict-origin-when-cross-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"vary", b"origin"),
)
POLICY: Final = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")  # pages have their own
NO_STORE: Final = (b"cache-control", b"no-store")
HSTS: Final = (b"strict-transport-security", b"max-age=31536000")
PREFLIGHT: Final = b"access-control-request-method"
PREFLIGHT_HEADERS: Final = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"authorization, content-type, idempotency-key, storeroom-session, storeroom-tenant, x-request-id",
    ),
    (b"access-control-max-age", b"600"),
    (b"content-length", b"0"),
)
EXPOSED: Final = (b"access-control-expose-headers", b"idempotency-replay, location, retry-after, x-request-id")
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
        origins: Callable[[Call], Awaitable[frozenset[str]]],
        trusted_proxies: int = 0,
        flood_requests: int = 0,
    ) -> None:
        """Wrap it.

        Args:
            app: the handler.
            gate: for the Call of each request.
            metrics: where answers are counted.
            allowed: what OPTIONS answers for each path.
            origins: whose pages may read the answer to a call. Cookies are not for them: they send tokens.
            trusted_proxies: see Call.
            flood_requests: of one address in FLOOD_WINDOW_S; 0 for any number.
        """
        self._app = app
        self._gate = gate
        self._metrics = metrics
        self._allowed = allowed
        self._origins = origins
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
                    *self._more(call, {name.lower() for name, _ in headers}),
                    *await self._crossing(call),
                    (b"x-request-id", call.request_id.encode()),
                    *((b"set-cookie", cookie) for cookie in call.cookies),
                ]
            await send(message)

        try:
            if call.ip is not None and (caller := network(call.ip)) not in LOOPBACK:
                self._flood.hit(caller)
            if method == "OPTIONS" and await self._preflight(call, scope, answer):
                return
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

    async def _preflight(self, call: Call, scope: Scope, send: Send) -> bool:
        """Answer a browser that asks whether a page of another origin may call; False: it may not, or nobody asks."""
        if not any(name == PREFLIGHT for name, _ in scope["headers"]) or not await self._crossing(call):
            return False
        await send({"type": "http.response.start", "status": 204, "headers": [*PREFLIGHT_HEADERS]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    async def _crossing(self, call: Call) -> list[tuple[bytes, bytes]]:
        """What lets a page of another origin read the answer, if the shop allows that origin."""
        origin = call.origin
        if origin is None or not call.foreign or origin not in await self._origins(call):
            return []
        return [(b"access-control-allow-origin", origin.encode()), EXPOSED]

    @staticmethod
    def _more(call: Call, given: set[bytes]) -> list[tuple[bytes, bytes]]:
        """A policy for what is no page, no copies of what is somebody's, and TLS from now on."""
        found = [] if POLICY[0] in given else [POLICY]
        if call.private and NO_STORE[0] not in given:
            found.append(NO_STORE)
        if call.https:
            found.append(HSTS)
        return found


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
