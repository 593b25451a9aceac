"""Sites of a shop: unique by name in any case, found by their host while active, removed without losing history."""

import asyncio

import pytest

from factories import open_shop
from rivals import race
from storeroom.core.ids import DomainId, new_id
from storeroom.database.pool import Database, Transaction
from storeroom.domains import DomainChanges, DomainNotFound, DomainTaken, InvalidDomain, host_name
from storeroom.guests import GuestMethod
from storeroom.room import Shop, Storeroom


async def count(shop: Shop, database: Database, table: str = "domains") -> int:
    return int(await database.fetchval(f"SELECT count(*) FROM {table} WHERE tenant_id = $1", shop.tenant_id))


async def test_a_domain_is_kept_as_it_was_told(shop: Shop) -> None:
    made = await shop.domains.create(
        domain_name=" Shop.Example.com. ",
        display_name="Dubai",
        company_code="1140",
        country_code="ae",
        currency="AED",
        legacy_id=7,
    )
    assert (made.domain_name, made.country_code, made.is_active) == ("shop.example.com", "AE", True)
    assert await shop.domains.get(domain_id=made.id) == made
    assert (await shop.domains.list()).items == [made]
    changed = await shop.domains.update(
        domain_id=made.id, changes=DomainChanges(display_name=None, company_code="1145", is_active=False)
    )
    assert (changed.display_name, changed.company_code, changed.is_active) == (None, "1145", False)
    assert (changed.domain_name, changed.legacy_id, changed.created_at) == (made.domain_name, 7, made.created_at)
    assert changed.updated_at > made.updated_at


@pytest.mark.requirement("RED-DOM-04")
async def test_only_an_active_host_is_resolved(shop: Shop) -> None:
    active = await shop.domains.create(domain_name="shop.example.com", company_code="1140")
    await shop.domains.create(domain_name="old.example.com", is_active=False)
    for host in ("shop.example.com", "SHOP.Example.COM", "shop.example.com:8443", "shop.example.com."):
        found = await shop.domains.resolve(host=host)
        assert found is not None and (found.id, found.company_code) == (active.id, "1140")
    for host in ("old.example.com", "unknown.example.com", "example.com", "", "[::1]:80", "shop.example.com\0"):
        assert await shop.domains.resolve(host=host) is None


async def test_another_shop_may_have_the_same_name_and_finds_its_own(shop: Shop, room: Storeroom) -> None:
    other = await open_shop(room)
    ours, theirs = [await each.domains.create(domain_name="shop.example.com") for each in (shop, other)]
    assert ours.id != theirs.id
    found = await other.domains.resolve(host="shop.example.com")
    assert found is not None and found.id == theirs.id


@pytest.mark.requirement("RED-DOM-02")
async def test_two_at_once_of_one_name_in_two_spellings_leave_one(shop: Shop, database: Database) -> None:
    async def first(tx: Transaction) -> None:
        await shop.domains.bound(tx).create(domain_name="SHOP.example.com")

    outcome = await race(database, first, lambda: shop.domains.create(domain_name="shop.example.com"))
    assert isinstance(outcome, DomainTaken) and outcome.facts()["field"] == "domain_name"
    assert await count(shop, database) == 1
    with pytest.raises(Exception, match="domains_name_unique"):  # not by the application's tidying alone
        await database.execute(
            "INSERT INTO domains (tenant_id, id, domain_name) VALUES ($1, $2, 'Shop.Example.Com')",
            shop.tenant_id,
            new_id(),
        )


