"""Tables under names of the operator's choice: the operations do not know, and two installations share one schema."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any, cast

import asyncpg
import pytest

from factories import SECRET, make_coupon, make_method, make_product, open_shop, place, usd
from purse import OURS, RIVAL, WALLET, Purse, transaction
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import ProductId, SubscriptionId
from storeroom.core.money import Money
from storeroom.database.embedded import EmbeddedPostgres
from storeroom.database.migrations import NotMigrated, Sources, migrate
from storeroom.database.names import InvalidTableName, TableNames
from storeroom.database.service import SYSTEM
from storeroom.doctor import examine
from storeroom.hosted import StripeSessionStatus
from storeroom.inventory.jobs import expire_reservations
from storeroom.orders import OrderStatus
from storeroom.promotions import DiscountType
from storeroom.refunds import RefundQuoteDraft
from storeroom.room import Shop, Storeroom
from storeroom.settings import Settings
from storeroom.subscriptions import BillingPeriod, SubscriptionPayment
from storeroom.subscriptions.jobs import renew_due
from storeroom.verification import NonceUsed
from storeroom.wallets import QuoteOutcome
from storeroom.web.jobs import delete_expired_keys

# The pay server's word, its table, and the name that an operator has for it.
ENTITIES = {
    "payments": ("payment_transactions", "ledger_of_payments"),
    "sessions": ("stripe_sessions", "checkout_records"),
    "products": ("products", "goods"),
    "coupons": ("coupons", "vouchers"),
    "cart_quotes": ("cart_quotes", "offers"),
    "refund_quotes": ("refund_quotes", "refund_offers"),
    "admin_nonces": ("admin_nonces", "passes"),
    "webhook_queue": ("webhook_queue", "deliveries"),
}

Fresh = Callable[..., Awaitable[str]]


# --- What each entity's operations do ---------------------------------------------------------------------------------


async def products(shop: Shop) -> None:
    made = await shop.products.create(name="Shirt", sku="S-1", price=usd(1000), on_hand=3, publish=True)
    assert await shop.products.get(product_id=made.id) == await shop.products.by_slug(slug=made.slug)
    await shop.products.update_variant(variant_id=made.variants[0].id, stripe_price_id="price_1")
    assert (await shop.products.by_stripe_price_id(stripe_price_id="price_1")).id == made.id
    await shop.products.update(product_id=made.id, name="Blouse")
    assert [each.name for each in (await shop.products.list()).items] == ["Blouse"]
    assert len(await shop.products.search(text="blouse")) == 1
    await shop.products.delete(product_id=made.id)
    assert (await shop.products.list()).items == []


async def coupons(shop: Shop) -> None:
    await make_method(shop)
    variant = await make_product(shop)
    made = await shop.coupons.create(
        code="ten", name="Ten", discount_type=DiscountType.PERCENTAGE, percentage=Decimal(10), usage_limit=2
    )
    assert await shop.coupons.get(code="TEN") == made
    placed = await place(shop, (variant, 1), payment_method="zelle", coupons=["Ten"])
    assert placed.order.total == usd(900)
    assert (await shop.coupons.get(code="ten")).usage_count == 1
    assert (await shop.coupons.increment_usage(code="ten")).usage_count == 2
    await shop.coupons.delete(code="ten")
    assert (await shop.coupons.list()).items == []


async def sessions(shop: Shop) -> None:
    await make_method(shop)
    placed = await place(shop, (await make_product(shop), 1), payment_method="zelle")
    assert placed.order.payment is not None
    saved = await shop.hosted_sessions.save(
        id="cs_1", resource_id=placed.order.number, amount=placed.order.total, payment_id=placed.order.payment.id
    )
    assert await shop.hosted_sessions.get(session_id="cs_1") == saved
    done = await shop.hosted_sessions.complete(session_id="cs_1", received=placed.order.total)
    assert done == await shop.hosted_sessions.complete(session_id="cs_1", received=placed.order.total)
    listed = await shop.hosted_sessions.list(resource_id=placed.order.number, status=StripeSessionStatus.COMPLETED)
    assert [each.id for each in listed.items] == ["cs_1"]
    assert (await shop.orders.get(order_id=placed.order.id)).status is OrderStatus.PAYMENT_RECEIVED


async def payments(shop: Shop) -> None:
    await shop.receiving_accounts.create(asset="USDC", address=OURS, label="Main")
    one, other = transaction(), transaction()
    assert [(await shop.transactions.record(**one)).first for _ in range(2)] == [True, False]
    assert await shop.transactions.has_been_processed(signature=one["signature"])
    assert not await shop.transactions.has_been_processed(signature=other["signature"])
    assert (await shop.transactions.get(signature=one["signature"])).amount == one["amount"]
    now = (await shop.transactions.get(signature=one["signature"])).created_at
    assert await shop.transactions.archive_older_than(before=now + timedelta(days=1)) == 1
    assert not (await shop.transactions.record(**one)).first, "archived, and refused for ever"


async def cart_quotes(shop: Shop) -> None:
    purse = Purse(shop.acting(actor=SYSTEM), shop, "")
    quote = await purse.quote((await make_product(shop), 2, 5_000_000))
    assert await shop.cart_quotes.get(quote_id=quote.id) == quote
    mark = purse.shop.cart_quotes.mark_paid
    outcomes = [await mark(quote_id=quote.id, wallet=wallet) for wallet in (WALLET, WALLET, RIVAL)]
    assert outcomes == [QuoteOutcome.PAID_NOW, QuoteOutcome.ALREADY_PAID, QuoteOutcome.PAID_BY_ANOTHER]
    assert await shop.cart_quotes.has_access(quote_id=quote.id, wallet=WALLET)
    assert not await shop.cart_quotes.has_access(quote_id=quote.id, wallet=RIVAL)


async def refund_quotes(shop: Shop) -> None:
    quotes = shop.refund_quotes
    facts = {"recipient_wallet": "7xKXwallet", "amount": Money(7, "SOL")}
    for id_, purchase in (("rq-1", "sig-1"), ("rq-2", "sig-2")):
        await quotes.save(quote=RefundQuoteDraft(id=id_, original_purchase_id=purchase, **facts))
    assert (await quotes.by_original_purchase(purchase_id="sig-1")).id == "rq-1"
    assert {quote.id for quote in (await quotes.list_pending()).items} == {"rq-1", "rq-2"}
    await quotes.approve(quote_id="rq-1")
    done = await quotes.mark_processed(quote_id="rq-1", processed_by="ann", signature="sig-back")
    assert done == await quotes.get(quote_id="rq-1")
    await quotes.delete(quote_id="rq-2")
    assert (await quotes.list_pending()).items == []


async def admin_nonces(shop: Shop) -> None:
    nonce = await shop.nonces.create(purpose="approve-refund")
    await shop.nonces.consume(nonce_id=nonce.id, purpose="approve-refund")
    with pytest.raises(NonceUsed):
        await shop.nonces.consume(nonce_id=nonce.id, purpose="approve-refund")


async def webhook_queue(shop: Shop) -> None:
    first, second = [
        await shop.webhooks.enqueue(url="https://hooks.example/in", event_type="order.paid", payload={"n": n})
        for n in range(2)
    ]
    leased = await shop.webhooks.dequeue(limit=10)
    ids = [each.id for each in leased.webhooks]
    assert set(ids) == {first.id, second.id}
    await shop.webhooks.mark_success(webhook_id=first.id, claim=leased.claim)
    await shop.webhooks.mark_failed(webhook_id=second.id, claim=leased.claim, error="503")
    listed = (await shop.webhooks.list()).items
    assert {str(each.status) for each in listed if each.id in ids} == {"success", "pending"}


OPERATIONS: dict[str, Callable[[Shop], Awaitable[None]]] = {
    "payments": payments,
    "cart_quotes": cart_quotes,
    "refund_quotes": refund_quotes,
    "admin_nonces": admin_nonces,
    "sessions": sessions,
    "products": products,
    "coupons": coupons,
    "webhook_queue": webhook_queue,
}
MARKS = {
    "payments": "CED-CFG-02",
    "sessions": "CED-CFG-03",
    "products": "CED-CFG-04",
    "coupons": "CED-CFG-05",
    "cart_quotes": "CED-CFG-06",
    "refund_quotes": "CED-CFG-07",
    "admin_nonces": "CED-CFG-08",
    "webhook_queue": "CED-CFG-09",
}


async def relations(room: Storeroom) -> set[str]:
    rows = await room.db.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v')"
    )
    return {row["relname"] for row in rows}


@pytest.fixture(scope="module")
async def named(postgres: EmbeddedPostgres) -> AsyncIterator[dict[str, Storeroom]]:
    """Two installations: one with the documents' names, one told otherwise by its environment."""
    variables = {f"storage.schema_mapping.{entity}.table_name": other for entity, (_, other) in ENTITIES.items()}
    told = Settings.from_environment({"STOREROOM_TABLE_NAMES": ",".join("=".join(pair) for pair in variables.items())})
    rooms, worker = {}, os.environ.get("PYTEST_XDIST_WORKER", "main")
    admin = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        for kind, names in (("default", TableNames(tables={"orders": "orders"})), ("override", told.names)):
            name = f"named_{kind}_{worker}"
            await admin.execute(f"CREATE DATABASE {name}")
            await migrate(postgres.dsn(name), names=names)
            rooms[kind] = Storeroom.open(postgres.dsn(name), names=names, secret=SECRET)
        async with rooms["default"] as default, rooms["override"] as override:
            yield {"default": default, "override": override}
    finally:
        for kind in rooms:
            await admin.execute(f"DROP DATABASE named_{kind}_{worker} WITH (FORCE)")
        await admin.close()


