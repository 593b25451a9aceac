"""Ways to pay: what they must say, what they take, and in which order they are shown."""

from __future__ import annotations

from typing import Any

import pytest
from till import Till, usd

from storeroom.core.ids import PaymentMethodId, new_id
from storeroom.core.money import CurrencyMismatch, Money, UnknownCurrency
from storeroom.payments import (
    InvalidPaymentMethod,
    PaymentMethodInUse,
    PaymentMethodNotFound,
    PaymentMethodTaken,
    PaymentMethodType,
    TooManyPaymentMethods,
)

T = PaymentMethodType
GOOD = {
    T.ZELLE: {"phone": "+15125550100", "recipient_name": "The Shop"},
    T.CASHAPP: {"cashtag": "$shop", "qr_code_url": "https://shop.example/qr.png"},
    T.VENMO: {"handle": "@shop"},
    T.WIRE_TRANSFER: {"bank_name": "First", "iban": "DE02120300000000202051", "bic": "BYLADEM1001"},
    T.CHECK: {"payable_to": "The Shop"},
    T.CRYPTO: {"address": "7xKX", "token": "USDC"},
}


@pytest.mark.requirement("SBB-PM-01")
@pytest.mark.parametrize("method_type", [each for each in T if each is not T.STORE_CREDIT])
async def test_a_method_of_every_type_can_be_configured(till: Till, method_type: T) -> None:
    details: dict[str, Any] = GOOD.get(method_type, {})
    made = await till.method("one", method_type=method_type, payment_details=details)
    assert (made.method_type, made.payment_details) == (method_type, details)


@pytest.mark.requirement("SBB-PM-01")
async def test_an_unknown_type_is_refused(till: Till) -> None:
    with pytest.raises(InvalidPaymentMethod) as refused:
        await till.method("one", method_type="shells")
    assert refused.value.field == "method_type"
    with pytest.raises(Exception, match="invalid input value for enum"):
        await till.run("SELECT 'shells'::{payment_method_type} WHERE $1 <> ''")


@pytest.mark.requirement("SBB-PM-05")
@pytest.mark.parametrize(
    ("method_type", "details", "missing"),
    [
        (T.ZELLE, {"email": "pay@shop.example"}, "recipient_name"),
        (T.ZELLE, {"recipient_name": "The Shop"}, "email or phone"),
        (T.ZELLE, {"recipient_name": "  ", "email": "pay@shop.example"}, "recipient_name"),
        (T.CASHAPP, {"qr_code_url": "https://shop.example/qr.png"}, "cashtag"),
        (T.CASHAPP, {"cashtag": 7}, "cashtag"),
        (T.VENMO, {}, "handle"),
        (T.WIRE_TRANSFER, {"bank_name": "First"}, "account_number or iban"),
        (T.WIRE_TRANSFER, {"iban": "DE02120300000000202051"}, "bank_name"),
        (T.CHECK, {}, "payable_to"),
        (T.CRYPTO, {"address": "7xKX"}, "token"),
        (T.CRYPTO, {"token": "USDC"}, "address"),
    ],
)
async def test_details_that_nobody_could_pay_by_are_refused(
    till: Till, method_type: T, details: dict[str, Any], missing: str
) -> None:
    with pytest.raises(InvalidPaymentMethod) as refused:
        await till.method("one", method_type=method_type, payment_details=details)
    assert refused.value.field == "payment_details"
    assert missing in refused.value.reason
    assert await till.methods.list() == []


@pytest.mark.requirement("SBB-PM-05", "SBB-PM-04")
async def test_good_details_and_instructions_reach_the_customer_with_the_order(till: Till) -> None:
    await till.method("cash", method_type=T.CASHAPP, payment_details=GOOD[T.CASHAPP], instructions="Tap and send")
    order = await till.order(method="cash")
    (asked,) = await till.payments.for_order(order_id=order.id)
    method = await till.methods.get(method_id=asked.payment_method_id)
    assert (method.payment_details["cashtag"], method.instructions) == ("$shop", "Tap and send")


@pytest.mark.parametrize(
    ("field", "settings"),
    [
        ("code", {"code": "No Spaces"}),
        ("code", {"code": ""}),
        ("name", {"name": " "}),
        ("name", {"name": "x" * 101}),
        ("instructions", {"instructions": ""}),
        ("payment_details", {"payment_details": {"a": "x" * 11_000}}),
        ("payment_details", {"payment_details": {"a": "\x00"}}),
        ("payment_details", {"payment_details": {"a": object()}}),
        ("min_amount", {"min_amount": usd(-1)}),
        ("max_amount", {"min_amount": usd(10), "max_amount": usd(9)}),
        ("max_amount", {"max_amount": usd(0)}),
        ("confirmation_window_hours", {"confirmation_window_hours": 0}),
        ("confirmation_window_hours", {"confirmation_window_hours": 8_761}),
        ("sort_order", {"sort_order": 10_000_000}),
        ("icon_url", {"icon_url": "javascript:alert(1)"}),
    ],
)
async def test_a_setting_out_of_bounds_is_refused_and_named(till: Till, field: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InvalidPaymentMethod) as refused:
        await till.method(**({"code": "one", "method_type": T.MANUAL_OTHER} | settings))
    assert refused.value.field == field
    assert await till.methods.list() == []


