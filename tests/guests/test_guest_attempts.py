"""What guests try is kept whatever comes of it, is never changed, and too many wrong ones are refused."""

import asyncio
import json
from pathlib import Path

import asyncpg
import httpx
import pytest

from factories import make_method, make_product, open_shop, place
from serving import app_of
from storeroom.core.pages import InvalidCursor, InvalidPageSize
from storeroom.database.pool import Database
from storeroom.database.service import Actor, ActorKind
from storeroom.guests import FAILURES_MAX, GuestAttempt, GuestMethod, TooManyAttempts
from storeroom.notices import NoticeFolder
from storeroom.orders import OrderNotFound
from storeroom.orders.routes import LOOKUPS_BY_NUMBER
from storeroom.room import Shop, Storeroom
from storeroom.verification import CodeRefused, PhoneCodes, PhoneProofRequired

PHONE, DIGITS, OTHER = "+1 512 555 0123", "15125550123", "+1 512 555 0124"


async def ordered(shop: Shop) -> str:
    method = await make_method(shop)
    return (await place(shop, (await make_product(shop), 1), phone=PHONE, payment_method=method.code)).order.number


async def attempts(shop: Shop) -> list[GuestAttempt]:
    """Oldest first."""
    return (await shop.guest_attempts.list()).items[::-1]


async def fail(shop: Shop, **who: str) -> None:
    async with shop.guest_attempts.watched(GuestMethod.ORDER_LOOKUP, **who):
        raise OrderNotFound(order="none")


async def age(shop: Shop, dsn: str) -> None:
    """As the owner: the service could not."""
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "UPDATE guest_user_audits SET created_at = created_at - interval '15 minutes' WHERE tenant_id = $1",
        shop.tenant_id,
    )
    await connection.close()


@pytest.mark.requirement("RED-GUEST-01")
async def test_a_wrong_and_a_right_attempt_are_kept_with_their_reasons(shop: Shop) -> None:
    domain = await shop.domains.create(domain_name="shop.example")
    here = shop.acting(ip="203.0.113.9", user_agent="Browser/1")
    await here.guest_attempts.record(
        method=GuestMethod.ORDER_LOOKUP,
        success=False,
        email="ann@example.com",
        phone=DIGITS,
        order_reference="AB-1",
        message="no such order",
        failure_code="orders.not_found",
        metadata={"tries": 1},
        host="SHOP.example",
    )
    await here.guest_attempts.record(method=GuestMethod.PHONE_CODE, success=True, phone=DIGITS)
    wrong, right = await attempts(shop)
    assert (wrong.success, wrong.failure_code, wrong.message) == (False, "orders.not_found", "no such order")
    assert (wrong.email, wrong.phone, wrong.order_reference) == ("ann@example.com", DIGITS, "AB-1")
    assert (wrong.metadata, wrong.domain_id) == ({"tries": 1}, domain.id)
    assert (wrong.ip_address, wrong.user_agent) == ("203.0.113.9", "Browser/1")
    assert (right.success, right.failure_code, right.message, right.metadata) == (True, None, None, {})
    assert (right.verification_method, right.domain_id) == ("phone_code", None)


@pytest.mark.requirement("RED-GUEST-01")
async def test_what_is_not_said_is_a_failure_without_facts(shop: Shop, database: Database) -> None:
    row = await database.fetchrow(
        "INSERT INTO guest_user_audits (tenant_id, id, verification_method) VALUES ($1, gen_random_uuid(), 'x') "
        "RETURNING success, metadata, created_at = now() AS just_now",
        shop.tenant_id,
    )
    assert row is not None and tuple(row) == (False, {}, True)


@pytest.mark.requirement("RED-GUEST-02")
async def test_three_wrong_lookups_and_a_right_one_are_four_rows_in_order(shop: Shop) -> None:
    number = await ordered(shop)
    for phone in (OTHER, OTHER, OTHER):
        with pytest.raises(OrderNotFound):
            await shop.orders.lookup(number=number, phone=phone)
    await shop.orders.lookup(number=number.lower(), phone="512 555 0123", host="shop.example")
    kept = await attempts(shop)
    assert [each.success for each in kept] == [False, False, False, True]
    assert [each.failure_code for each in kept] == ["orders.not_found"] * 3 + [None]
    assert {each.order_reference for each in kept} == {number}
    assert [each.phone for each in kept] == ["15125550124"] * 3 + [DIGITS]


@pytest.mark.requirement("RED-GUEST-02")
async def test_the_row_stays_when_the_request_is_rolled_back(shop: Shop) -> None:
    with pytest.raises(OrderNotFound):
        async with shop.transaction() as tx:
            await tx.categories.create(name="Gone")
            await tx.orders.lookup(number="NONE-0000", phone=PHONE)
    assert [each.failure_code for each in await attempts(shop)] == ["orders.not_found"]
    assert await shop.categories.tree() == [], "the control: the rest of the transaction is undone"


