"""Addresses that accounts keep: in their stored form, one default a type, validated until the place changes."""

import asyncio
from typing import Any

import asyncpg
import msgspec
import pytest
from house import HOME, House

from rivals import race
from storeroom.core.contact import Address, InvalidAddress
from storeroom.database.pool import Transaction
from storeroom.identity import (
    ADDRESSES_MAX,
    AddressNotFound,
    AddressType,
    InvalidPerson,
    RoleForbidden,
    TooManyAddresses,
    User,
    UserNotFound,
)


def at(**lines: Any) -> Address:
    return msgspec.structs.replace(HOME, **lines)


@pytest.fixture
async def ann(house: House) -> User:
    return await house.customer()


@pytest.mark.requirement("SBB-ADDR-01", "SBB-ADDR-02")
async def test_several_addresses_are_read_back_in_full(house: House, ann: User) -> None:
    full = Address(
        recipient_name=" Ann  Buyer ",
        company="Shop Ltd",
        street_line_1="1 High Street",
        street_line_2="Flat 2",
        city="London",
        state_province="Greater London",
        postal_code="sw1a 1aa",
        country_code="uk",
        phone="+44 20 7946 0958",
    )
    first = await house.shop.addresses.add(user_id=ann.id, address=HOME)
    second = await house.shop.addresses.add(
        user_id=ann.id, address=full, address_type=AddressType.BILLING, label=" Office ", is_default=True
    )
    assert (first.address_type, first.is_default, first.label, first.validated) == ("shipping", False, None, False)
    assert first.address == HOME
    assert (second.address_type, second.is_default, second.label) == ("billing", True, "Office")
    assert second.address == msgspec.structs.replace(
        full, recipient_name="Ann Buyer", postal_code="SW1A 1AA", country_code="GB"
    )
    assert list(await house.shop.addresses.list(user_id=ann.id)) == [second, first]
    assert await house.shop.addresses.get(user_id=ann.id, address_id=first.id) == first
    with pytest.raises(asyncpg.InvalidTextRepresentationError):
        await house.run("UPDATE {user_addresses} SET address_type = 'home' WHERE tenant_id = $1")


@pytest.mark.requirement("SBB-ADDR-05")
@pytest.mark.parametrize("line", ["recipient_name", "street_line_1", "city", "state_province", "postal_code"])
async def test_a_line_that_is_missing_is_refused(house: House, ann: User, line: str) -> None:
    with pytest.raises(InvalidAddress) as caught:
        await house.shop.addresses.add(user_id=ann.id, address=at(**{line: " "}))
    assert caught.value.field == line
    assert await house.count("user_addresses") == 0
    with pytest.raises(asyncpg.NotNullViolationError):
        added = await house.shop.addresses.add(user_id=ann.id, address=HOME)
        await house.run(f"UPDATE {{user_addresses}} SET {line} = NULL WHERE tenant_id = $1 AND id = $2", added.id)


@pytest.mark.requirement("SBB-ADDR-05")
async def test_without_a_country_it_is_the_united_states(house: House, ann: User) -> None:
    lines = {name: line for name, line in msgspec.structs.asdict(HOME).items() if name != "country_code"}
    added = await house.shop.addresses.add(user_id=ann.id, address=Address(**lines))
    assert added.country_code == "US"
    with pytest.raises(InvalidPerson):
        await house.shop.addresses.add(user_id=ann.id, address=HOME, label="x" * 51)


@pytest.mark.requirement("SBB-ADDR-03")
async def test_two_defaults_set_at_once_leave_one(house: House, ann: User) -> None:
    addresses = house.shop.addresses
    one, two = [await addresses.add(user_id=ann.id, address=HOME) for _ in range(2)]
    billing = await addresses.add(user_id=ann.id, address=HOME, address_type=AddressType.BILLING, is_default=True)

    async def first(tx: Transaction) -> None:
        await addresses.bound(tx).set_default(user_id=ann.id, address_id=one.id)

    outcome = await race(house.db, first, lambda: addresses.set_default(user_id=ann.id, address_id=two.id))
    assert outcome.is_default
    defaults = "SELECT id FROM {user_addresses} WHERE tenant_id = $1 AND is_default ORDER BY address_type"
    assert await house.rows(defaults) == [(two.id,), (billing.id,)]
    assert await addresses.default(user_id=ann.id) == outcome
    assert await addresses.default(user_id=ann.id, address_type=AddressType.BOTH) is None
    await asyncio.gather(
        *(addresses.add(user_id=ann.id, address=HOME, is_default=True) for _ in range(5)),
        *(addresses.set_default(user_id=ann.id, address_id=each.id) for each in (one, two)),
    )
    assert len(await house.rows(defaults)) == 2


async def test_control_without_the_lock_two_defaults_clash(house: House, ann: User) -> None:
    """The proof of the proof: cleared and set without the account's lock, the second runs into the index."""
    one, two = [await house.shop.addresses.add(user_id=ann.id, address=HOME) for _ in range(2)]
    clear = "UPDATE {user_addresses} SET is_default = FALSE WHERE tenant_id = $1 AND is_default"
    make = "UPDATE {user_addresses} SET is_default = TRUE WHERE tenant_id = $1 AND id = $2"

    async def unguarded(db: Any, address_id: Any) -> None:
        await db.execute(house.db.names.render(clear), house.shop.tenant_id)
        await db.execute(house.db.names.render(make), house.shop.tenant_id, address_id)

    outcome = await race(house.db, lambda tx: unguarded(tx, one.id), lambda: unguarded(house.db, two.id))
    assert isinstance(outcome, asyncpg.UniqueViolationError)


