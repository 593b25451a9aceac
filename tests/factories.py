"""Short ways to a shop with things to sell and ways to pay, through the same calls that everybody uses."""

from __future__ import annotations

import itertools
import secrets
from decimal import Decimal
from ipaddress import ip_network
from typing import Any

from storeroom.core.contact import Address
from storeroom.core.ids import VariantId
from storeroom.core.money import Money
from storeroom.core.visitor import Visitor
from storeroom.database.service import Actor, ActorKind
from storeroom.flows.model import Placement, Purchase, PurchaseLine
from storeroom.payments import PaymentMethod, PaymentMethodType
from storeroom.promotions import Coupon, DiscountType
from storeroom.room import Shop, Storeroom

_numbers = itertools.count()
SECRET = "a secret of the installation, for tests only"
LOOPBACK = (ip_network("127.0.0.0/8"),)  # where the other systems of a test answer
STAFF = Actor(kind=ActorKind.ADMIN, name="ann@shop.example")
HOME = Address(
    recipient_name="Bo Buyer",
    street_line_1="1 Main Street",
    city="Albany",
    state_province="NY",
    postal_code="12207",
    country_code="US",
)


def own_text() -> str:
    """Eight characters that nobody else of this process has: of random ones two are the same once in a while."""
    return f"{secrets.token_hex(2)}{next(_numbers) % 10_000:04}"


def usd(amount: int) -> Money:
    return Money(amount, "USD")


async def open_shop(room: Storeroom, *, actor: Actor = STAFF, **settings: Any) -> Shop:
    """A shop of a fresh tenant, in USD unless it is said otherwise."""
    tenant_id = f"t_{secrets.token_hex(6)}"
    await room.tenants.create(tenant_id, **{"name": "A shop", "currency": "USD", **settings})
    return room.tenant(tenant_id, actor=actor)


async def make_product(shop: Shop, *, stock: int = 10, price: int = 1000, **fields: Any) -> VariantId:
    """The variant of a published product that demands nothing of its buyer."""
    product = await shop.products.create(
        **{
            "name": f"Shirt {own_text()}",
            "sku": f"SKU-{own_text()}",
            "price": usd(price),
            "on_hand": stock,
            "requires_age_verification": False,
            "restricted_countries": None,
            "publish": True,
            **fields,
        }
    )
    return product.variants[0].id


async def make_method(shop: Shop, code: str = "zelle", **settings: Any) -> PaymentMethod:
    return await shop.payment_methods.create(
        **{
            "code": code,
            "method_type": PaymentMethodType.ZELLE,
            "name": "Zelle",
            "instructions": "Send it to us",
            "payment_details": {"email": "pay@shop.example", "recipient_name": "The Shop"},
            **settings,
        }
    )


async def make_coupon(shop: Shop, off: str, code: str | None = None, **fields: Any) -> Coupon:
    """`make_coupon(shop, "10 %")`, `make_coupon(shop, "1.00 USD", "SAVE", auto_apply=True)`."""
    value, unit = off.split()
    worth = (
        {"discount_type": DiscountType.PERCENTAGE, "percentage": Decimal(value)}
        if unit == "%"
        else {"discount_type": DiscountType.FIXED, "amount": Money.of(value, unit)}
    )
    code = code or f"C-{own_text()}"
    return await shop.coupons.create(**{"code": code, "name": code, **worth, **fields})


def forged_from(token: str) -> str:
    """Another end of the signature or seal: never by chance the same one."""
    return token[:-3] + ("BBB" if token[-3] == "A" else "AAA")


def purchase(*lines: tuple[VariantId, int], **facts: Any) -> Purchase:
    """A purchase of these lines, or of what `facts` say."""
    if lines:
        facts["lines"] = [PurchaseLine(variant_id=variant_id, quantity=quantity) for variant_id, quantity in lines]
    return Purchase(
        **{
            "email": "bo@buyer.example",
            "name": "Bo Buyer",
            "phone": "+1 512 555 0123",
            "shipping_address": HOME,
            **facts,
        }
    )


async def place(shop: Shop, *lines: tuple[VariantId, int], visitor: Visitor | None = None, **facts: Any) -> Placement:
    return await shop.checkout.place(purchase(*lines, **facts), visitor=visitor)
