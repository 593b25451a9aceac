"""A verified payment over HTTP, for the pay server that watches the chain."""

from collections.abc import Sequence
from typing import Final

from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler

from storeroom.core.money import UnknownCurrency
from storeroom.flows import errors
from storeroom.flows.wallet_payments import Settlement, VerifiedPayment, WalletPayments
from storeroom.identity import Permission, UserNotFound
from storeroom.wallets import (
    InvalidQuote,
    InvalidTransaction,
    NotOurAccount,
    QuoteExpired,
    QuoteNotFound,
    QuotePaid,
    QuotePaidByAnother,
)
from storeroom.web import IDEMPOTENT, requires, says


@post(
    "/v1/admin/wallet-payments",
    status_code=200,
    summary="Honour a verified payment: record it, and store its order",
    tags=["admin: wallets"],
    guards=[requires(Permission.PAYMENTS_RECORD)],
    opt=IDEMPOTENT,
    responses=says(
        errors.InvalidPurchase,
        errors.LinesUnknown,
        errors.MethodUnfit,
        errors.PaidInOtherAsset,
        errors.PaidTooLittle,
        errors.SignatureUsed,
        InvalidQuote,
        InvalidTransaction,
        NotOurAccount,
        QuoteExpired,
        QuoteNotFound,
        QuotePaid,
        QuotePaidByAnother,
        UnknownCurrency,
        UserNotFound,
    ),
)
async def record_wallet_payment(
    data: JSONBody[VerifiedPayment], wallet_payments: NamedDependency[WalletPayments]
) -> Settlement:
    """All of it or nothing; the same confirmation may be delivered as often as one likes.

    The quote gets its payer, the order is stored and paid, the cart's reservations become its units, and one message
    waits in the outbox. A second delivery is told of the order of the first.
    """
    return await wallet_payments.record(data)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (record_wallet_payment,)
