"""Ids are distinct however many are made at once, and every change of a row is dated."""

import asyncio
import io
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from factories import HOME, make_method, make_product, open_shop, place, usd
from storeroom.catalog import OptionDraft, StockPolicy, import_products
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM
from storeroom.identity import KycStatus, Permission, ProfileChanges, UserRole, UserStatus
from storeroom.orders import OrderStatus
from storeroom.room import Shop, Storeroom
from tenancy.estate import Estate

AT_ONCE = 12
CSV = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Inventory Qty,Image Src\n" + "".join(
    f"shirt-{n},Shirt {n},Size,{size},S-{n}-{size},{n}.50,3,https://img.example/{n}-{size}.png\n"
    for n in range(1, 41)
    for size in ("S", "M")
)


async def tables_with(db: Database, *columns: str) -> list[str]:
    rows = await db.fetch(
        "SELECT c.relname::text FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
        "AND a.attname = ANY ($1) GROUP BY 1 HAVING count(*) = $2 ORDER BY 1",
        columns,
        len(columns),
    )
    return [row[0] for row in rows]


@pytest.mark.requirement("SBB-CONV-01")
async def test_ids_are_distinct_also_in_bulk_and_in_parallel(room: Storeroom) -> None:
    """Two shops fill themselves at the same moment, each in many tasks at once."""
    db = room.db
    shops = [await open_shop(room, actor=SYSTEM) for _ in range(2)]

    async def one(shop: Shop, number: int) -> None:
        category = await shop.categories.create(name=f"C{number}")
        variant_id = await make_product(shop, categories=[category.id], stock=100)
        product_id = (await shop.products.variant(variant_id=variant_id)).product_id
        today = datetime.now(UTC).date()
        await shop.batches.create(
            product_id=product_id,
            batch_number="B",
            quantity_produced=1,
            coa_file_url="https://files.example/coa.pdf",
            manufactured_at=today,
            expires_at=today + timedelta(days=1),
        )
        await shop.shipping_rates.create(code=f"r{number}", name="Rate", amount=usd(0))
        method = await make_method(shop, f"m{number}")
        user = await shop.users.create(email=f"u{number}@buyer.example")
        await shop.addresses.add(user_id=user.id, address=HOME)
        session, _ = await shop.sessions.guest()
        for visitor in (Visitor(session_id=session.id), Visitor(user_id=user.id)):
            cart = await shop.carts.create(visitor=visitor)
            await shop.carts.add(cart_id=cart.id, variant_id=variant_id)
            await shop.carts.reserve(cart_id=cart.id)
            await place(shop, cart_id=cart.id, visitor=visitor, payment_method=method.code)
            await place(shop, (variant_id, 1), (variant_id, 2), payment_method=method.code)
        await shop.inventory.adjust(variant_id=variant_id, by=5, reason="found")

    await asyncio.gather(
        *(one(shop, number) for shop in shops for number in range(AT_ONCE)),
        *(import_products(shop.products, io.BytesIO(CSV.encode())) for shop in shops),
    )
    tenants = [shop.tenant_id for shop in shops]
    counted = {}
    for table in await tables_with(db, "tenant_id", "id"):
        ids = [row[0] for row in await db.fetch(f"SELECT id FROM {table} WHERE tenant_id = ANY ($1)", tenants)]
        assert len(set(ids)) == len(ids), table
        assert all(isinstance(id_, UUID) for id_ in ids)
        if table != "webhook_queue":  # made by the database, in the statement that changes a row
            assert {id_.version for id_ in ids} <= {7}, table
        counted[table] = len(ids)
    each = 2 * AT_ONCE
    assert counted["orders"] == 4 * each
    assert counted["product_variants"] == each + 2 * 80
    assert {table for table, count in counted.items() if count} >= {
        "auth_sessions",
        "carts",
        "inventory_reservations",
        "order_items",
        "order_status_history",
        "payment_methods",
        "payments",
        "product_batches",
        "product_categories",
        "product_images",
        "product_options",
        "products",
        "shipping_rates",
        "stock_movements",
        "user_addresses",
        "user_profiles",
        "users",
    }


