"""Runs every check over the live database."""

from collections.abc import Awaitable, Callable
from typing import Final

from storeroom.database.executor import Executor
from storeroom.doctor import queries
from storeroom.doctor.model import FINDINGS_SHOWN_MAX, Finding, Gravity, Result

Check = Callable[..., Awaitable[list[Finding]]]

CHECKS: Final[tuple[tuple[Check, Gravity], ...]] = (
    (queries.reserved_is_explained, Gravity.BROKEN),
    (queries.on_hand_is_explained, Gravity.BROKEN),
    (queries.lines_hold_what_is_open, Gravity.BROKEN),
    (queries.totals_are_their_lines, Gravity.BROKEN),
    (queries.paid_is_what_arrived, Gravity.BROKEN),
    (queries.paid_orders_moved_on, Gravity.BROKEN),
    (queries.history_is_unbroken, Gravity.BROKEN),
    (queries.orders_have_history, Gravity.BROKEN),
    (queries.placed_orders_are_told, Gravity.BROKEN),
    (queries.converted_carts_have_their_order, Gravity.BROKEN),
    (queries.cart_totals_are_their_lines, Gravity.BROKEN),
    (queries.attempts_are_counted, Gravity.BROKEN),
    (queries.manual_payments_were_verified, Gravity.BROKEN),
    (queries.products_can_be_sold, Gravity.BROKEN),
    (queries.tenants_are_known, Gravity.BROKEN),
    (queries.settled_keys_have_their_order, Gravity.BROKEN),
    (queries.units_are_oversold, Gravity.NOTE),
    (queries.money_is_due_back, Gravity.NOTE),
    (queries.jobs_are_late, Gravity.NOTE),
)


async def examine(db: Executor) -> list[Result]:
    """Ask every check, one after the other. Reads only; a shop at work may go on.

    Each check is one statement and so sees one moment.
    """
    return [await _ask(db, check, gravity) for check, gravity in CHECKS]


async def _ask(db: Executor, check: Check, gravity: Gravity) -> Result:
    findings = await check(db, size=FINDINGS_SHOWN_MAX + 1)
    return Result(
        name=check.__name__,
        says=" ".join((check.__doc__ or "").split()),
        gravity=gravity,
        count=len(findings),
        findings=findings[:FINDINGS_SHOWN_MAX],
    )
