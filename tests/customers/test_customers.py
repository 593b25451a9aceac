"""Customers: the views over accounts and addresses, the ways to find one, and who may be written to."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from factories import HOME, make_product, open_shop, place, usd
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM
from storeroom.identity import AddressType, EmailTaken, ProfileChanges, User, UserNotFound, UserRole, UserStatus
from storeroom.room import Shop, Storeroom


@pytest.fixture
async def shop(room: Storeroom) -> Shop:
    return await open_shop(room, actor=SYSTEM)


async def register(shop: Shop, name: str, *, phone: str | None = None, consent: bool = False) -> User:
    user = await shop.users.register(
        email=f"{name}@buyer.example", password="correct horse", full_name=f"{name.title()} Buyer", phone=phone
    )
    changes = ProfileChanges(first_name=name.title(), last_name="Buyer", marketing_consent=consent)
    await shop.users.update_profile(user_id=user.id, changes=changes)
    return user


@pytest.mark.requirement("SIG-CUS-10", "SIG-ADR-01", "SIG-ADR-04", "SIG-ADR-02")
async def test_addresses_and_orders_are_found_from_the_customer(shop: Shop) -> None:
    ann, ben = await register(shop, "ann"), await register(shop, "ben")
    shirt = await make_product(shop)
    home = await shop.addresses.add(user_id=ann.id, address=HOME, is_default=True)
    work = await shop.addresses.add(user_id=ann.id, address=HOME, address_type=AddressType.BOTH)
    gone = await shop.addresses.add(user_id=ann.id, address=HOME)
    await shop.addresses.delete(user_id=ann.id, address_id=gone.id)
    placed = [await place(shop, (shirt, 1), visitor=Visitor(user_id=ann.id)) for _ in range(3)]
    first, second = await shop.customers.addresses(customer_id=ann.id)
    assert (first.id, first.customer_id, first.is_default, first.address_type) == (home.id, ann.id, True, "shipping")
    assert (second.id, second.customer_id, second.is_default, second.address_type) == (work.id, ann.id, False, "both")
    assert (
        first.full_name,
        first.street_line_1,
        first.city,
        first.province,
        first.postal_code,
        first.country_code,
    ) == (
        "Bo Buyer",
        "1 Main Street",
        "Albany",
        "NY",
        "12207",
        "US",
    )
    summaries = (await shop.orders.summaries(customer_id=ann.id)).items
    assert {row.id for row in summaries} == {placement.order.id for placement in placed}
    assert {row.customer_id for row in summaries} == {ann.id}
    assert list(await shop.customers.addresses(customer_id=ben.id)) == []
    assert (await shop.orders.summaries(customer_id=ben.id)).items == []


async def test_a_customer_is_an_account_with_what_it_bought(shop: Shop, database: Database) -> None:
    ann = await shop.users.create(
        email="Ann@Buyer.example", phone="+94 77 123 4567", full_name="Ann", metadata={"size": {"shirt": ["M", "L"]}}
    )
    await shop.users.update_profile(user_id=ann.id, changes=ProfileChanges(first_name="Ann", last_name="Buyer"))
    await database.execute(
        "UPDATE users SET vendure_customer_id = 'v-7' WHERE tenant_id = $1 AND id = $2", shop.tenant_id, ann.id
    )
    placed = await place(shop, (await make_product(shop, price=1250), 2), visitor=Visitor(user_id=ann.id))
    found = await shop.customers.get(customer_id=ann.id)
    assert (found.email, found.phone_number, found.phone_verified) == ("ann@buyer.example", "94771234567", False)
    assert (found.first_name, found.last_name, found.full_name) == ("Ann", "Buyer", "Ann")
    assert (found.total_orders, found.total_spent, found.last_order_date) == (1, usd(2500), placed.order.created_at)
    assert (found.marketing_consent, found.is_active) == (False, True)
    assert found.custom_fields == {"size": {"shirt": ["M", "L"]}}
    assert await shop.customers.by_email(email=" ANN@buyer.example") == found
    assert await shop.customers.by_phone(phone="+94 77 123 4567") == found
    assert await shop.customers.by_vendure_id(vendure_customer_id="v-7") == found
    assert await shop.customers.by_vendure_id(vendure_customer_id="v-8") is None
    assert list(await shop.customers.search(text="nn@buy")) == [found]
    assert list(await shop.customers.search(text="nobody")) == []


async def test_two_accounts_never_share_a_vendure_id(shop: Shop, database: Database) -> None:
    ann, ben = await register(shop, "ann"), await register(shop, "ben")
    name = "UPDATE users SET vendure_customer_id = 'v-7' WHERE tenant_id = $1 AND id = $2"
    await database.execute(name, shop.tenant_id, ann.id)
    with pytest.raises(asyncpg.UniqueViolationError, match="users_vendure_unique"):
        await database.execute(name, shop.tenant_id, ben.id)


async def test_pages_go_newest_first_and_leave_nobody_out(shop: Shop) -> None:
    users = [await register(shop, f"buyer{n}") for n in range(5)]
    await shop.users.set_status(user_id=users[1].id, status=UserStatus.ACTIVE)
    await shop.users.set_status(user_id=users[1].id, status=UserStatus.SUSPENDED)
    await shop.users.delete(user_id=users[3].id)
    for active, expected in ((False, [4, 2, 1, 0]), (True, [4, 2, 0])):
        seen, cursor = [], None
        while True:
            page = await shop.customers.list(active=active, cursor=cursor, limit=2)
            seen += [customer.id for customer in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == [users[n].id for n in expected]
    with pytest.raises(UserNotFound):
        await shop.customers.get(customer_id=users[3].id)


@pytest.mark.requirement("SIG-CUS-08")
async def test_who_takes_the_consent_back_is_not_on_the_next_page(shop: Shop) -> None:
    ann, _, cat, dan = [await register(shop, name, consent=name != "ben") for name in ("ann", "ben", "cat", "dan")]
    first = await shop.customers.consenting(limit=1)
    assert [customer.id for customer in first.items] == [ann.id]
    await shop.users.update_profile(user_id=cat.id, changes=ProfileChanges(marketing_consent=False))
    second = await shop.customers.consenting(cursor=first.next_cursor, limit=10)
    assert [customer.id for customer in second.items] == [dan.id]
    assert second.items[0].marketing_consent
    await shop.users.delete(user_id=dan.id)
    assert [customer.id for customer in (await shop.customers.consenting()).items] == [ann.id]


async def test_another_shops_customers_are_unknown(shop: Shop, room: Storeroom) -> None:
    ann = await register(shop, "ann")
    other = await open_shop(room, actor=SYSTEM)
    with pytest.raises(UserNotFound):
        await other.customers.get(customer_id=ann.id)
    with pytest.raises(UserNotFound):
        await other.customers.update_statistics(customer_id=ann.id)
    assert await other.customers.by_email(email=ann.email) is None
    assert (await other.customers.list()).items == []
    assert list(await other.customers.addresses(customer_id=ann.id)) == []


async def test_staff_who_buy_are_customers_too(shop: Shop) -> None:
    boss = await shop.users.create(email="boss@shop.example", role=UserRole.ADMIN)
    await place(shop, (await make_product(shop, price=900), 1), visitor=Visitor(user_id=boss.id))
    assert (await shop.customers.get(customer_id=boss.id)).total_spent == usd(900)


@pytest.mark.requirement("SIG-ADR-02", "SIG-ADR-03")
async def test_an_address_for_both_serves_either_use_and_each_has_one_default(shop: Shop) -> None:
    ann = await register(shop, "ann")
    here = await shop.addresses.add(user_id=ann.id, address=HOME, address_type=AddressType.BOTH, is_default=True)

    async def defaults() -> list[object]:
        uses = (AddressType.SHIPPING, AddressType.BILLING)
        return [
            found and found.id
            for found in [await shop.addresses.default(user_id=ann.id, address_type=use) for use in uses]
        ]

    assert await defaults() == [here.id, here.id]
    office = await shop.addresses.add(user_id=ann.id, address=HOME, address_type=AddressType.SHIPPING, is_default=True)
    assert await defaults() == [office.id, here.id]
    others = [await shop.addresses.add(user_id=ann.id, address=HOME) for _ in range(6)]
    await asyncio.gather(*(shop.addresses.set_default(user_id=ann.id, address_id=other.id) for other in others))
    listed = await shop.customers.addresses(customer_id=ann.id)
    chosen = [address.id for address in listed if address.is_default and address.address_type == "shipping"]
    assert len(chosen) == 1
    assert chosen[0] in {other.id for other in others}
    assert await defaults() == [chosen[0], here.id]
    await shop.addresses.delete(user_id=ann.id, address_id=here.id)
    assert await defaults() == [chosen[0], None]
    with pytest.raises(ValueError, match="warehouse"):
        AddressType("warehouse")


@pytest.mark.requirement("SIG-ADR-02", "SIG-ADR-03")
async def test_a_later_choice_for_both_uses_takes_the_place_of_either(shop: Shop) -> None:
    ann = await register(shop, "ann")
    for use in (AddressType.SHIPPING, AddressType.BILLING):
        await shop.addresses.add(user_id=ann.id, address=HOME, address_type=use, is_default=True)
    here = await shop.addresses.add(user_id=ann.id, address=HOME, address_type=AddressType.BOTH)
    await shop.addresses.set_default(user_id=ann.id, address_id=here.id)
    assert [each.id for each in await shop.customers.addresses(customer_id=ann.id) if each.is_default] == [here.id]
    for use in (AddressType.SHIPPING, AddressType.BILLING):
        found = await shop.addresses.default(user_id=ann.id, address_type=use)
        assert found is not None
        assert found.id == here.id
    office = await shop.addresses.add(user_id=ann.id, address=HOME, address_type=AddressType.SHIPPING, is_default=True)
    there = await shop.addresses.add(user_id=ann.id, address=HOME, address_type=AddressType.BOTH, is_default=True)
    assert [each.id for each in await shop.customers.addresses(customer_id=ann.id) if each.is_default] == [there.id]
    assert office.is_default


@pytest.mark.requirement("SIG-CUS-04")
async def test_one_mail_address_is_one_customer(shop: Shop) -> None:
    """In another case, and of many who register at once exactly one."""

    async def registered(email: str) -> bool:
        try:
            await shop.users.register(email=email, password="correct horse", full_name="Ann")
        except EmailTaken:
            return False
        return True

    spellings = ["ann@buyer.example", "ANN@buyer.example", "Ann@Buyer.Example", " ann@BUYER.example"]
    assert sorted(await asyncio.gather(*map(registered, spellings))) == [False, False, False, True]
    assert not await registered("aNN@buyer.example")
    assert [customer.email for customer in (await shop.customers.list()).items] == ["ann@buyer.example"]