@pytest.mark.requirement("RED-GUEST-02")
async def test_codes_by_phone_leave_rows_too(shop: Shop, tmp_path: Path) -> None:
    codes = PhoneCodes(shop.context, notices=NoticeFolder(tmp_path))
    sent = await codes.request(phone=PHONE)
    (file,) = tmp_path.iterdir()
    code = json.loads(file.read_text())["facts"]["code"]
    for wrong in ("", f"{(int(code) + 1) % 10**6:06}"):
        with pytest.raises(CodeRefused):
            await codes.verify(session_id=sent.session_id, code=wrong)
    await codes.verify(session_id=sent.session_id, code=code)
    kept = await attempts(shop)
    assert [(each.success, each.phone) for each in kept] == [(False, DIGITS), (False, DIGITS), (True, DIGITS)]
    assert {each.verification_method for each in kept} == {"phone_code"}
    said = [(each.message, each.failure_code, each.order_reference, each.email, each.metadata) for each in kept]
    assert code not in f"{said}"  # ids and instants have six digits by chance


async def test_asking_whether_a_code_is_needed_is_no_attempt(room: Storeroom) -> None:
    shop = await open_shop(room, lookup_code_required=True)
    for _ in range(FAILURES_MAX + 1):
        with pytest.raises(PhoneProofRequired):
            await shop.orders.lookup(number="NONE-0000", phone=PHONE)
    assert await attempts(shop) == []


@pytest.mark.requirement("RED-GUEST-05")
async def test_a_mail_address_is_tidied(shop: Shop) -> None:
    kept = await shop.guest_attempts.record(
        method=GuestMethod.ORDER_LOOKUP, success=True, email="  Ann.B@Example.COM ", order_reference="\0" + "x" * 200
    )
    assert (kept.email, kept.order_reference) == ("ann.b@example.com", "x" * 100)


@pytest.mark.requirement("RED-GUEST-05")
@pytest.mark.parametrize(
    "change",
    ["UPDATE guest_user_audits SET success = TRUE", "DELETE FROM guest_user_audits", "TRUNCATE guest_user_audits"],
)
async def test_the_service_can_not_rewrite_what_was_tried(shop: Shop, database: Database, change: str) -> None:
    kept = await shop.guest_attempts.record(method=GuestMethod.ORDER_LOOKUP, success=False)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await database.execute(change)
    assert await attempts(shop) == [kept]


@pytest.mark.requirement("RED-GUEST-07")
@pytest.mark.parametrize("who", [{"email": "Ann@example.com"}, {"phone": DIGITS}, {"order_reference": "AB-1"}])
async def test_after_five_failures_the_sixth_is_not_tried(shop: Shop, dsn: str, who: dict[str, str]) -> None:
    for _ in range(FAILURES_MAX):
        with pytest.raises(OrderNotFound):
            await fail(shop, **who)
    tried = []
    for _ in range(2):
        with pytest.raises(TooManyAttempts) as refused:
            async with shop.guest_attempts.watched(GuestMethod.ORDER_LOOKUP, **who):
                tried.append(1)
        assert 0 < refused.value.retry_after_s <= 900
    assert tried == []
    assert [each.failure_code for each in await attempts(shop)] == (
        ["orders.not_found"] * FAILURES_MAX + ["guests.too_many_attempts"] * 2
    )
    for free in ({"email": "bo@example.com"}, {"phone": "15125550199"}, {"order_reference": "AB-2"}):
        async with shop.guest_attempts.watched(GuestMethod.ORDER_LOOKUP, **free):
            pass
    async with shop.guest_attempts.watched(GuestMethod.PHONE_CODE, **who):
        pass
    await age(shop, dsn)
    async with shop.guest_attempts.watched(GuestMethod.ORDER_LOOKUP, **who):
        pass


async def test_refusals_do_not_make_the_wait_longer(shop: Shop, dsn: str) -> None:
    for _ in range(FAILURES_MAX):
        with pytest.raises(OrderNotFound):
            await fail(shop, phone=DIGITS)
    await age(shop, dsn)
    for _ in range(FAILURES_MAX):
        with pytest.raises(OrderNotFound):
            await fail(shop, phone=DIGITS)
    for _ in range(FAILURES_MAX + 1):
        with pytest.raises(TooManyAttempts):
            await fail(shop, phone=DIGITS)
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "UPDATE guest_user_audits SET created_at = created_at - interval '15 minutes' "
        "WHERE tenant_id = $1 AND failure_code = 'orders.not_found'",
        shop.tenant_id,
    )
    await connection.close()
    async with shop.guest_attempts.watched(GuestMethod.ORDER_LOOKUP, phone=DIGITS):
        pass