async def test_limits_are_in_the_currency_of_the_method(till: Till) -> None:
    with pytest.raises(CurrencyMismatch):
        await till.method("one", max_amount=Money(10, "EUR"))
    with pytest.raises(UnknownCurrency):
        await till.method("one", currency="XYZ")
    assert (await till.method("euro", currency="EUR")).min_amount == Money(0, "EUR")


@pytest.mark.requirement("SBB-PM-02")
async def test_two_methods_and_what_is_kept_when_none_is_said(till: Till) -> None:
    first = await till.method("zelle", sort_order=2)
    second = await till.method("check", method_type=T.CHECK, payment_details=GOOD[T.CHECK], sort_order=1)
    third = await till.method("venmo", method_type=T.VENMO, payment_details=GOOD[T.VENMO], sort_order=3)
    assert (first.is_active, first.is_manual, first.confirmation_window_hours) == (True, True, 48)
    assert (first.min_amount, first.max_amount, first.icon_url) == (usd(0), None, None)
    await till.methods.update(method_id=first.id, is_active=False)
    assert [m.code for m in await till.methods.offered()] == [second.code, third.code]
    assert [m.code for m in await till.methods.list()] == ["check", "zelle", "venmo"]


@pytest.mark.requirement("SBB-PM-08")
async def test_methods_are_shown_in_their_order_with_their_icons_and_reordering_shows_another(till: Till) -> None:
    made = [await till.method(code, sort_order=place, icon_url=f"/{code}.svg") for place, code in enumerate("abc")]
    assert [(m.code, m.icon_url) for m in await till.methods.offered()] == [
        ("a", "/a.svg"),
        ("b", "/b.svg"),
        ("c", "/c.svg"),
    ]
    after = await till.methods.reorder(method_ids=[made[2].id])
    assert [m.code for m in after] == ["c", "a", "b"]
    await till.methods.reorder(method_ids=[made[1].id, made[0].id, made[2].id])
    assert [m.code for m in await till.methods.offered()] == ["b", "a", "c"]
    with pytest.raises(PaymentMethodNotFound):
        await till.methods.reorder(method_ids=[made[2].id, PaymentMethodId(new_id())])
    with pytest.raises(InvalidPaymentMethod):
        await till.methods.reorder(method_ids=[made[2].id, made[2].id])
    assert [m.code for m in await till.methods.list()] == ["b", "a", "c"]


@pytest.mark.requirement("SBB-PM-06")
@pytest.mark.parametrize(("total", "shown"), [(999, False), (1000, True), (5000, True), (5001, False)])
async def test_a_method_is_offered_within_its_limits_both_included(till: Till, total: int, shown: bool) -> None:
    await till.method("one", min_amount=usd(1000), max_amount=usd(5000))
    assert [m.code for m in await till.methods.offered(total=usd(total))] == (["one"] if shown else [])
    assert await till.methods.offered(total=Money(total, "EUR")) == []


async def test_a_change_leaves_the_rest_and_is_judged_as_a_whole(till: Till) -> None:
    method = await till.method("one", max_amount=usd(500))
    changed = await till.methods.update(method_id=method.id, name="Zelle (fast)", max_amount=None)
    assert (changed.name, changed.max_amount, changed.payment_details) == ("Zelle (fast)", None, method.payment_details)
    with pytest.raises(InvalidPaymentMethod, match="cashapp needs cashtag"):
        await till.methods.update(method_id=method.id, method_type=T.CASHAPP)
    with pytest.raises(InvalidPaymentMethod, match="code"):
        await till.methods.update(method_id=method.id, code="two")  # type: ignore[call-arg]
    with pytest.raises(PaymentMethodNotFound):
        await till.methods.update(method_id=PaymentMethodId(new_id()), name="x")
    assert await till.methods.get_by_code(code="one") == changed


async def test_a_code_is_one_methods_and_the_number_of_methods_is_bounded(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    await till.method("one")
    with pytest.raises(PaymentMethodTaken):
        await till.method("one")
    monkeypatch.setattr("storeroom.payments.methods.METHODS_MAX", 1)
    with pytest.raises(TooManyPaymentMethods):
        await till.method("two")


async def test_only_a_method_that_nobody_used_can_be_deleted(till: Till) -> None:
    used, unused = await till.method("used"), await till.method("unused")
    order = await till.order()
    await till.payments.start(order_id=order.id, method="used")
    with pytest.raises(PaymentMethodInUse):
        await till.methods.delete(method_id=used.id)
    await till.methods.delete(method_id=unused.id)
    with pytest.raises(PaymentMethodNotFound):
        await till.methods.delete(method_id=unused.id)
    assert [m.code for m in await till.methods.list()] == ["used"]


async def test_another_tenants_method_does_not_exist(till: Till, other_till: Till) -> None:
    method = await till.method("one")
    for call in (
        other_till.methods.get(method_id=method.id),
        other_till.methods.get_by_code(code="one"),
        other_till.methods.update(method_id=method.id, name="mine"),
        other_till.methods.delete(method_id=method.id),
        other_till.methods.reorder(method_ids=[method.id]),
    ):
        with pytest.raises(PaymentMethodNotFound):
            await call
    assert await other_till.methods.list() == []
    assert await till.methods.get(method_id=method.id) == method
