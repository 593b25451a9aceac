"""What an order keeps, who sees what of it, the views, notes and rates."""

import asyncio

import asyncpg
import msgspec
import pytest

from desk import ADDRESS, STAFF, Desk
from storeroom.core.ids import new_id
from storeroom.core.money import CurrencyMismatch, Money
from storeroom.orders import (
    CustomerOrder,
    InvalidOrderInput,
    InvalidShippingRate,
    NotesFull,
    OrderNotFound,
    OrderStatus,
    ShippingRateNotFound,
    ShippingRateTaken,
    UnknownStatusWord,
    Vocabulary,
    from_word,
    to_word,
)

S = OrderStatus
USD = "USD"


@pytest.mark.requirement("SBB-OI-01", "SBB-OI-02", "SBB-OI-03", "STO-OI-01", "STO-OI-02", "STO-OI-04", "SBB-ORD-07")
async def test_an_order_stays_as_it_was_agreed(desk: Desk) -> None:
    """Price, name, sku and title change afterwards, and the product is withdrawn: the order does not notice."""
    shirt, cap = await desk.variant(price=1250, name="Shirt"), await desk.variant(price=300, name="Cap")
    order = await desk.place((shirt, 2), (cap, 1))
    lines = await desk.orders.items(order_id=order.id)
    assert [
        (line.position, line.variant_id, line.product_name, line.variant_title, line.quantity) for line in lines
    ] == [
        (1, shirt, "Shirt", "Large", 2),
        (2, cap, "Cap", "Large", 1),
    ]
    assert [(line.unit_price, line.subtotal_amount) for line in lines] == [
        (Money(1250, USD), Money(2500, USD)),
        (Money(300, USD), Money(300, USD)),
    ]
    assert (order.subtotal_amount, order.total_amount) == (Money(2800, USD), Money(2800, USD))
    assert msgspec.to_builtins(order.shipping_address)["street_line_1"] == ADDRESS["street_line_1"]
    await desk.run("UPDATE {products} SET name = 'Other', status = 'discontinued' WHERE tenant_id = $1")
    await desk.run(
        "UPDATE {product_variants} SET price = 9, sku = id::text, title = 'X', is_active = FALSE WHERE tenant_id = $1"
    )
    assert await desk.orders.items(order_id=order.id) == lines
    assert await desk.orders.get(order_id=order.id) == order
    with pytest.raises(asyncpg.GeneratedAlwaysError):
        await desk.run("UPDATE {order_items} SET subtotal_amount = 1 WHERE tenant_id = $1")


@pytest.mark.requirement("SBB-OI-04", "SBB-OI-06", "SBB-ORD-19")
@pytest.mark.parametrize(
    ("change", "constraints"),
    [
        ("{order_items} SET quantity = 0, quantity_held = 0", "order_items_quantity_positive"),
        (
            "{order_items} SET quantity = -1, quantity_held = -1",
            "order_items_quantity_positive order_items_progress_range",
        ),
        ("{order_items} SET quantity_fulfilled = 3", "order_items_progress_range"),
        ("{order_items} SET quantity_refunded = 3", "order_items_progress_range"),
        ("{order_items} SET patch_enabled = TRUE", "order_items_patch_whole"),
        ("{order_items} SET patch_type = 'badge'", "order_items_patch_whole"),
        ("{orders} SET total_amount = -1, subtotal_amount = -1", "orders_total_positive orders_amounts_positive"),
        ("{orders} SET total_amount = 1", "orders_total_sum"),
    ],
)
async def test_the_database_itself_refuses(desk: Desk, change: str, constraints: str) -> None:
    await desk.place((await desk.variant(), 2))
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await desk.run(f"UPDATE {change} WHERE tenant_id = $1")
    assert refused.value.constraint_name in constraints.split()  # whichever is looked at first


@pytest.mark.requirement("SBB-ORD-18")
async def test_an_order_number_is_given_once(desk: Desk, other: Desk) -> None:
    order = await desk.place(order_number="ABCD-9999")
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await desk.place(order_number="ABCD-9999")
    assert desk.db.names.original(refused.value.constraint_name) == "orders_number_unique"
    await other.place(order_number="ABCD-9999")
    assert (await desk.orders.by_number(number="abcd-9999 ")).id == order.id


