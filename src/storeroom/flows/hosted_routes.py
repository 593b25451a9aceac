"""Payments on a provider's page over HTTP: customers open one and come back, staff ask."""

from collections.abc import Sequence
from typing import Annotated, Final
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.flows.hosted_payments import URL_LENGTH_MAX, HostedPayments
from storeroom.flows.model import HostedPage
from storeroom.hosted import (
    HostedSessionNotFound,
    IndicatorRefused,
    InvalidHostedPayment,
    NotHosted,
    ProviderDown,
    ProviderMisconfigured,
    ProviderRefused,
    TransactionNotFound,
)
from storeroom.hosted.routes import HostedSessionView, MpgsTransactionView, as_view
from storeroom.payments import PaymentExpired, PaymentMoveRefused, PaymentNotFound
from storeroom.payments.routes import Number, Phone, payer_of
from storeroom.web import IDEMPOTENT, Call, Limiter, Principal, requires, says

_ASK: Final = [requires("payments.verify")]
_TAGS: Final = ["admin: hosted payments"]

Url = Annotated[str, Meta(min_length=1, max_length=URL_LENGTH_MAX, examples=["https://shop.example/thanks"])]


class NewPage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the buyer goes afterwards; at an origin that the shop allows."""

    return_url: Url
    cancel_url: Url | None = None  # None: the same
    number: Number | None = None  # of the order, with
    phone: Phone | None = None  # the phone of it, where no session shows whose it is


class Returned(msgspec.Struct, frozen=True, kw_only=True):
    """What a buyer is told who has no page to go back to."""

    paid: bool


@post(
    "/v1/payments/{reference:str}/hosted-session",
    summary="Open the provider's page for a payment",
    tags=["payments"],
    opt=IDEMPOTENT,
    responses=says(
        PaymentNotFound,
        PaymentMoveRefused,
        PaymentExpired,
        NotHosted,
        InvalidHostedPayment,
        ProviderRefused,
        ProviderDown,
        ProviderMisconfigured,
    ),
)
async def open_page(  # noqa: PLR0917  # by name, as the framework calls it
    reference: FromPath[str],
    data: JSONBody[NewPage],
    call: NamedDependency[Call],
    principal: NamedDependency[Principal],
    limiter: NamedDependency[Limiter],
    hosted_payments: NamedDependency[HostedPayments],
) -> HostedPage:
    """Send the buyer to `url`; or, where there is none, load `script_url` and let it open the session's page.

    The payment must be the caller's, by account or session, or number and phone must be those of its order. While a
    page is open, it is answered again.
    """
    payer = await payer_of(principal, limiter, data.number, data.phone, right="payments.verify")
    return await hosted_payments.start(
        reference=reference,
        return_url=data.return_url,
        cancel_url=data.cancel_url,
        api_url=f"{'https' if call.https else 'http'}://{call.host}",
        host=call.host,
        payer=payer,
    )


@get(
    "/v1/returns/{tenant:str}/mpgs/{reference:str}",
    summary="A buyer comes back from Mastercard's gateway",
    tags=["payments"],
    responses={
        **says(PaymentNotFound, TransactionNotFound, IndicatorRefused),
        303: ResponseSpec(data_container=None, description="To the shop's page, with `payment` in its query."),
    },
)
async def come_back(
    tenant: FromPath[str],  # noqa: ARG001  # says whose it is, see Call.tenant
    reference: FromPath[str],
    hosted_payments: NamedDependency[HostedPayments],
    result_indicator: Annotated[str, QueryParameter(name="resultIndicator", max_length=255)] = "",
) -> Response[Returned]:
    """The gateway sends the browser here. Whether it was paid the shop's page asks: `GET /v1/payments/{reference}`."""
    paid = True
    try:
        transaction = await hosted_payments.returned(reference=reference, result_indicator=result_indicator)
    except IndicatorRefused:  # so a buyer comes back who could not pay, or did not want to
        paid = False
        transaction = await hosted_payments.transaction_of(reference=reference)
    if transaction.return_url is None:
        return Response(Returned(paid=paid))
    page = urlsplit(transaction.return_url)
    query = "&".join(each for each in (page.query, urlencode({"payment": reference.strip().upper()})) if each)
    return Response(Returned(paid=paid), status_code=303, headers={"Location": urlunsplit(page._replace(query=query))})


@post(
    "/v1/admin/hosted-sessions/{session:str}/refresh",
    status_code=200,
    summary="Ask Stripe what became of a session",
    tags=_TAGS,
    guards=_ASK,
    responses=says(HostedSessionNotFound, NotHosted, ProviderRefused, ProviderDown, ProviderMisconfigured),
)
async def refresh_session(
    session: FromPath[str], hosted_payments: NamedDependency[HostedPayments]
) -> HostedSessionView:
    """And take its word: a paid one completes its payment."""
    return as_view(HostedSessionView, await hosted_payments.refresh_session(session_id=session))


@post(
    "/v1/admin/mpgs-transactions/{transaction_id:uuid}/refresh",
    status_code=200,
    summary="Ask Mastercard's gateway what became of a transaction",
    tags=_TAGS,
    guards=_ASK,
    responses=says(TransactionNotFound, NotHosted, ProviderRefused, ProviderDown, ProviderMisconfigured),
)
async def refresh_transaction(
    transaction_id: FromPath[UUID], hosted_payments: NamedDependency[HostedPayments]
) -> MpgsTransactionView:
    """And take its word; one whose buyer had time and never paid is expired."""
    return as_view(MpgsTransactionView, await hosted_payments.refresh_transaction(transaction_id=transaction_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    open_page,
    come_back,
    refresh_session,
    refresh_transaction,
)
