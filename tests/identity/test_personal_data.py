"""What a shop knows of a person: all of it comes out, nothing of others, and nothing that opens a door."""

import json

import msgspec
import pytest
from house import HOME, PASSWORD, House

from market import Market
from refund_desk import open_desk
from storeroom.core.ids import UserId, new_id
from storeroom.core.money import Money
from storeroom.core.secrets import token_hash
from storeroom.core.visitor import Visitor
from storeroom.flows import personal_data
from storeroom.flows.personal_data import PARTS
from storeroom.guests import GuestMethod
from storeroom.identity import ProfileChanges, UserNotFound, UserRole

THEIRS = "between us of the shop"  # in words, which no reference holds by chance

# Tables with a column of LEADS that the export leaves out, and why.
LEFT_OUT = {
    "analytics_events": "what waits to be told of an order or a cart, until it is",
    "audit_logs": "the shop's record of what its staff did",
    "cart_quotes": "offers to a wallet, whoever has it; the order says what came of one",
    "cart_reminders": "when a cart is written about; the cart says the rest",
    "conversion_marks": "that an order was told",
    "disputes": "the shop's, with its provider",
    "inventory_reservations": "the shelf's side of carts and orders",
    "mpgs_transactions": "the provider's side of payments",
    "order_search": "words of orders, for looking them up",
    "payment_transactions": "the ledger of wallets; the payment says what came of one",
    "payment_transactions_archive": "the same, older",
    "recovery_codes": "hashes only",
    "refund_quotes": "of purchases elsewhere, by wallet and no account",
    "stock_movements": "the shelf's side of orders",
    "stripe_sessions": "the provider's side of payments",
    "subscription_history": "which state followed which; the subscription says the rest",
}


async def test_everything_comes_out_and_no_secret(house: House) -> None:
    user, other = await house.customer(phone="212 555 0123"), await house.customer("bo@example.com")
    signed_in = await house.shop.sessions.sign_in(email=user.email, password=PASSWORD)
    await house.shop.sessions.sign_in(email=other.email, password=PASSWORD)
    await house.shop.users.update_profile(user_id=user.id, changes=ProfileChanges(marketing_consent=True))
    for owner in (user, other):
        await house.shop.addresses.add(user_id=owner.id, address=HOME)
    (address,) = await house.shop.addresses.list(user_id=user.id)
    await house.shop.addresses.delete(user_id=user.id, address_id=address.id)
    market = Market(house.db, house.shop.context)
    shirt = await market.variant()
    await house.shop.conversions.set_signals(visitor=Visitor(session_id=signed_in.session_id), consents=True)
    cart = await house.shop.carts.create(visitor=Visitor(user_id=user.id))
    await house.shop.carts.add(cart_id=cart.id, variant_id=shirt, quantity=2)
    held = await house.of(user).personal_data.export(user_id=user.id)
    assert held.complete
    counted = {name: len(rows) for name, rows in held.parts.items() if rows}
    assert counted.pop("events", 0) >= 0
    assert counted == {
        "account": 1,
        "profile": 1,
        "consents": 1,
        "addresses": 1,
        "sessions": 1,
        "conversion_signals": 1,
        "carts": 1,
        "cart_items": 1,
    }
    assert held.parts["account"][0]["phone"] == "12125550123"
    assert held.parts["addresses"][0]["street_line_1"] == HOME.street_line_1
    text = msgspec.json.encode(held).decode()
    hashes = await house.rows(
        "SELECT password_hash FROM {users} WHERE tenant_id = $1 UNION "
        "SELECT refresh_token_hash FROM {auth_sessions} WHERE tenant_id = $1 UNION "
        "SELECT token_family_hash FROM {auth_sessions} WHERE tenant_id = $1"
    )
    assert len(hashes) == 6
    for secret in (*(each for (each,) in hashes), token_hash(signed_in.refresh_token), str(other.id), other.email):
        assert json.dumps(secret)[1:-1] not in text


async def test_what_staff_noted_and_where_files_lie_stays_in_the_house(house: House) -> None:
    """The columns that a customer is kept from at the database's own prompt are kept from the export too."""
    desk = await open_desk(house.shop)
    buyer = await desk.buyer()
    order, payment = await desk.paid(buyer=buyer)
    refund = await desk.shop.refunds.request(
        payment_id=payment.id, reason=THEIRS, reason_details=THEIRS, amount=Money(100, "USD")
    )
    await desk.shop.refunds.fail(refund_id=refund.id, reason=THEIRS)
    await desk.shop.store_credit.grant(user_id=buyer.id, amount=Money(100, "USD"), note=f"{THEIRS}, a note")
    beside: dict[str, object] = {"metadata": {"x": THEIRS}}
    for table, id_, columns in (
        ("users", buyer.id, beside),
        ("orders", order.id, {**beside, "internal_notes": THEIRS}),
        ("payments", payment.id, {**beside, "proof_file_path": THEIRS, "verification_notes": THEIRS}),
        ("refunds", refund.id, {"refund_details": {"x": THEIRS}}),
    ):
        for column, value in columns.items():
            await house.run(f"UPDATE {{{table}}} SET {column} = $3 WHERE tenant_id = $1 AND id = $2", id_, value)
    for shop in (house.of(buyer), desk.shop):
        held = await shop.personal_data.export(user_id=buyer.id)
        counted = {name: len(held.parts[name]) for name in ("orders", "payments", "refunds", "store_credit_entries")}
        assert counted == {"orders": 1, "payments": 1, "refunds": 1, "store_credit_entries": 1}
        text = msgspec.json.encode(held).decode()
        assert THEIRS not in text
        assert str(desk.admin.id) not in text, "nor who of them it was"
        assert order.order_number in text


