"""Errors as RFC 9457 problem bodies, and the one table that gives each kind of error its HTTP status.

    {"type": "/docs/errors/inventory.insufficient_stock", "title": "Fewer units are available than the call asked for",
     "status": 409, "code": "inventory.insufficient_stock", "detail": "3 of TEE-S requested, 2 available",
     "instance": "/v1/checkout", "request_id": "0199…", "sku": "TEE-S", "requested": 3, "available": 2}

The facts of the error stand beside the members of the standard; one whose name the standard takes is written
`fact_<name>`. What an operator must know and a caller must not is only in the log, under the request id.
"""

import re
import traceback
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec
from litestar.types import ExceptionHandlersMap
from litestar.utils.scope.state import ScopeState

from storeroom.core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    Misconfigured,
    NotFound,
    StoreroomError,
    TooMany,
    Unauthenticated,
    Unavailable,
)
from storeroom.web import errors
from storeroom.web.context import afterwards_of, request_id_of

PROBLEM_JSON: Final = "application/problem+json"
RETRY_AFTER_S: Final = 2  # where something is away and nobody knows for how long

STATUS_BY_KIND: Final[Mapping[type[StoreroomError], int]] = MappingProxyType(
    {
        Invalid: 422,
        Unauthenticated: 401,
        Forbidden: 403,
        NotFound: 404,
        Conflict: 409,
        TooMany: 429,
        Unavailable: 503,
        Misconfigured: 500,
        # What cannot be read at all is 400; what was read and cannot be right is 422. HTTP itself names the others.
        errors.MalformedRequest: 400,
        errors.InvalidRequest: 400,
        errors.MethodNotAllowed: 405,
        errors.RequestTooLarge: 413,
        errors.MediaTypeRefused: 415,
        errors.InternalError: 500,
    }
)
_BY_STATUS: Final[Mapping[int, type[StoreroomError]]] = MappingProxyType(
    {
        401: errors.SignInRequired,
        403: errors.StaffOnly,
        404: errors.NoSuchPath,
        405: errors.MethodNotAllowed,
        413: errors.RequestTooLarge,
        415: errors.MediaTypeRefused,
    }
)
_TAKEN: Final = frozenset({"type", "title", "status", "detail", "code", "instance", "request_id"})
_NAMED: Final = re.compile(r"^Object (?:missing required|contains unknown) field `(?P<name>[^`]+)`")
_PLACE: Final = re.compile(r" - at `\$\.?(?P<place>[^`]*)`$")
_NUL: Final = "\x00"
# What PostgreSQL cannot hold although JSON can: NUL in a text, a number past its type.
_UNSTORABLE: Final = (
    asyncpg.CharacterNotInRepertoireError,
    asyncpg.UntranslatableCharacterError,
    asyncpg.NumericValueOutOfRangeError,
)

AnyRequest = Request[Any, Any, State]
_log = structlog.get_logger("storeroom.web")


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error, as RFC 9457 has it. `code` is stable; further members are the facts of the error."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None
    request_id: str | None = None
    field: str | None = None  # the part of the request that is wrong, as in `lines[0].quantity`


def status_of(error: type[StoreroomError]) -> int:
    """The HTTP status of an error: its own entry in the table, else that of its kind."""
    return next(STATUS_BY_KIND[cls] for cls in error.__mro__ if cls in STATUS_BY_KIND)


def title_of(error: type[StoreroomError]) -> str:
    """The first sentence of the error's docstring: the same for every occurrence."""
    return ((error.__doc__ or error.__name__).strip().splitlines()[0]).rstrip(".")


def problem(error: StoreroomError, *, instance: str | None = None, request_id: str | None = None) -> dict[str, object]:
    """The body for an error."""
    kind = type(error)
    hidden = isinstance(error, Unavailable | Misconfigured)  # their texts name hosts, files and roles
    facts = {} if hidden else error.facts()
    return {
        "type": f"/docs/errors/{kind.code}",
        "title": title_of(kind),
        "status": status_of(kind),
        "detail": title_of(kind) if hidden else str(error),
        "code": kind.code,
        "instance": instance,
        "request_id": request_id,
        **{(f"fact_{name}" if name in _TAKEN else name): fact for name, fact in facts.items()},
    }


def rendered(
    request: AnyRequest, error: StoreroomError, *, headers: Mapping[str, str] | None = None
) -> Response[bytes]:
    """The answer for an error, with the headers that its status asks for."""
    body = problem(error, instance=request.scope["path"], request_id=request_id_of(request.scope))
    status = int(str(body["status"]))
    sent = dict(headers or {})
    if status in {429, 503} or hasattr(error, "retry_after_s"):
        sent["Retry-After"] = str(getattr(error, "retry_after_s", RETRY_AFTER_S))
    if status == 401:
        sent["WWW-Authenticate"] = "Bearer"
    return Response(
        msgspec.json.encode({name: value for name, value in body.items() if value is not None}),
        status_code=status,
        media_type=PROBLEM_JSON,
        headers=sent,
    )


