"""A Vendure shop as the source: customers, addresses and orders become rows here, once, whatever the way they arrive."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from recorded import address, at, customer, line, order

from factories import HOME, make_method, make_product, open_shop, place, usd
from rivals import race
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import OrderId, UserId
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.doctor import examine
from storeroom.downloads.jobs import send_links
from storeroom.flows.vendure import NOT_TOLD, Synced, retry_waiting
from storeroom.identity import ProfileChanges, UserRole
from storeroom.orders import Customer, OrderStatus
from storeroom.refunds import ItemToRefund
from storeroom.room import Shop, Storeroom
from storeroom.sources import InvalidSourceMessage, SourceKind, WaitingRecord


@pytest.fixture
async def shop(room: Storeroom) -> Shop:
    return await open_shop(room, actor=SYSTEM)


async def nimal(shop: Shop) -> Customer:
    found = await shop.customers.by_vendure_id(vendure_customer_id="7")
    assert found is not None
    return found


async def addresses_of(shop: Shop, person: Synced) -> list[Any]:
    return await shop.customers.addresses(customer_id=UserId(person.id))


async def links_made(shop: Shop) -> set[Any]:
    made = await shop.context.db.fetch(
        shop.context.db.names.render("SELECT order_id FROM {downloads} WHERE tenant_id = $1"), shop.tenant_id
    )
    return {row["order_id"] for row in made}


async def rows(shop: Shop, table: str) -> int:
    return int(
        await shop.context.db.fetchval(
            shop.context.db.names.render(f"SELECT count(*) FROM {{{table}}} WHERE tenant_id = $1"), shop.tenant_id
        )
    )


async def make_goods(shop: Shop) -> None:
    for sku in ("SHIRT", "CAP"):
        await make_product(shop, sku=sku, stock=10)


@pytest.mark.requirement("SIG-CUS-01", "SIG-CUS-02", "SIG-CUS-09", "SIG-SYN-01", "SIG-SYN-05")
async def test_a_customer_reads_back_equal_and_keeps_what_is_not_said(shop: Shop) -> None:
    told = await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    first = await nimal(shop)
    assert (told.id, told.waits_for, told.changed) == (first.id, None, True)
    assert (first.vendure_customer_id, first.email, first.first_name, first.last_name, first.full_name) == (
        "7",
        "nimal@buyer.example",
        "Nimal",
        "Perera",
        "Nimal Perera",
    )
    assert (first.phone_number, first.phone_verified, first.marketing_consent, first.is_active) == (
        "15125550147",
        True,
        True,
        True,
    )
    assert (first.total_orders, first.total_spent, first.last_order_date) == (0, usd(0), None)
    assert first.custom_fields == {"title": "Mr", "club": {"team": "Kandy", "since": [2019]}}
    assert first.last_synced_at is not None

    await shop.vendure.upsert_customer(customer={"id": 7, "customFields": {"size": "L"}, "firstName": "N."}, at=at(1))
    later = await nimal(shop)
    assert (later.id, later.first_name, later.last_name, later.phone_number) == (
        first.id,
        "N.",
        "Perera",
        "15125550147",
    )
    assert later.custom_fields == {**first.custom_fields, "size": "L"}
    assert later.created_at == first.created_at
    assert later.updated_at > first.updated_at
    assert later.last_synced_at is not None
    assert later.last_synced_at > first.last_synced_at

    source = await shop.vendure.source_of(kind=SourceKind.CUSTOMER, external_id=str(later.vendure_customer_id))
    assert source is not None
    assert (source.local_id, source.values()["firstName"]) == (later.id, "N.")
    assert (await shop.vendure.unsynced()).items == []
    told_others = await shop.context.db.fetch(
        shop.context.db.names.render("SELECT event_type FROM {webhook_queue} WHERE tenant_id = $1 AND entity_id = $2"),
        shop.tenant_id,
        first.id,
    )
    assert sorted(row["event_type"] for row in told_others) == [
        "customer.created",
        "customer.updated",
        "customer.updated",
    ]


@pytest.mark.requirement("SIG-CUS-02")
async def test_the_same_again_and_what_is_older_change_nothing(shop: Shop) -> None:
    await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    await shop.vendure.upsert_customer(customer={"id": 7, "firstName": "Newest"}, at=at(9))
    before = await nimal(shop)
    again = await shop.vendure.upsert_customer(customer={"id": 7, "firstName": "Newest"}, at=at(9))
    late = await shop.vendure.upsert_customer(customer={"id": 7, "firstName": "Older", "lastName": "Mid"}, at=at(5))
    assert (again.changed, late.changed) == (False, True)
    after = await nimal(shop)
    assert (after.first_name, after.last_name) == ("Newest", "Mid")  # what nobody said later is news all the same
    assert before.last_name == "Perera"


async def test_consent_taken_back_here_is_given_again_only_by_a_new_word(shop: Shop) -> None:
    def saying(*, given: bool) -> dict[str, Any]:
        return customer(customFields={"marketingConsent": given})

    async def has_it() -> bool:
        return (await nimal(shop)).marketing_consent

    told = await shop.vendure.upsert_customer(customer=saying(given=True), at=at(0))
    person = UserId(told.id)
    assert (await shop.users.profile(user_id=person)).marketing_consent_at == at(0)
    await shop.users.update_profile(user_id=person, changes=ProfileChanges(marketing_consent=False))
    since = (await shop.users.profile(user_id=person)).marketing_consent_at
    assert since is not None
    after = [since + timedelta(seconds=seconds) for seconds in range(1, 5)]

    await shop.vendure.upsert_customer(customer={"id": 7, "lastName": "Silva"}, at=after[0])
    assert not await has_it()
    await shop.vendure.upsert_customer(customer=saying(given=True), at=after[1])  # as it has been there since noon
    assert not await has_it()
    assert (await shop.users.profile(user_id=person)).marketing_consent_at == since

    await shop.vendure.upsert_customer(customer=saying(given=False), at=after[2])
    await shop.vendure.upsert_customer(customer=saying(given=True), at=after[3])
    assert await has_it()
    history = [(change.given, change.actor_kind) for change in await shop.users.consents(user_id=person)]
    assert history == [(True, "webhook"), (False, "system"), (True, "webhook")]


async def test_a_word_from_before_consent_was_taken_back_here_comes_too_late(shop: Shop) -> None:
    told = await shop.vendure.upsert_customer(customer=customer(customFields={}), at=at(0))
    person = UserId(told.id)
    for given in (True, False):
        await shop.users.update_profile(user_id=person, changes=ProfileChanges(marketing_consent=given))
    await shop.vendure.upsert_customer(customer=customer(), at=at(1))
    assert not (await nimal(shop)).marketing_consent


@pytest.mark.requirement("SIG-CUS-03")
async def test_two_syncs_of_one_customer_at_once_leave_one_row(shop: Shop, database: Database) -> None:
    async def first(tx: Any) -> Synced:
        return await type(shop.vendure)(shop.context.on(tx)).upsert_customer(customer=customer(), at=at(0))

    async def second() -> Synced:
        return await shop.vendure.upsert_customer(customer=customer(firstName="Kamal"), at=at(1))

    outcome = await race(database, first, second)
    assert isinstance(outcome, Synced)
    assert outcome.id == (await nimal(shop)).id
    assert (await nimal(shop)).first_name == "Kamal"
    assert await rows(shop, "users") == 1


async def test_two_customers_with_one_new_address_at_once_leave_one_account_and_one_who_waits(
    shop: Shop, database: Database
) -> None:
    """They meet at the account's address, not at a record of their own."""

    async def first(tx: Any) -> Synced:
        return await type(shop.vendure)(shop.context.on(tx)).upsert_customer(customer=customer(), at=at(0))

    async def second() -> Synced:
        return await shop.vendure.upsert_customer(customer=customer(id=8), at=at(0))

    outcome = await race(database, first, second)
    assert isinstance(outcome, Synced), outcome
    assert (outcome.id, outcome.waits_for) == (None, "email_of_another")
    assert await rows(shop, "users") == 1