def _payment(e: Estate) -> Any:
    assert e.order.order.payment is not None
    return e.order.order.payment


Change = Callable[[Estate], Awaitable[Any]]
CHANGES: list[tuple[str, Change]] = [
    ("products", lambda e: e.shop.products.update(product_id=e.product.id, name="Another")),
    ("products", lambda e: e.shop.products.unpublish(product_id=e.product.id)),
    ("products", lambda e: e.shop.products.discontinue(product_id=e.product.id)),
    ("products", lambda e: e.shop.products.delete(product_id=e.product.id)),
    ("products", lambda e: e.shop.batches.verify(batch_id=e.batch.id)),
    (
        "product_variants",
        lambda e: e.shop.products.set_options(
            product_id=e.product.id, options=[OptionDraft(name="Size", values=["M"])]
        ),
    ),
    ("product_variants", lambda e: e.shop.products.update_variant(variant_id=e.variant_id, price=usd(5))),
    ("product_variants", lambda e: e.shop.products.deactivate_variant(variant_id=e.variant_id)),
    (
        "product_variants",
        lambda e: e.shop.inventory.set_policy(variant_id=e.variant_id, policy=StockPolicy.UNTRACKED),
    ),
    ("product_categories", lambda e: e.shop.categories.update(category_id=e.category.id, name="Another")),
    ("product_categories", lambda e: e.shop.categories.deactivate(category_id=e.category.id)),
    ("product_categories", lambda e: e.shop.categories.move(category_id=e.category.id, parent_id=None)),
    ("product_batches", lambda e: e.shop.batches.verify(batch_id=e.batch.id)),
    ("product_batches", lambda e: e.shop.batches.deactivate(batch_id=e.batch.id)),
    ("users", lambda e: e.shop.users.set_name(user_id=e.user.id, full_name="Another")),
    ("users", lambda e: e.shop.users.change_email(user_id=e.user.id, email=f"x-{e.user.email}")),
    ("users", lambda e: e.shop.users.change_phone(user_id=e.user.id, phone=None)),
    ("users", lambda e: e.shop.users.set_role(user_id=e.user.id, role=UserRole.WHOLESALE)),
    ("users", lambda e: e.shop.users.set_status(user_id=e.user.id, status=UserStatus.ACTIVE)),
    ("users", lambda e: e.shop.users.set_kyc(user_id=e.user.id, status=KycStatus.APPROVED)),
    ("users", lambda e: e.shop.users.set_password(user_id=e.user.id, password="another horse battery")),
    (
        "users",
        lambda e: e.shop.users.change_password(
            user_id=e.user.id, current_password="correct horse battery", new_password="another horse battery"
        ),
    ),
    ("users", lambda e: e.shop.users.update(user_id=e.user.id, full_name="Another")),
    ("users", lambda e: e.shop.users.delete(user_id=e.user.id)),
    (
        "user_profiles",
        lambda e: e.shop.users.update_profile(user_id=e.user.id, changes=ProfileChanges(display_name="Annie")),
    ),
    (
        "user_addresses",
        lambda e: e.shop.addresses.update(user_id=e.user.id, address_id=e.address.id, address=HOME, label="Home"),
    ),
    ("user_addresses", lambda e: e.shop.addresses.set_default(user_id=e.user.id, address_id=e.address.id)),
    (
        "user_addresses",
        lambda e: e.shop.addresses.mark_validated(user_id=e.user.id, address_id=e.address.id, source="usps"),
    ),
    ("user_addresses", lambda e: e.shop.addresses.delete(user_id=e.user.id, address_id=e.address.id)),
    ("cart_items", lambda e: e.shop.carts.add(cart_id=e.cart.id, variant_id=e.variant_id)),
    ("cart_items", lambda e: e.shop.carts.set_quantity(cart_id=e.cart.id, line_id=e.line.id, quantity=3)),
    ("carts", lambda e: e.shop.carts.remove(cart_id=e.cart.id, line_id=e.line.id)),
    ("carts", lambda e: e.shop.carts.reprice(cart_id=e.cart.id)),
    ("carts", lambda e: e.shop.carts.set_shipping(cart_id=e.cart.id, method=e.rate.code)),
    ("carts", lambda e: e.shop.carts.merge(user_id=e.user.id, session_id=e.guest.id)),
    ("carts", lambda e: place(e.shop, cart_id=e.cart.id, visitor=e.visitor)),
    ("inventory_reservations", lambda e: e.shop.inventory.release(cart_id=e.cart.id)),
    ("inventory_reservations", lambda e: e.shop.carts.reserve(cart_id=e.cart.id)),
    ("inventory_reservations", lambda e: e.shop.inventory.release_one(reservation_id=e.held.id)),
    ("inventory_reservations", lambda e: place(e.shop, cart_id=e.cart.id, visitor=e.visitor)),
    ("orders", lambda e: e.shop.cancellation.cancel(order_id=e.order.order.id, reason="no")),
    (
        "orders",
        lambda e: e.shop.orders.move(order_id=e.order.order.id, to=OrderStatus.PAYMENT_RECEIVED),
    ),
    ("orders", lambda e: e.shop.orders.set_tracking(order_id=e.order.order.id, carrier="UPS")),
    ("orders", lambda e: e.shop.orders.add_note(order_id=e.order.order.id, note="call")),
    ("orders", lambda e: e.shop.payments.verify(payment_id=_payment(e).id)),
    ("payments", lambda e: e.shop.payments.verify(payment_id=_payment(e).id)),
    (
        "payments",
        lambda e: e.shop.payments.submit_proof(reference=_payment(e).reference, customer_reference="TX"),
    ),
    ("payments", lambda e: e.shop.payments.reject(payment_id=_payment(e).id, reason="no")),
    ("payments", lambda e: e.shop.payments.cancel(payment_id=_payment(e).id)),
    ("payments", lambda e: e.shop.cancellation.cancel(order_id=e.order.order.id, reason="no")),
    ("payment_methods", lambda e: e.shop.payment_methods.update(method_id=e.method.id, name="Another")),
    ("payment_methods", lambda e: e.shop.payment_methods.reorder(method_ids=[e.method.id])),
    (
        "shipping_rates",
        lambda e: e.shop.shipping_rates.update(rate_id=e.rate.id, code=e.rate.code, name="Another", amount=usd(1)),
    ),
]
Dates = dict[UUID, tuple[int, datetime, datetime]]


