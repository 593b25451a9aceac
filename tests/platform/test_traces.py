"""What became of an order can be told from the tables: each fact with who and when."""

from datetime import UTC, date, datetime, timedelta

import pytest

from factories import STAFF, make_method, make_product, open_shop, place
from storeroom.core.visitor import Visitor
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.flows.model import Compliance
from storeroom.identity import KycStatus, ProfileChanges, UserRole
from storeroom.orders import OrderStatus
from storeroom.payments import PaymentStatus
from storeroom.room import Storeroom

S = OrderStatus


@pytest.mark.requirement("SBB-PRIN-05")
async def test_a_finished_order_tells_who_did_what_and_when(room: Storeroom) -> None:
    system = await open_shop(room, actor=SYSTEM)
    owner = await system.users.create(email="owner@shop.example", role=UserRole.SUPER_ADMIN)
    staff = system.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=owner.id, name=owner.email), request_id="r-1")
    buyer = await staff.users.create(email="ann@buyer.example")
    await staff.users.update_profile(user_id=buyer.id, changes=ProfileChanges(date_of_birth=date(1980, 1, 1)))
    await staff.users.verify_age(user_id=buyer.id)
    await staff.users.set_kyc(user_id=buyer.id, status=KycStatus.APPROVED)
    variant_id = await make_product(staff, requires_age_verification=True, requires_kyc=True)
    product_id = (await staff.products.variant(variant_id=variant_id)).product_id
    today = datetime.now(UTC).date()
    batch = await staff.batches.create(
        product_id=product_id,
        batch_number="LOT-7",
        quantity_produced=10,
        coa_file_url="https://files.example/coa.pdf",
        manufactured_at=today,
        expires_at=today + timedelta(days=90),
    )
    await staff.batches.verify(batch_id=batch.id)
    await make_method(staff)

    began = datetime.now(UTC) - timedelta(seconds=1)
    customer = system.acting(
        actor=Actor(kind=ActorKind.CUSTOMER, user_id=buyer.id, name=buyer.email), ip="203.0.113.9", request_id="r-2"
    )
    placed = await place(
        customer,
        (variant_id, 2),
        visitor=Visitor(user_id=buyer.id),
        payment_method="zelle",
        compliance=Compliance(acknowledged=True, version="2026-01"),
    )
    asked = placed.order.payment
    assert asked is not None
    await customer.payments.submit_proof(reference=asked.reference, customer_reference="TX-9")
    await staff.payments.verify(payment_id=asked.id, notes="seen in the bank")
    await staff.orders.move(order_id=placed.order.id, to=S.PROCESSING, reason="packing")
    await staff.orders.ship(order_id=placed.order.id, carrier="UPS", tracking_number="1Z")
    await staff.orders.deliver(order_id=placed.order.id)

    history = list(reversed(await staff.orders.history(order_id=placed.order.id)))
    assert [(each.from_status, each.to_status, each.changed_by, each.changed_by_type) for each in history] == [
        (None, S.PENDING_PAYMENT, buyer.id, "customer"),
        (S.PENDING_PAYMENT, S.PAYMENT_RECEIVED, owner.id, "admin"),
        (S.PAYMENT_RECEIVED, S.PROCESSING, owner.id, "admin"),
        (S.PROCESSING, S.SHIPPED, owner.id, "admin"),
        (S.SHIPPED, S.DELIVERED, owner.id, "admin"),
    ]
    assert [each.reason for each in history] == ["placed", "paid", "packing", None, None]
    assert all(began <= each.created_at <= datetime.now(UTC) for each in history)
    assert [each.created_at for each in history] == sorted(each.created_at for each in history)

    attempts = await staff.payments.attempts(payment_id=asked.id)
    assert [(each.action, each.performed_by, each.performed_by_type) for each in attempts] == [
        ("customer_submit", buyer.id, "customer"),
        ("admin_verify", owner.id, "admin"),
    ]
    assert attempts[0].ip_address == "203.0.113.9"
    payment = await staff.payments.get(payment_id=asked.id)
    assert (payment.verified_by, payment.verification_notes) == (owner.id, "seen in the bank")
    assert payment.verified_at is not None

    (line,) = await staff.orders.items(order_id=placed.order.id)
    assert (line.batch_id, line.batch_number) == (batch.id, "LOT-7")
    checked = await staff.batches.get(batch_id=batch.id)
    assert (checked.coa_verified_by, checked.coa_verified_at is not None) == (owner.id, True)

    order = await staff.orders.get(order_id=placed.order.id)
    assert (order.compliance_required, order.compliance_acknowledged, order.compliance_version) == (
        True,
        True,
        "2026-01",
    )
    assert order.compliance_acknowledged_at is not None
    assert (order.age_verified, order.age_attested) == (True, False)
    account = await staff.users.get(user_id=buyer.id)
    assert account.age_verified_at is not None
    assert account.kyc_verified_at is not None

    left, *_ = (await staff.inventory.movements(variant_id=variant_id)).items
    assert (left.kind, left.quantity, left.order_id, left.actor_id) == ("shipment", -2, placed.order.id, owner.id)


@pytest.mark.requirement("SBB-PRIN-06")
async def test_what_was_agreed_does_not_move_with_the_money(room: Storeroom) -> None:
    """An order without a payment is an order; a payment that comes and goes leaves it as it was agreed."""
    shop = await open_shop(room)
    await make_method(shop)
    placed = await place(shop, (await make_product(shop), 2))
    intent = await shop.orders.get(order_id=placed.order.id)
    assert await shop.payments.for_order(order_id=placed.order.id) == []
    payment = await shop.payments.start(order_id=placed.order.id, method="zelle")
    cancelled = await shop.payments.cancel(payment_id=payment.id)
    assert cancelled.status is PaymentStatus.CANCELLED
    assert await shop.orders.get(order_id=placed.order.id) == intent


@pytest.mark.requirement("SIG-GEN-01")
async def test_customer_order_and_summary_are_in_one_database(room: Storeroom) -> None:
    shop = await open_shop(room, actor=SYSTEM)
    buyer = await shop.users.create(email="bo@buyer.example", full_name="Bo")
    shop = shop.acting(actor=STAFF)
    await make_method(shop)
    placed = await place(
        shop, (await make_product(shop, price=700), 2), visitor=Visitor(user_id=buyer.id), payment_method="zelle"
    )
    rows = await room.db.fetch(
        "SELECT u.full_name, o.order_number, s.order_code, s.total_with_tax, s.is_paid, s.payment_method, i.quantity "
        "  FROM users AS u "
        "  JOIN orders AS o ON o.tenant_id = u.tenant_id AND o.user_id = u.id "
        "  JOIN customer_orders_summary AS s ON s.tenant_id = o.tenant_id AND s.id = o.id AND s.customer_id = u.id "
        "  JOIN customer_order_items AS i ON i.tenant_id = o.tenant_id AND i.order_summary_id = s.id "
        " WHERE u.tenant_id = $1",
        shop.tenant_id,
    )
    number = placed.order.number
    assert [tuple(row) for row in rows] == [("Bo", number, number, 1400, False, "Zelle", 2)]
