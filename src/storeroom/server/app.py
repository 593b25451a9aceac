"""The application put together: every slice's routes, their services, and what stands around them."""

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cached_property
from importlib import import_module
from inspect import signature
from typing import Any, Final, get_type_hints

from litestar import Litestar
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig

from storeroom import __version__
from storeroom.room import Shop, Storeroom
from storeroom.server import pages, probes
from storeroom.server.denials import denials
from storeroom.server.edge import Edge, Metrics
from storeroom.server.gate import RoomGate, shop_of
from storeroom.server.openapi import Schema, allowed_methods
from storeroom.settings import Settings
from storeroom.web import DEPENDENCIES, EXCEPTION_HANDLERS, AnyRequest, Idempotency, StrictRequest

BODY_BYTES_MAX: Final = 2 * 1024 * 1024  # a route that takes files says its own
ROUTED: Final = (
    "identity",
    "domains",
    "shops",
    "configuration",
    "gateways",
    "guests",
    "verification",
    "access",
    "analytics",
    "promotions",
    "catalog",
    "inventory",
    "subscriptions",
    "carts",
    "retention",
    "orders",
    "payments",
    "hosted",
    "downloads",
    "credit",
    "refunds",
    "wallets",
    "ledger",
    "sap",
    "flows",
    "audit",
    "integration",
    "inbox",
    "timetable",
    "messaging",
    "conversions",
    "erp",
)

_DESCRIPTION: Final = """\
A shop over HTTP. Amounts are integers of the smallest unit with their currency; instants are RFC 3339; lists are read
page by page with `cursor`; errors are problem bodies (RFC 9457) with a stable `code`."""


def create_app(room: Storeroom, settings: Settings | None = None) -> Litestar:
    """The application for an open room. It closes nothing: who opened the room closes it."""
    settings = settings or Settings()
    gate, metrics = RoomGate(room, settings), Metrics()
    metrics.add(probes.Connections(room.db))
    app = Litestar(
        route_handlers=[*_routes(_services(room)), *pages.route_handlers, probes.health, probes.ready, probes.metrics],
        dependencies={**DEPENDENCIES, **_constants(room, metrics)},
        exception_handlers=EXCEPTION_HANDLERS,
        after_exception=[denials(room)],
        middleware=[Idempotency()],
        openapi_config=OpenAPIConfig(
            title="Storeroom",
            version=__version__,
            description=_DESCRIPTION,
            path="/schema",
            render_plugins=[Schema()],
        ),
        request_class=StrictRequest,
        request_max_body_size=BODY_BYTES_MAX,
        logging_config=None,
        debug=False,
    )
    app.asgi_handler = Edge(
        app.asgi_handler,
        gate,
        metrics,
        allowed=allowed_methods(app),
        origins=gate.origins,
        trusted_proxies=settings.trusted_proxies,
        flood_requests=settings.flood_requests,
    )
    return app


def _routes(services: Mapping[str, Provide]) -> Sequence[BaseRouteHandler]:
    """The routes of each room, each with the services that it asks for.

    With all services for all routes the framework compares each with each, for every route: half a second at the start.
    """
    rooms = [import_module(f"storeroom.{room}.routes") for room in ROUTED]
    return [_served(handler, services) for room in rooms for handler in room.route_handlers]


def _served(handler: BaseRouteHandler, services: Mapping[str, Provide]) -> BaseRouteHandler:
    served = copy(handler)  # the room's own is that of every application of this process
    asked = {name: services[name] for name in signature(handler.fn).parameters if name in services}
    served.dependencies = {**(handler.dependencies or {}), **asked}
    return served


def _services(room: Storeroom) -> Mapping[str, Provide]:
    """A provider for each service of a shop, under the name that it has there: `carts: NamedDependency[Carts]`."""
    return {
        name: Provide(_service(room, name, get_type_hints(attribute.func)["return"]))
        for name, attribute in vars(Shop).items()
        if isinstance(attribute, cached_property)
    }


def _service(room: Storeroom, name: str, service: type[Any]) -> Any:
    async def provide(request: AnyRequest) -> Any:
        return getattr(await shop_of(request.scope, room), name)

    provide.__annotations__["return"] = service
    return provide


def _constants(room: Storeroom, metrics: Metrics) -> Mapping[str, Provide]:
    async def provide_room() -> Storeroom:
        return room

    async def provide_meter() -> Metrics:
        return metrics

    return {"room": Provide(provide_room), "meter": Provide(provide_meter)}
