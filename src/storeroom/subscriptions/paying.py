"""What pays a period of a subscription: known by one name, whichever of its names is brought."""

from __future__ import annotations

from uuid import UUID

import msgspec

from storeroom.core.ids import ProductId, SubscriptionId, UserId
from storeroom.subscriptions import queries
from storeroom.subscriptions.errors import (
    InvalidSubscription,
    PaidFarAhead,
    SubscriptionPaymentUnknown,
    SubscriptionPaymentUsed,
)
from storeroom.subscriptions.model import REFERENCE_LENGTH_MAX, WAITING_MAX, Period, SubscriptionPayment
from storeroom.subscriptions.reading import SubscriptionReading
from storeroom.wallets import normal_code


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """A sum that may pay one period."""

    reference: str  # as it was brought
    key: str  # what it is taken by: an order's payments are one sum, however many they are and whatever they are called
    order_id: UUID | None  # None: a transaction that made no order, or what staff noted


class Payer(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription, and whose money may pay for it."""

    subscription_id: SubscriptionId
    product_id: ProductId
    payment_method: SubscriptionPayment
    user_id: UserId | None
    wallet: str | None


class SubscriptionPaying(SubscriptionReading):
    """The payments of the subscriptions of one shop."""

    async def _money(self, reference: str, product_id: ProductId) -> Paid:
        """What goes by this name. An order pays one period of each product in it. Raises InvalidSubscription."""
        name = normal_code(reference)
        if not 1 <= len(name) <= REFERENCE_LENGTH_MAX or not name.isprintable():
            raise InvalidSubscription(
                field="payment_reference", reason=f"1 to {REFERENCE_LENGTH_MAX} printable characters"
            )
        order_id = await queries.order_of_payment(self.db, tenant_id=self.tenant_id, name=name)
        key = name if order_id is None else f"order {order_id} product {product_id}"
        return Paid(reference=name, key=key, order_id=order_id)

    async def _counted(self, money: Paid, payer: Payer) -> bool:
        """Whether it counts for this subscription already. Raises SubscriptionPaymentUsed where for another one."""
        names = [money.key, money.reference]
        if money.order_id is not None:
            names += await queries.payment_names(self.db, tenant_id=self.tenant_id, order_id=money.order_id)
        holders = await queries.payment_holders(self.db, tenant_id=self.tenant_id, names=names)
        if holders and payer.subscription_id not in holders:
            raise SubscriptionPaymentUsed(payment_reference=money.reference)
        return bool(holders)

    async def _verify(self, money: Paid, payer: Payer) -> None:
        """See that it is the holder's, for the product, enough, and still here; what staff note they vouch for."""
        if payer.payment_method is SubscriptionPayment.MANUAL:
            return
        if money.order_id is not None:
            pays = await queries.order_pays(
                self.db,
                tenant_id=self.tenant_id,
                order_id=money.order_id,
                product_id=payer.product_id,
                user_id=payer.user_id,
                wallet=payer.wallet,
            )
        else:
            pays = payer.wallet is not None and await queries.wallet_pays(
                self.db,
                tenant_id=self.tenant_id,
                signature=money.key,
                wallet=payer.wallet,
                resources=[str(payer.product_id), str(payer.subscription_id)],
                product_id=payer.product_id,
            )
        if not pays:
            raise SubscriptionPaymentUnknown(payment_reference=money.reference)

    async def _take(self, money: Paid, payer: Payer, period: Period | None) -> None:
        """Let it count, for a period, or for the next one that begins. Raises PaidFarAhead, SubscriptionPaymentUsed."""
        if period is None:
            waiting = await queries.waiting_payments(
                self.db, tenant_id=self.tenant_id, subscription_id=payer.subscription_id
            )
            if waiting >= WAITING_MAX:
                raise PaidFarAhead(subscription_id=payer.subscription_id, waiting_max=WAITING_MAX)
        taken = await queries.take_payment(
            self.db,
            tenant_id=self.tenant_id,
            payment_reference=money.key,
            subscription_id=payer.subscription_id,
            period_start=None if period is None else period.start,
            period_end=None if period is None else period.end,
        )
        if taken is None:  # a rival has just brought it for another one; for this one it would have waited at the lock
            raise SubscriptionPaymentUsed(payment_reference=money.reference)
