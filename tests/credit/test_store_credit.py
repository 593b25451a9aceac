"""Store credit: what a shop owes, never less than nothing, and every change of it told."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from factories import make_method, make_product, open_shop, place, usd
from rivals import cut_at, race
from serving import app_of
from storeroom.core.ids import UserId, new_id
from storeroom.core.money import AMOUNT_MAX, CurrencyMismatch, Money
from storeroom.credit import CREDIT_METHOD, CreditReason, CreditShort, CreditTooLarge, InvalidCredit
from storeroom.database.errors import DatabaseUnavailable
from storeroom.database.pool import Database, Transaction
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.identity import Proof, User, UserNotFound, UserRole
from storeroom.payments import (
    InvalidPaymentMethod,
    PaymentMethodInactive,
    PaymentMethodTaken,
    PaymentMethodType,
    StaffRequired,
)
from storeroom.room import Shop, Storeroom


async def ann(shop: Shop) -> User:
    return await member(shop, UserRole.CUSTOMER)


async def member(shop: Shop, role: UserRole) -> User:
    return await shop.acting(actor=SYSTEM).users.create(email=f"{secrets.token_hex(6)}@buyer.example", role=role)


async def one(shop: Shop, sql: str, *args: object) -> Any:
    return await shop.context.db.fetchval(shop.context.db.names.render(sql), shop.tenant_id, *args)


async def entries_sum(shop: Shop) -> int:
    return await one(shop, "SELECT coalesce(sum(amount), 0)::bigint FROM {store_credit_entries} WHERE tenant_id = $1")


async def test_a_balance_is_what_was_given_less_what_was_taken(shop: Shop) -> None:
    user = await ann(shop)
    assert await shop.store_credit.balance(user_id=user.id) == usd(0)
    first = await shop.store_credit.grant(user_id=user.id, amount=usd(5000), note=" sorry ")
    assert (first.amount, first.reason, first.note, first.actor_kind) == (usd(5000), "granted", "sorry", "admin")
    await shop.store_credit.grant(user_id=user.id, amount=usd(250))
    taken = await shop.store_credit.withdraw(user_id=user.id, amount=usd(1250))
    assert (taken.amount, taken.reason) == (usd(-1250), CreditReason.WITHDRAWN)
    assert await shop.store_credit.balance(user_id=user.id) == usd(4000)
    page = await shop.store_credit.entries(user_id=user.id, limit=2)
    rest = await shop.store_credit.entries(user_id=user.id, limit=2, cursor=page.next_cursor)
    assert [entry.amount.amount for entry in [*page.items, *rest.items]] == [-1250, 250, 5000]
    assert rest.next_cursor is None
    statement = await shop.store_credit.statement(user_id=user.id)
    assert (statement.balance, len(statement.items), statement.next_cursor) == (usd(4000), 3, None)


async def test_what_cannot_be_is_refused_and_leaves_nothing(shop: Shop) -> None:
    user = await ann(shop)
    credit = shop.store_credit
    for amount, refusal in [(usd(0), InvalidCredit), (usd(-5), InvalidCredit), (Money(5, "EUR"), CurrencyMismatch)]:
        with pytest.raises(refusal):
            await credit.grant(user_id=user.id, amount=amount)
        with pytest.raises(refusal):
            await credit.withdraw(user_id=user.id, amount=amount)
    with pytest.raises(InvalidCredit):
        await credit.grant(user_id=user.id, amount=usd(5), note="x" * 501)
    with pytest.raises(InvalidCredit):
        await credit.fill(user_id=user.id, amount=usd(5), reason=CreditReason.SPENT)
    with pytest.raises(UserNotFound):
        await credit.grant(user_id=UserId(new_id()), amount=usd(5))
    with pytest.raises(CreditShort) as short:
        await credit.withdraw(user_id=user.id, amount=usd(1))
    assert (short.value.asked, short.value.balance) == (usd(1), usd(0))
    assert await one(shop, "SELECT count(*) FROM {store_credits} WHERE tenant_id = $1") == 0
    assert await one(shop, "SELECT count(*) FROM {payment_methods} WHERE tenant_id = $1") == 0
    await credit.grant(user_id=user.id, amount=usd(AMOUNT_MAX))
    with pytest.raises(CreditTooLarge):
        await credit.grant(user_id=user.id, amount=usd(1))
    assert await credit.balance(user_id=user.id) == usd(AMOUNT_MAX)
    assert await entries_sum(shop) == AMOUNT_MAX


async def test_customers_see_their_own_and_give_themselves_nothing(shop: Shop) -> None:
    user, other = await ann(shop), await ann(shop)
    await shop.store_credit.grant(user_id=user.id, amount=usd(700))
    hers = shop.acting(actor=Actor(kind=ActorKind.CUSTOMER, user_id=user.id)).store_credit
    assert await hers.balance(user_id=user.id) == usd(700)
    for asked in (hers.balance, hers.entries, hers.statement):
        with pytest.raises(UserNotFound):
            await asked(user_id=other.id)
    with pytest.raises(StaffRequired):
        await hers.grant(user_id=user.id, amount=usd(1))
    with pytest.raises(StaffRequired):
        await hers.withdraw(user_id=user.id, amount=usd(1))


async def test_the_last_credit_is_taken_once(shop: Shop) -> None:
    """Two withdrawals of all there is: the second waits for the first, and finds nothing."""
    user = await ann(shop)
    await shop.store_credit.grant(user_id=user.id, amount=usd(1000))
    outcome = await race(
        shop.context.db,  # type: ignore[arg-type]
        lambda tx: shop.store_credit.bound(tx).withdraw(user_id=user.id, amount=usd(1000)),
        lambda: shop.store_credit.withdraw(user_id=user.id, amount=usd(1000)),
    )
    assert isinstance(outcome, CreditShort)
    assert outcome.balance == usd(0)
    assert await entries_sum(shop) == 0


async def test_control_a_read_before_the_write_takes_it_twice(shop: Shop) -> None:
    """The same meeting where the balance is looked at and then written."""
    user = await ann(shop)
    await shop.store_credit.grant(user_id=user.id, amount=usd(1000))
    taken: list[int] = []

    async def take(tx: Transaction) -> None:
        sql = tx.names.render
        seen = await tx.fetchval(
            sql("SELECT balance FROM {store_credits} WHERE tenant_id = $1 AND user_id = $2"), shop.tenant_id, user.id
        )
        if seen >= 1000:
            taken.append(1000)
            await tx.execute(
                sql("UPDATE {store_credits} SET balance = $3 WHERE tenant_id = $1 AND user_id = $2"),
                shop.tenant_id,
                user.id,
                seen - 1000,
            )

    db: Any = shop.context.db
    await race(db, take, lambda: db.run(take))
    assert sum(taken) == 2000


async def test_first_grants_that_meet_make_one_balance_and_one_method(room: Storeroom) -> None:
    shop = await open_shop(room)
    users = [await ann(shop) for _ in range(4)]
    await asyncio.gather(
        *(shop.store_credit.grant(user_id=user.id, amount=usd(10)) for user in users for _ in range(3))
    )
    assert [await shop.store_credit.balance(user_id=user.id) for user in users] == [usd(30)] * 4
    methods = await shop.payment_methods.list()
    assert [(each.code, each.method_type, each.is_active) for each in methods] == [
        (CREDIT_METHOD, PaymentMethodType.STORE_CREDIT, False)
    ]


async def test_the_method_is_offered_to_nobody_and_made_by_no_hand(shop: Shop) -> None:
    with pytest.raises(PaymentMethodTaken):
        await make_method(shop, CREDIT_METHOD)
    with pytest.raises(InvalidPaymentMethod):
        await make_method(shop, "credit", method_type=PaymentMethodType.STORE_CREDIT, payment_details={})
    await shop.store_credit.grant(user_id=(await ann(shop)).id, amount=usd(1))
    await make_method(shop)
    assert [each.code for each in await shop.payment_methods.offered()] == ["zelle"]
    method = await shop.payment_methods.get_by_code(code=CREDIT_METHOD)
    with pytest.raises(InvalidPaymentMethod):
        await shop.payment_methods.update(method_id=method.id, is_active=True)
    order = (await place(shop, (await make_product(shop), 1))).order
    with pytest.raises(PaymentMethodInactive):
        await shop.payments.start(order_id=order.id, method=CREDIT_METHOD)
    with pytest.raises(PaymentMethodInactive):
        await shop.payments.record_received(order_id=order.id, method=CREDIT_METHOD, amount=usd(1000))
    assert await shop.payments.for_order(order_id=order.id) == []


@asynccontextmanager
async def door(room: Storeroom, shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    host = f"{secrets.token_hex(6)}.example"
    await room.tenants.add_host(shop.tenant_id, host)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app_of(room)), base_url=f"http://{host}") as http:
        yield http


async def test_staff_give_it_and_its_owner_sees_it(room: Storeroom, shop: Shop) -> None:
    user = await ann(shop)
    boss = await member(shop, UserRole.ADMIN)
    async with door(room, shop) as http:
        tokens = [
            {"Authorization": f"Bearer {(await shop.sessions.start(proof=Proof(user_id=each.id))).access_token}"}
            for each in (boss, user)
        ]
        path = f"/v1/admin/users/{user.id}/credit"
        granted = await http.post(
            f"{path}/grants",
            json={"amount": {"amount": 900, "currency": "USD"}, "note": "late parcel"},
            headers={**tokens[0], "Idempotency-Key": "grant-1"},
        )
        again = await http.post(
            f"{path}/grants",
            json={"amount": {"amount": 900, "currency": "USD"}, "note": "late parcel"},
            headers={**tokens[0], "Idempotency-Key": "grant-1"},
        )
        assert (granted.status_code, again.json()) == (201, granted.json())
        taken = await http.post(
            f"{path}/withdrawals", json={"amount": {"amount": 200, "currency": "USD"}}, headers=tokens[0]
        )
        assert taken.status_code == 201, taken.text
        short = await http.post(
            f"{path}/withdrawals", json={"amount": {"amount": 701, "currency": "USD"}}, headers=tokens[0]
        )
        assert (short.status_code, short.json()["code"]) == (409, "credit.short")
        seen = (await http.get(path, headers=tokens[0])).json()
        assert seen["balance"] == {"amount": 700, "currency": "USD"}
        assert [entry["note"] for entry in seen["items"]] == [None, "late parcel"]
        own = await http.get("/v1/account/credit", headers=tokens[1])
        assert own.json()["balance"] == {"amount": 700, "currency": "USD"}
        assert [sorted(entry) for entry in own.json()["items"]] == [["amount", "created_at", "order_id", "reason"]] * 2
        assert (await http.get(path, headers=tokens[1])).status_code == 403


@pytest.mark.parametrize("way", ["grant", "withdraw", "fill"])
@pytest.mark.parametrize("table", ["store_credits", "store_credit_entries"])
async def test_a_cut_leaves_the_balance_and_the_next_try_changes_it_once(
    shop: Shop, dsn: str, way: str, table: str
) -> None:
    user = await ann(shop)
    await shop.store_credit.grant(user_id=user.id, amount=usd(500))
    facts = {"reason": CreditReason.GIVEN_BACK} if way == "fill" else {}

    async def change() -> Any:
        return await getattr(shop.store_credit, way)(user_id=user.id, amount=usd(200), **facts)

    assert isinstance(shop.context.db, Database)
    outcome = await cut_at(dsn, shop.context.db, table, change)
    assert isinstance(outcome, DatabaseUnavailable), outcome
    assert await shop.store_credit.balance(user_id=user.id) == usd(500)
    assert await entries_sum(shop) == 500
    await change()
    left = 300 if way == "withdraw" else 700
    assert await shop.store_credit.balance(user_id=user.id) == usd(left)
    assert await entries_sum(shop) == left
