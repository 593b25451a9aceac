"""Runs every check over the live database."""

from collections.abc import Awaitable, Callable
from typing import Final

from storeroom.database.executor import Executor
from storeroom.database.migrations import APPEND_ONLY, NEVER_DELETED
from storeroom.doctor import queries
from storeroom.doctor.model import FINDINGS_SHOWN_MAX, Finding, Gravity, Result
from storeroom.flows.secrets import unreadable
from storeroom.identity import TokenKeys
from storeroom.orders import CASH_ON_DELIVERY_MOVES

Check = Callable[..., Awaitable[list[Finding]]]

_MOVES: Final = [(source.value, to.value) for source, targets in CASH_ON_DELIVERY_MOVES.items() for to in targets]


async def moves_were_allowed(db: Executor, *, size: int) -> list[Finding]:
    """The statement of this name, with the moves that the states allow."""
    return await queries.moves_were_allowed(
        db, from_states=[source for source, _ in _MOVES], to_states=[to for _, to in _MOVES], size=size
    )


async def history_is_locked(db: Executor, *, size: int) -> list[Finding]:
    """The statement of this name, with the tables that are history, as they are called here."""
    return await queries.history_is_locked(
        db,
        append_only=[db.names.resolve(name) for name in sorted(APPEND_ONLY)],
        never_deleted=[db.names.resolve(name) for name in sorted(NEVER_DELETED)],
        size=size,
    )


CHECKS: Final[tuple[tuple[Check, Gravity], ...]] = (
    (queries.reserved_is_explained, Gravity.BROKEN),
    (queries.on_hand_is_explained, Gravity.BROKEN),
    (queries.lines_hold_what_is_open, Gravity.BROKEN),
    (queries.reservations_became_orders, Gravity.BROKEN),
    (queries.shipped_units_are_on_lines, Gravity.BROKEN),
    (queries.batches_gave_what_was_taken, Gravity.BROKEN),
    (queries.totals_are_their_lines, Gravity.BROKEN),
    (queries.discounts_are_explained, Gravity.BROKEN),
    (queries.uses_of_coupons_are_counted, Gravity.BROKEN),
    (queries.currencies_agree, Gravity.BROKEN),
    (queries.paid_is_what_arrived, Gravity.BROKEN),
    (queries.statistics_are_their_orders, Gravity.BROKEN),
    (queries.refunds_fit_their_payments, Gravity.BROKEN),
    (queries.refunds_fit_their_orders, Gravity.BROKEN),
    (queries.disputes_fit_their_payments, Gravity.BROKEN),
    (queries.quotes_fit_their_purchases, Gravity.BROKEN),
    (queries.credit_is_its_entries, Gravity.BROKEN),
    (queries.paid_orders_moved_on, Gravity.BROKEN),
    (queries.history_is_unbroken, Gravity.BROKEN),
    (moves_were_allowed, Gravity.BROKEN),
    (queries.orders_have_history, Gravity.BROKEN),
    (queries.placed_orders_are_told, Gravity.BROKEN),
    (queries.payments_are_told, Gravity.BROKEN),
    (queries.converted_carts_have_their_order, Gravity.BROKEN),
    (queries.sent_links_are_there, Gravity.BROKEN),
    (queries.late_money_is_of_its_order, Gravity.BROKEN),
    (queries.ended_carts_hold_nothing, Gravity.BROKEN),
    (queries.cart_totals_are_their_lines, Gravity.BROKEN),
    (queries.attempts_are_counted, Gravity.BROKEN),
    (queries.manual_payments_were_verified, Gravity.BROKEN),
    (queries.products_can_be_sold, Gravity.BROKEN),
    (queries.tenants_are_known, Gravity.BROKEN),
    (queries.settled_keys_have_their_order, Gravity.BROKEN),
    (queries.entries_are_as_sealed, Gravity.BROKEN),
    (queries.seals_are_a_chain, Gravity.BROKEN),
    (queries.entries_are_sealed_or_wait, Gravity.BROKEN),
    (history_is_locked, Gravity.BROKEN),
    (queries.transactions_agree_with_payments, Gravity.BROKEN),
    (queries.signatures_are_kept_once, Gravity.BROKEN),
    (queries.accounts_say_what_sap_has, Gravity.BROKEN),
    (queries.messages_found_what_exists, Gravity.BROKEN),
    (queries.erp_links_are_whole, Gravity.BROKEN),
    (queries.accounts_have_one_shop, Gravity.NOTE),
    (queries.units_are_oversold, Gravity.NOTE),
    (queries.money_is_due_back, Gravity.NOTE),
    (queries.jobs_are_late, Gravity.NOTE),
    (queries.schedule_is_kept, Gravity.NOTE),
    (queries.retired_months_lie_about, Gravity.NOTE),
)


async def examine(db: Executor) -> list[Result]:
    """Ask every check, one after the other. Reads only; a shop at work may go on.

    Each check is one statement and so sees one moment.
    """
    return [await _ask(db, check, gravity) for check, gravity in CHECKS]


async def seals_open(db: Executor, keys: TokenKeys) -> Result:
    """The one check that needs the secrets of the installation, and opens what is sealed."""
    broken = await unreadable(db, keys, size=FINDINGS_SHOWN_MAX + 1)
    findings = [
        Finding(
            tenant_id=row.tenant_id, subject=f"{row.what}, {row.id}", detail=f"does not open: {', '.join(row.fields)}"
        )
        for row in broken
    ]
    return Result(
        name="seals_open",
        says="What is sealed opens, where it is, with a secret that is given.",
        gravity=Gravity.BROKEN,
        count=len(findings),
        findings=findings[:FINDINGS_SHOWN_MAX],
    )


async def _ask(db: Executor, check: Check, gravity: Gravity) -> Result:
    findings = await check(db, size=FINDINGS_SHOWN_MAX + 1)
    return Result(
        name=check.__name__,
        says=" ".join((getattr(queries, check.__name__).__doc__ or "").split()),
        gravity=gravity,
        count=len(findings),
        findings=findings[:FINDINGS_SHOWN_MAX],
    )
