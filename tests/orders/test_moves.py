"""Every state against every other, the history each move leaves, and two who move at once."""

import asyncio
import itertools
from uuid import uuid4

import asyncpg
import pytest

from desk import Desk
from rivals import race
from storeroom.core.ids import OrderId, new_id
from storeroom.database.pool import Transaction
from storeroom.database.service import Actor, ActorKind
from storeroom.orders import ORDER_MOVES, OrderMoveRefused, OrderNotFound, OrderStatus, queries

S = OrderStatus


@pytest.mark.requirement("SBB-ORD-01", "SBB-OSH-04", "CED-ORD-07")
@pytest.mark.parametrize(("start", "to"), list(itertools.product(OrderStatus, OrderStatus)), ids=str)
async def test_every_state_against_every_other(desk: Desk, start: OrderStatus, to: OrderStatus) -> None:
    """An allowed move is there with one history row and one event; a refused one has left nothing at all."""
    variant = await desk.variant(stock=5)
    order = await desk.placed_in(start, (variant, 2))
    chain, told, stock = await desk.chain(order.id), await desk.told(order.id), await desk.stock(variant)

    if to in ORDER_MOVES[start]:
        moved = await desk.orders.move(order_id=order.id, to=to, reason="because")
        assert moved.status is to
        assert moved.status_updated_at > order.status_updated_at
        assert await desk.chain(order.id) == [*chain, (start, to)]
        assert await desk.told(order.id) == [*told, f"order.{to}"]
    else:
        with pytest.raises(OrderMoveRefused) as refused:
            await desk.orders.move(order_id=order.id, to=to, reason="because")
        assert (refused.value.from_status, refused.value.to_status) == (start, to)
        assert set(refused.value.allowed) == ORDER_MOVES[start]
        assert await desk.orders.get(order_id=order.id) == order
        assert (await desk.chain(order.id), await desk.told(order.id), await desk.stock(variant)) == (
            chain,
            told,
            stock,
        )


@pytest.mark.requirement(
    "SBB-ORD-05", "SBB-ORD-17", "SBB-OSH-01", "SBB-OSH-02", "CED-OH-01", "CED-OP-018", "CED-OP-019"
)
async def test_a_whole_life_leaves_an_unbroken_chain_and_its_milestones(desk: Desk) -> None:
    """Four channels drive one order; each milestone is dated when its state is reached and not before."""
    order = await desk.place()
    assert order.status is S.PENDING_PAYMENT
    assert await desk.chain(order.id) == [(None, "pending_payment")]
    milestones = lambda o: [bool(at) for at in (o.paid_at, o.shipped_at, o.delivered_at, o.cancelled_at)]  # noqa: E731
    assert milestones(order) == [False] * 4

    user = await desk.user("bo@buyer.example")
    staff = await desk.user("ann@shop.example")
    steps = [
        (Actor(kind=ActorKind.WEBHOOK, name="pay server"), S.PAYMENT_RECEIVED, [True, False, False, False]),
        (
            Actor(kind=ActorKind.ADMIN, user_id=staff, name="ann@shop.example"),
            S.PROCESSING,
            [True, False, False, False],
        ),
        (Actor(kind=ActorKind.SYSTEM, name="system"), S.SHIPPED, [True, True, False, False]),
        (Actor(kind=ActorKind.CUSTOMER, user_id=user), S.DELIVERED, [True, True, True, False]),
    ]
    for actor, to, reached in steps:
        order = await desk.as_actor(actor, request_id=f"r-{to}").move(
            order_id=order.id, to=to, reason=f"now {to}", metadata={"step": to.value}
        )
        assert milestones(order) == reached
    changes = (await desk.orders.history(order_id=order.id))[::-1]
    assert [change.sequence for change in changes] == [1, 2, 3, 4, 5]
    assert all(before.to_status is after.from_status for before, after in itertools.pairwise(changes))
    assert changes[-1].to_status is order.status
    assert [
        (c.changed_by_type, c.changed_by, c.changed_by_name, c.reason, c.request_id, c.metadata) for c in changes[1:]
    ] == [
        ("webhook", None, "pay server", "now payment_received", "r-payment_received", {"step": "payment_received"}),
        ("admin", staff, "ann@shop.example", "now processing", "r-processing", {"step": "processing"}),
        ("system", None, "system", "now shipped", "r-shipped", {"step": "shipped"}),
        ("customer", user, None, "now delivered", "r-delivered", {"step": "delivered"}),
    ]
    assert order.status_updated_at == changes[-1].created_at


