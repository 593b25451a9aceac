"""Working in the shop is no right to see what somebody pays: that takes the permission."""

from door import Door, code_of

from factories import make_method, make_product, place
from storeroom.identity import Permission, UserRole


async def test_staff_without_the_permission_are_customers_at_a_payment(door: Door) -> None:
    variant = await make_product(door.shop)
    method = await make_method(door.shop)
    placed = await place(door.shop, (variant, 1), payment_method=method.code)
    assert placed.order.payment is not None
    payment = f"/v1/payments/{placed.order.payment.reference}"
    start = f"/v1/orders/{placed.order.number}/payments"
    bare = await door.token_of(UserRole.STAFF)
    reader = await door.token_of(UserRole.STAFF, Permission.PAYMENTS_READ)
    key = await door.key(Permission.ORDERS_READ)
    proof = {"customer_reference": "TX-1"}

    for token in (None, bare, key):
        assert code_of(await door.call("GET", payment, token)) == (404, "payments.not_found")
        assert code_of(await door.call("POST", start, token, json={"method": method.code})) == (404, "orders.not_found")
        assert code_of(await door.call("POST", f"{payment}/proof", token, json=proof)) == (404, "payments.not_found")
    assert await door.one("SELECT count(*) FROM {payment_attempts} WHERE tenant_id = $1") == 0

    assert (await door.call("GET", payment, reader)).status_code == 200
    refused = await door.call("POST", f"{payment}/proof", reader, json=proof)
    assert code_of(refused) == (404, "payments.not_found"), "reading is no right to write"
    clerk = await door.token_of(UserRole.STAFF, Permission.PAYMENTS_VERIFY)
    assert (await door.call("POST", f"{payment}/proof", clerk, json=proof)).status_code < 300