def on_storeroom_error(request: AnyRequest, error: StoreroomError) -> Response[bytes]:
    """What the package raised on purpose. What an operator has to see is logged here."""
    if isinstance(error, Misconfigured):
        _log.error("misconfigured", request_id=request_id_of(request.scope), code=error.code, detail=str(error))
    elif isinstance(error, Unavailable):
        _log.warning("unavailable", request_id=request_id_of(request.scope), code=error.code, detail=str(error))
    answer = rendered(request, error)
    answer.background = afterwards_of(request.scope)
    return answer


def on_validation_error(request: AnyRequest, error: ValidationException) -> Response[bytes]:
    """A field that is missing, unknown, of another type or out of bounds, named."""
    fault = error.extra[0] if isinstance(error.extra, list) and error.extra else {}
    message = str(fault.get("message") or error.detail)
    key, source = fault.get("key"), fault.get("source")
    if (place := _PLACE.search(message)) is not None:
        message, key = message[: place.start()], key or place["place"]
    if (named := _NAMED.match(message)) is not None:
        inside = f"{key}." if key not in (None, "data", "") else ""
        key, message = f"{inside}{named['name']}", message.split(" `")[0]
    if message == "'data'":
        return rendered(request, errors.MalformedRequest(reason="this call needs a body"))
    return rendered(
        request,
        errors.InvalidRequest(
            reason=f"{key}: {message}" if key and key != "data" else message,
            field=None if key in {"data", ""} else key,
            source=str(getattr(source, "value", source)) if source else None,
        ),
    )


def on_http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """What the framework raised: no such path, a wrong method, a body too large or broken."""
    if error.status_code >= 500:
        return on_unexpected(request, error)
    known = _BY_STATUS.get(error.status_code)
    refused = known() if known else errors.MalformedRequest(reason=_readable(error))  # type: ignore[call-arg]
    return rendered(request, refused, headers=error.headers)


def on_unstorable(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A value that JSON can carry and the database cannot; which one is looked for now. In a path it is no name."""
    if any(_NUL in str(value) for value in request.path_params.values()):
        return rendered(request, errors.NoSuchPath())
    field = _holding_nul(request)
    if field is None and not isinstance(error, asyncpg.NumericValueOutOfRangeError):
        return on_unexpected(request, error)
    reason = "a text holds a NUL character" if field else "a number is out of range"
    return rendered(request, errors.Unstorable(reason=reason, field=field))


def on_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Anything else: the log gets all of it, the caller the request id."""
    # Written out here: structlog's own default prints the variables of every frame, where passwords stand.
    trace = "".join(traceback.format_exception(error))
    _log.error("unexpected", request_id=request_id_of(request.scope), path=request.scope["path"], exception=trace)
    return rendered(request, errors.InternalError())


EXCEPTION_HANDLERS: Final[ExceptionHandlersMap] = {
    StoreroomError: on_storeroom_error,
    ValidationException: on_validation_error,
    HTTPException: on_http_error,
    Exception: on_unexpected,
    **dict.fromkeys(_UNSTORABLE, on_unstorable),
}


def says(*errors_: type[StoreroomError]) -> dict[int, ResponseSpec]:
    """What a route may answer instead, for its `responses=`: the errors named here and those of every route.

    @post("/v1/carts/{cart_id:uuid}/items", responses=says(CartNotFound, OutOfStock))
    """
    by_status: dict[int, list[type[StoreroomError]]] = {}
    for error in (errors.MalformedRequest, errors.InvalidRequest, *errors_):
        by_status.setdefault(status_of(error), []).append(error)
    return {
        status: ResponseSpec(
            Problem,
            media_type=PROBLEM_JSON,
            generate_examples=False,
            description="; ".join(f"`{error.code}`: {title_of(error)}" for error in kinds),
        )
        for status, kinds in sorted(by_status.items())
    }


def _readable(error: HTTPException) -> str:
    """The framework's message without its own wording of the status and the parser's insides."""
    detail = error.detail or ""
    return "the body cannot be read" if "pars" in detail.lower() or "json" in detail.lower() else detail


def _holding_nul(request: AnyRequest) -> str | None:
    for name, value in request.query_params.multi_items():
        if _NUL in str(value):
            return name
    body = ScopeState.from_scope(request.scope).body  # as the handler has read it; nothing may be awaited here
    try:
        return _nul_in(msgspec.json.decode(body), "") if isinstance(body, bytes) else None
    except (msgspec.MsgspecError, RecursionError):
        return None


def _nul_in(value: Any, place: str) -> str | None:
    if isinstance(value, str):
        return place or "body" if _NUL in value else None
    inside = (
        ((f"{place}.{name}" if place else str(name), each) for name, each in value.items())
        if isinstance(value, dict)
        else ((f"{place}[{number}]", each) for number, each in enumerate(value))
        if isinstance(value, list)
        else ()
    )
    return next(
        (found for name, each in inside if (found := _nul_in(each, name) or (name if _NUL in name else None))), None
    )