@pytest.mark.requirement("SBB-ORD-17")
async def test_a_milestone_keeps_its_first_instant(desk: Desk) -> None:
    order = await desk.placed_in(S.PROCESSING)
    shipped = await desk.orders.move(order_id=order.id, to=S.SHIPPED)
    await desk.orders.move(order_id=order.id, to=S.PARTIALLY_REFUNDED)
    again = await desk.orders.move(order_id=order.id, to=S.SHIPPED)
    assert again.shipped_at == shipped.shipped_at
    assert again.status_updated_at > shipped.status_updated_at


@pytest.mark.requirement("SBB-OSH-02")
async def test_the_database_knows_the_four_kinds_of_actors_only(desk: Desk) -> None:
    order = await desk.place()
    insert = (
        "INSERT INTO {order_status_history} (tenant_id, order_id, sequence, to_status, changed_by_type) "
        "VALUES ($1, $2, 9, 'cancelled', $3::text::{actor_kind})"
    )
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await desk.run(insert, order.id, "robot")
    with pytest.raises(asyncpg.NotNullViolationError):
        await desk.run(
            "INSERT INTO {order_status_history} (tenant_id, order_id, sequence) VALUES ($1, $2, 9)", order.id
        )


@pytest.mark.requirement("SBB-OSH-04")
async def test_without_its_history_row_nothing_moves(desk: Desk) -> None:
    """The actor is nobody the tenant knows, so the history row is refused; the status must not have moved."""
    order = await desk.placed_in(S.PAYMENT_RECEIVED)
    stranger = desk.as_actor(Actor(kind=ActorKind.ADMIN, user_id=new_id()))  # type: ignore[arg-type]
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await stranger.move(order_id=order.id, to=S.PROCESSING)
    assert await desk.orders.get(order_id=order.id) == order
    assert await desk.told(order.id) == []


@pytest.mark.requirement("SBB-OSH-04")
async def test_two_who_move_from_the_same_state_have_one_winner(desk: Desk) -> None:
    """The second waits for the first and then reads what it committed: refused, one history row."""
    order = await desk.placed_in(S.PAYMENT_RECEIVED)
    outcome = await race(
        desk.db,
        lambda tx: desk.orders.bound(tx).move(order_id=order.id, to=S.PROCESSING),
        lambda: desk.orders.move(order_id=order.id, to=S.PROCESSING),
    )
    assert isinstance(outcome, OrderMoveRefused)
    assert outcome.from_status == "processing"
    assert (await desk.chain(order.id))[1:] == [("payment_received", "processing")]
    assert await desk.told(order.id) == ["order.processing"]


async def test_control_two_who_read_and_then_write_both_win(desk: Desk) -> None:
    """The proof of the proof: with the check as a read of its own the two meet, and both write history."""
    order = await desk.placed_in(S.PAYMENT_RECEIVED)
    seen = asyncio.Event()

    async def read_then_write(tx: Transaction) -> None:
        sql = desk.db.names.render("SELECT status FROM {orders} WHERE tenant_id = $1 AND id = $2")
        assert await tx.fetchval(sql, desk.tenant_id, order.id) == "payment_received"
        seen.set()
        await tx.execute(
            desk.db.names.render("UPDATE {orders} SET status = 'processing' WHERE tenant_id = $1 AND id = $2"),
            desk.tenant_id,
            order.id,
        )
        await tx.execute(
            desk.db.names.render(
                "INSERT INTO {order_status_history} (tenant_id, order_id, sequence, from_status, to_status) "
                "SELECT $1, $2, count(*) + 1, 'payment_received', 'processing' FROM {order_status_history} "
                "WHERE tenant_id = $1 AND order_id = $2"
            ),
            desk.tenant_id,
            order.id,
        )

    async def second() -> None:
        async with desk.db.transaction() as tx:
            await read_then_write(tx)

    assert await race(desk.db, read_then_write, second) is None
    assert (await desk.chain(order.id))[1:] == [("payment_received", "processing")] * 2


