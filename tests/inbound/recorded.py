"""What a Vendure shop told in one afternoon: entities as its events carry them, in the order in which they happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def customer(**fields: Any) -> dict[str, Any]:
    return {
        "id": 7,
        "createdAt": "2026-03-01T08:00:00.000Z",
        "emailAddress": "Nimal@Buyer.example",
        "firstName": "Nimal",
        "lastName": "Perera",
        "title": "Mr",
        "phoneNumber": "+1 512 555 0147",
        "user": {"id": 70, "identifier": "Nimal@Buyer.example", "verified": True},
        "customFields": {"phoneVerified": True, "marketingConsent": True, "club": {"team": "Kandy", "since": [2019]}},
        **fields,
    }


def address(id_: int, street: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": id_,
        "fullName": "Nimal Perera",
        "streetLine1": street,
        "city": "Austin",
        "province": "TX",
        "postalCode": "78701",
        "country": {"code": "US", "name": "United States"},
        "phoneNumber": "+1 512 555 0147",
        "defaultShippingAddress": False,
        "defaultBillingAddress": False,
        "customer": {"id": 7},
        **fields,
    }


def line(sku: str, quantity: int, net: int, gross: int, **custom: Any) -> dict[str, Any]:
    return {
        "id": f"{sku}-line",
        "quantity": quantity,
        "unitPrice": net,
        "unitPriceWithTax": gross,
        "productVariant": {"id": 1, "sku": sku, "name": f"{sku} red", "product": {"id": 1, "name": f"Jersey {sku}"}},
        "customFields": custom,
    }


def order(*lines: dict[str, Any], id_: int = 40, discount: int = 0, **fields: Any) -> dict[str, Any]:
    """What two parts of it come to is what Vendure would say: subTotal after discounts, all sums with and without tax."""
    net = sum(each["quantity"] * each["unitPrice"] for each in lines) - discount
    gross = sum(each["quantity"] * each["unitPriceWithTax"] for each in lines) - discount
    return {
        "id": id_,
        "code": f"VEND{id_}ABCDEF",
        "state": "PaymentSettled",
        "active": False,
        "orderPlacedAt": "2026-03-02T12:20:00.000Z",
        "currencyCode": "USD",
        "customer": {"id": 7, "emailAddress": "nimal@buyer.example", "firstName": "Nimal", "lastName": "Perera"},
        "lines": list(lines),
        "subTotal": net,
        "subTotalWithTax": gross,
        "shipping": 500,
        "shippingWithTax": 550,
        "total": net + 500,
        "totalWithTax": gross + 550,
        "couponCodes": [],
        "shippingAddress": {
            "fullName": "Nimal Perera",
            "streetLine1": "2 Lake Road",
            "city": "Austin",
            "province": "TX",
            "postalCode": "78701",
            "countryCode": "US",
            "phoneNumber": "+1 512 555 0147",
        },
        "billingAddress": {},
        "shippingLines": [{"shippingMethod": {"code": "trans-express"}}],
        "payments": [
            {"method": "payhere", "amount": gross + 550, "state": "Settled", "createdAt": "2026-03-02T12:21:00.000Z"}
        ],
        "fulfillments": [],
        "customFields": {"giftWrap": True},
        **fields,
    }


def afternoon() -> list[tuple[str, dict[str, Any], datetime]]:
    """(kind, entity, when) of a customer who signs up, moves, buys, changes the order, and gets it."""
    shirt, cap = line("SHIRT", 2, 1000, 1100, patchEnabled=True, patchType="league"), line("CAP", 1, 500, 550)
    parcel = [{"method": "trans-express", "trackingCode": "TE-9", "state": "Shipped"}]
    return [
        ("customer", customer(), at(0)),
        ("address", address(21, "1 Main Street", defaultShippingAddress=True), at(1)),
        ("customer", {"id": 7, "firstName": "Nimal K."}, at(2)),
        ("address", address(22, "2 Lake Road", defaultShippingAddress=True), at(3)),
        ("customer", {"id": 7, "customFields": {"size": "L"}, "lastName": None}, at(4)),
        ("address", {"id": 21, "company": "Perera & Sons", "customer": {"id": 7}}, at(5)),
        ("order", order(shirt, cap, state="AddingItems", payments=[]), at(19)),
        ("order", order(shirt, cap), at(21)),
        ("order", order(shirt, line("CAP", 3, 500, 550), discount=100), at(25)),
        ("order", {"id": 40, "state": "Shipped", "fulfillments": parcel}, at(60)),
        ("customer", {"id": 7, "phoneNumber": None, "lastName": "Perera-Silva"}, at(61)),
        ("address", {"id": 21, "deleted": True}, at(62)),
        ("order", {"id": 40, "state": "Delivered", "customFields": {"giftWrap": False}}, at(90)),
    ]
