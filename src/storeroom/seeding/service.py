"""Plants seed files: the same rows under the same ids however often, all of it or nothing."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec

from storeroom.carts import Visitor
from storeroom.catalog import DEFAULT_TITLE
from storeroom.core.contact import normal_address, normal_email, normal_phone
from storeroom.core.errors import Invalid, StoreroomError
from storeroom.core.ids import BatchId, OrderId, PaymentId, UserId
from storeroom.core.money import Money
from storeroom.database.service import SYSTEM, Actor, ActorKind, TenantUnknown
from storeroom.flows.model import Purchase, PurchaseLine
from storeroom.orders import OrderStatus
from storeroom.promotions import DiscountType, normal_code
from storeroom.room import Shop, Storeroom
from storeroom.seeding import queries
from storeroom.seeding.errors import EnvironmentRefused, SeedClash, SeedFileInvalid, SeedSecretMissing
from storeroom.seeding.files import Section, SeedFile, read_environment, read_file, sections
from storeroom.seeding.model import (
    MADE_UP,
    AddressSeed,
    BatchSeed,
    CategorySeed,
    DiscountSeed,
    Environment,
    GatewaySeed,
    MethodSeed,
    OrderSeed,
    Planted,
    ProductSeed,
    ProfileSeed,
    RateSeed,
    StatusSeed,
    UserSeed,
    VariantSeed,
    seed_id,
)
from storeroom.tenants import DEFAULT_TENANT, settings_of

SOURCE: Final = "seed"  # of seeded orders; with their key it makes each of them once
_PLANTER: Final = Actor(kind=ActorKind.ADMIN, name="seed")  # verifies payments and moves orders
_DISCOUNT_AMOUNTS: Final = ("amount", "minimum_order_amount", "maximum_discount_amount")
_ON_THE_WAY: Final = (  # how an order comes to where a seed wants it
    OrderStatus.PAYMENT_RECEIVED,
    OrderStatus.PROCESSING,
    OrderStatus.READY_TO_SHIP,
    OrderStatus.SHIPPED,
    OrderStatus.DELIVERED,
)


async def plant(
    room: Storeroom,
    environment: Environment,
    *,
    tenant_id: str = DEFAULT_TENANT,
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
    currency: str = "USD",
    again: bool = False,
) -> list[Planted]:
    """Plant the seeds of `base` and of one environment in a shop, which is made where it is missing.

    A second time changes what the files say otherwise by now, and doubles nothing. Files that are as they were are left
    out: what the shop has changed since, such as the address that its payments go to, stays.

    Args:
        room: of a migrated database.
        environment: what the shop is for.
        tenant_id: the shop.
        variables: where seeds find their secrets, such as os.environ.
        folder: other seeds than those that come with storeroom.
        currency: of a shop that has to be made.
        again: plant unchanged files too.

    Returns:
        What was planted, in its order.

    Raises:
        EnvironmentRefused: made-up data in production, or the other way round.
        SeedFilesMissing, SeedFileInvalid, SeedSecretMissing, SeedClash: nothing was planted.
    """
    files = read_environment(environment, folder)
    await _ensure_tenant(room, tenant_id, currency)
    return await _plant(room, files, tenant_id, variables or {}, environment=environment, again=again)


async def plant_file(
    room: Storeroom,
    path: Path,
    *,
    tenant_id: str = DEFAULT_TENANT,
    variables: Mapping[str, str] | None = None,
    again: bool = False,
) -> list[Planted]:
    """Plant one file in a shop that exists; it may name by key what other files planted. Else as `plant`."""
    file = read_file(path)
    await room.tenants.get(tenant_id)
    return await _plant(room, [file], tenant_id, variables or {}, environment=None, again=again)


async def _ensure_tenant(room: Storeroom, tenant_id: str, currency: str) -> None:
    try:
        await room.tenants.get(tenant_id)
    except TenantUnknown:
        name = "Storeroom" if tenant_id == DEFAULT_TENANT else tenant_id
        await room.tenants.create(tenant_id, name=name, currency=currency)


async def _plant(
    room: Storeroom,
    files: Sequence[SeedFile],
    tenant_id: str,
    variables: Mapping[str, str],
    *,
    environment: Environment | None,
    again: bool,
) -> list[Planted]:
    plan = sections(files)
    async with room.tenant(tenant_id, actor=SYSTEM).transaction() as tx:
        planter = _Planter(tx, (await settings_of(tx.context)).currency, variables)
        there = await planter.planted()
        if environment is not None:
            _check_company(environment, there)
        await planter.record(plan)
        unchanged = [not again and there.get(section.name) == section.checksum for section in plan]
        for section, skip in zip(plan, unchanged, strict=True):
            if not skip:
                await planter.plant(section)
    return [
        Planted(file=section.file, table=section.table, sequence=place, rows=len(section.rows), unchanged=skip)
        for place, (section, skip) in enumerate(zip(plan, unchanged, strict=True), start=1)
    ]


def _check_company(environment: Environment, there: Mapping[str, str]) -> None:
    """Keep what is made up and what is real apart, whichever came first."""
    folders = {name.partition("/")[0] for name in there}
    if environment in MADE_UP and Environment.PRODUCTION in folders:
        raise EnvironmentRefused(environment=environment, reason="the shop was planted for production")
    if environment is Environment.PRODUCTION and (made_up := folders & MADE_UP):
        raise EnvironmentRefused(environment=environment, reason=f"the shop has data of {min(made_up)}")


class _Planter:
    """Plants in one transaction."""

    def __init__(self, tx: Shop, currency: str, variables: Mapping[str, str]) -> None:
        self._tx = tx
        self._db = tx.context.db
        self._tenant_id = tx.tenant_id
        self._currency = currency
        self._variables = variables

    async def planted(self) -> dict[str, str]:
        """What the shop has by now: sections and the checksums of their files."""
        rows = await queries.planted_seeds(self._db, tenant_id=self._tenant_id)
        return {row.name: row.checksum for row in rows}

    async def record(self, plan: Sequence[Section]) -> None:
        """Remember what is planted, and in which order."""
        rows = [
            {"name": section.name, "checksum": section.checksum, "sequence": place}
            for place, section in enumerate(plan, start=1)
        ]
        await queries.record_seeds(self._db, tenant_id=self._tenant_id, rows=rows)

    async def plant(self, section: Section) -> None:
        """One table of one file.

        Raises:
            SeedFileInvalid, SeedClash: see their texts.
        """
        work: Callable[[str, list[Any]], Awaitable[None]] = getattr(self, f"_{section.table}")
        try:
            await work(section.file, section.rows)
        except SeedFileInvalid:
            raise
        except Invalid as error:
            raise SeedFileInvalid(file=section.file, reason=f"{section.table}: {error}") from error
        except asyncpg.UniqueViolationError as error:
            raise SeedClash(table=section.table, reason=error.detail or str(error)) from error
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
            raise SeedFileInvalid(file=section.file, reason=error.detail or str(error)) from error

    def _id(self, table: str, key: str) -> Any:
        return seed_id(self._tenant_id, table, key)

    def _amount(self, text: str | None) -> int | None:
        return None if text is None else Money.of(text, self._currency).amount

    def _variable(self, name: str, file: str) -> str:
        if not (value := self._variables.get(name, "")):
            raise SeedSecretMissing(variable=name, file=file)
        return value

    # --- A method for each table, by its name -------------------------------------------------------------------------

    async def _payment_methods(self, _: str, seeds: list[MethodSeed]) -> None:
        rows = [
            msgspec.structs.asdict(seed)
            | {
                "id": self._id("payment_methods", seed.key),
                "min_amount": self._amount(seed.min_amount),
                "max_amount": self._amount(seed.max_amount),
            }
            for seed in seeds
        ]
        await queries.plant_payment_methods(self._db, tenant_id=self._tenant_id, currency=self._currency, rows=rows)

    async def _payment_gateways(self, _: str, seeds: list[GatewaySeed]) -> None:
        rows = [msgspec.structs.asdict(seed) for seed in seeds]
        await queries.plant_gateways(self._db, tenant_id=self._tenant_id, rows=rows)

    async def _product_categories(self, _: str, seeds: list[CategorySeed]) -> None:
        rows = [
            msgspec.structs.asdict(seed)
            | {
                "id": self._id("product_categories", seed.key),
                "parent_id": self._id("product_categories", seed.parent) if seed.parent else None,
            }
            for seed in seeds
        ]
        await queries.plant_categories(self._db, tenant_id=self._tenant_id, rows=rows)

    async def _products(self, file: str, seeds: list[ProductSeed]) -> None:
        products, options, variants, stock, shelves = [], [], [], [], []
        for seed in seeds:
            product_id = self._id("products", seed.key)
            products.append(msgspec.structs.asdict(seed) | {"id": product_id})
            for place, option in enumerate(seed.options, start=1):
                option_id = self._id("product_options", f"{seed.key}/{option.name}")
                options.append(
                    msgspec.structs.asdict(option) | {"id": option_id, "product_id": product_id, "position": place}
                )
            for place, variant in enumerate(seed.variants, start=1):
                row = self._variant(file, seed, variant)
                variants.append(row | {"product_id": product_id, "position": place})
                movement_id = self._id("stock_movements", variant.sku)
                stock.append({"variant_id": row["id"], "movement_id": movement_id, "on_hand": variant.stock})
            shelves += [
                {
                    "product_id": product_id,
                    "category_id": self._id("product_categories", key),
                    "is_primary": key == seed.categories[0],
                }
                for key in seed.categories
            ]
        db, tenant_id, currency = self._db, self._tenant_id, self._currency
        now = self._tx.context.clock.now()
        await queries.plant_products(db, tenant_id=tenant_id, currency=currency, published_at=now, rows=products)
        await queries.plant_options(db, tenant_id=tenant_id, rows=options)
        await queries.plant_variants(db, tenant_id=tenant_id, currency=currency, rows=variants)
        await queries.plant_stock(db, tenant_id=tenant_id, rows=stock)
        await queries.plant_assignments(db, tenant_id=tenant_id, rows=shelves)

    def _variant(self, file: str, product: ProductSeed, seed: VariantSeed) -> dict[str, Any]:
        values = {option.name: option.values for option in product.options}
        if seed.options.keys() != values.keys() or any(seed.options[name] not in values[name] for name in values):
            raise SeedFileInvalid(file=file, reason=f"{seed.sku}: options other than those of {product.key}")
        return msgspec.structs.asdict(seed) | {
            "id": self._id("product_variants", seed.sku),
            "title": " / ".join(seed.options[option.name] for option in product.options) or DEFAULT_TITLE,
            "price": self._amount(seed.price),
            "compare_at_price": self._amount(seed.compare_at_price),
            "cost_price": self._amount(seed.cost_price),
        }

    async def _product_batches(self, _: str, seeds: list[BatchSeed]) -> None:
        ids = {seed.key: BatchId(self._id("product_batches", seed.key)) for seed in seeds}
        rows = [
            msgspec.structs.asdict(seed) | {"id": ids[seed.key], "product_id": self._id("products", seed.product)}
            for seed in seeds
        ]
        await queries.plant_batches(self._db, tenant_id=self._tenant_id, rows=rows)
        for seed in seeds:
            if seed.coa_verified:
                await self._tx.batches.verify(batch_id=ids[seed.key])

    async def _users(self, file: str, seeds: list[UserSeed]) -> None:
        region = (await settings_of(self._tx.context)).country_code
        ids = {seed.key: UserId(self._id("users", seed.key)) for seed in seeds}
        there = set(await queries.users_there(self._db, tenant_id=self._tenant_id, ids=list(ids.values())))
        rows, passwords = [], {}
        for seed in seeds:
            if (seed.email is None) == (seed.email_from is None):
                raise SeedFileInvalid(file=file, reason=f"{seed.key}: give email or email_from, one of the two")
            email = seed.email if seed.email_from is None else self._variable(seed.email_from, file)
            rows.append(
                msgspec.structs.asdict(seed)
                | {
                    "id": ids[seed.key],
                    "email": normal_email(email or ""),
                    "phone": normal_phone(seed.phone, region) if seed.phone else None,
                }
            )
            if seed.password_from is None or ids[seed.key] in there:
                continue
            if seed.password_from in self._variables or not seed.password_optional:
                passwords[ids[seed.key]] = self._variable(seed.password_from, file)
        now = self._tx.context.clock.now()
        await queries.plant_users(self._db, tenant_id=self._tenant_id, verified_at=now, rows=rows)
        for user_id, password in passwords.items():
            await self._tx.users.set_password(user_id=user_id, password=password)

    async def _user_profiles(self, _: str, seeds: list[ProfileSeed]) -> None:
        rows = [
            msgspec.structs.asdict(seed)
            | {"id": self._id("user_profiles", seed.user), "user_id": self._id("users", seed.user)}
            for seed in seeds
        ]
        await queries.plant_profiles(self._db, tenant_id=self._tenant_id, rows=rows)

    async def _user_addresses(self, _: str, seeds: list[AddressSeed]) -> None:
        rows = [
            msgspec.structs.asdict(normal_address(seed.address))
            | {
                "id": self._id("user_addresses", seed.key),
                "user_id": self._id("users", seed.user),
                "address_type": seed.address_type,
                "is_default": seed.is_default,
                "label": seed.label,
            }
            for seed in seeds
        ]
        await queries.plant_addresses(self._db, tenant_id=self._tenant_id, rows=rows)

    async def _discounts(self, _: str, seeds: list[DiscountSeed]) -> None:
        rows = [
            msgspec.structs.asdict(seed)
            | {
                "id": self._id("coupons", seed.key),
                "code": normal_code(seed.code),
                "discount_type": DiscountType.FIXED if seed.percentage is None else DiscountType.PERCENTAGE,
                "product_ids": seed.products and [self._id("products", key) for key in seed.products],
                "user_ids": seed.users and [self._id("users", key) for key in seed.users],
                "usage_limit_per_user": seed.usage_limit_per_user or None,
                **{field: self._amount(getattr(seed, field)) for field in _DISCOUNT_AMOUNTS},
            }
            for seed in seeds
        ]
        now = self._tx.context.clock.now()
        await queries.plant_coupons(
            self._db, tenant_id=self._tenant_id, currency=self._currency, planted_at=now, rows=rows
        )

    async def _shipping_rates(self, _: str, seeds: list[RateSeed]) -> None:
        rows = [
            msgspec.structs.asdict(seed)
            | {
                "id": self._id("shipping_rates", seed.key),
                "amount": self._amount(seed.amount),
                "free_from_amount": self._amount(seed.free_from_amount),
            }
            for seed in seeds
        ]
        await queries.plant_shipping_rates(self._db, tenant_id=self._tenant_id, currency=self._currency, rows=rows)

    async def _order_statuses(self, _: str, seeds: list[StatusSeed]) -> None:
        await queries.plant_status_labels(self._db, tenant_id=self._tenant_id, rows=seeds)

    async def _orders(self, file: str, seeds: list[OrderSeed]) -> None:
        for seed in seeds:
            try:
                await self._order(seed)
            except StoreroomError as error:
                raise SeedFileInvalid(file=file, reason=f"{seed.key}: {error} ({error.code})") from error

    async def _order(self, seed: OrderSeed) -> None:
        """Place it as its buyer would, then do what staff would have done."""
        purchase = Purchase(
            lines=[PurchaseLine(sku=line.sku, quantity=line.quantity) for line in seed.lines],
            email=seed.email,
            name=seed.name,
            phone=seed.phone,
            shipping_address=seed.address,
            shipping_method=seed.shipping_method,
            payment_method=seed.payment_method,
            age_attested=seed.age_attested,
            compliance=seed.compliance,
            notes=seed.notes,
            source=SOURCE,
            purchase_id=seed.key,
        )
        visitor = Visitor(user_id=UserId(self._id("users", seed.user))) if seed.user else None
        placement = await self._tx.checkout.place(purchase, visitor=visitor)
        payment = placement.order.payment
        if not placement.new or payment is None:
            return
        if seed.proof is not None:
            await self._tx.payments.submit_proof(reference=payment.reference, customer_reference=seed.proof)
        await self._bring(placement.order.id, payment.id, seed)

    async def _bring(self, order_id: OrderId, payment_id: PaymentId, seed: OrderSeed) -> None:
        staff = self._tx.acting(actor=_PLANTER)
        if seed.status is OrderStatus.CANCELLED:
            await staff.cancellation.cancel(order_id=order_id, reason="changed their mind")
        if seed.status not in _ON_THE_WAY:
            return
        for status in _ON_THE_WAY[: _ON_THE_WAY.index(seed.status) + 1]:
            if status is OrderStatus.PAYMENT_RECEIVED:
                await staff.payments.verify(payment_id=payment_id)
            elif status is OrderStatus.SHIPPED:
                await staff.orders.ship(order_id=order_id, carrier=seed.carrier, tracking_number=seed.tracking_number)
            else:
                await staff.orders.move(order_id=order_id, to=status)
