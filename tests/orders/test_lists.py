"""Lists, search and lookup."""

import asyncio
from datetime import timedelta

import pytest

from desk import Desk
from storeroom.core.clock import NaiveInstant
from storeroom.core.contact import InvalidPhone
from storeroom.core.pages import InvalidCursor, InvalidPageSize, Page
from storeroom.orders import InvalidOrderInput, OrderNotFound, OrderStatus, OrderSummary
from storeroom.orders.jobs import fill_search

S = OrderStatus


async def all_pages(call: object, **filters: object) -> list[object]:
    found: list[object] = []
    cursor = None
    while True:
        page: Page[OrderSummary] = await call(cursor=cursor, limit=2, **filters)  # type: ignore[operator]
        assert len(page.items) <= 2
        found += [order.id for order in page.items]
        if (cursor := page.next_cursor) is None:
            return found


@pytest.mark.requirement("CED-OP-016", "SBB-ORD-20", "SBB-ORD-21")
async def test_lists_are_newest_first_disjoint_and_complete(desk: Desk, other: Desk) -> None:
    variant, user = await desk.variant(stock=50), await desk.user("bo@buyer.example")
    ids = [(await desk.place((variant, 1), user_id=user if i % 2 else None)).id for i in range(5)]
    await desk.put(ids[3], S.PROCESSING)
    await other.place()
    newest = ids[::-1]
    assert await all_pages(desk.orders.list) == newest
    assert await all_pages(desk.orders.list, status=S.PROCESSING) == [ids[3]]
    assert await all_pages(desk.orders.list, status=S.PENDING_PAYMENT) == [i for i in newest if i != ids[3]]
    assert await all_pages(desk.orders.list_for_user, user_id=user) == [ids[3], ids[1]]
    assert await all_pages(desk.orders.awaiting_payment) == [i for i in ids if i != ids[3]]
    with pytest.raises(InvalidCursor):
        await desk.orders.list(cursor="nonsense")
    with pytest.raises(InvalidPageSize):
        await desk.orders.list(limit=101)


@pytest.mark.requirement("CED-OP-017")
async def test_the_filtered_list_counts_all_whatever_the_page(desk: Desk, other: Desk) -> None:
    variant = await desk.variant(stock=50)
    orders = []  # found by texts that no random order number holds: those are without L, O and U
    for i, name in enumerate(("Lou 100% Cotton", "Lou_Lee", "Louis Lee", "Zoe")):
        order = await desk.place(
            (variant, 1), customer_email=f"c{i}@buyer.example", customer_name=name, purchase_id=f"BUY-{i}"
        )
        await desk.run(
            "UPDATE {orders} SET created_at = now() - make_interval(days => $3) WHERE tenant_id = $1 AND id = $2",
            order.id,
            4 - i,
        )
        orders.append(await desk.orders.get(order_id=order.id))
    await desk.put(orders[3].id, S.CANCELLED)
    await other.place(customer_name="Lou")
    await desk.drain()

    async def found(**filters: object) -> tuple[list[int], int]:
        page = await desk.orders.list_filtered(**filters)  # type: ignore[arg-type]
        ids = [order.id for order in orders]
        return [ids.index(order.id) for order in page.items], page.total

    assert await found() == ([3, 2, 1, 0], 4)
    assert await found(status=S.CANCELLED) == ([3], 1)
    assert await found(search="LOU") == ([2, 1, 0], 3)
    assert await found(search="buy-2") == ([2], 1)
    assert await found(search=str(orders[1].id)) == ([1], 1)
    assert await found(search="%") == ([0], 1)
    assert await found(search="0% c") == ([0], 1)
    assert await found(search="_") == ([1], 1)
    assert await found(search="lou_") == ([1], 1)
    assert await found(search="\\") == ([], 0)
    assert await found(created_before=orders[2].created_at) == ([1, 0], 2)
    assert await found(created_after=orders[1].created_at) == ([3, 2], 2)
    assert await found(
        status=S.PENDING_PAYMENT, search="lou", created_before=orders[2].created_at, created_after=orders[0].created_at
    ) == ([1], 1)
    assert await found(limit=1, offset=1) == ([2], 4)
    assert await found(limit=2, offset=40) == ([], 4)  # right past the last page as well
    with pytest.raises(InvalidOrderInput):
        await desk.orders.list_filtered(offset=10_001)
    with pytest.raises(NaiveInstant):
        await desk.orders.list_filtered(created_before=orders[0].created_at.replace(tzinfo=None))


