"""The handle on a whole installation, and on one shop of it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cached_property
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from storeroom.access import ApiKeys, Origins
from storeroom.analytics import Events, PlaceLookup
from storeroom.audit import Audit, changed, record
from storeroom.carts import Carts
from storeroom.catalog import Batches, Categories, Products
from storeroom.configuration import ConfigCache, Configuration
from storeroom.conversions import Conversions
from storeroom.core.clock import Clock, SystemClock
from storeroom.core.ids import TenantId
from storeroom.core.networks import Network
from storeroom.core.secrets import Secret
from storeroom.credit import StoreCredit
from storeroom.database.migrations import require_migrated
from storeroom.database.names import TableNames
from storeroom.database.pool import POOL_SIZE_MAX, POOL_SIZE_MIN, Database, Transaction
from storeroom.database.service import SYSTEM, Actor, ActorKind, Claim, Context
from storeroom.domains import Domains
from storeroom.downloads import Downloads
from storeroom.erp import Erp
from storeroom.flows.begun_checkouts import BEGUN, tell_begun
from storeroom.flows.cancellation import Cancellation
from storeroom.flows.cart_returns import CartReturns
from storeroom.flows.checkout import Checkout, CheckoutGroups
from storeroom.flows.erasure import Erasures
from storeroom.flows.erp_intake import ErpIntake
from storeroom.flows.hosted_payments import HostedPayments
from storeroom.flows.inbound import Inbound
from storeroom.flows.personal_data import PersonalData
from storeroom.flows.refunding import DisputeOutcomes, RefundDecisions, Refunding
from storeroom.flows.secrets import require_nothing_sealed
from storeroom.flows.sign_in import SignIn
from storeroom.flows.vendure import Vendure
from storeroom.flows.wallet_payments import WalletPayments
from storeroom.gateways import Gateways
from storeroom.guests import GuestAttempts
from storeroom.hosted import HostedSessions, MpgsTransactions
from storeroom.identity import Addresses, MailProofs, ProviderProofs, Sessions, TokenKeys, Users
from storeroom.inbox import Inbox, WebhookSources
from storeroom.integration import Courier, Endpoints, Webhooks
from storeroom.inventory import Inventory
from storeroom.ledger import Ledger
from storeroom.messaging import NoticeTemplates
from storeroom.orders import Customers, Orders, ShippingRates
from storeroom.payments import PaymentMethods, Payments
from storeroom.promotions import Coupons
from storeroom.refunds import Refunds
from storeroom.retention import CartReminders
from storeroom.sap import CustomerSyncs, Invoices
from storeroom.shops import ShopSettings
from storeroom.subscriptions import Subscriptions
from storeroom.tenants import DEFAULT_TENANT, Tenants
from storeroom.timetable import Schedule
from storeroom.verification import Nonces, PhoneCodes, SecondFactors
from storeroom.wallets import CartQuotes, ReceivingAccounts, Transactions

OPERATOR: Final = Actor(kind=ActorKind.SYSTEM, name="operator")  # at the command line, who belongs to no shop
_LISTENERS: Final = {BEGUN: tell_begun}


class Shop:
    """One tenant's shop. Each attribute is a slice's operations; each operation is a transaction of its own.

    `async with shop.transaction() as tx:` gives the same shop with all its operations in one transaction.
    """

    def __init__(
        self,
        context: Context,
        groups: CheckoutGroups | None = None,
        keys: TokenKeys | None = None,
        places: PlaceLookup | None = None,
        configs: ConfigCache | None = None,
        *,
        courier: Courier | None = None,
    ) -> None:
        self.context = context
        self._groups = groups
        self._keys = keys
        self._places = places
        self._configs = configs
        self._courier = courier

    @property
    def tenant_id(self) -> TenantId:
        """The tenant's id."""
        return self.context.tenant_id

    def acting(
        self,
        *,
        actor: Actor | None = None,
        request_id: str | None = None,
        ip: str | None = None,
        user_agent: str | None = None,
        claim: Claim | None = None,
    ) -> "Shop":
        """The same shop in somebody's name: what history and outbox rows will say."""
        context = msgspec.structs.replace(
            self.context,
            actor=actor or self.context.actor,
            request_id=request_id,
            ip=ip,
            user_agent=user_agent,
            claim=claim,
        )
        return self._on(context)

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[Shop]":
        """All operations of the shop that is given, in one transaction: committed at the end, or nothing of it."""
        db = self.context.db
        if not isinstance(db, Database | Transaction):
            raise TypeError("a shop works on a Database or a Transaction")
        await self.context.settings()
        async with db.transaction() as tx:
            yield self._on(self.context.on(tx))

    def _on(self, context: Context) -> "Shop":
        return Shop(context, self._groups, self._keys, self._places, self._configs, courier=self._courier)

    @cached_property
    def addresses(self) -> Addresses:
        """Addresses of accounts."""
        return Addresses(self.context)

    @cached_property
    def api_keys(self) -> ApiKeys:
        """Keys with which programs call."""
        return ApiKeys(self.context)

    @cached_property
    def audit(self) -> Audit:
        """Who did what."""
        return Audit(self.context)

    @cached_property
    def batches(self) -> Batches:
        """Batches of products, with their certificates."""
        return Batches(self.context)

    @cached_property
    def cancellation(self) -> Cancellation:
        """Cancelling an order with all that hangs on it."""
        return Cancellation(self.context)

    @cached_property
    def cart_quotes(self) -> CartQuotes:
        """Priced offers, which wallets pay."""
        return CartQuotes(self.context)

    @cached_property
    def cart_reminders(self) -> CartReminders:
        """Carts that are kept for their owners."""
        return CartReminders(self.context, self._keys)

    @cached_property
    def cart_returns(self) -> CartReturns:
        """Coming back to a cart by a link."""
        return CartReturns(self.context, self._keys)

    @cached_property
    def carts(self) -> Carts:
        """Carts of guests and accounts."""
        return Carts(self.context)

    @cached_property
    def categories(self) -> Categories:
        """The tree of categories."""
        return Categories(self.context)

    @cached_property
    def checkout(self) -> Checkout:
        """Placing orders."""
        return Checkout(self.context, self._groups)

    @cached_property
    def configuration(self) -> Configuration:
        """What staff set while the shop runs."""
        return Configuration(self.context, self._keys, self._configs)

    @cached_property
    def conversions(self) -> Conversions:
        """What providers are told of purchases and carts."""
        return Conversions(self.context, self._keys)

    @cached_property
    def coupons(self) -> Coupons:
        """What takes something off a price."""
        return Coupons(self.context)

    @cached_property
    def disputes(self) -> DisputeOutcomes:
        """What buyers told their banks."""
        return DisputeOutcomes(self.context)

    @cached_property
    def domains(self) -> Domains:
        """The sites of the shop."""
        return Domains(self.context)

    @cached_property
    def downloads(self) -> Downloads:
        """Files of digital goods, and links to them."""
        return Downloads(self.context, self._keys)

    @cached_property
    def endpoints(self) -> Endpoints:
        """Where events go."""
        return Endpoints(self.context, self._keys)

    @cached_property
    def erp(self) -> Erp:
        """The ERP, and what it has of the shop."""
        return Erp(self.context, self._keys, self._courier)

    @cached_property
    def erp_intake(self) -> ErpIntake:
        """What the ERP says of the shop."""
        return ErpIntake(self.context)

    @cached_property
    def events(self) -> Events:
        """What visitors do."""
        return Events(self.context, self._places, _LISTENERS)

    @cached_property
    def gateways(self) -> Gateways:
        """The providers behind ways to pay."""
        return Gateways(self.context, self._keys)

    @cached_property
    def guest_attempts(self) -> GuestAttempts:
        """What people without an account tried to prove."""
        return GuestAttempts(self.context)

    @cached_property
    def hosted_payments(self) -> HostedPayments:
        """Payments on a provider's page."""
        return HostedPayments(self.context, self._keys, self._courier)

    @cached_property
    def hosted_sessions(self) -> HostedSessions:
        """Checkout sessions of Stripe."""
        return HostedSessions(self.context)

    @cached_property
    def invoices(self) -> Invoices:
        """Invoices, fetched from SAP."""
        return Invoices(self.context, self._courier, self._keys, self._configs)

    @cached_property
    def customer_syncs(self) -> CustomerSyncs:
        """Customers as SAP has them."""
        return CustomerSyncs(self.context)

    @cached_property
    def customers(self) -> Customers:
        """Accounts as buyers: what they bought, and who may be written to."""
        return Customers(self.context)

    @cached_property
    def inbound(self) -> Inbound:
        """Messages of other systems on their way in."""
        return Inbound(self.context, self._keys)

    @cached_property
    def inbox(self) -> Inbox:
        """What other systems told the shop."""
        return Inbox(self.context, self._keys)

    @cached_property
    def inventory(self) -> Inventory:
        """Stock and reservations."""
        return Inventory(self.context)

    @cached_property
    def ledger(self) -> Ledger:
        """What came in, went back and is due."""
        return Ledger(self.context)

    @cached_property
    def mail_proofs(self) -> MailProofs:
        """Mail addresses that are proven, and forgotten passwords."""
        return MailProofs(self.context, self._keys)

    @cached_property
    def nonces(self) -> Nonces:
        """One-time permissions for dangerous acts."""
        return Nonces(self.context)

    @cached_property
    def notice_templates(self) -> NoticeTemplates:
        """The words of what the shop tells its customers."""
        return NoticeTemplates(self.context)

    @cached_property
    def orders(self) -> Orders:
        """Orders after they were placed."""
        return Orders(self.context)

    @cached_property
    def mpgs_transactions(self) -> MpgsTransactions:
        """Transactions of Mastercard's gateway."""
        return MpgsTransactions(self.context)

    @cached_property
    def origins(self) -> Origins:
        """Web origins whose pages may call."""
        return Origins(self.context)

    @cached_property
    def payment_methods(self) -> PaymentMethods:
        """The ways to pay that the shop offers."""
        return PaymentMethods(self.context)

    @cached_property
    def payments(self) -> Payments:
        """Payments, their proofs and their verification."""
        return Payments(self.context)

    @cached_property
    def phone_codes(self) -> PhoneCodes:
        """Codes sent to phones, and what they prove."""
        return PhoneCodes(self.context, self._keys)

    @cached_property
    def erasures(self) -> Erasures:
        """People erased from the shop."""
        return Erasures(self.context)

    @cached_property
    def personal_data(self) -> PersonalData:
        """What the shop holds about people."""
        return PersonalData(self.context)

    @cached_property
    def products(self) -> Products:
        """Products, options, variants, images."""
        return Products(self.context)

    @cached_property
    def refund_quotes(self) -> RefundDecisions:
        """What goes back of purchases made elsewhere, and who decided so."""
        return RefundDecisions(self.context)

    @cached_property
    def refunding(self) -> Refunding:
        """Giving money back, with all that follows."""
        return Refunding(self.context)

    @cached_property
    def refunds(self) -> Refunds:
        """Refunds, asked for and done."""
        return Refunds(self.context)

    @cached_property
    def receiving_accounts(self) -> ReceivingAccounts:
        """Where money from wallets counts."""
        return ReceivingAccounts(self.context)

    @cached_property
    def schedule(self) -> Schedule:
        """What the worker does, and when. The installation's, to be read."""
        return Schedule(self.context)

    @cached_property
    def second_factors(self) -> SecondFactors:
        """What staff sign in with beside a password."""
        return SecondFactors(self.context, self._keys)

    @cached_property
    def provider_proofs(self) -> ProviderProofs:
        """People whom Google or Apple vouch for."""
        return ProviderProofs(self.context)

    @cached_property
    def sessions(self) -> Sessions:
        """Guests and sign-in."""
        return Sessions(self.context, self._keys)

    @cached_property
    def shop_settings(self) -> ShopSettings:
        """What binds everything that the shop does."""
        return ShopSettings(self.context)

    @cached_property
    def shipping_rates(self) -> ShippingRates:
        """What shipping costs, and whereto."""
        return ShippingRates(self.context)

    @cached_property
    def sign_in(self) -> SignIn:
        """Signing in with all that a guest has gathered."""
        return SignIn(self.context, self._keys)

    @cached_property
    def store_credit(self) -> StoreCredit:
        """What the shop owes its accounts."""
        return StoreCredit(self.context)

    @cached_property
    def subscriptions(self) -> Subscriptions:
        """Who may use a product until when."""
        return Subscriptions(self.context)

    @cached_property
    def transactions(self) -> Transactions:
        """Payments from wallets, none of which counts twice."""
        return Transactions(self.context)

    @cached_property
    def users(self) -> Users:
        """Accounts."""
        return Users(self.context, self._keys)

    @cached_property
    def vendure(self) -> Vendure:
        """A Vendure shop as the source of customers and orders."""
        return Vendure(self.context)

    @cached_property
    def webhooks(self) -> Webhooks:
        """What is queued for other systems."""
        return Webhooks(self.context)

    @cached_property
    def webhook_sources(self) -> WebhookSources:
        """Who may tell the shop something."""
        return WebhookSources(self.context, self._keys)

    @cached_property
    def wallet_payments(self) -> WalletPayments:
        """Verified payments from wallets, with their orders."""
        return WalletPayments(self.context)