async def test_four_failures_and_any_number_of_right_ones_refuse_nobody(shop: Shop) -> None:
    for _ in range(FAILURES_MAX - 1):
        with pytest.raises(OrderNotFound):
            await fail(shop, phone=DIGITS)
    for _ in range(FAILURES_MAX):
        async with shop.guest_attempts.watched(GuestMethod.ORDER_LOOKUP, phone=DIGITS):
            pass


async def test_another_shop_counts_for_itself(shop: Shop, room: Storeroom) -> None:
    for _ in range(FAILURES_MAX):
        with pytest.raises(OrderNotFound):
            await fail(shop, phone=DIGITS)
    other = await open_shop(room)
    with pytest.raises(OrderNotFound):
        await fail(other, phone=DIGITS)


@pytest.mark.requirement("RED-GUEST-06")
async def test_the_list_is_filtered_and_counted(shop: Shop) -> None:
    for email, success in [("ann_b@example.com", True), ("annxb@example.com", False), ("ann_b@example.com", False)]:
        await shop.guest_attempts.record(method=GuestMethod.ORDER_LOOKUP, success=success, email=email)
    await shop.guest_attempts.record(method=GuestMethod.PHONE_CODE, success=False)

    async def found(**filters: object) -> tuple[list[tuple[str | None, bool]], int]:
        page = await shop.guest_attempts.list(**filters)  # type: ignore[arg-type]
        return [(each.email, each.success) for each in page.items], page.total

    ann = "ann_b@example.com"
    assert await found() == ([(None, False), (ann, False), ("annxb@example.com", False), (ann, True)], 4)
    assert await found(email="NN_B@") == ([(ann, False), (ann, True)], 2)
    assert await found(success=True) == ([(ann, True)], 1)
    assert await found(success=False, email="annx") == ([("annxb@example.com", False)], 1)
    assert await found(email="nobody") == ([], 0)
    first = await shop.guest_attempts.list(success=False, limit=2)
    last = await shop.guest_attempts.list(success=False, limit=2, cursor=first.next_cursor)
    assert [each.email for each in [*first.items, *last.items]] == [None, ann, "annxb@example.com"]
    assert (first.total, last.total, last.next_cursor) == (3, 3, None)
    with pytest.raises(InvalidCursor):
        await shop.guest_attempts.list(cursor="x")
    with pytest.raises(InvalidPageSize):
        await shop.guest_attempts.list(limit=0)


@pytest.mark.requirement("RED-GUEST-06")
async def test_who_asks_for_a_thousand_gets_a_hundred(shop: Shop, database: Database) -> None:
    await database.execute(
        "INSERT INTO guest_user_audits (tenant_id, id, verification_method) "
        "SELECT $1, gen_random_uuid(), 'order_lookup' FROM generate_series(1, 101)",
        shop.tenant_id,
    )
    page = await shop.guest_attempts.list(limit=1000)
    assert (len(page.items), page.total) == (100, 101)
    rest = await shop.guest_attempts.list(limit=1000, cursor=page.next_cursor)
    assert len(rest.items) == 1 and not {each.id for each in page.items} & {each.id for each in rest.items}


async def test_many_attempts_at_once_are_all_kept(shop: Shop) -> None:
    said = await asyncio.gather(*(fail(shop, phone=DIGITS) for _ in range(20)), return_exceptions=True)
    kept = await attempts(shop)
    assert len(kept) == len(said) == 20
    assert {each.failure_code for each in kept} <= {"orders.not_found", "guests.too_many_attempts"}


async def test_over_http_the_sixth_lookup_waits_and_staff_read_why(room: Storeroom) -> None:
    shop = await open_shop(room, actor=Actor(kind=ActorKind.SYSTEM, name="system"))
    host = f"{shop.tenant_id.replace('_', '-')}.test"
    await room.tenants.add_host(shop.tenant_id, host)
    domain = await shop.domains.create(domain_name=host)
    number = await ordered(shop)
    transport = httpx.ASGITransport(app_of(room), client=("203.0.113.77", 40000))
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        wrong = {"number": number, "phone": OTHER}
        said = [await http.post("/v1/orders/lookup", json=wrong) for _ in range(FAILURES_MAX + 1)]
        assert [each.status_code for each in said] == [404] * FAILURES_MAX + [429]
        assert said[-1].json()["code"] == "guests.too_many_attempts"
        assert 0 < int(said[-1].headers["Retry-After"]) <= 900
        assert LOOKUPS_BY_NUMBER > FAILURES_MAX + 1, "it was this limit and not the one before it"
        assert (await http.get("/v1/admin/guest-attempts")).status_code == 401
    first, *_ = await attempts(shop)
    assert (first.ip_address, first.domain_id) == ("203.0.113.77", domain.id)