@pytest.mark.requirement("SIG-REG-01", "SIG-SYN-05", "SIG-ADR-01")
async def test_registering_yields_customer_and_addresses_and_step_three_is_retried_alone(shop: Shop) -> None:
    await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    with pytest.raises(InvalidSourceMessage) as refused:
        await shop.vendure.upsert_address(address=address(21, "1 Main Street", country={"code": "XX"}), at=at(1))
    assert refused.value.field == "countryCode"
    before = await nimal(shop)
    assert await shop.customers.addresses(customer_id=before.id) == []

    right = address(21, "1 Main Street", defaultShippingAddress=True, defaultBillingAddress=True)
    told = await shop.vendure.upsert_address(address=right, at=at(1))
    (kept,) = await shop.customers.addresses(customer_id=before.id)
    assert (kept.id, kept.vendure_address_id, kept.address_type, kept.is_default) == (told.id, "21", "both", True)
    assert (kept.full_name, kept.street_line_1, kept.city, kept.province, kept.country_code) == (
        "Nimal Perera",
        "1 Main Street",
        "Austin",
        "TX",
        "US",
    )
    assert await nimal(shop) == before
    assert await rows(shop, "users") == 1

    nested = customer(addresses=[address(22, "2 Lake Road"), right])
    await shop.vendure.upsert_customer(customer=nested, at=at(2))
    assert {each.vendure_address_id for each in await shop.customers.addresses(customer_id=before.id)} == {"21", "22"}
    held = await shop.personal_data.export(user_id=before.id)
    assert {(row["kind"], row["external_id"]) for row in held.parts["records"]} == {
        ("customer", "7"),
        ("address", "21"),
        ("address", "22"),
    }
    await shop.vendure.delete_address(vendure_address_id="21", at=at(3))
    assert {each.vendure_address_id for each in await shop.customers.addresses(customer_id=before.id)} == {"22"}


