"""A shop in which everything is there that a path can name, and what schemathesis is told of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from factories import HOME, make_method, place, usd
from storeroom.catalog import ImageDraft, OptionDraft, VariantDraft
from storeroom.core.visitor import Visitor
from storeroom.identity import Permission, User
from storeroom.room import Shop


async def plant(shop: Shop, owner: User) -> dict[str, str]:
    """Make it all; return the value of each parameter. Nobody's rights are changed but those of another account."""
    method = await make_method(shop)
    config = {"store_id": "shop", "store_passwd": "pass"}
    gateway = await shop.gateways.create(id="sslcommerz", name="SSLCommerz", config=config)
    product = await shop.products.create(
        name="Shirt",
        requires_age_verification=False,
        restricted_countries=None,
        options=[OptionDraft("Size", ["S", "M"])],
        variants=[VariantDraft(price=usd(1000), options={"Size": "S"}, sku="SKU-1")],
        images=[ImageDraft(url="https://img.example/1.png")],
        publish=True,
    )
    variant_id = product.variants[0].id
    await shop.inventory.adjust(variant_id=variant_id, by=1000, reason="planted")
    today = datetime.now(UTC).date()
    batch = await shop.batches.create(
        product_id=product.id,
        batch_number="B-1",
        quantity_produced=5,
        coa_file_url="https://files.example/coa.pdf",
        manufactured_at=today,
        expires_at=today + timedelta(days=90),
    )
    category = await shop.categories.create(name="Shirts")
    person = await shop.users.create(email="bo@buyer.example", full_name="Bo Buyer")
    address = await shop.addresses.add(user_id=owner.id, address=HOME)
    visitor = Visitor(user_id=owner.id)
    placed = await place(shop, (variant_id, 1), visitor=visitor, payment_method="zelle", email=owner.email)
    assert placed.order.payment is not None
    rate = await shop.shipping_rates.create(code="post", name="Post", amount=usd(500))
    domain = await shop.domains.create(domain_name="other.example")
    key, _ = await shop.api_keys.create(name="till", permissions=[Permission.ORDERS_READ])
    cart = await shop.carts.for_user(owner.id)
    item = await shop.carts.add(cart_id=cart.id, variant_id=variant_id)
    return {
        "address_id": str(address.id),
        "batch_id": str(batch.id),
        "cart_id": str(cart.id),
        "category_id": str(category.id),
        "customer_id": str(person.id),
        "domain_id": str(domain.id),
        "gateway_id": gateway.id,
        "image_id": str(product.images[0].id),
        "item_id": str(item.id),
        "key_id": str(key.id),
        "method_id": str(method.id),
        "number": placed.order.number,
        "order_id": str(placed.order.id),
        "payment_id": str(placed.order.payment.id),
        "product_id": str(product.id),
        "rate_id": str(rate.id),
        "reference": placed.order.payment.reference,
        "slug": product.slug,
        "user_id": str(person.id),
        "variant_id": str(variant_id),
    }


def written(folder: Path, values: dict[str, str], base: Path) -> Path:
    """A configuration that names them, on top of another."""
    path = folder / "schemathesis.toml"
    known = "".join(f'"path.{name}" = "{value}"\n' for name, value in values.items())
    path.write_text(f"[parameters]\n{known}\n{base.read_text()}")
    return path
