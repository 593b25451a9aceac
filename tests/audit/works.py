"""A shop in which staff have something to change."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from factories import HOME, make_coupon, make_method, make_product, place, usd
from standin import MERCHANT, PASSWORD, STRIPE_KEY, serving
from storeroom.audit import Entry
from storeroom.catalog import ImageDraft, OptionDraft, VariantDraft
from storeroom.conversions import ProviderKind
from storeroom.core.ids import ApiKeyId, OrderId, PaymentId, UserId
from storeroom.core.money import Money
from storeroom.database.service import Actor, ActorKind
from storeroom.identity import Permission, ProfileChanges, UserRole
from storeroom.notices import Channel
from storeroom.orders import OrderStatus
from storeroom.refunds import RefundQuoteDraft
from storeroom.room import Shop
from storeroom.subscriptions import BillingPeriod, SubscriptionPayment
from storeroom.wallets import QuoteItem

TODAY = datetime.now(UTC).date()


@dataclass
class Works:
    """A shop, one who may do everything in it, and things to do it to; each is made when a path asks for it."""

    shop: Shop
    admin: UserId
    http: httpx.AsyncClient
    stack: ExitStack  # of what a test starts and does not stop
    ids: dict[str, Any] = field(default_factory=dict)

    @property
    def by_admin(self) -> Shop:
        return self.shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=self.admin))

    async def id_of(self, name: str) -> Any:
        if name not in self.ids:
            self.ids[name] = await getattr(self, name)()
        return self.ids[name]

    async def sync_id(self) -> UUID:
        return (await self.shop.customer_syncs.upsert(customer_email="waits@buyer.example")).id

    async def product_id(self) -> UUID:
        product = await self.shop.products.create(
            name="Shirt",
            requires_age_verification=False,
            restricted_countries=None,
            options=[OptionDraft("Size", ["S", "M"])],
            variants=[VariantDraft(price=usd(1000), options={"Size": "S"}, sku=secrets.token_hex(4))],
            images=[ImageDraft(url="https://img.example/1.png")],
        )
        self.ids["image_id"] = product.images[0].id
        return product.id

    async def image_id(self) -> UUID:
        await self.id_of("product_id")
        return self.ids["image_id"]

    async def variant_id(self) -> UUID:
        return await make_product(self.shop)

    async def category_id(self) -> UUID:
        return (await self.shop.categories.create(name=f"Shirts {secrets.token_hex(4)}")).id

    async def batch_id(self) -> UUID:
        batch = await self.shop.batches.create(
            product_id=await self.id_of("product_id"),  # type: ignore[arg-type]
            batch_number="B-1",
            quantity_produced=5,
            coa_file_url="https://files.example/coa.pdf",
            manufactured_at=TODAY,
            expires_at=TODAY + timedelta(days=90),
        )
        return batch.id

    async def key(self) -> UUID:
        """A text: whoever sets it names it."""
        return (await self.shop.configuration.set(key="marketing.pixel", value="G-0")).key  # type: ignore[return-value]

    async def gateway_id(self) -> UUID:
        """A text: whoever adds a gateway names it."""
        config = {"store_id": "shop", "store_passwd": "pass"}
        return (await self.shop.gateways.create(id="sslcommerz", name="SSLCommerz", config=config)).id  # type: ignore[return-value]

    async def session(self) -> UUID:
        """A text: Stripe names its sessions."""
        home = self.stack.enter_context(serving())
        await self._gateway("stripe", {"secret_key": STRIPE_KEY, "test_endpoint": home.url})
        home.sessions["cs_walk"] = {"id": "cs_walk", "status": "open", "payment_status": "unpaid"}
        saved = await self.shop.hosted_sessions.save(
            id="cs_walk", resource_id="x", amount=usd(100), gateway_id="stripe"
        )
        return saved.id  # type: ignore[return-value]

    async def transaction_id(self) -> UUID:
        home = self.stack.enter_context(serving())
        config = {"merchant_id": MERCHANT, "api_password": PASSWORD, "test_endpoint": home.url}
        await self._gateway("mpgs", config)
        made = await self.shop.mpgs_transactions.create(
            session_id="SESSION1", amount=usd(100), order_ref_id="walk", gateway_id="mpgs"
        )
        return made.id

    async def _gateway(self, name: str, config: dict[str, str]) -> None:
        await self.shop.gateways.create(id=name, name=name, config=config)

    async def endpoint_id(self) -> UUID:
        return (await self.shop.endpoints.create(name="here", url="https://here.example/hooks"))[0].id

    async def provider_id(self) -> UUID:
        made = await self.shop.conversions.create_provider(
            kind=ProviderKind.META, name="here", account_id="99", secret="EAAB"
        )
        return made.id

    async def conversion_id(self) -> UUID:
        await self.shop.conversions.test_provider(provider_id=await self.provider_id())
        return (await self.shop.conversions.list()).items[0].id

    async def connected(self) -> None:
        await self.shop.erp.connect(base_url="https://erp.example/api")

    async def webhook_id(self) -> UUID:
        url = "https://here.example/hooks"
        return (await self.shop.webhooks.enqueue(url=url, event_type="order.told", payload={})).id

    async def source(self) -> UUID:
        """A text: whoever adds a source names it."""
        return (await self.shop.webhook_sources.create(code="shippo"))[0].code  # type: ignore[return-value]

    async def message_id(self) -> UUID:
        receipt = await self.shop.inbox.store(
            source="shippo", webhook_type="x", event="1", headers={}, payload={}, signature=None, verified_by="secret"
        )
        assert receipt.id is not None
        db = self.shop.context.db
        sql = "UPDATE {webhooks_inbox} SET status = 'failed', processed_at = now() WHERE tenant_id = $1 AND id = $2"
        await db.execute(db.names.render(sql), self.shop.tenant_id, receipt.id)
        return receipt.id

    async def account_id(self) -> UUID:
        account = await self.shop.receiving_accounts.create(asset="USDC", address="ours", label="Main")
        return account.id

    async def cart_quote_id(self) -> UUID:
        """A text: whoever saves a quote names it."""
        items = [QuoteItem(sku="W-1", unit_price=Money(5, "USDC"))]
        quote = await self.shop.cart_quotes.save(id="quote-1", items=items, total=Money(5, "USDC"))
        return quote.id  # type: ignore[return-value]

    async def order_id(self) -> UUID:
        await self.id_of("method_id")
        placed = await place(self.shop, (await make_product(self.shop), 1), payment_method="zelle")
        assert placed.order.payment is not None
        self.ids["payment_id"] = placed.order.payment.id
        return placed.order.id

    async def payment_id(self) -> UUID:
        await self.id_of("order_id")
        return self.ids["payment_id"]

    async def refund_id(self) -> UUID:
        await self.received()
        return (await self.by_admin.refunds.request(payment_id=PaymentId(self.ids["payment_id"]), reason="damaged")).id

    async def dispute_id(self) -> UUID:
        await self.received()
        dispute = await self.by_admin.disputes.open(
            payment_id=PaymentId(self.ids["payment_id"]),
            provider="stripe",
            provider_dispute_id="dp_1",
            amount=usd(5),
            reason="fraud",
        )
        return dispute.id

    async def quote_id(self) -> str:
        draft = RefundQuoteDraft(id="rq-1", original_purchase_id="sig-1", recipient_wallet="7xKX", amount=usd(5))
        return (await self.by_admin.refund_quotes.save(quote=draft)).id

    async def method_id(self) -> UUID:
        return (await make_method(self.shop)).id

    async def rate_id(self) -> UUID:
        return (await self.shop.shipping_rates.create(code="post", name="Post", amount=usd(500))).id

    async def user_id(self) -> UUID:
        return (await self.shop.users.create(email="bo@buyer.example", role=UserRole.STAFF)).id

    async def address_id(self) -> UUID:
        user_id = UserId(await self.id_of("user_id"))
        return (await self.shop.addresses.add(user_id=user_id, address=HOME)).id

    async def subscription_id(self) -> UUID:
        made = await self.shop.subscriptions.create(
            product_id=await self.id_of("product_id"),  # type: ignore[arg-type]
            wallet="W",
            payment_method=SubscriptionPayment.MANUAL,
            billing_period=BillingPeriod.MONTH,
        )
        return made.id

    async def template_id(self) -> UUID:
        made = await self.shop.notice_templates.create(
            kind="phone_code", channel=Channel.SMS, language="de", body="{{ code }}"
        )
        return made.id

    async def domain_id(self) -> UUID:
        return (await self.shop.domains.create(domain_name="other.example")).id

    async def code(self) -> str:
        return (await make_coupon(self.shop, "10 %")).code

    async def key_id(self) -> UUID:
        key, _ = await self.by_admin.api_keys.create(name="till", permissions=[Permission.ORDERS_READ])
        return ApiKeyId(key.id)

    # --- What must have happened before ---------------------------------------------------------------------------

    async def received(self) -> None:
        await self.by_admin.payments.verify(payment_id=PaymentId(await self.id_of("payment_id")))

    async def credited(self) -> None:
        await self.shop.store_credit.grant(user_id=UserId(await self.id_of("user_id")), amount=usd(5000))

    async def receiving(self) -> None:
        await self.id_of("account_id")
        await make_product(self.shop, sku="W-1")

    async def paid(self) -> None:
        await self.order_at(OrderStatus.PROCESSING)

    async def sent(self) -> None:
        await self.order_at(OrderStatus.PROCESSING)
        await self.shop.orders.ship(order_id=OrderId(self.ids["order_id"]))

    async def claimed(self) -> None:
        payment = await self.shop.payments.get(payment_id=PaymentId(await self.id_of("payment_id")))
        await self.shop.payments.submit_proof(reference=payment.reference, customer_reference="TX-1")

    async def order_at(self, status: OrderStatus) -> None:
        await self.claimed()
        await self.by_admin.payments.verify(payment_id=PaymentId(self.ids["payment_id"]))
        await self.shop.orders.move(order_id=OrderId(self.ids["order_id"]), to=status)

    async def published(self) -> None:
        product_id = await self.id_of("product_id")
        await self.shop.products.publish(product_id=product_id)  # type: ignore[arg-type]

    async def digital(self) -> None:
        product_id = await self.id_of("product_id")
        await self.shop.products.update(product_id=product_id, is_digital=True)  # type: ignore[arg-type]

    async def downloadable(self) -> None:
        """The order that is walked has a line to download, and is paid."""
        path = f"{self.shop.tenant_id}/goods/book.pdf"
        book = await make_product(self.shop, is_digital=True, file_path=path)
        method = await make_method(self.shop, code="downloads")
        placed = await place(self.shop, (book, 1), payment_method=method.code)
        assert placed.order.payment is not None
        await self.by_admin.payments.verify(payment_id=placed.order.payment.id)
        self.ids["order_id"] = placed.order.id

    async def assigned(self) -> None:
        product_id, category_id = await self.id_of("product_id"), await self.id_of("category_id")
        await self.shop.categories.assign(product_id=product_id, category_id=category_id)  # type: ignore[arg-type]

    async def verified(self) -> None:
        await self.shop.batches.verify(batch_id=await self.id_of("batch_id"))  # type: ignore[arg-type]

    async def enrolled(self) -> None:
        user_id = UserId(await self.id_of("user_id"))
        own = self.shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=user_id))
        await own.second_factors.enrol(user_id=user_id)

    async def born(self) -> None:
        user_id = UserId(await self.id_of("user_id"))
        await self.shop.users.update_profile(
            user_id=user_id, changes=ProfileChanges(date_of_birth=TODAY.replace(year=1980))
        )

    async def entries(self) -> list[Entry]:
        return (await self.shop.audit.list(user_id=self.admin)).items