@pytest.mark.requirement("SIG-ADR-01", "SIG-SYN-05")
async def test_an_address_that_was_given_to_another_customer_leaves_the_first(shop: Shop) -> None:
    people = [
        await shop.vendure.upsert_customer(customer=customer(id=number, emailAddress=mail), at=at(0))
        for number, mail in ((7, "ann@buyer.example"), (8, "bo@buyer.example"))
    ]
    kept = address(21, "1 Main Street", defaultShippingAddress=True)
    for minute, holder in enumerate((0, 1, 0), start=1):
        told = await shop.vendure.upsert_address(address={**kept, "customer": {"id": 7 + holder}}, at=at(minute))
        held = [
            [(each.id, each.vendure_address_id, each.is_default) for each in await addresses_of(shop, person)]
            for person in people
        ]
        assert held[holder] == [(told.id, "21", True)]
        assert held[1 - holder] == []


@pytest.mark.requirement("SIG-PLC-01", "SIG-PLC-02", "SIG-ORD-01", "SIG-SYN-02", "SIG-SYN-05")
async def test_an_order_gives_one_summary_with_its_items_and_an_update_leaves_nothing_over(shop: Shop) -> None:
    await make_goods(shop)
    await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    shirt = line("SHIRT", 2, 1000, 1100, patchEnabled=True, patchType="league", printName="NIMAL", printNumber="07")
    placed = order(shirt, line("CAP", 1, 500, 550))
    for _ in range(2):
        told = await shop.vendure.upsert_order(order=placed, at=at(20))
    buyer = await nimal(shop)
    (summary,) = (await shop.orders.summaries(customer_id=buyer.id)).items
    assert (summary.id, summary.vendure_order_id, summary.order_code) == (told.id, "40", "VEND40ABCDEF")
    assert (summary.status, summary.payment_method, summary.is_paid) == (OrderStatus.PAYMENT_RECEIVED, "payhere", True)
    assert summary.total_with_tax == usd(2 * 1100 + 550 + 550)
    assert summary.order_date == at(20)
    items = {each.variant_name: each for each in await shop.orders.summary_items(order_id=summary.id)}
    assert {name: (each.quantity, each.unit_price_with_tax) for name, each in items.items()} == {
        "SHIRT red": (2, usd(1100)),
        "CAP red": (1, usd(550)),
    }
    jersey = items["SHIRT red"]
    assert (jersey.product_name, jersey.patch_enabled, jersey.patch_type, jersey.print_name, jersey.print_number) == (
        "Jersey SHIRT",
        True,
        "league",
        "NIMAL",
        "07",
    )
    assert (buyer.total_orders, buyer.total_spent) == (1, summary.total_with_tax)

    changed = order(line("CAP", 4, 500, 550), discount=200, couponCodes=["SAVE"], payments=[])
    await shop.vendure.upsert_order(order={**changed, "state": "PartiallyShipped"}, at=at(30))
    (line_now,) = await shop.orders.items(order_id=summary.id)
    assert (line_now.product_sku, line_now.quantity, line_now.discount_amount) == ("CAP", 4, usd(200))
    now = await shop.orders.get(order_id=summary.id)
    assert (now.status, now.total_amount, now.amount_paid) == (OrderStatus.PROCESSING, usd(4 * 550 - 200 + 550), usd(0))
    assert (now.source, now.purchase_id, now.discount_code, now.metadata) == (
        "vendure",
        "40",
        "SAVE",
        {"giftWrap": True},
    )
    assert (now.customer_phone, now.shipping_method) == ("15125550147", "trans-express")
    late = await shop.vendure.upsert_order(order=placed, at=at(21))
    assert late.changed is False
    assert [each.product_sku for each in await shop.orders.items(order_id=summary.id)] == ["CAP"]
    assert (await nimal(shop)).total_orders == 1
    assert (await nimal(shop)).total_spent == now.total_amount


