"""What syncs with the ERP, on which trigger, and what never does: the whole boundary, in these two tables.

Whatever is not in OUTBOUND is refused by the outbox for this destination, and by a constraint of the queue. The message
itself is made when it is sent, from the rows as they are then: `queries.sql`, `*_subject`.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from storeroom import outbox
from storeroom.catalog import PRODUCTS_SYNCED
from storeroom.database.synced import SyncedTable
from storeroom.erp import queries
from storeroom.erp.model import ErpEntity, Standing, Subject
from storeroom.identity import USERS_SYNCED
from storeroom.orders import ORDERS_SYNCED
from storeroom.payments import PAYMENTS_SYNCED
from storeroom.refunds import REFUNDS_SYNCED

DESTINATION: Final = "epicor_propello"
SWEPT: Final = "erp.sync"  # event type of a row that no event brought, but the sweep or staff


@dataclass(frozen=True)
class Outbound:
    """One kind of entity that the ERP keeps as well."""

    entity: ErpEntity
    sent_as: str  # what the ERP calls it
    path: str  # the same in an address
    triggers: frozenset[str]  # events in whose transaction it is queued; with a colon: those of that status alone
    table: SyncedTable  # the owner's, who alone writes `erp_*_id` and `erp_synced_at`
    subject: Callable[..., Awaitable[Subject | None]]
    unsynced: Callable[..., Awaitable[Any]]
    to_resync: Callable[..., Awaitable[Any]]
    standing: Callable[..., Awaitable[Standing]]


OUTBOUND: Final[Mapping[str, Outbound]] = MappingProxyType({
    each.entity.value: each
    for each in (
        Outbound(
            ErpEntity.USER, "Customer Master", "customer-master",
            frozenset({"customer.created", "customer.updated"}),
            USERS_SYNCED, queries.user_subject, queries.users_unsynced, queries.users_to_resync, queries.users_standing,
        ),
        Outbound(
            ErpEntity.PRODUCT, "Item Master", "item-master",
            frozenset({"product.created", "product.updated"}),
            PRODUCTS_SYNCED, queries.product_subject, queries.products_unsynced, queries.products_to_resync,
            queries.products_standing,
        ),
        # Placed with nothing left to pay (a full discount, store credit, a wallet), an order is born in that status.
        Outbound(
            ErpEntity.ORDER, "Sales Order", "sales-order",
            frozenset({"order.payment_received", "order.created:payment_received"}),
            ORDERS_SYNCED, queries.order_subject, queries.orders_unsynced, queries.orders_to_resync,
            queries.orders_standing,
        ),
        Outbound(
            ErpEntity.PAYMENT, "Payment/Receipt", "payment-receipt",
            frozenset({"payment.completed"}),
            PAYMENTS_SYNCED, queries.payment_subject, queries.payments_unsynced, queries.payments_to_resync,
            queries.payments_standing,
        ),
        Outbound(
            ErpEntity.REFUND, "Credit Memo", "credit-memo",
            frozenset({"refund.completed"}),
            REFUNDS_SYNCED, queries.refund_subject, queries.refunds_unsynced, queries.refunds_to_resync,
            queries.refunds_standing,
        ),
    )
})  # fmt: skip

NEVER: Final[Mapping[str, str]] = MappingProxyType({
    "events": "what visitors do; not the ERP's matter",
    "carts": "an intent, before any order",
    "cart_items": "an intent, before any order",
    "auth_sessions": "security, no business data",
    "audit_logs": "internal compliance",
    "webhooks_inbox": "plumbing",
    "webhooks_outbox": "plumbing",
    "webhook_queue": "plumbing; the outbox by its other name",
    "payment_attempts": "for finding faults",
    "order_status_history": "internal audit",
    "fulfillment_status_history": "internal tracking",
})  # fmt: skip

TRIGGERS: Final = frozenset().union(*(each.triggers for each in OUTBOUND.values()))

outbox.restrict(DESTINATION, OUTBOUND)