@pytest.mark.requirement("SBB-ADDR-04")
async def test_an_address_is_validated_until_the_place_is_another(house: House, ann: User) -> None:
    addresses = house.shop.addresses
    added = await addresses.add(user_id=ann.id, address=HOME)
    with pytest.raises(RoleForbidden):
        await house.of(ann).addresses.mark_validated(user_id=ann.id, address_id=added.id, source="me")
    validated = await addresses.mark_validated(user_id=ann.id, address_id=added.id, source="shippo")
    assert (validated.validated, validated.validation_source) == (True, "shippo")
    assert validated.validated_at is not None
    renamed = await addresses.update(
        user_id=ann.id, address_id=added.id, address=at(recipient_name="Bo", phone="123"), label="Bo's"
    )
    assert (renamed.recipient_name, renamed.label, renamed.validated) == ("Bo", "Bo's", True)
    assert renamed.validated_at == validated.validated_at
    moved = await addresses.update(user_id=ann.id, address_id=added.id, address=at(street_line_1="2 Main Street"))
    assert (moved.validated, moved.validated_at, moved.validation_source) == (False, None, None)


async def test_a_default_that_changes_its_type_is_no_default_of_the_new_one(house: House, ann: User) -> None:
    addresses = house.shop.addresses
    shipping = await addresses.add(user_id=ann.id, address=HOME, is_default=True)
    billing = await addresses.add(user_id=ann.id, address=HOME, address_type=AddressType.BILLING, is_default=True)
    changed = await addresses.update(
        user_id=ann.id, address_id=shipping.id, address=HOME, address_type=AddressType.BILLING
    )
    assert (changed.address_type, changed.is_default) == ("billing", False)
    kept = await addresses.update(user_id=ann.id, address_id=billing.id, address=at(city="Troy"))
    assert kept.is_default


@pytest.mark.requirement("SBB-ADDR-06")
async def test_a_deleted_address_is_not_listed_and_its_cart_stays_valid(house: House, ann: User) -> None:
    addresses = house.shop.addresses
    added = await addresses.add(user_id=ann.id, address=HOME, is_default=True)
    await house.run(
        "INSERT INTO {carts} (tenant_id, id, user_id, currency, shipping_address_id) VALUES ($1, $2, $3, 'USD', $2)",
        added.id,
        ann.id,
    )
    await addresses.delete(user_id=ann.id, address_id=added.id)
    assert list(await addresses.list(user_id=ann.id)) == []
    assert await addresses.default(user_id=ann.id) is None
    for call in (
        addresses.get(user_id=ann.id, address_id=added.id),
        addresses.update(user_id=ann.id, address_id=added.id, address=HOME),
        addresses.set_default(user_id=ann.id, address_id=added.id),
        addresses.mark_validated(user_id=ann.id, address_id=added.id, source="manual"),
        addresses.delete(user_id=ann.id, address_id=added.id),
    ):
        with pytest.raises(AddressNotFound):
            await call
    assert await house.count("user_addresses") == 1
    assert await house.one("SELECT shipping_address_id FROM {carts} WHERE tenant_id = $1") == added.id
    again = await addresses.add(user_id=ann.id, address=HOME, is_default=True)
    assert again.is_default


async def test_an_account_keeps_so_many_addresses_and_not_one_more(house: House, ann: User) -> None:
    for _ in range(ADDRESSES_MAX - 1):
        await house.shop.addresses.add(user_id=ann.id, address=HOME)
    outcomes = await asyncio.gather(
        *(house.shop.addresses.add(user_id=ann.id, address=HOME) for _ in range(3)), return_exceptions=True
    )
    assert sum(isinstance(outcome, TooManyAddresses) for outcome in outcomes) == 2
    assert await house.count("user_addresses") == ADDRESSES_MAX


async def test_somebody_elses_address_is_not_found(house: House, other: House, ann: User) -> None:
    bo = await house.customer("bo@example.com")
    theirs = await house.shop.addresses.add(user_id=bo.id, address=HOME)
    own = house.of(ann).addresses
    for call in (
        own.get(user_id=ann.id, address_id=theirs.id),
        own.update(user_id=ann.id, address_id=theirs.id, address=HOME),
        own.set_default(user_id=ann.id, address_id=theirs.id),
        own.delete(user_id=ann.id, address_id=theirs.id),
    ):
        with pytest.raises(AddressNotFound):
            await call
    for call in (
        own.list(user_id=bo.id),
        own.get(user_id=bo.id, address_id=theirs.id),
        own.add(user_id=bo.id, address=HOME),
        own.update(user_id=bo.id, address_id=theirs.id, address=HOME),
        own.default(user_id=bo.id),
        own.delete(user_id=bo.id, address_id=theirs.id),
    ):
        with pytest.raises(UserNotFound):
            await call
    with pytest.raises(UserNotFound):
        await other.shop.addresses.add(user_id=bo.id, address=HOME)
    with pytest.raises(AddressNotFound):
        await other.shop.addresses.get(user_id=bo.id, address_id=theirs.id)
    assert await house.shop.addresses.get(user_id=bo.id, address_id=theirs.id) == theirs