@pytest.mark.requirement("SIG-PLC-01", "SIG-GEN-02")
async def test_it_takes_no_stock_asks_for_no_money_and_writes_to_nobody_as_if_it_were_ours(shop: Shop) -> None:
    await make_goods(shop)
    await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    told = await shop.vendure.upsert_order(order=order(line("SHIRT", 2, 1000, 1100)), at=at(20))
    shirt = await shop.products.variant_by_sku(sku="SHIRT")
    assert (shirt.on_hand, shirt.reserved) == (10, 0)
    assert await rows(shop, "payments") == 0
    events = await shop.context.db.fetch(
        shop.context.db.names.render("SELECT event_type FROM {webhook_queue} WHERE tenant_id = $1 AND entity_id = $2"),
        shop.tenant_id,
        told.id,
    )
    assert {row["event_type"] for row in events} == {"order.synced"}
    broken = [
        (result.name, finding)
        for result in await examine(shop.context.db)
        if result.broken
        for finding in result.findings
        if finding.tenant_id == shop.tenant_id
    ]
    assert broken == []

    own = await shop.users.register(email="own@buyer.example", password="correct horse", full_name="Own Buyer")
    ours = await place(shop, (shirt.id, 1), visitor=Visitor(user_id=own.id), email="own@buyer.example")
    (summary,) = (await shop.orders.summaries(customer_id=own.id)).items
    assert (summary.order_code, summary.vendure_order_id) == (ours.order.number, None)


async def test_an_old_order_with_a_digital_line_sends_its_buyer_no_link(shop: Shop, room: Storeroom) -> None:
    """Its goods were sent where it was placed: an import must not write to every buyer of last month."""
    await make_method(shop)
    await shop.configuration.set(key="general.service_url", value="https://api.example")
    book = await make_product(shop, sku="BOOK", is_digital=True, stock=10)
    names = shop.context.db.names
    await shop.context.db.execute(
        names.render("UPDATE {products} SET file_path = tenant_id || '/goods/book.pdf' WHERE tenant_id = $1"),
        shop.tenant_id,
    )
    await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    lately = shop.context.clock.now() - timedelta(days=1)
    sold = order(line("BOOK", 1, 1000, 1000), orderPlacedAt=lately.isoformat())
    told = await shop.vendure.upsert_order(order=sold, at=lately)
    assert told.id is not None
    await send_links(room.db, keys=room.token_keys)
    assert await links_made(shop) == set()
    placed = await place(shop, (book, 1), payment_method="zelle")
    assert placed.order.payment is not None
    staff = shop.acting(actor=Actor(kind=ActorKind.ADMIN, name="staff"))
    await staff.payments.verify(payment_id=placed.order.payment.id)
    await send_links(room.db, keys=room.token_keys)
    assert await links_made(shop) == {placed.order.id}