@pytest.mark.parametrize("kind", ["default", "override"])
@pytest.mark.parametrize(
    "entity", [pytest.param(each, marks=pytest.mark.requirement("CED-CFG-01", MARKS[each])) for each in OPERATIONS]
)
async def test_the_operations_pass_and_no_table_of_the_other_name_is_there(
    named: dict[str, Storeroom], entity: str, kind: str
) -> None:
    room, (default, override) = named[kind], ENTITIES[entity]
    await OPERATIONS[entity](await open_shop(room))
    there, absent = (default, override) if kind == "default" else (override, default)
    found = await relations(room)
    assert there in found
    assert absent not in found


@pytest.mark.requirement("CED-CFG-01")
@pytest.mark.parametrize(
    "names", [{"prodcts": "goods"}, {"storage.schema_mapping.prodcts.table_name": "goods"}, {"sessions": "logins"}]
)
async def test_a_name_for_what_does_not_exist_is_refused_and_nothing_made(
    fresh_database: Fresh, names: dict[str, str]
) -> None:
    dsn = await fresh_database(empty=True)
    given = TableNames.from_environment({"STOREROOM_TABLE_NAMES": ",".join("=".join(pair) for pair in names.items())})
    with pytest.raises(InvalidTableName):
        await migrate(dsn, names=given)
    connection = await asyncpg.connect(dsn)
    made = await connection.fetchval("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
    await connection.close()
    assert made == 0


# --- Two installations in one schema ----------------------------------------------------------------------------------


async def sell(room: Storeroom) -> dict[str, Any]:
    """A little of everything, and what came of it."""
    shop = await open_shop(room)
    await make_method(shop)
    variant = await make_product(shop, stock=5)
    await make_coupon(shop, "10 %", "TEN")
    placed = await place(shop, (variant, 2), payment_method="zelle", coupons=["TEN"])
    assert placed.order.payment is not None
    await shop.payments.submit_proof(reference=placed.order.payment.reference, customer_reference="TX-1")
    await shop.payments.verify(payment_id=placed.order.payment.id, received=placed.order.total)
    order = await shop.orders.get(order_id=placed.order.id)
    product = (await shop.products.variant(variant_id=variant)).product_id
    subscription = await shop.subscriptions.create(
        product_id=cast("ProductId", product),
        wallet="W",
        payment_method=SubscriptionPayment.MANUAL,
        billing_period=BillingPeriod.MONTH,
        starts_at=await room.db.fetchval("SELECT now() - interval '40 days'"),
    )
    assert await renew_due(room.db) == 1
    level = await shop.inventory.level(variant_id=variant)
    assert [result.name for result in await examine(room.db) if result.broken] == []
    return {
        "status": order.status,
        "left": level.on_hand - level.reserved,
        "subscription": (await shop.subscriptions.get(subscription_id=SubscriptionId(subscription.id))).status,
        "tenant": shop.tenant_id,
        "order": order.id,
    }


@pytest.mark.requirement("CED-CFG-01", "CED-GEN-01")
async def test_two_installations_share_one_schema_and_know_nothing_of_each_other(fresh_database: Fresh) -> None:
    dsn = await fresh_database(empty=True)
    here, there = TableNames("north_"), TableNames("south_", {"products": "goods", "order_status": "sale_state"})
    done = await asyncio.gather(*(migrate(dsn, names=names) for names in (here, there)))  # whoever comes second waits
    assert [len(each) > 20 for each in done] == [True, True]
    for names in (here, there):
        assert await migrate(dsn, names=names) == [], "again finds nothing to do"
    with pytest.raises(NotMigrated):
        async with Storeroom.open(dsn, names=TableNames("east_"), secret=SECRET):
            pass
    async with (
        Storeroom.open(dsn, names=here, secret=SECRET) as north,
        Storeroom.open(dsn, names=there, secret=SECRET) as south,
    ):
        sold = [await sell(north), await sell(south), await sell(north)]
        for each in sold:
            assert (each["status"], each["left"], each["subscription"]) == ("payment_received", 3, "expired")
        with pytest.raises(StoreroomError):  # no tenant of that name, and no order either
            await south.tenant(sold[0]["tenant"]).orders.get(order_id=sold[0]["order"])
        for job in (expire_reservations, delete_expired_keys):
            assert [await job(room.db) for room in (north, south)] == [0, 0]
        counted = [
            await room.db.fetchval(room.db.names.render("SELECT count(*) FROM {orders}")) for room in (north, south)
        ]
        assert counted == [2, 1]
        await everything_bears_a_name_of_its_own(north, here, there)


async def everything_bears_a_name_of_its_own(room: Storeroom, *installations: TableNames) -> None:
    """Tables, views, indexes, sequences, types and functions: each belongs to one of them."""
    found = {
        row["name"]
        for row in await room.db.fetch(
            """
            SELECT relname AS name FROM pg_class WHERE relnamespace = current_schema()::regnamespace
            UNION SELECT proname FROM pg_proc f WHERE pronamespace = current_schema()::regnamespace
                     AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = f.oid AND d.deptype = 'e')
            UNION SELECT typname FROM pg_type WHERE typnamespace = current_schema()::regnamespace AND typtype IN ('e', 'd')
            """
        )
    }
    own = [{names.resolve(name) for name in Sources.packaged().names()} for names in installations]
    assert not own[0] & own[1]
    prefixes = [names.prefix for names in installations]  # an index of a partition has its own before it
    strangers = {name for name in found if not any(prefix in name for prefix in prefixes)}
    assert {name for name in strangers if not name.startswith(("goods", "sale_state"))} == set()