@pytest.mark.requirement("CED-OP-019")
async def test_an_entry_that_is_sent_twice_is_there_once(desk: Desk) -> None:
    order = await desk.placed_in(S.PAYMENT_RECEIVED)
    entry = uuid4()
    first = await desk.orders.move(order_id=order.id, to=S.PROCESSING, reason="packed", entry_id=entry)
    again = await desk.orders.move(order_id=order.id, to=S.PROCESSING, reason="packed", entry_id=entry)
    assert again == first
    changes = await desk.orders.history(order_id=order.id)
    assert [change.id for change in changes].count(entry) == 1
    assert len(changes) == 2
    assert await desk.told(order.id) == ["order.processing"]


@pytest.mark.requirement("CED-OP-020")
async def test_the_history_is_newest_first_and_bounded(desk: Desk) -> None:
    order = await desk.placed_in(S.PAYMENT_RECEIVED)
    other = await desk.placed_in(S.PAYMENT_RECEIVED)
    for to in (S.PROCESSING, S.READY_TO_SHIP, S.SHIPPED):
        await desk.orders.move(order_id=order.id, to=to)
    await desk.orders.move(order_id=other.id, to=S.PROCESSING)
    changes = await desk.orders.history(order_id=order.id, limit=2)
    assert [change.to_status for change in changes] == ["shipped", "ready_to_ship"]
    page = await desk.orders.changes(limit=3)
    assert [(c.order_id, c.to_status) for c in page.items] == [
        (other.id, "processing"),
        (order.id, "shipped"),
        (order.id, "ready_to_ship"),
    ]
    rest = await desk.orders.changes(cursor=page.next_cursor, limit=100)
    assert len(rest.items) == 3
    assert rest.next_cursor is None


@pytest.mark.requirement("CED-OP-015", "CED-OP-018", "CED-OP-020")
async def test_unknown_orders_and_those_of_another_tenant_are_not_found(desk: Desk, other: Desk) -> None:
    foreign = await other.placed_in(S.PROCESSING)
    for order_id in (OrderId(new_id()), foreign.id):
        for call in (
            desk.orders.get(order_id=order_id),
            desk.orders.items(order_id=order_id),
            desk.orders.history(order_id=order_id),
            desk.orders.move(order_id=order_id, to=S.SHIPPED),
            desk.orders.cancel(order_id=order_id, reason="no"),
            desk.orders.ship(order_id=order_id),
            desk.orders.deliver(order_id=order_id),
            desk.orders.set_tracking(order_id=order_id, carrier="UPS"),
            desk.orders.add_note(order_id=order_id, note="hello"),
            desk.orders.recompute_paid(order_id=order_id),
            desk.orders.cancel_if_unpaid(order_id=order_id),
        ):
            with pytest.raises(OrderNotFound):
                await call
    with pytest.raises(OrderNotFound):
        await desk.orders.by_number(number=foreign.order_number)
    assert await desk.orders.summary_items(order_id=foreign.id) == []
    assert await other.orders.get(order_id=foreign.id) == foreign


async def test_the_statement_refuses_a_move_by_itself(desk: Desk) -> None:
    """Whoever calls it with a state that is not the order's, or with none allowed, moves nothing."""
    order = await desk.placed_in(S.SHIPPED)
    arguments = dict.fromkeys(
        ("delivery_stage", "paid_at", "shipped_at", "delivered_at", "cancelled_at", "cancellation_reason", "reason",
         "changed_by", "changed_by_name", "request_id", "metadata")
    )  # fmt: skip
    for from_status, allowed in ((S.PROCESSING, [S.PROCESSING]), (S.SHIPPED, [S.PROCESSING])):
        moved = await queries.move_order(
            desk.db, tenant_id=desk.tenant_id, order_id=order.id, from_status=from_status, to_status=S.CANCELLED,
            sources=allowed, history_id=new_id(), changed_by_type="system", **arguments,
        )  # fmt: skip
        assert moved == 0
    assert await desk.orders.get(order_id=order.id) == order