@pytest.mark.requirement("SIG-ORD-01")
async def test_a_line_stays_the_same_row_with_its_link_and_a_refund_keeps_it(shop: Shop) -> None:
    await make_goods(shop)
    await make_method(shop)
    await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    shirt, cap = line("SHIRT", 3, 1000, 1000), line("CAP", 1, 500, 500)
    told = await shop.vendure.upsert_order(order=order(cap, shirt), at=at(20))
    assert told.id is not None
    order_id = OrderId(told.id)
    before = {each.product_sku: each for each in await shop.orders.items(order_id=order_id)}
    assert {each.created_at for each in before.values()} == {at(20)}
    db, names = shop.context.db, shop.context.db.names
    await db.execute(
        names.render(
            "INSERT INTO {downloads} (tenant_id, order_item_id, order_id, downloads_max, expires_at) "
            "VALUES ($1, $2, $3, 5, now() + interval '1 day')"
        ),
        shop.tenant_id,
        before["SHIRT"].id,
        order_id,
    )
    await shop.vendure.upsert_order(order=order(line("SHIRT", 2, 900, 900)), at=at(21))
    (kept,) = await shop.orders.items(order_id=order_id)
    assert (kept.id, kept.position, kept.quantity, kept.unit_price) == (before["SHIRT"].id, 1, 2, usd(900))
    assert await rows(shop, "downloads") == 1

    staff = shop.acting(actor=Actor(kind=ActorKind.ADMIN, name="staff"))
    variant = await shop.products.variant_by_sku(sku="SHIRT")
    ours = await place(shop, (variant.id, 2), payment_method="zelle")
    assert ours.order.payment is not None
    paid = await staff.payments.verify(payment_id=ours.order.payment.id)
    (our_line,) = await shop.orders.items(order_id=ours.order.id)
    await staff.refunds.request(
        payment_id=paid.id,
        amount=usd(100),
        reason="torn",
        items=[ItemToRefund(order_item_id=our_line.id, quantity=2)],
    )
    await db.execute(  # as if it were about the line that came from there
        names.render(
            "INSERT INTO {refund_items} (tenant_id, refund_id, order_item_id, quantity, restock) "
            "SELECT tenant_id, refund_id, $2, quantity, restock FROM {refund_items} WHERE tenant_id = $1"
        ),
        shop.tenant_id,
        kept.id,
    )
    for lines in ([cap], [line("SHIRT", 1, 900, 900)]):
        told = await shop.vendure.upsert_order(order=order(*lines), at=at(30 + len(lines[0]["id"])))
        assert told.waits_for == "lines that were refunded here"
        assert await shop.orders.items(order_id=order_id) == [kept]
    told = await shop.vendure.upsert_order(order=order(cap, line("SHIRT", 2, 800, 800)), at=at(50))
    assert told.waits_for is None
    after = {each.product_sku: each for each in await shop.orders.items(order_id=order_id)}
    assert (after["SHIRT"].id, after["SHIRT"].position, after["SHIRT"].unit_price) == (kept.id, 2, usd(800))
    assert after["CAP"].id != before["CAP"].id


