"""Two shops of one installation with the same things in them, and what is in their tables."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pyotp
import pytest

from factories import HOME, SECRET, make_coupon, make_method, make_product, open_shop, place, usd
from storeroom.access import ApiKey
from storeroom.catalog import Batch, Category, ImageDraft, Product
from storeroom.configuration import Config
from storeroom.conversions import Conversion, Provider, ProviderKind
from storeroom.core.ids import InboxId, VariantId, new_id
from storeroom.core.money import Money
from storeroom.core.visitor import Visitor
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.domains import Domain
from storeroom.downloads.links import token_of
from storeroom.flows.model import Placement
from storeroom.flows.wallet_payments import VerifiedPayment
from storeroom.gateways import Gateway
from storeroom.hosted import MpgsTransaction, StripeSession
from storeroom.identity import MailProofs, Permission, Proof, SavedAddress, Session, SignedIn, TokenKeys, User, UserRole
from storeroom.inbox import Scheme, WebhookSource
from storeroom.integration import Endpoint, Webhook
from storeroom.inventory import Reservation
from storeroom.messaging import NoticeTemplate
from storeroom.notices import Channel, Notice
from storeroom.orders import ShippingRate
from storeroom.payments import PaymentMethod
from storeroom.promotions import Coupon
from storeroom.refunds import Dispute, ItemToRefund, Refund, RefundQuote, RefundQuoteDraft
from storeroom.retention.links import link_token
from storeroom.room import Shop, Storeroom
from storeroom.sap import CustomerSync, SapFailed
from storeroom.subscriptions import BillingPeriod, Subscription, SubscriptionPayment
from storeroom.verification import CodeSent, Nonce, PhoneCodes, PhoneProof, SecondFactorRequired
from storeroom.wallets import CartQuote, QuoteItem, ReceivingAccount

PASSWORD = "correct horse battery"
_phones = itertools.count(2000)  # no two shops of a test have the same


class Inbox:
    """Where messages of a shop arrive."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    async def send(self, notice: Notice) -> None:
        self.codes.append(notice.facts.get("code") or notice.facts["token"])


@dataclass(kw_only=True)
class Estate:
    """One shop, seen by its owner, and one of everything in it."""

    shop: Shop
    product: Product
    category: Category
    batch: Batch
    rate: ShippingRate
    method: PaymentMethod
    user: User
    address: SavedAddress
    guest: Session
    guest_token: str
    signed_in: SignedIn
    proof: Proof
    cart: Any
    line: Any
    held: Reservation
    order: Placement
    paid: Placement
    mail_token: str
    phone_proof: PhoneProof
    code: CodeSent
    digits: str
    member: User
    challenge: str
    recovery_code: str
    key: ApiKey
    key_text: str
    domain: Domain
    template: NoticeTemplate
    gateway: Gateway
    hosted: StripeSession
    mpgs: MpgsTransaction
    coupon: Coupon
    refund: Refund
    quote: RefundQuote
    nonce: Nonce
    dispute: Dispute
    refund_items: list[ItemToRefund]
    subscription: Subscription
    endpoint: Endpoint
    webhook: Webhook
    source: WebhookSource
    message_id: InboxId
    tracking_number: str
    teller: Provider
    conversion: Conversion
    config: Config
    account: ReceivingAccount
    cart_quote: CartQuote
    signature: str
    sync: CustomerSync
    waits: CustomerSync
    kept: UUID
    cart_token: str
    download_token: str
    vendure_address: str

    @property
    def variant_id(self) -> VariantId:
        return self.product.variants[0].id

    @property
    def sku(self) -> str:
        return str(self.product.variants[0].sku)

    @property
    def visitor(self) -> Visitor:
        return Visitor(session_id=self.guest.id)

    def names(self) -> set[str]:
        """What nobody else must ever read of it."""
        payment = self.order.order.payment
        assert payment is not None
        rows = (self.product, self.category, self.batch, self.rate, self.method, self.user, self.address, self.guest)
        ids = [
            *(row.id for row in rows),
            self.key.id,
            self.domain.id,
            self.kept,
            self.gateway.id,
            self.hosted.id,
            self.mpgs.id,
            self.mpgs.session_id,
            self.coupon.id,
            self.coupon.code,
            self.endpoint.id,
            self.webhook.id,
            self.source.code,
            self.message_id,
            self.teller.id,
            self.conversion.id,
            self.account.id,
            self.cart_quote.id,
            self.signature,
            self.vendure_address,
            self.variant_id,
            self.cart.id,
            self.line.id,
            self.held.id,
            payment.id,
            self.refund.id,
            self.quote.id,
            self.dispute.id,
        ]
        orders = [each for placed in (self.order, self.paid) for each in (placed.order.id, placed.order.number)]
        return {str(each) for each in [*ids, *orders, payment.reference, self.sku, self.user.email]}