async def test_a_number_of_the_former_system_is_there_once(shop: Shop) -> None:
    await shop.domains.create(domain_name="a.example", legacy_id=7)
    with pytest.raises(DomainTaken):
        await shop.domains.create(domain_name="b.example", legacy_id=7)
    other = await shop.domains.create(domain_name="b.example")
    with pytest.raises(DomainTaken):
        await shop.domains.update(domain_id=other.id, changes=DomainChanges(domain_name="A.Example"))
    assert (await shop.domains.get(domain_id=other.id)).domain_name == "b.example"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("domain_name", ""),
        ("domain_name", "shop.example:80"),
        ("domain_name", "a b.example"),
        ("domain_name", "a..example"),
        ("domain_name", "a-.example"),
        ("domain_name", "a" * 64 + ".example"),
        ("domain_name", "a" * 254),
        ("display_name", " "),
        ("company_code", "1\n2"),
        ("company_code", "1" * 51),
        ("country_code", "XX"),
        ("currency", "USDC"),
        ("currency", "ZZZ"),
        ("legacy_id", -1),
        ("legacy_id", 2**63),
    ],
)
async def test_what_is_out_of_bounds_is_refused(shop: Shop, database: Database, field: str, value: object) -> None:
    with pytest.raises(InvalidDomain) as refused:
        await shop.domains.create(**{"domain_name": "shop.example", field: value})  # type: ignore[arg-type]
    assert refused.value.field == field
    assert await count(shop, database) == 0


async def test_history_stays_when_a_domain_goes_and_names_it_no_more(shop: Shop, database: Database) -> None:
    gone, kept = [await shop.domains.create(domain_name=name) for name in ("gone.example", "kept.example")]
    for host in ("gone.example", "kept.example"):
        await shop.guest_attempts.record(method=GuestMethod.ORDER_LOOKUP, success=False, host=host)
    assert {each.domain_id for each in (await shop.guest_attempts.list()).items} == {gone.id, kept.id}
    await shop.domains.delete(domain_id=gone.id)
    assert {each.domain_id for each in (await shop.guest_attempts.list()).items} == {None, kept.id}
    assert await count(shop, database, "guest_user_audits") == 2
    with pytest.raises(DomainNotFound):
        await shop.domains.delete(domain_id=gone.id)


async def test_an_attempt_that_is_just_written_is_cleared_as_well(shop: Shop, database: Database) -> None:
    """Who removes the domain waits for it; without the lock the removal would fail on the foreign key."""
    domain = await shop.domains.create(domain_name="gone.example")

    async def first(tx: Transaction) -> None:
        await tx.execute(
            "WITH site AS (SELECT id FROM domains WHERE tenant_id = $1 AND id = $2 FOR KEY SHARE) "
            "INSERT INTO guest_user_audits (tenant_id, id, verification_method, domain_id) "
            "VALUES ($1, $3, 'order_lookup', (SELECT id FROM site))",
            shop.tenant_id,
            domain.id,
            new_id(),
        )

    outcome = await race(database, first, lambda: shop.domains.delete(domain_id=domain.id))
    assert outcome is None
    assert [each.domain_id for each in (await shop.guest_attempts.list()).items] == [None]
    assert await count(shop, database) == 0


async def test_an_attempt_beside_a_removal_names_no_domain(shop: Shop, database: Database) -> None:
    domain = await shop.domains.create(domain_name="gone.example")

    async def first(tx: Transaction) -> None:
        await shop.domains.bound(tx).delete(domain_id=domain.id)

    outcome = await race(
        database,
        first,
        lambda: shop.guest_attempts.record(method=GuestMethod.ORDER_LOOKUP, success=False, host="gone.example"),
    )
    assert not isinstance(outcome, BaseException), outcome
    assert outcome.domain_id is None


async def test_pages_go_by_name(shop: Shop) -> None:
    await asyncio.gather(*(shop.domains.create(domain_name=f"{letter}.example") for letter in "cab"))
    first = await shop.domains.list(limit=2)
    last = await shop.domains.list(limit=2, cursor=first.next_cursor)
    assert [each.domain_name[0] for each in [*first.items, *last.items]] == ["a", "b", "c"]
    assert last.next_cursor is None


async def test_an_unknown_id_is_no_domain(shop: Shop) -> None:
    unknown = DomainId(new_id())
    for call in (
        shop.domains.get(domain_id=unknown),
        shop.domains.delete(domain_id=unknown),
        shop.domains.update(domain_id=unknown, changes=DomainChanges(is_active=False)),
    ):
        with pytest.raises(DomainNotFound):
            await call


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("A.b:80", "a.b"),
        ("a.b.", "a.b"),
        ("a", "a"),
        ("-a", None),
        ("a..b", None),
        ("a.-b", None),
        ("::1", None),
        ("a/b", None),
    ],
)
def test_a_host_is_named_in_one_way(host: str, name: str | None) -> None:
    assert host_name(host) == name