@pytest.mark.requirement("SIG-SYN-05")
async def test_what_a_customer_lost_makes_its_orders_wait_and_stops_nobody(
    shop: Shop, room: Storeroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_goods(shop)
    await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    nameless = address(21, "1 Main Street", fullName=None, defaultShippingAddress=True)
    await shop.vendure.upsert_address(address=nameless, at=at(1))
    lost = {"id": 7, "emailAddress": None, "firstName": None, "lastName": None}
    await shop.vendure.upsert_customer(customer=lost, at=at(2))
    told = await shop.vendure.upsert_order(order=order(line("SHIRT", 1, 1000, 1000)), at=at(20))
    assert (told.id, told.waits_for) == (None, "customer 7 emailAddress")
    other = await shop.vendure.upsert_address(
        address=address(22, "2 Lake Road", defaultShippingAddress=True), at=at(21)
    )
    assert (other.id is not None, other.waits_for) == (True, None)

    async def fails(*_: Any, **__: Any) -> None:
        raise RuntimeError("a fault of ours")

    waiting = [
        WaitingRecord(tenant_id=str(shop.tenant_id), kind=SourceKind.ORDER, external_id="40"),
        WaitingRecord(tenant_id=str(shop.tenant_id), kind=SourceKind.CUSTOMER, external_id="7"),
    ]

    async def these(*_: Any, **__: Any) -> list[WaitingRecord]:
        return waiting

    with monkeypatch.context() as broken:
        broken.setattr("storeroom.flows.vendure.records_to_try", these)
        broken.setattr("storeroom.flows.vendure.Vendure.retry", fails)
        assert await retry_waiting(room.db) == 2
    await shop.vendure.upsert_customer(customer=customer(), at=at(30))
    assert (await shop.vendure.unsynced()).items == []
    assert (await nimal(shop)).total_orders == 1


async def test_no_token_of_a_login_or_payment_there_is_kept(shop: Shop) -> None:
    await make_goods(shop)
    login = {"id": 70, "authenticationMethods": [{"passwordHash": "s3cret"}]}
    await shop.vendure.upsert_customer(
        customer=customer(user=login, customFields={"sap_sync": True, "sap_customer_code": "C-1", "size": "L"}),
        at=at(0),
    )
    assert (await nimal(shop)).custom_fields == {"title": "Mr", "size": "L"}
    refund = {"state": "Settled", "total": 100, "metadata": {"token": "s3cret"}}
    payment = {"method": "payhere", "amount": 1550, "state": "Settled", "metadata": {"card": "s3cret"}}
    told = await shop.vendure.upsert_order(
        order=order(
            line("SHIRT", 1, 1000, 1000),
            customer={"id": 7, "emailAddress": "nimal@buyer.example", "user": login},
            payments=[{**payment, "refunds": [refund]}],
        ),
        at=at(20),
    )
    assert told.id is not None
    assert (await shop.orders.get(order_id=OrderId(told.id))).amount_paid == usd(1450)
    kept = await shop.context.db.fetchval(
        shop.context.db.names.render("SELECT string_agg(fields::text, ' ') FROM {source_records} WHERE tenant_id = $1"),
        shop.tenant_id,
    )
    assert "payhere" in kept
    assert "s3cret" not in kept


@pytest.mark.requirement("SIG-SYN-05", "SIG-REG-01", "SIG-GEN-02")
async def test_what_comes_before_its_customer_or_its_goods_waits_is_listed_and_is_not_lost(shop: Shop) -> None:
    order_told = await shop.vendure.upsert_order(order=order(line("SHIRT", 1, 1000, 1000)), at=at(20))
    address_told = await shop.vendure.upsert_address(address=address(21, "1 Main Street"), at=at(1))
    assert (order_told.id, order_told.waits_for) == (None, "customer 7")
    assert (address_told.id, address_told.waits_for) == (None, "customer 7")
    listed = {(each.kind, each.external_id): each.waits_for for each in (await shop.vendure.unsynced()).items}
    assert listed == {
        (SourceKind.ADDRESS, "21"): "customer 7",
        (SourceKind.CUSTOMER, "7"): NOT_TOLD,
        (SourceKind.ORDER, "40"): "customer 7",
    }
    await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    (left,) = (await shop.vendure.unsynced()).items
    assert (left.kind, left.waits_for) == (SourceKind.ORDER, "sku SHIRT")
    assert len(await shop.customers.addresses(customer_id=(await nimal(shop)).id)) == 1
    await make_goods(shop)
    told = await shop.vendure.retry(kind=SourceKind.ORDER, external_id="40")
    assert told is not None
    assert (told.id is not None, told.waits_for) == (True, None)
    assert (await shop.vendure.unsynced()).items == []
    assert (await nimal(shop)).total_orders == 1


async def test_an_order_and_its_customer_at_once_find_each_other(shop: Shop, database: Database) -> None:
    """Whoever is second waits for the first at the customer's record, so none of them misses the other."""
    await make_goods(shop)

    async def first(tx: Any) -> Synced:
        return await type(shop.vendure)(shop.context.on(tx)).upsert_customer(customer=customer(), at=at(0))

    async def second() -> Synced:
        return await shop.vendure.upsert_order(order=order(line("SHIRT", 1, 1000, 1000)), at=at(20))

    outcome = await race(database, first, second)
    assert isinstance(outcome, Synced), outcome
    assert outcome.waits_for is None
    assert (await nimal(shop)).total_orders == 1


class TestAccountsOfPeople:
    """Linking opens no door, neither to the account nor to what the customer did elsewhere."""

    @pytest.mark.requirement("SIG-CUS-01", "SIG-SYN-05")
    async def test_a_proven_account_is_linked_and_stays_its_owners(self, shop: Shop) -> None:
        mine = await shop.users.register(
            email="nimal@buyer.example", password="correct horse", full_name="My Own Name", phone="+1 512 555 0199"
        )
        await prove(shop, mine.id)
        home = await shop.addresses.add(user_id=mine.id, address=HOME, is_default=True)
        await shop.users.update_profile(user_id=mine.id, changes=ProfileChanges(marketing_consent=False))
        hash_before = await password_hash(shop, mine.id)
        told = await shop.vendure.upsert_customer(customer=customer(deletedAt="2026-03-02T12:00:00Z"), at=at(0))
        await shop.vendure.upsert_address(address=address(21, "9 Thief Lane", defaultShippingAddress=True), at=at(1))
        await shop.vendure.upsert_customer(
            customer={"id": 7, "emailAddress": "thief@buyer.example", "phoneNumber": "+1 512 555 0111"}, at=at(2)
        )
        assert told.id == mine.id
        linked = await nimal(shop)
        assert (linked.email, linked.full_name, linked.phone_number) == (
            "nimal@buyer.example",
            "My Own Name",
            "15125550199",
        )
        assert (linked.phone_verified, linked.marketing_consent, linked.is_active) == (False, False, True)
        assert (linked.first_name, linked.custom_fields["title"]) == ("Nimal", "Mr")  # what was missing is added
        assert await password_hash(shop, mine.id) == hash_before
        default = await shop.addresses.default(user_id=mine.id)
        assert default is not None
        assert default.id == home.id
        user = await shop.users.get(user_id=mine.id)
        assert (user.role, user.email_verified) == (UserRole.CUSTOMER, True)

    async def test_who_signed_up_with_somebody_elses_address_gets_nothing_of_theirs(self, shop: Shop) -> None:
        await make_goods(shop)
        squatter = await shop.users.register(
            email="nimal@buyer.example", password="correct horse", full_name="Not Nimal"
        )
        told = await shop.vendure.upsert_customer(customer=customer(), at=at(0))
        await shop.vendure.upsert_order(order=order(line("SHIRT", 1, 1000, 1000)), at=at(20))
        assert (told.id, told.waits_for) == (None, "email_not_proven")
        assert (await shop.orders.list_for_user(user_id=squatter.id)).items == []
        assert await shop.customers.by_vendure_id(vendure_customer_id="7") is None

        await prove(shop, squatter.id)  # whoever reads the mail is the customer
        await shop.vendure.retry(kind=SourceKind.CUSTOMER, external_id="7")
        assert (await nimal(shop)).id == squatter.id
        assert (await nimal(shop)).total_orders == 1

    async def test_an_account_that_nobody_owns_follows_and_what_was_sent_to_the_old_address_opens_nothing(
        self, shop: Shop
    ) -> None:
        await shop.vendure.upsert_customer(customer=customer(), at=at(0))
        account = (await nimal(shop)).id
        await shop.mail_proofs.send_reset(email="nimal@buyer.example")
        moved = {"id": 7, "emailAddress": "nimal@new.example"}
        await shop.vendure.upsert_customer(customer=moved, at=at(1))
        assert (await nimal(shop)).email == "nimal@new.example"
        tokens = await shop.context.db.fetchval(
            shop.context.db.names.render("SELECT count(*) FROM {account_tokens} WHERE tenant_id = $1 AND user_id = $2"),
            shop.tenant_id,
            account,
        )
        assert tokens == 0
        await shop.vendure.delete_customer(vendure_customer_id="7", at=at(2))
        assert (await nimal(shop)).is_active is False

    async def test_customers_do_not_speak_for_vendure(self, shop: Shop) -> None:
        theirs = shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, name="bo@buyer.example"))
        with pytest.raises(StoreroomError) as refused:
            await theirs.vendure.upsert_customer(customer=customer(), at=at(0))
        assert refused.value.code == "sources.for_staff"
        assert await rows(shop, "users") == 0


