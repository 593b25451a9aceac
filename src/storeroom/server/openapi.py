"""The OpenAPI document, finished: what the framework cannot know of our habits is added once, when first asked for.

Every operation answers errors as problems, takes a request id, and says whose token it wants; those that create take an
Idempotency-Key.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from litestar import Litestar, Request
from litestar.enums import OpenAPIMediaType
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.routes import HTTPRoute
from typing_extensions import override

from storeroom.web import PROBLEM_JSON, WITHOUT_KEY, requires_account, requires_staff
from storeroom.web.guards import PERMISSIONS

INT64_MAX: Final = 2**63 - 1
BOUNDS: Final = frozenset({"minLength", "maxLength", "pattern", "minimum", "maximum"})
PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
ACCOUNT: Final[dict[str, list[str]]] = {"account": []}
GUEST: Final[dict[str, list[str]]] = {"guest": []}
KEY: Final[dict[str, list[str]]] = {"key": []}
SECURITY_SCHEMES: Final = {
    "account": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "The access token of `POST /v1/auth/sign-in`. It carries its shop.",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "The key of a program, `sk_…`, as `POST /v1/admin/api-keys` shows it once. It carries its shop.",
    },
    "guest": {
        "type": "apiKey",
        "in": "header",
        "name": "Storeroom-Session",
        "description": "The token of a guest session, as `POST /v1/carts` gives it; also sent as a cookie.",
    },
}
IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Sent again, the same request with the same key gets the first one's answer and does nothing. "
    "A caller without a token sends at least 16 characters.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


class Schema(OpenAPIRenderPlugin):
    """Serves the finished document as JSON."""

    def __init__(self) -> None:
        super().__init__(path="/openapi.json", media_type=OpenAPIMediaType.OPENAPI_JSON)
        self._json: bytes | None = None

    @override
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._json is None:
            self._json = msgspec.json.encode(finished(request.app, openapi_schema))
        return self._json


def finished(app: Litestar, document: dict[str, Any]) -> dict[str, Any]:
    """The document with our habits written in. The framework's own is left as it is."""
    done: dict[str, Any] = _repaired(document)
    components = done.setdefault("components", {})
    components["securitySchemes"] = SECURITY_SCHEMES
    strict = _strict()
    for schema in components.get("schemas", {}).values():
        struct = strict.get((schema.get("title"), frozenset(schema.get("properties", ()))))
        if struct is not None:
            schema["additionalProperties"] = False
            _tighten(schema, struct)
    for path, method, handler in _operations(app):
        operation = done["paths"].get(path, {}).get(method)
        if operation is not None:
            _finish(operation, handler)
    return done


def allowed_methods(app: Litestar) -> dict[str, bytes]:
    """What `Allow` says of each path. The framework's own OPTIONS knows the methods of one handler only."""
    return {
        route.path_format or "/": ", ".join(sorted(map(str, route.route_handler_map))).encode()
        for route in app.routes
        if isinstance(route, HTTPRoute)
    }


def _strict() -> dict[tuple[str | None, frozenset[str]], type[msgspec.Struct]]:
    """The structs that refuse a field they do not know, by what a component shows of them."""
    found: dict[tuple[str | None, frozenset[str]], type[msgspec.Struct]] = {}
    waiting = [msgspec.Struct]
    while waiting:
        for struct in waiting.pop().__subclasses__():
            waiting.append(struct)
            if struct.__struct_config__.forbid_unknown_fields:
                found[struct.__name__, frozenset(struct.__struct_encode_fields__)] = struct
    return found