@pytest.mark.requirement("SBB-ORD-15", "STO-ORD-02")
async def test_the_buyer_never_sees_what_staff_note(desk: Desk) -> None:
    user, stranger = await desk.user("bo@buyer.example"), await desk.user("eve@buyer.example")
    order = await desk.place(user_id=user, customer_notes="ring twice")
    guest = await desk.place()
    noted = await desk.orders.add_note(order_id=order.id, note=" a difficult customer ")
    assert noted.internal_notes is not None
    assert noted.internal_notes.endswith(f" {STAFF.name}: a difficult customer")
    seen = await desk.orders.for_customer(user_id=user, number=order.order_number)
    text = msgspec.json.encode(seen).decode()
    assert "difficult" not in text
    assert not {"internal_notes", "metadata", "ip_address"} & set(CustomerOrder.__struct_fields__)
    assert seen.customer_notes == "ring twice"
    assert (seen.total, seen.due, seen.lines[0].quantity) == (Money(1000, USD), Money(1000, USD), 1)
    for owner, number in ((stranger, order.order_number), (user, guest.order_number), (user, "NONE-0000")):
        with pytest.raises(OrderNotFound):
            await desk.orders.for_customer(user_id=owner, number=number)


async def test_notes_are_all_kept_and_bounded(desk: Desk) -> None:
    order = await desk.place()
    await asyncio.gather(*(desk.orders.add_note(order_id=order.id, note=f"note {i}") for i in range(5)))
    notes = (await desk.orders.get(order_id=order.id)).internal_notes or ""
    assert sorted(line.rpartition(": ")[2] for line in notes.splitlines()) == [f"note {i}" for i in range(5)]
    for bad in ("", "  ", "x" * 2001, "nul \x00"):
        with pytest.raises(InvalidOrderInput):
            await desk.orders.add_note(order_id=order.id, note=bad)
    await desk.run("UPDATE {orders} SET internal_notes = repeat('x', 19999) WHERE tenant_id = $1")
    with pytest.raises(NotesFull):
        await desk.orders.add_note(order_id=order.id, note="one more")
    with pytest.raises(InvalidOrderInput):
        await desk.orders.cancel(order_id=order.id, reason="x" * 501)


@pytest.mark.requirement("STO-ORD-04", "SBB-ORD-04")
async def test_a_guests_orders_become_the_verified_accounts(desk: Desk, other: Desk) -> None:
    first, second = await desk.place(), await desk.place()
    elsewhere = await desk.place(customer_email="ann@other.example")
    foreign = await other.place()
    unverified = await desk.user("bo@buyer.example", verified=False)
    assert await desk.orders.claim_guest_orders(user_id=unverified) == 0
    await desk.run("UPDATE {users} SET email_verified = TRUE, email_verified_at = now() WHERE tenant_id = $1")
    assert await desk.orders.claim_guest_orders(user_id=unverified) == 2
    assert await desk.orders.claim_guest_orders(user_id=unverified) == 0
    page = await desk.orders.list_for_user(user_id=unverified)
    assert [order.id for order in page.items] == [second.id, first.id]
    assert (await desk.orders.get(order_id=elsewhere.id)).user_id is None
    assert (await other.orders.get(order_id=foreign.id)).user_id is None
    await desk.run("UPDATE {users} SET email = 'new@buyer.example' WHERE tenant_id = $1")
    assert (await desk.orders.get(order_id=first.id)).customer_email == "bo@buyer.example"


@pytest.mark.requirement("SIG-ORD-01", "SIG-ORD-05", "SIG-ITM-01", "SIG-ITM-02")
async def test_the_summaries_are_the_orders_themselves(desk: Desk) -> None:
    user, batch = await desk.user("bo@buyer.example"), new_id()
    shirt, cap = await desk.variant(price=2500, name="Shirt"), await desk.variant(price=500, name="Cap")
    patch = {"patch_enabled": True, "patch_type": "league", "print_name": "BO", "print_number": "07"}
    order = await desk.place((shirt, 1), (cap, 2), user_id=user, line_fields=patch)
    await desk.place((shirt, 1))  # somebody else's
    await desk.pay(order, 3500)
    await desk.orders.recompute_paid(order_id=order.id)
    await desk.put(order.id, S.PROCESSING)
    await desk.run(
        "UPDATE {orders} SET import_batch_id = $3, vendure_order_id = 'V1' WHERE tenant_id = $1 AND id = $2",
        order.id,
        batch,
    )
    await desk.orders.ship(order_id=order.id, tracking_number="TE-1")
    (row,) = (await desk.orders.summaries(customer_id=user)).items
    assert (row.id, row.customer_id, row.order_code) == (order.id, user, order.order_number)
    assert (row.vendure_order_id, row.order_date, row.status) == ("V1", order.created_at, S.SHIPPED)
    assert (row.delivery_stage, row.payment_method, row.is_paid) == ("DISPATCHED", "Zelle", True)
    assert (row.total_with_tax, row.batch_id, row.tracking_number) == (Money(3500, USD), batch, "TE-1")
    items = await desk.orders.summary_items(order_id=order.id)
    assert [(i.product_name, i.variant_name, i.quantity, i.unit_price_with_tax) for i in items] == [
        ("Shirt", "Large", 1, Money(2500, USD)),
        ("Cap", "Large", 2, Money(500, USD)),
    ]
    assert {(i.patch_enabled, i.patch_type, i.print_name, i.print_number) for i in items} == {
        (True, "league", "BO", "07")
    }