@pytest.mark.parametrize(
    ("entity", "field"),
    [
        ({"id": None}, "id"),
        ({"id": 40, "state": "Lost"}, "state"),
        (order({**line("SHIRT", 1, 1000, 1000), "quantity": -1}), "lines[0].quantity"),
        (order({**line("SHIRT", 1, 1000, 1000), "unitPrice": 9.99}), "lines[0].unitPrice"),
        (order(line("SHIRT", 1, 1000, 1000), currencyCode="dollars"), "currencyCode"),
        (order(line("SHIRT", 1, 1000, 1000), totalWithTax=3), "totalWithTax"),
        (order(line("SHIRT", 1, 1000, 1000), lines="all of them"), "lines"),
        (order(line("SHIRT", 1, 1000, 1000), code="X" * 21), "code"),
    ],
)
async def test_what_cannot_be_an_order_names_the_field_and_changes_nothing(
    shop: Shop, entity: dict[str, Any], field: str
) -> None:
    await make_goods(shop)
    with pytest.raises(InvalidSourceMessage) as refused:
        await shop.vendure.upsert_order(order=entity, at=at(20))
    assert refused.value.field == field
    assert await rows(shop, "source_records") == 0
    assert await rows(shop, "orders") == 0


async def test_a_clock_that_is_days_ahead_is_refused_before_it_silences_the_source(shop: Shop) -> None:
    ahead = shop.context.clock.now() + timedelta(days=2)
    with pytest.raises(InvalidSourceMessage) as refused:
        await shop.vendure.upsert_customer(customer=customer(), at=ahead)
    assert refused.value.field == "occurred_at"