async def build(room: Storeroom) -> Estate:
    mark = secrets.token_hex(4)
    bare = await open_shop(room, actor=SYSTEM)
    owner = await bare.users.create(email=f"owner-{mark}@shop.example", role=UserRole.SUPER_ADMIN)
    shop = room.tenant(bare.tenant_id, actor=Actor(kind=ActorKind.ADMIN, user_id=owner.id, name=owner.email))
    category = await shop.categories.create(name=f"Shirts {mark}")
    variant_id = await make_product(
        shop,
        stock=50,
        external_id=f"ext-{mark}",
        categories=[category.id],
        images=[ImageDraft(url=f"https://img.example/{mark}.png")],
        tags=[mark],
    )
    await shop.products.update_variant(variant_id=variant_id, stripe_price_id=f"price_{mark}")
    product = await shop.products.get(product_id=(await shop.products.variant(variant_id=variant_id)).product_id)
    today = datetime.now(UTC).date()
    batch = await shop.batches.create(
        product_id=product.id,
        batch_number=f"B-{mark}",
        quantity_produced=10,
        coa_file_url="https://files.example/coa.pdf",
        manufactured_at=today,
        expires_at=today + timedelta(days=90),
    )
    rate = await shop.shipping_rates.create(code=f"rate-{mark}", name="Standard", amount=usd(500))
    method = await make_method(shop, f"zelle-{mark}")
    user = await shop.users.register(
        email=f"ann-{mark}@buyer.example",
        password=PASSWORD,
        full_name="Ann",
        phone=f"+1 512 555 {next(_phones)}",
    )
    address = await shop.addresses.add(user_id=user.id, address=HOME)
    proof = await shop.sessions.prove(email=user.email, password=PASSWORD)
    signed_in = await shop.sessions.start(proof=proof)
    await shop.store_credit.grant(user_id=user.id, amount=usd(2000), note=f"sorry {mark}")
    guest, guest_token = await shop.sessions.guest()
    cart = await shop.carts.create(visitor=Visitor(session_id=guest.id))
    line = await shop.carts.add(cart_id=cart.id, variant_id=variant_id, quantity=2)
    (held,) = await shop.carts.reserve(cart_id=cart.id)
    account = Visitor(user_id=user.id)
    order = await place(
        shop, (variant_id, 1), visitor=account, payment_method=method.code, source="market", purchase_id=mark
    )
    paid = await place(shop, (variant_id, 1), visitor=account, payment_method=method.code)
    assert paid.order.payment is not None
    await shop.payments.submit_proof(reference=paid.order.payment.reference, customer_reference="TX-1")
    assert order.order.payment is not None
    hosted = await shop.hosted_sessions.save(
        id=f"cs_test_{mark}",
        resource_id=order.order.number,
        amount=order.order.total,
        payment_id=order.order.payment.id,
        payment_intent=f"pi_{mark}",
    )
    mpgs = await shop.mpgs_transactions.create(
        session_id=f"SESSION{mark}",
        amount=order.order.total,
        success_indicator="right",
        order_id=order.order.id,
        payment_id=order.order.payment.id,
    )
    returned = await place(shop, (variant_id, 2), visitor=account, payment_method=method.code)
    assert returned.order.payment is not None
    await shop.payments.verify(payment_id=returned.order.payment.id)
    (bought,) = await shop.orders.items(order_id=returned.order.id)
    items = [ItemToRefund(order_item_id=bought.id, quantity=1)]
    refund = await shop.refunds.request(
        payment_id=returned.order.payment.id, amount=usd(100), reason=f"damaged {mark}", items=items
    )
    quote = await shop.refund_quotes.save(
        quote=RefundQuoteDraft(
            id=f"rq-{mark}", original_purchase_id=f"sig-{mark}", recipient_wallet="7xKX", amount=usd(5), reason=mark
        )
    )
    dispute = await shop.disputes.open(
        payment_id=returned.order.payment.id,
        provider="stripe",
        provider_dispute_id=f"dp_{mark}",
        amount=usd(5),
        reason=mark,
    )
    nonce = await shop.nonces.create(purpose="approve-refund")
    key, key_text = await shop.api_keys.create(name=f"key {mark}", permissions=[Permission.ORDERS_READ])
    await shop.api_keys.authenticate(key_text)  # its use is noted once a minute
    await shop.origins.replace(origins=[f"https://{mark}.example"])
    subscription = await shop.subscriptions.create(
        product_id=product.id,
        user_id=user.id,
        wallet=f"wallet-{mark}",
        stripe_customer_id=f"cus_{mark}",
        stripe_subscription_id=f"sub_{mark}",
        payment_method=SubscriptionPayment.STRIPE,
        billing_period=BillingPeriod.MONTH,
    )
    domain = await shop.domains.create(domain_name=f"{mark}.example")
    await shop.cart_reminders.upsert(domain_id=domain.id, bcc_emails=[f"{mark}@shop.example"])
    await shop.context.db.execute(
        shop.context.db.names.render(
            "INSERT INTO {downloads} (tenant_id, order_item_id, order_id, downloads_max, expires_at) "
            "VALUES ($1, $2, $3, 5, now() + INTERVAL '1 day')"
        ),
        shop.tenant_id,
        bought.id,
        returned.order.id,
    )
    kept = new_id()
    await shop.context.db.execute(
        shop.context.db.names.render(
            "INSERT INTO {cart_reminders} (tenant_id, id, cart_id, kind, domain, waiting_since) "
            "VALUES ($1, $2, $3, 'abandoned', $4, now())"
        ),
        shop.tenant_id,
        kept,
        cart.id,
        domain.domain_name,
    )
    template = await shop.notice_templates.create(kind="phone_code", channel=Channel.SMS, body=f"{{{{ code }}}} {mark}")
    gateway = await shop.gateways.create(id=f"pay-{mark}", name="Pay", config={"api_key": f"sealed {mark}"})
    coupon = await make_coupon(shop, "10 %", auto_apply=True, product_ids=[product.id])
    endpoint, _ = await shop.endpoints.create(name="there", url=f"https://{mark}.example/hooks")
    webhook = await shop.webhooks.enqueue(url=f"https://{mark}.example/", event_type="order.told", payload={"of": mark})
    source, _ = await shop.webhook_sources.create(code=f"from_{mark}", scheme=Scheme.HMAC)
    told = await shop.inbox.store(
        source=source.code,
        webhook_type="told",
        event=f"evt_{mark}",
        headers={},
        payload={"of": mark},
        signature=None,
        verified_by="secret",
    )
    assert told.id is not None
    await shop.orders.set_tracking(order_id=order.order.id, tracking_number=f"1Z{mark}")
    teller = await shop.conversions.create_provider(
        kind=ProviderKind.GA4, name="stream", account_id=f"G-{mark.upper()[:12]}", secret=f"sealed {mark}"
    )
    await shop.conversions.test_provider(provider_id=teller.id)
    conversion = (await shop.conversions.list()).items[0]
    await shop.erp.connect(base_url=f"http://127.0.0.1:9/{mark}")
    config = await shop.configuration.set(key=f"marketing.{mark}", value=f"sealed {mark}", is_encrypted=True)
    account = await shop.receiving_accounts.create(asset="USDC", address=f"wallet-{mark}", label="Main")
    priced = QuoteItem(variant_id=variant_id, unit_price=Money(1_000_000, "USDC"))
    cart_quote = await shop.cart_quotes.save(id=f"cart_{mark}", items=[priced], total=priced.unit_price)
    await shop.wallet_payments.record(
        VerifiedPayment(
            signature=f"sig-{mark}",
            wallet="buyer",
            amount=cart_quote.total,
            account=account.address,
            quote_id=cart_quote.id,
            email=user.email,
            name="Ann",
        )
    )
    await shop.vendure.upsert_address(
        address={"id": f"va-{mark}"}, vendure_customer_id=f"vc-{mark}", at=datetime(2026, 3, 2, tzinfo=UTC)
    )
    inbox = Inbox()
    await MailProofs(shop.context, notices=inbox).send_reset(email=user.email)
    mail_token = inbox.codes[-1]
    codes = PhoneCodes(shop.context, notices=inbox)
    proven = await codes.request(phone="+1 212 555 0199")
    phone_proof = await codes.verify(session_id=proven.session_id, code=inbox.codes[-1])
    code = await codes.request(phone=f"+{user.phone}")
    member = await shop.users.create(email=f"bo-{mark}@shop.example", role=UserRole.STAFF, password=PASSWORD)
    bos = bare.second_factors
    app = pyotp.TOTP((await bos.enrol(user_id=member.id)).secret)
    recovery_code, *_ = await bos.confirm(user_id=member.id, code=app.now())
    with pytest.raises(SecondFactorRequired) as asked:
        await shop.sign_in.with_password(email=member.email, password=PASSWORD)
    sync = await shop.customer_syncs.upsert(customer_email=user.email, sap_customer_code=f"code {mark}"[:50])
    waits = await shop.customer_syncs.upsert(customer_email=f"waits-{mark}@buyer.example")
    with pytest.raises(SapFailed):  # nobody is there, and that it was asked for is written down
        await shop.configuration.set(key="sap.address", value="http://127.0.0.1:1")
        await shop.invoices.fetch(order_id=order.order.id, invoice_number=f"INV {mark}")
    return Estate(
        shop=shop,
        product=product,
        category=category,
        batch=batch,
        rate=rate,
        method=method,
        user=user,
        address=address,
        guest=guest,
        guest_token=guest_token,
        signed_in=signed_in,
        proof=proof,
        cart=cart,
        line=line,
        held=held,
        order=order,
        paid=paid,
        mail_token=mail_token,
        phone_proof=phone_proof,
        code=code,
        digits=inbox.codes[-1],
        member=member,
        challenge=asked.value.challenge,
        recovery_code=recovery_code,
        key=key,
        key_text=key_text,
        domain=domain,
        template=template,
        gateway=gateway,
        hosted=hosted,
        mpgs=mpgs,
        coupon=coupon,
        refund=refund,
        quote=quote,
        nonce=nonce,
        dispute=dispute,
        refund_items=items,
        subscription=subscription,
        endpoint=endpoint,
        webhook=webhook,
        source=source,
        message_id=told.id,
        tracking_number=f"1Z{mark}",
        teller=teller,
        conversion=conversion,
        config=config,
        account=account,
        cart_quote=cart_quote,
        signature=f"sig-{mark}",
        sync=sync,
        waits=waits,
        kept=kept,
        download_token=token_of(TokenKeys.of(SECRET), tenant_id=shop.tenant_id, order_item_id=bought.id, generation=1),
        cart_token=link_token(
            TokenKeys.of(SECRET), tenant_id=shop.tenant_id, reminder_id=kept, now=shop.context.clock.now()
        ),
        vendure_address=f"va-{mark}",
    )


async def fingerprint(db: Database, tenant_id: str) -> dict[str, Any]:
    """By table of the tenant: its rows, and which transactions wrote them. Any write at all changes it."""
    tables = await db.fetch(
        "SELECT c.oid::regclass::text AS name FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid "
        "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition "
        "AND a.attname = 'tenant_id' "
        "ORDER BY 1"
    )
    parts = [
        f"SELECT '{table['name']}', count(*), md5(coalesce(string_agg(t.ctid::text || t.xmin::text, ',' ORDER BY t.ctid), '')) "
        f"FROM {table['name']} AS t WHERE tenant_id = $1"
        for table in tables
    ]
    return {db.names.original(row[0]): (row[1], row[2]) for row in await db.fetch(" UNION ALL ".join(parts), tenant_id)}