async def dates(db: Database, tenant_id: str) -> dict[str, Dates]:
    """Of each row that can change: who wrote it last, when it was made, when it was changed."""
    return {
        table: {
            row[0]: (row[1], row[2], row[3])
            for row in await db.fetch(
                f"SELECT id, xmin::text::bigint, created_at, updated_at FROM {table} WHERE tenant_id = $1", tenant_id
            )
        }
        for table in await tables_with(db, "tenant_id", "id", "updated_at")
    }


@pytest.mark.requirement("SBB-CONV-02")
@pytest.mark.parametrize(("table", "change"), CHANGES, ids=lambda each: each if isinstance(each, str) else "")
async def test_a_change_is_dated_and_the_making_stays(
    room: Storeroom, ours: Estate, table: str, change: Change
) -> None:
    """Of whatever row the operation writes, in whatever table; `test_schema.py` reads all statements for the same."""
    before = await dates(room.db, ours.shop.tenant_id)
    await change(ours)
    after = await dates(room.db, ours.shop.tenant_id)
    changed = set()
    for name, rows in before.items():
        for id_, (writer, made, dated) in rows.items():
            now = after[name].get(id_)
            if now is not None and now[0] != writer:
                changed.add(name)
                assert now[1] == made, name
                assert now[2] > dated, f"{name} was changed and not dated"
    assert table in changed


async def test_permissions_are_dated(room: Storeroom) -> None:
    shop = await open_shop(room, actor=SYSTEM)
    member = await shop.users.create(email="m@shop.example", role=UserRole.STAFF)
    changed = await shop.users.set_permissions(user_id=member.id, permissions=[Permission.ORDERS_READ])
    assert changed.created_at == member.created_at
    assert changed.updated_at > member.updated_at
