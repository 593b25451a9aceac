"""The way in over HTTP: one address for each source of a shop."""

from collections.abc import Sequence
from typing import Final

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from storeroom.flows.inbound import Inbound
from storeroom.gateways import GatewayNotFound
from storeroom.hosted import ProviderMisconfigured, SignatureRefused
from storeroom.identity import SigningSecretMissing
from storeroom.inbox import BODY_BYTES_MAX, InvalidMessage, MessageForged, SourceNotFound
from storeroom.web import AnyRequest, says


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """The message is stored, and is ours to process from now on."""

    received: bool
    repeated: bool  # the same event was there before; nothing more happens


@post(
    "/v1/webhooks/{tenant:str}/{source:str}",
    status_code=202,
    summary="A message of another system",
    tags=["webhooks"],
    request_max_body_size=BODY_BYTES_MAX,
    responses={
        **says(
            SourceNotFound,
            GatewayNotFound,
            MessageForged,
            SignatureRefused,
            InvalidMessage,
            ProviderMisconfigured,
            SigningSecretMissing,
        ),
        200: ResponseSpec(data_container=Received, description="The same event was there before."),
    },
)
async def receive_message(
    tenant: FromPath[str],  # noqa: ARG001  # says whose it is, see Call.tenant
    source: FromPath[str],
    request: AnyRequest,
    inbound: NamedDependency[Inbound],
) -> Response[Received]:
    """Signed as the source is set up. It is stored, answered, and processed after; a repeated one changes nothing."""
    receipt = await inbound.receive(source=source, body=await request.body(), headers=dict(request.headers))
    return Response(Received(received=True, repeated=receipt.repeated), status_code=200 if receipt.repeated else 202)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (receive_message,)
