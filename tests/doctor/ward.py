"""A shop in which everything happened that this release knows of, and all of it rightly."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

from factories import SECRET, make_coupon, make_method, make_product, open_shop, place, purchase, usd
from storeroom.audit.jobs import seal, seal_tenant
from storeroom.catalog import StockPolicy
from storeroom.core.ids import OrderId
from storeroom.core.money import Money
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database
from storeroom.flows.model import Placement
from storeroom.flows.wallet_payments import VerifiedPayment
from storeroom.orders import OrderStatus
from storeroom.orders.jobs import fill_search
from storeroom.refunds import ItemToRefund, RefundMethod
from storeroom.room import Shop, Storeroom
from storeroom.wallets import QuoteItem


@dataclass
class Ward:
    db: Database
    dsn: str
    shop: Shop
    ids: dict[str, UUID]


async def open_ward(db: Database, dsn: str) -> Ward:
    room = Storeroom(db, secret=SECRET)
    shop = await open_shop(room)
    ids: dict[str, UUID] = {}

    shirt = ids["shirt"] = await make_product(shop, stock=100)
    late = await make_product(shop, stock=1, stock_policy=StockPolicy.BACKORDER)
    file = ids["file"] = await make_product(shop, stock=0, stock_policy=StockPolicy.UNTRACKED)
    vial = await make_product(shop, stock=50)
    today = datetime.now(UTC).date()
    for key, variant_id in (("batch", vial), ("other_batch", shirt)):
        batch = await shop.batches.create(
            product_id=(await shop.products.variant(variant_id=variant_id)).product_id,
            batch_number=f"B-{key}",
            quantity_produced=40,
            coa_file_url="https://files.example/coa.pdf",
            manufactured_at=today,
            expires_at=today + timedelta(days=300),
        )
        await shop.batches.verify(batch_id=batch.id)
        ids[key] = batch.id

    await make_method(shop)
    user = await shop.users.register(email="ann@buyer.example", password="correct horse battery", full_name="Ann")
    await shop.store_credit.grant(user_id=user.id, amount=usd(5000), note="sorry")
    await shop.store_credit.withdraw(user_id=user.id, amount=usd(1000))

    # Two payments from a wallet, one of them long ago.
    account = await shop.receiving_accounts.create(asset="USDC", address="ours", label="Main")
    for number in range(2):
        item = QuoteItem(variant_id=file, unit_price=Money(7, "USDC"))
        quote = await shop.cart_quotes.save(id=f"quote-{number}", items=[item], total=item.unit_price)
        payment = VerifiedPayment(
            signature=f"sig-{number}",
            wallet="buyer",
            amount=quote.total,
            account=account.address,
            quote_id=quote.id,
            email=user.email,
            name="Ann",
            user_id=user.id,
        )
        await shop.wallet_payments.record(payment)
        if number == 0:
            await shop.transactions.archive_older_than(before=datetime.now(UTC) + timedelta(days=1))

    async def guest() -> Visitor:
        session, _ = await shop.sessions.guest()
        return Visitor(session_id=session.id)

    async def filled(visitor: Visitor, quantity: int = 2) -> UUID:
        cart = await shop.carts.create(visitor=visitor)
        await shop.carts.add(cart_id=cart.id, variant_id=shirt, quantity=quantity)
        await shop.carts.reserve(cart_id=cart.id, hold_for=timedelta(hours=20))  # no worker ends it meanwhile
        return cart.id

    async def pay(placed: Placement) -> OrderId:
        assert placed.order.payment is not None
        reference = placed.order.payment.reference
        await shop.payments.submit_proof(reference=reference, customer_reference="TX-1")
        await shop.payments.verify(payment_id=placed.order.payment.id)
        return placed.order.id

    ids["active_cart"] = await filled(await guest())
    bought = await guest()
    ids["converted_cart"] = await filled(bought)
    placed = await place(shop, visitor=bought, cart_id=ids["converted_cart"], payment_method="zelle")
    ids["from_cart"] = placed.order.id
    assert placed.order.payment is not None
    ids["asked"] = placed.order.payment.id

    merged = await guest()
    ids["merged_cart"] = await filled(merged)
    await shop.carts.create(visitor=Visitor(user_id=user.id))
    await shop.carts.merge(user_id=user.id, session_id=merged.session_id)

    keyed = await shop.checkout.place(purchase((shirt, 3)), visitor=Visitor(user_id=user.id), idempotency_key="key-1")
    ids["pending"] = keyed.order.id
    await make_coupon(shop, "10 %", "TENTH", usage_limit_per_user=None)
    ids["discounted"] = (await place(shop, (shirt, 1), (file, 1), coupons=["tenth"])).order.id
    ids["given_back"] = (await place(shop, (shirt, 1), coupons=["tenth"])).order.id
    await shop.cancellation.cancel(order_id=OrderId(ids["given_back"]), reason="no more")
    ids["untracked"] = (await place(shop, (file, 1))).order.id
    ids["paid"] = await pay(await place(shop, (shirt, 1), payment_method="zelle"))
    ids["sent"] = sent = await pay(await place(shop, (vial, 5), (file, 2), payment_method="zelle"))
    await shop.orders.move(order_id=sent, to=OrderStatus.PROCESSING)
    await shop.orders.ship(order_id=sent, carrier="UPS", tracking_number="1Z")
    await shop.orders.deliver(order_id=sent)
    ids["cancelled"] = (await place(shop, (late, 4), payment_method="zelle")).order.id
    await shop.cancellation.cancel(order_id=OrderId(ids["cancelled"]), reason="changed my mind")
    half = await place(shop, (shirt, 2))
    await shop.payments.record_received(order_id=half.order.id, method="zelle", amount=usd(700))
    placed = await place(shop, (shirt, 3), visitor=Visitor(user_id=user.id), payment_method="zelle")
    ids["returned"] = returned = await pay(placed)
    await shop.orders.move(order_id=returned, to=OrderStatus.PROCESSING)
    (line,) = await shop.orders.items(order_id=returned)
    assert placed.order.payment is not None
    for units, method in ((1, RefundMethod.STORE_CREDIT), (2, RefundMethod.CHECK)):
        refund = await shop.refunds.request(
            payment_id=placed.order.payment.id,
            amount=usd(1000),
            reason="damaged",
            items=[ItemToRefund(order_item_id=line.id, quantity=units, restock=units == 1)],
        )
        await shop.refunding.complete(refund_id=refund.id, method=method)
        ids[f"refund_{method}"] = refund.id
    dispute = await shop.disputes.open(
        payment_id=placed.order.payment.id,
        provider="stripe",
        provider_dispute_id="dp_1",
        amount=usd(200),
        reason="fraud",
    )
    ids["dispute"], dispute = dispute.id, await shop.disputes.lost(dispute_id=dispute.id)
    assert dispute.refund_id is not None
    ids["chargeback"] = dispute.refund_id
    promised = await shop.refunds.request(payment_id=placed.order.payment.id, amount=usd(100), reason="damaged")
    ids["promised"] = promised.id
    await shop.inventory.adjust(variant_id=shirt, by=-3, reason="broken")
    await shop.inventory.count(variant_id=late, on_hand=6)
    await fill_search(db)
    assert await db.run(partial(seal_tenant, tenant_id=shop.tenant_id, size=2)) == 2
    assert await seal(db) > 2
    return Ward(db=db, dsn=dsn, shop=shop, ids=ids)
