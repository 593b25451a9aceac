"""Requests whose JSON is read straight into the type that the route asks for.

The framework reads a body into dicts and then converts those leniently, as it has to for query strings: `"2"` would
pass for a number and 0 for false, against what the OpenAPI document says. This is strict, and one step instead of two.
"""

from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.exceptions import SerializationException, ValidationException
from litestar.types import Empty
from typing_extensions import override


class StrictRequest(Request[Any, Any, State]):
    """See the module."""

    @override
    async def json(self) -> Any:
        """The body as the route's `data`; for a route without one, as the framework reads it.

        Raises:
            SerializationException: not JSON.
            ValidationException: another type than the route asks for.
        """
        if self._json is Empty:
            data = self.route_handler.parsed_data_field
            body = await self.body()
            if data is None or not body:
                return await super().json()
            try:
                self._json = _decoded(data.annotation, body)
            except msgspec.ValidationError as error:
                fault = {"message": str(error), "source": "body"}
                raise ValidationException("the body is not what this path takes", extra=[fault]) from error
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise SerializationException(str(error)) from error
        return self._json


def _decoded(annotation: Any, body: bytes) -> Any:
    try:
        return _decoder(annotation).decode(body)
    except msgspec.ValidationError:
        return msgspec.convert(_whole(msgspec.json.decode(body)), annotation)  # the same error, or none


def _whole(value: Any) -> Any:
    """JSON Schema, and JSON itself, know no difference between 2.0 and 2."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    return value


@lru_cache(maxsize=512)  # one for each route, and routes are written by us
def _decoder(annotation: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(annotation)
