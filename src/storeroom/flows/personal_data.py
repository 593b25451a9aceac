"""All that is held about a person, across slices: for whoever asks what a shop knows of them."""

from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from storeroom.audit import audited
from storeroom.core.ids import UserId
from storeroom.database.service import Service, transactional
from storeroom.flows import queries
from storeroom.identity import Users

HELD_ROWS_MAX: Final = 10_000  # of one kind

# A table with people's rows is here, or the test that looks for it says why not.
PARTS: Final = MappingProxyType(
    {
        "account": queries.held_account,
        "profile": queries.held_profile,
        "consents": queries.held_consents,
        "addresses": queries.held_addresses,
        "sessions": queries.held_sessions,
        "identities": queries.held_identities,
        "messages": queries.held_messages,
        "second_factor": queries.held_second_factor,
        "carts": queries.held_carts,
        "cart_items": queries.held_cart_items,
        "orders": queries.held_orders,
        "order_items": queries.held_order_items,
        "order_history": queries.held_order_history,
        "discounts": queries.held_discounts,
        "coupons": queries.held_redemptions,
        "payments": queries.held_payments,
        "payment_attempts": queries.held_attempts,
        "refunds": queries.held_refunds,
        "store_credits": queries.held_credits,
        "store_credit_entries": queries.held_credit_entries,
        "subscriptions": queries.held_subscriptions,
        "subscription_payments": queries.held_subscription_payments,
        "downloads": queries.held_downloads,
        "statistics": queries.held_statistics,
        "events": queries.held_events,
        "conversion_signals": queries.held_signals,
        "guest_attempts": queries.held_guest_attempts,
        "phone_codes": queries.held_phone_codes,
        "sap": queries.held_sap,
        "invoices": queries.held_invoices,
        "records": queries.held_records,
    }
)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """What a shop holds about a person."""

    made_at: datetime
    user_id: UserId
    complete: bool  # False: there are more than HELD_ROWS_MAX rows of a kind
    parts: dict[str, list[dict[str, Any]]]  # rows as they are stored, by kind


class PersonalData(Service):
    """What one tenant holds about people."""

    @audited("personal_data.export", "user", "user_id")
    @transactional
    async def export(self, *, user_id: UserId) -> Held:
        """The rows of every table that are a person's, deleted addresses and ended sessions included.

        Without what opens a door: hashes of passwords and tokens, and the secret of a second factor; and without what
        staff noted. What they did to the account stays in the audit log, which is the shop's, and where an export for
        somebody else leaves an entry.

        Raises:
            UserNotFound: no such account, or a customer asks for somebody else's.
        """
        await Users(self.context).get(user_id=user_id)
        parts: dict[str, list[dict[str, Any]]] = {}
        complete = True
        for name, held in PARTS.items():
            rows = list(await held(self.db, tenant_id=self.tenant_id, user_id=user_id, rows=HELD_ROWS_MAX + 1))
            complete = complete and len(rows) <= HELD_ROWS_MAX
            parts[name] = rows[:HELD_ROWS_MAX]
        return Held(made_at=self.context.clock.now(), user_id=user_id, complete=complete, parts=parts)