@pytest.mark.requirement("SIG-ORD-02")
async def test_a_second_order_with_the_code_waits_and_two_syncs_of_one_at_once_leave_one(
    shop: Shop, database: Database
) -> None:
    await make_goods(shop)
    await shop.vendure.upsert_customer(customer=customer(), at=at(0))
    one = order(line("SHIRT", 1, 1000, 1000))

    async def first(tx: Any) -> Synced:
        return await type(shop.vendure)(shop.context.on(tx)).upsert_order(order=one, at=at(20))

    async def second() -> Synced:
        return await shop.vendure.upsert_order(order={**one, "state": "Shipped"}, at=at(21))

    outcome = await race(database, first, second)
    assert isinstance(outcome, Synced), outcome
    assert await rows(shop, "orders") == 1
    told = await shop.vendure.upsert_order(order={**one, "id": 41}, at=at(22))
    assert (told.id, told.waits_for) == (None, "code VEND40ABCDEF")
    assert await rows(shop, "orders") == 1


async def prove(shop: Shop, user_id: object) -> None:
    await shop.context.db.execute(
        shop.context.db.names.render(
            "UPDATE {users} SET email_verified = TRUE, email_verified_at = now() WHERE tenant_id = $1 AND id = $2"
        ),
        shop.tenant_id,
        user_id,
    )


async def password_hash(shop: Shop, user_id: object) -> str:
    return str(
        await shop.context.db.fetchval(
            shop.context.db.names.render("SELECT password_hash FROM {users} WHERE tenant_id = $1 AND id = $2"),
            shop.tenant_id,
            user_id,
        )
    )
