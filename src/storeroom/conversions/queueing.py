"""Queueing what happened, in the transaction of the change; and whether a shop tells anybody at all.

Most shops tell nobody: that is known without asking the database, for KEPT_S at a time.
"""

import logging
import time
from collections.abc import Sequence
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import msgspec

from storeroom.configuration import STOREFRONT_URL, ConfigUnreadable, Configuration, Setting
from storeroom.conversions import queries
from storeroom.conversions.model import (
    ITEMS_MAX,
    KEPT_S,
    PURCHASE_ON,
    SEND,
    SOURCE_URL,
    WITHOUT_CONSENT,
    Event,
    Item,
    Known,
    Occasion,
    Person,
    Policy,
)
from storeroom.conversions.shapes import knows, payload_of
from storeroom.core.crypto import SealBroken
from storeroom.core.ids import CartId, SessionId, UserId, new_id
from storeroom.core.money import Money
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import ActorKind, Context
from storeroom.identity import SigningSecretMissing
from storeroom.outbox import wake

T = TypeVar("T")

SHOPS_KNOWN_MAX: Final = 10_000
_kept: "Final[WeakKeyDictionary[Database, dict[str, tuple[Policy | None, float]]]]" = WeakKeyDictionary()
_log: Final = logging.getLogger(__name__)


async def policy_of(context: Context) -> Policy | None:
    """What the shop tells, as it was at most KEPT_S ago; None: it tells nobody anything."""
    database = _database(context)
    shops = _kept.setdefault(database, {}) if database is not None else {}
    kept = shops.get(context.tenant_id)
    if kept is not None and time.monotonic() < kept[1]:
        return kept[0]
    policy = None
    if await queries.tells_anybody(context.db, tenant_id=context.tenant_id):
        if isinstance(context.db, Database):
            async with context.db.transaction() as tx:  # so that a suspended shop's events are not held up
                policy = await _policy(context.on(tx))
        else:
            policy = await _policy(context)
    shops.pop(context.tenant_id, None)
    if len(shops) >= SHOPS_KNOWN_MAX:
        del shops[next(iter(shops))]  # the one asked for longest ago
    shops[context.tenant_id] = (policy, time.monotonic() + KEPT_S)
    return policy


async def _policy(context: Context) -> Policy:
    return Policy(
        purchase_on=await _meant(context, PURCHASE_ON),
        without_consent=await _meant(context, WITHOUT_CONSENT),
        source_url=await _meant(context, SOURCE_URL) or await _meant(context, STOREFRONT_URL),
    )


async def _meant(context: Context, setting: Setting[T]) -> T:
    """The default where it cannot be read: a setting of advertising stops nobody who puts something into a cart."""
    try:
        return await Configuration(context).value(setting)
    except (ConfigUnreadable, SealBroken, SigningSecretMissing) as error:
        _log.warning("%s: %s is taken as its default: %s (%s)", context.tenant_id, setting.key, error, error.code)
        return setting.default


def forget_policy(context: Context) -> None:
    """Ask again next time, once the transaction has committed: this process has just changed what the shop tells."""
    database = _database(context)
    if database is None:
        return
    if isinstance(context.db, Transaction):
        context.db.after_commit(lambda: _forget(database, context.tenant_id))
    _forget(database, context.tenant_id)


async def added_to_cart(context: Context, *, item: Item, user_id: UserId | None, session_id: SessionId | None) -> None:
    """Queue that units of a variant were put into a cart, in the caller's transaction.

    Args:
        context: of the service that did it; its `db` is the transaction.
        item: what was added: so many units, and no more, whatever lay there before.
        user_id: whose cart it is.
        session_id: the visitor's.
    """
    policy, occasion = await policy_of(context), Occasion.ADD_TO_CART
    if policy is None or not knows(item.price.currency):
        return
    event_id = context.request_id or str(new_id())  # which the answer carries too, for the browser's own tag
    if session_id is not None and await queries.waits(
        context.db, tenant_id=context.tenant_id, session_id=session_id, event_name=occasion, event_id=event_id
    ):
        event_id = str(new_id())  # a call that adds several: of two with one id the second would be dropped
    await _queue_of_cart(
        context,
        policy,
        occasion,
        event_id,
        value=item.price * item.quantity,
        items=[item],
        user_id=user_id,
        session_id=session_id,
    )


async def checkout_started(
    context: Context,
    *,
    cart_id: CartId,
    value: Money,
    items: Sequence[Item],
    user_id: UserId | None,
    session_id: SessionId | None,
) -> None:
    """Queue that a visitor has begun to check out, in the caller's transaction; not while the same of a visit waits.

    Args:
        context: of the service that heard it; its `db` is the transaction.
        cart_id: whose id the browser's own tag names too.
        value: what the cart comes to.
        items: what is in it; ITEMS_MAX are told.
        user_id: whose cart it is.
        session_id: the visitor's.
    """
    policy, occasion = await policy_of(context), Occasion.INITIATE_CHECKOUT
    if policy is None or not knows(value.currency) or not items:
        return
    if session_id is not None and await queries.waits(
        context.db, tenant_id=context.tenant_id, session_id=session_id, event_name=occasion, event_id=str(cart_id)
    ):
        return
    await _queue_of_cart(
        context,
        policy,
        occasion,
        str(cart_id),
        value=value,
        items=list(items[:ITEMS_MAX]),
        user_id=user_id,
        session_id=session_id,
    )


async def _queue_of_cart(
    context: Context,
    policy: Policy,
    occasion: Occasion,
    event_id: str,
    *,
    value: Money,
    items: list[Item],
    user_id: UserId | None,
    session_id: SessionId | None,
) -> None:
    """If the visitor lets us."""
    known = await queries.known(context.db, tenant_id=context.tenant_id, session_id=session_id, user_id=user_id)
    if not may_tell(known, policy):
        return
    event = Event(
        occasion=occasion,
        id=event_id,
        at=context.clock.now(),
        value=value,
        items=items,
        person=Person(user_id=user_id, email=known.email, phone=known.phone, name=known.full_name),
        known=seen_now(known, context),
        source_url=policy.source_url,
    )
    await queue(context, event, session_id=session_id)


def may_tell(known: Known, policy: Policy) -> bool:
    """Whether anything may be told of this visitor. A refusal is final; who was not asked, the shop decides."""
    if known.consents is False or known.withdrew:
        return False
    return known.consents is True or policy.without_consent == SEND


def seen_now(known: Known, context: Context) -> Known:
    """With the browser that is calling, where it is the customer's."""
    if context.actor.kind is not ActorKind.CUSTOMER or not context.user_agent:
        return known
    user_agent = context.user_agent[:500].replace("\x00", "")
    return msgspec.structs.replace(known, user_agent=user_agent, ip=context.ip)


async def queue(
    context: Context,
    event: Event,
    *,
    session_id: SessionId | None,
    sent: Sequence[str] = (),
) -> None:
    """Put an event among those that wait, due once the transaction has committed."""
    await queries.queue(
        context.db,
        tenant_id=context.tenant_id,
        id=new_id(),
        event_name=event.occasion,
        payload=payload_of(event),
        session_id=session_id,
        sent=list(sent),
    )
    wake(context.db)


def _database(context: Context) -> Database | None:
    if isinstance(context.db, Transaction):
        return context.db.database
    return context.db if isinstance(context.db, Database) else None


def _forget(database: Database, tenant_id: str) -> None:
    _kept.get(database, {}).pop(tenant_id, None)
