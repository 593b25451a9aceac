"""Where a shop asks for a code, an order's tracking is told to whoever has its phone, and to nobody else."""

import httpx
import pytest
from phones import Phones

from factories import STAFF, make_method, make_product, open_shop, place
from storeroom.orders import OrderNotFound
from storeroom.orders.routes import LOOKUPS_BY_NUMBER
from storeroom.room import Storeroom
from storeroom.verification import PhoneProofRequired

BUYER, BUYER_DIGITS = "+1 512 555 0123", "15125550123"


@pytest.fixture
async def phones(room: Storeroom, phones: Phones) -> Phones:
    shop = await open_shop(room, lookup_code_required=True)
    return Phones(shop, phones.folder, phones.room)


async def _ordered(phones: Phones) -> str:
    method = await make_method(phones.shop)
    placed = await place(phones.shop, (await make_product(phones.shop), 1), phone=BUYER, payment_method=method.code)
    return placed.order.number


@pytest.mark.requirement("SIG-SEC-04")
async def test_without_a_code_nothing_is_told_not_even_whether_the_order_is_there(phones: Phones) -> None:
    number = await _ordered(phones)
    orders = phones.shop.orders
    open_one = await phones.codes.request(phone=BUYER)
    for asked in (number, "NONE-0000"):
        for session_id in (None, open_one.session_id):
            with pytest.raises(PhoneProofRequired):
                await orders.lookup(number=asked, phone=BUYER, phone_session_id=session_id)


@pytest.mark.requirement("SIG-SEC-04")
async def test_with_the_code_of_that_phone_it_is(phones: Phones) -> None:
    number = await _ordered(phones)
    orders = phones.shop.orders
    sent = await phones.codes.request(phone=BUYER)
    await phones.codes.verify(session_id=sent.session_id, code=phones.code(BUYER_DIGITS))
    found = await orders.lookup(number=number, phone="512 555 0123", phone_session_id=sent.session_id)
    assert found.order_number == number
    with pytest.raises(OrderNotFound):
        await orders.lookup(number="NONE-0000", phone=BUYER, phone_session_id=sent.session_id)

    other = await phones.codes.request(phone="+1 512 555 0124")
    await phones.codes.verify(session_id=other.session_id, code=phones.code("15125550124"))
    with pytest.raises(PhoneProofRequired):
        await orders.lookup(number=number, phone=BUYER, phone_session_id=other.session_id)
    with pytest.raises(OrderNotFound):
        await orders.lookup(number=number, phone="+1 512 555 0124", phone_session_id=other.session_id)


async def test_the_control_a_shop_that_does_not_ask(room: Storeroom, phones: Phones) -> None:
    phones = Phones(await open_shop(room, actor=STAFF), phones.folder, room)
    assert (await phones.shop.orders.lookup(number=await _ordered(phones), phone=BUYER)).order_number


@pytest.mark.requirement("SIG-SEC-04")
@pytest.mark.usefixtures("one_window")
async def test_over_http_and_not_too_often(http: httpx.AsyncClient, phones: Phones) -> None:
    number = await _ordered(phones)
    refused = await http.post("/v1/orders/lookup", json={"number": number, "phone": BUYER})
    assert (refused.status_code, refused.json()["code"]) == (401, "verification.phone_proof_required")
    asked = (await http.post("/v1/auth/otp/request", json={"phone": BUYER})).json()["session_id"]
    await phones.arrive()
    said = {"session_id": asked, "code": phones.code(BUYER_DIGITS)}
    assert (await http.post("/v1/auth/otp/verify", json=said)).status_code == 200
    body = {"number": number, "phone": BUYER, "phone_session_id": asked}
    assert (await http.post("/v1/orders/lookup", json=body)).json()["number"] == number
    wrong = {"number": number, "phone": "+1 512 555 0124", "phone_session_id": asked}
    tried = [(await http.post("/v1/orders/lookup", json=wrong)).status_code for _ in range(LOOKUPS_BY_NUMBER)]
    assert (tried[0], tried[-1], set(tried)) == (401, 429, {401, 429})