class Storeroom:
    """One installation: a database with any number of shops.

    async with Storeroom.open("postgresql://…") as room:
        shop = room.tenant("default")
        page = await shop.products.list()
    """

    def __init__(
        self,
        db: Database,
        *,
        clock: Clock | None = None,
        grouping: bool = True,
        secret: Secret | str | None = None,
        other_secrets: Sequence[Secret | str] = (),
        places: PlaceLookup | None = None,
        private_destinations: Sequence[Network] = (),
    ) -> None:
        """Use `Storeroom.open`."""
        self.db = db
        self.tenants = Tenants(db, tell=self._tell)
        self.token_keys = TokenKeys.of(secret, other_secrets)
        self.configs = ConfigCache(db)
        self._clock = clock or SystemClock()
        self._groups = CheckoutGroups(db) if grouping else None
        self._places = places
        self.courier = Courier(allowed=private_destinations)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dsn: str,
        *,
        names: TableNames | None = None,
        pool_size: int = POOL_SIZE_MAX,
        statement_cache: bool = True,
        direct_dsn: str | None = None,
        grouping: bool = True,
        clock: Clock | None = None,
        secret: Secret | str | None = None,
        other_secrets: Sequence[Secret | str] = (),
        require_secret: bool = True,
        places: PlaceLookup | None = None,
        private_destinations: Sequence[Network] = (),
    ) -> "AsyncIterator[Self]":
        """Connect to a migrated database.

        Args:
            dsn: postgresql://…, PostgreSQL 15 to 18 or a pooler before it.
            names: a prefix or names for the tables; see docs.
            pool_size: connections at most.
            statement_cache: False behind PgBouncer in transaction mode.
            direct_dsn: past the pooler, to listen for wake-ups.
            grouping: place the orders that arrive together in one call.
            clock: for tests.
            secret: 32 characters or more, from which the keys are made that sign tokens and seal what must not be
                read. Without it nobody signs in.
            other_secrets: open as well: the one before, until nothing of it is left; the next one, before it is used.
            require_secret: False opens a database that holds something sealed also without a secret.
            places: where a network address is, for the country, region and city of events; see `analytics.PlaceLookup`.
            private_destinations: networks where other systems may be asked although they are not public.

        Raises:
            NotMigrated: run `storeroom migrate` first.
            SecretNeeded: something is sealed there, and there is no secret.
            DatabaseUnavailable, DatabaseRefused: nothing answers there, or not to us.
        """
        db = await Database.open(
            dsn,
            names=names,
            min_size=POOL_SIZE_MIN,
            max_size=pool_size,
            statement_cache=statement_cache,
            direct_dsn=direct_dsn,
        )
        async with db:
            await require_migrated(db)
            room = cls(
                db,
                clock=clock,
                grouping=grouping,
                secret=secret,
                other_secrets=other_secrets,
                places=places,
                private_destinations=private_destinations,
            )
            if require_secret and not room.token_keys:
                await require_nothing_sealed(db)
            async with room.courier:
                yield room

    async def _tell(
        self, tx: Transaction, tenant_id: TenantId, action: str, *, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        """What the operator does to a shop stands in the trail of that shop."""
        context = Context(db=tx, tenant_id=tenant_id, tenants=self.tenants.cache, actor=OPERATOR, clock=self._clock)
        before, after = changed(msgspec.to_builtins(old), msgspec.to_builtins(new))
        await record(tx, context, action=action, resource_type="tenant", old_values=before, new_values=after)

    def tenant(self, tenant_id: str = DEFAULT_TENANT, *, actor: Actor = SYSTEM) -> Shop:
        """The handle on one shop. That it exists is asked at its first operation, and kept for a few seconds."""
        context = Context(
            db=self.db, tenant_id=TenantId(tenant_id), tenants=self.tenants.cache, actor=actor, clock=self._clock
        )
        return Shop(context, self._groups, self.token_keys, self._places, self.configs, courier=self.courier)

    async def close(self) -> None:
        """Let go of all connections; again is no error. Afterwards every call fails with DatabaseClosed."""
        await self.courier.close()
        await self.db.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