async def test_an_export_for_somebody_else_leaves_an_entry_and_ones_own_none(house: House) -> None:
    user = await house.customer()
    admin = await house.member(UserRole.ADMIN)
    await house.of(user).personal_data.export(user_id=user.id)
    await house.by(admin).personal_data.export(user_id=user.id)
    with pytest.raises(UserNotFound):
        await house.by(admin).personal_data.export(user_id=UserId(new_id()))
    rows = await house.rows(
        "SELECT user_id, resource_id, success FROM {audit_logs} WHERE tenant_id = $1 AND action = 'personal_data.export' "
        "ORDER BY created_at, id"
    )
    assert [(who, success) for who, _, success in rows] == [(admin.id, True), (admin.id, False)]
    assert rows[0][1] == user.id


async def test_nobody_gets_anothers(house: House, other: House) -> None:
    user, stranger = await house.customer(), await house.customer("bo@example.com")
    for refused in (
        house.of(stranger).personal_data.export(user_id=user.id),
        other.shop.personal_data.export(user_id=user.id),
        house.shop.personal_data.export(user_id=UserId(new_id())),
    ):
        with pytest.raises(UserNotFound):
            await refused
    assert (await house.shop.personal_data.export(user_id=user.id)).parts["account"][0]["email"] == user.email


async def test_what_is_too_much_is_said_to_be(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await house.customer()
    for _ in range(3):
        await house.shop.addresses.add(user_id=user.id, address=HOME)
    monkeypatch.setattr(personal_data, "HELD_ROWS_MAX", 2)
    held = await house.shop.personal_data.export(user_id=user.id)
    assert (held.complete, len(held.parts["addresses"])) == (False, 2)


# Columns that lead to a person: by account, address, number or place, or by what they bought, paid and held.
LEADS = (
    *("user_id", "customer_id", "email", "customer_email", "phone", "customer_phone", "ip_address", "anonymous_id"),
    *("session_id", "cart_id", "order_id", "payment_id", "subscription_id", "wallet", "recipient_wallet"),
)


async def test_no_table_about_people_is_forgotten(house: House) -> None:
    """A new table with such a column is a part of the export, or has a reason in LEFT_OUT."""
    found = await house.db.fetch(
        "SELECT DISTINCT c.relname AS name FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid "
        "WHERE a.attname = ANY ($1) AND NOT a.attisdropped AND NOT c.relispartition "
        "AND c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')",
        list(LEADS),
    )
    named = {
        "account_identities": "identities",
        "account_tokens": "messages",
        "auth_sessions": "sessions",
        "cart_items": "cart_items",
        "carts": "carts",
        "consent_changes": "consents",
        "conversion_visitors": "conversion_signals",
        "coupon_redemptions": "coupons",
        "customer_statistics": "statistics",
        "customer_syncs": "sap",
        "downloads": "downloads",
        "events": "events",
        "guest_user_audits": "guest_attempts",
        "invoice_audits": "invoices",
        "order_discounts": "discounts",
        "order_items": "order_items",
        "order_status_history": "order_history",
        "orders": "orders",
        "otp_requests": "phone_codes",
        "otp_sessions": "phone_codes",
        "payment_attempts": "payment_attempts",
        "payments": "payments",
        "refunds": "refunds",
        "second_factors": "second_factor",
        "store_credit_entries": "store_credit_entries",
        "store_credits": "store_credits",
        "subscription_payments": "subscription_payments",
        "subscriptions": "subscriptions",
        "user_addresses": "addresses",
        "user_profiles": "profile",
        "users": "account",
    }
    assert {row["name"] for row in found} == named.keys() | LEFT_OUT.keys()
    assert named.keys().isdisjoint(LEFT_OUT)
    assert {*named.values(), "records"} == PARTS.keys()


async def test_what_was_tried_with_an_address_or_number_comes_out_for_whom_it_is_proven(house: House) -> None:
    """Whoever registers with somebody else's address or number learns nothing of what that person did."""
    user = await house.customer(phone="212 555 0123")
    await house.shop.phone_codes.request(phone="212 555 0123")
    for given in ({"email": user.email}, {"phone": user.phone}, {"email": user.email, "phone": user.phone}):
        await house.shop.guest_attempts.record(method=GuestMethod.ORDER_LOOKUP, success=False, **given)

    async def held() -> tuple[int, int]:
        parts = (await house.of(user).personal_data.export(user_id=user.id)).parts
        return len(parts["guest_attempts"]), len(parts["phone_codes"])

    assert await held() == (0, 0)
    await house.run("UPDATE {users} SET email_verified = TRUE WHERE tenant_id = $1 AND id = $2", user.id)
    assert await held() == (2, 0)
    await house.run("UPDATE {users} SET phone_verified = TRUE WHERE tenant_id = $1 AND id = $2", user.id)
    assert await held() == (3, 2)
    text = msgspec.json.encode(await house.of(user).personal_data.export(user_id=user.id)).decode()
    (code_hash,) = (await house.rows("SELECT otp_hash FROM {otp_sessions} WHERE tenant_id = $1"))[0]
    assert code_hash not in text