def _tighten(schema: dict[str, Any], struct: type[msgspec.Struct]) -> None:
    """Write in bounds that the framework leaves out: of a list's items, and 0 of what may be absent."""
    try:
        ((known,), components) = msgspec.json.schema_components([struct])
    except TypeError:  # a file among the fields: JSON Schema has none
        return
    theirs = components[known["$ref"].rpartition("/")[2]]["properties"]
    for name, ours in schema["properties"].items():
        if "anyOf" in ours and "minimum" in (lowest := _alone(theirs[name])):
            ours.setdefault("minimum", lowest["minimum"])
        for place in _lists(ours):
            for other in _lists(theirs[name]):
                bounds = {key: value for key, value in _repaired(other.get("items", {})).items() if key in BOUNDS}
                place["items"] = {**bounds, **place.get("items", {})}


def _alone(schema: dict[str, Any]) -> dict[str, Any]:
    """What a value is where it is not null; nothing where it may be several things."""
    values = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return values[0] if len(values) == 1 else {}


def _bound_list(operation: dict[str, Any], annotation: Any) -> None:
    """Say how long a body may be that is a list, or may be one; of unions the framework forgets it."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    for ours in _lists(content.get("schema", {})):
        ((known,), _) = msgspec.json.schema_components([annotation])
        for theirs in _lists(known):
            ours |= {bound: theirs[bound] for bound in ("minItems", "maxItems") if bound in theirs}


def _lists(schema: dict[str, Any]) -> list[dict[str, Any]]:
    either = [schema, *schema.get("oneOf", ()), *schema.get("anyOf", ())]
    return [each for each in either if each.get("type") == "array"]


def _operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                yield route.path_format or "/", str(method).lower(), handler


def _finish(operation: dict[str, Any], handler: HTTPRouteHandler) -> None:
    responses = operation.setdefault("responses", {})
    for status, response in responses.items():
        if status[0] in "45":
            response["content"] = {PROBLEM_JSON: {"schema": PROBLEM}}
    responses.setdefault("default", {"description": "Refused.", "content": {PROBLEM_JSON: {"schema": PROBLEM}}})
    if handler.opt.get("idempotent"):
        operation.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    if reason := handler.opt.get(WITHOUT_KEY):
        _say(operation, f"Takes no Idempotency-Key: {reason}.")
    data = handler.parsed_fn_signature.parameters.get("data")
    if data is not None and (data.is_optional or data.has_default):
        operation["requestBody"]["required"] = False
    if data is not None:
        _bound_list(operation, data.annotation)
    guards = handler.resolve_guards()
    permissions = [permission for guard in guards for permission in getattr(guard, PERMISSIONS, ())]
    if permissions:
        needs = f"Needs {', '.join(f'`{permission}`' for permission in permissions)}."
        _say(operation, needs)
        operation["x-permissions"] = permissions
    wanted = handler.parsed_fn_signature.parameters
    if permissions:
        operation["security"] = [ACCOUNT, KEY]
    elif "account" in wanted or requires_account in guards or requires_staff in guards:
        operation["security"] = [ACCOUNT]
    elif "visitor" in wanted:
        operation["security"] = [GUEST, ACCOUNT]
    elif "arrival" in wanted or "principal" in wanted:
        operation["security"] = [{}, GUEST, ACCOUNT]


def _say(operation: dict[str, Any], more: str) -> None:
    operation["description"] = "\n\n".join(filter(None, (operation.get("description"), more)))


def _repaired(node: Any) -> Any:
    """Patterns are ECMA's and numbers exact: Python's end of text and rounded int64 bounds are neither.

    A union takes whatever fits one of its types or several, so it is anyOf.
    """
    if isinstance(node, list):
        return [_repaired(each) for each in node]
    if not isinstance(node, dict):
        return node
    done = {name: _repaired(each) for name, each in node.items()}
    if "oneOf" in done:
        done["anyOf"] = done.pop("oneOf")
    if isinstance(pattern := done.get("pattern"), str):
        done["pattern"] = pattern.replace(r"\Z", "$").replace(r"\A", "^")
    if done.get("type") == "integer":
        for bound in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
            if isinstance(done.get(bound), float):
                done[bound] = max(-INT64_MAX, min(INT64_MAX, int(done[bound])))
    return done