@pytest.mark.requirement("SIG-ORD-02")
async def test_an_outside_order_has_one_row(desk: Desk) -> None:
    first, second = await desk.place(), await desk.place()
    link = "UPDATE {orders} SET vendure_order_id = 'V1' WHERE tenant_id = $1 AND id = $2"
    await desk.run(link, first.id)
    with pytest.raises(asyncpg.UniqueViolationError) as refused:
        await desk.run(link, second.id)
    assert desk.db.names.original(refused.value.constraint_name) == "orders_vendure_unique"


async def test_every_status_has_a_label(desk: Desk) -> None:
    await desk.run("INSERT INTO {order_status_labels} VALUES ($1, 'shipped', 'On its way', 'The carrier has it')")
    labels = {label.status: label.label for label in await desk.orders.status_labels()}
    assert list(labels) == list(OrderStatus)
    assert (labels[S.SHIPPED], labels[S.READY_TO_SHIP]) == ("On its way", "Ready to ship")


async def test_shipping_rates_are_made_changed_and_removed(desk: Desk, other: Desk) -> None:
    rates = desk.rates
    uk = await rates.create(
        code="uk",
        name="Royal Mail",
        amount=Money(900, USD),
        countries=["uk", "IE"],
        free_from=Money(5000, USD),
        position=2,
    )
    any_ = await rates.create(code="post", name="Post", amount=Money(500, USD), position=1)
    assert uk.countries == ["GB", "IE"]
    assert uk.free_from_amount == Money(5000, USD)
    assert [rate.code for rate in await rates.list()] == ["post", "uk"]
    with pytest.raises(ShippingRateTaken):
        await rates.create(code="uk", name="Again", amount=Money(1, USD))
    changed = await rates.update(rate_id=any_.id, code="post", name="Post", amount=Money(600, USD), active=False)
    assert (changed.amount, changed.is_active) == (Money(600, USD), False)
    with pytest.raises(ShippingRateTaken):
        await rates.update(rate_id=any_.id, code="uk", name="Post", amount=Money(600, USD))
    assert [rate.code for rate in await rates.list(active=True)] == ["uk"]
    assert await rates.get(rate_id=uk.id) == uk
    for call in (
        other.rates.get(rate_id=uk.id),
        other.rates.delete(rate_id=uk.id),
        other.rates.update(rate_id=uk.id, code="x", name="X", amount=Money(1, USD)),
    ):
        with pytest.raises(ShippingRateNotFound):
            await call
    await rates.delete(rate_id=uk.id)
    with pytest.raises(ShippingRateNotFound):
        await rates.delete(rate_id=uk.id)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"code": " "}, InvalidShippingRate),
        ({"name": "x" * 101}, InvalidShippingRate),
        ({"amount": Money(-1, USD)}, InvalidShippingRate),
        ({"amount": Money(1, "EUR")}, CurrencyMismatch),
        ({"free_from": Money(1, "EUR")}, CurrencyMismatch),
        ({"countries": []}, InvalidShippingRate),
        ({"position": -1}, InvalidShippingRate),
    ],
)
async def test_a_rate_that_cannot_be_is_refused(desk: Desk, change: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        await desk.rates.create(**{"code": "post", "name": "Post", "amount": Money(1, USD), **change})  # type: ignore[arg-type]
    assert await desk.rates.list() == []


@pytest.mark.requirement("STO-ORD-03")
async def test_the_single_shops_words_follow_an_order(desk: Desk) -> None:
    order = await desk.place()
    assert to_word(order.status, Vocabulary.STORE) == "pending"
    await desk.pay(order, order.total_amount.amount)
    paid = await desk.orders.recompute_paid(order_id=order.id)
    assert to_word(paid.status, Vocabulary.STORE) == "paid"
    for step in (S.PROCESSING, S.SHIPPED, S.DELIVERED):
        order = await desk.orders.move(order_id=order.id, to=step)
    assert to_word(order.status, Vocabulary.STORE) == "completed"
    with pytest.raises(UnknownStatusWord):
        from_word("lost", Vocabulary.STORE)