async def test_search_goes_from_exact_over_beginnings_to_parts(desk: Desk, other: Desk) -> None:
    await desk.drain()
    variant = await desk.variant(stock=50)
    ann = await desk.place(
        (variant, 1), order_number="ABCD-2345", customer_email="ann@one.example", customer_name="Ann"
    )
    joanne = await desk.place(
        (variant, 1),
        order_number="ABCE-2345",
        customer_email="jo@two.example",
        customer_name="Joanne",
        customer_phone="94771234567",
    )
    foreign = await other.place(order_number="ABCD-2345", customer_email="ann@one.example")

    async def found(text: str) -> list[object]:
        return [order.id for order in await desk.orders.search(text=text)]

    assert await found("abcd-2345") == [ann.id]
    assert await found(" ANN@one.example ") == [ann.id]
    assert await found("+94 77 123 4567") == [joanne.id]
    assert await found("ABC") == [joanne.id, ann.id]
    assert await found("ann") == [ann.id]  # by its beginning; the worker has not been here
    assert await fill_search(desk.db) >= 2
    assert await found("ann") == [ann.id, joanne.id]
    assert await found("oann") == [joanne.id]
    assert await found("TWO.exam") == [joanne.id]
    assert await found("nn") == []  # too short for a part
    assert await found("a%n") == []
    assert await found("  ") == []
    assert foreign.id not in await found("abc")
    with pytest.raises(InvalidOrderInput):
        await desk.orders.search(text="x" * 101)


async def test_two_workers_fill_every_document_once(desk: Desk, other: Desk) -> None:
    await desk.drain()
    variant = await desk.variant(stock=50)
    orders = [await desk.place((variant, 1)) for _ in range(7)]
    await other.place()
    filled = await asyncio.gather(*(fill_search(desk.db) for _ in range(3)))
    assert sum(filled) >= 8
    assert await fill_search(desk.db) == 0
    documents = await desk.rows("SELECT order_id, document FROM {order_search} WHERE tenant_id = $1")
    assert {row[0] for row in documents} == {order.id for order in orders}
    assert all("bo@buyer.example bo buyer 15125550123" in row[1] for row in documents)


@pytest.mark.requirement("CED-ORD-02")
async def test_a_purchase_is_found_by_its_source_and_id(desk: Desk) -> None:
    card = await desk.place(source="card", purchase_id="P1")
    wallet = await desk.place(source="wallet", purchase_id="P1")
    assert (await desk.orders.by_purchase(source="card", purchase_id="P1")).id == card.id
    assert (await desk.orders.by_purchase(source="wallet", purchase_id="P1")).id == wallet.id
    with pytest.raises(OrderNotFound):
        await desk.orders.by_purchase(source="card", purchase_id="P2")


async def test_lookup_tells_a_wrong_number_as_it_tells_a_wrong_phone(desk: Desk) -> None:
    order = await desk.place(order_number="ABCD-7777", customer_phone="15125550123")
    known = await desk.orders.lookup(number=" abcd-7777", phone="(512) 555-0123")
    assert (known.order_number, known.status, known.delivery_stage) == (
        "ABCD-7777",
        S.PENDING_PAYMENT,
        "ORDER_CONFIRMED",
    )
    refusals = []
    for number, phone in (("ABCD-7777", "512 555 0124"), ("ABCD-8888", "512 555 0123"), ("ABCD-8888", "512 555 0124")):
        with pytest.raises(OrderNotFound) as refused:
            await desk.orders.lookup(number=number, phone=phone)
        refusals.append(refused.value)
    assert [error.facts() for error in refusals] == [
        {"order": "ABCD-7777"},
        {"order": "ABCD-8888"},
        {"order": "ABCD-8888"},
    ]
    with pytest.raises(InvalidPhone):
        await desk.orders.lookup(number="ABCD-7777", phone="12")
    nobody = await desk.place(customer_phone=None)
    with pytest.raises(OrderNotFound):
        await desk.orders.lookup(number=nobody.order_number, phone="512 555 0123")
    assert order.id


async def test_lookup_tells_the_parcel_from_the_dispatch_on(desk: Desk) -> None:
    order = await desk.placed_in(S.PROCESSING)
    await desk.orders.set_tracking(order_id=order.id, carrier="UPS", tracking_number="1Z")

    async def parcel() -> tuple[str | None, str | None, str]:
        found = await desk.orders.lookup(number=order.order_number, phone="5125550123")
        return found.shipping_carrier, found.tracking_number, found.delivery_stage

    assert await parcel() == (None, None, "ORDER_CONFIRMED")
    for stage in ("SOURCING", "ARRIVED"):
        await desk.run("UPDATE {orders} SET delivery_stage = $3 WHERE tenant_id = $1 AND id = $2", order.id, stage)
        assert await parcel() == (None, None, stage)
    await desk.orders.ship(order_id=order.id)
    assert await parcel() == ("UPS", "1Z", "DISPATCHED")
    await desk.orders.deliver(order_id=order.id)
    assert await parcel() == ("UPS", "1Z", "DELIVERED")


async def test_orders_placed_at_one_instant_keep_a_stable_order(desk: Desk) -> None:
    variant = await desk.variant(stock=50)
    ids = [(await desk.place((variant, 1))).id for _ in range(4)]
    await desk.run("UPDATE {orders} SET created_at = now() - $2::interval WHERE tenant_id = $1", timedelta(days=1))
    assert await all_pages(desk.orders.awaiting_payment) == ids
    pages = [await desk.orders.list_filtered(limit=1, offset=n) for n in range(4)]
    assert [page.items[0].id for page in pages] == ids[::-1]
