"""What is said of buyers on the way stands nowhere in the trail, so nothing of it has to be erased there."""

from __future__ import annotations

from typing import Any

import pytest
from works import Works

HOME = {
    "recipient_name": "Jo Buyer",
    "street_line_1": "7 Quiet Lane",
    "city": "Austin",
    "state_province": "TX",
    "postal_code": "78701",
    "country_code": "US",
}
USDC = {"amount": 5, "currency": "USDC"}
BOUGHT = {"items": [{"sku": "W-1", "unit_price": USDC}], "account": "ours", "amount": USDC, "wallet": "buyer"}
PAID = {
    **BOUGHT,
    "signature": "sig",
    "email": "jo@buyer.example",
    "name": "Jo Buyer",
    "phone": "+15125550123",
    "notes": "Ring at Jo's neighbour",
    "metadata": {"told_by": "Jo herself"},
    "shipping_address": HOME,
}


async def whole(works: Works) -> str:
    return str(
        await works.shop.context.db.fetchval(
            "SELECT jsonb_agg(a)::text FROM audit_logs a WHERE tenant_id = $1", works.shop.tenant_id
        )
    )


@pytest.mark.requirement("SBB-AUD-01")
@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/v1/admin/wallet-payments", PAID, ("Jo", "Quiet Lane", "5125550123", "Austin")),
        ("PUT", "/v1/admin/cart-reminders/rules", {"bcc_emails": ["jo@office.example"]}, ("jo@office",)),
        ("POST", "/v1/admin/refunds/{refund_id}/complete", {"details": {"to": "Jo Buyer, IBAN 1"}}, ("Jo", "IBAN")),
        (
            "POST",
            "/v1/admin/payment-transactions",
            {**{name: BOUGHT[name] for name in ("account", "amount", "wallet")}, "signature": "other"}
            | {"resource_id": "cart:1", "metadata": {"payer": "Jo Buyer"}},
            ("Jo",),
        ),
    ],
)
async def test_words_about_a_buyer_are_fingerprints(
    works: Works, method: str, path: str, body: dict[str, Any], said: tuple[str, ...]
) -> None:
    await works.receiving()
    if "{refund_id}" in path:
        path = path.format(refund_id=await works.id_of("refund_id"))
        body = {"method": "check", **body}
    done = await works.http.request(method, path, json=body)
    assert done.is_success, done.text
    trail = await whole(works)
    assert "sha256:" in trail
    assert [each for each in said if each in trail] == []


async def test_what_is_kept_with_a_thing_stays_readable(works: Works) -> None:
    product_id = await works.id_of("product_id")
    body = {"metadata": {"material": "wool"}}
    assert (await works.http.patch(f"/v1/admin/products/{product_id}", json=body)).is_success
    (entry,) = (await works.shop.audit.list(action="catalog.update_product")).items
    assert (entry.new_values or {})["metadata"] == {"material": "wool"}
