"""Making and changing products, their options, variants and images."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, Unpack

from storeroom import outbox
from storeroom.audit import audited
from storeroom.catalog import queries
from storeroom.catalog.drafts import (
    ImageDraft,
    OptionDraft,
    ProductDraft,
    ProductFields,
    VariantDraft,
    VariantFields,
    checked,
    draft_of_product,
    draft_of_variant,
    image_rows,
    known_id,
    normal_options,
    product_row,
    variant_row,
)
from storeroom.catalog.errors import (
    CategoryNotFound,
    ImageNotFound,
    InvalidProduct,
    InvalidVariant,
    OptionValueInUse,
    ProductDeleted,
    ProductExists,
    ProductMoveRefused,
    ProductNotFound,
    SkuTaken,
    SlugTaken,
    StripePriceTaken,
    VariantExists,
    VariantNotFound,
)
from storeroom.catalog.listing import Listing
from storeroom.catalog.model import (
    IMAGES_MAX,
    PRODUCT_MOVES,
    VARIANTS_MAX,
    Image,
    Option,
    Product,
    ProductStatus,
    StockPolicy,
    Variant,
)
from storeroom.core.ids import CategoryId, ProductId, VariantId, new_id
from storeroom.core.money import Money
from storeroom.core.states import sources
from storeroom.database.errors import violations
from storeroom.database.service import transactional

CATEGORIES_OF_PRODUCT_MAX: Final = 100
PRODUCT_CREATED: Final = "product.created"  # what others hear of
PRODUCT_UPDATED: Final = "product.updated"


class Products(Listing):
    """The products of a shop. Each change holds the product's row until it commits, so rules over its parts hold."""

    @audited("catalog.create_product", "product")
    @transactional
    async def create(
        self,
        *,
        name: str,
        slug: str | None = None,
        price: Money | None = None,
        sku: str | None = None,
        on_hand: int = 0,
        stock_policy: StockPolicy = StockPolicy.DENY,
        options: Sequence[OptionDraft] = (),
        variants: Sequence[VariantDraft] = (),
        images: Sequence[ImageDraft] = (),
        categories: Sequence[CategoryId] = (),
        publish: bool = False,
        product_id: ProductId | None = None,
        **fields: Unpack[ProductFields],
    ) -> Product:
        """Make a product with its variants and their first stock; a draft unless `publish`.

        Args:
            name: what people read.
            slug: its name in an address; made of `name` where it is not given.
            price: of the one variant of a product without options; with `variants` it is left out.
            sku: of that one variant.
            on_hand: the first stock of that one variant.
            stock_policy: of that one variant.
            options: what can be chosen, in order.
            variants: what is sold, in order; each chooses a value of every option.
            images: in order.
            categories: the first is the primary one.
            publish: make it active at once.
            product_id: made by the caller, so that a retry is recognised; a new one where it is not given.
            **fields: the rest, see ProductFields.

        Raises:
            InvalidProduct, InvalidOptions, InvalidVariant, CurrencyMismatch: `field` says which part.
            SlugTaken, SkuTaken, StripePriceTaken, ProductExists: another product has it.
            VariantExists: two variants have the same options.
            CategoryNotFound: no such category.
        """
        if variants and price is not None:
            raise InvalidProduct(field="price", reason="each variant has its own; base_price is what lists show")
        if not variants and options:
            raise InvalidProduct(field="variants", reason="missing: a product with options is sold as its variants")
        if not variants and price is None:
            raise InvalidProduct(field="price", reason="missing: give a price, or variants")
        if price is not None:
            variants = [VariantDraft(price=price, sku=sku, on_hand=on_hand, stock_policy=stock_policy)]
        if len(variants) > VARIANTS_MAX:
            raise InvalidProduct(field="variants", reason=f"at most {VARIANTS_MAX}")
        if len(categories) > CATEGORIES_OF_PRODUCT_MAX:
            raise InvalidProduct(field="categories", reason=f"at most {CATEGORIES_OF_PRODUCT_MAX}")
        currency = (await self.context.settings()).currency
        chosen = normal_options(options)
        made = ProductId(known_id(product_id))
        draft = checked(ProductDraft, {"name": name, "slug": slug, **fields}, InvalidProduct)
        row = product_row(draft, currency=currency) | {
            "id": made,
            "status": ProductStatus.ACTIVE if publish else ProductStatus.DRAFT,
            "published_at": self.context.clock.now() if publish else None,
        }
        with _taken(row):
            await queries.add_products(self.db, tenant_id=self.tenant_id, rows=[row])
        await self._write_options(made, chosen)
        rows = [
            variant_row(v, variant_id=VariantId(new_id()), product_id=made, currency=currency, options=chosen)
            | {"position": place if v.position is None else v.position}
            for place, v in enumerate(variants, start=1)
        ]
        await self._add_variants(rows)
        await self._write_images(image_rows(images, made))
        with violations({"pca_category_fkey": lambda: CategoryNotFound(category=str(categories[0]))}):
            for category_id in dict.fromkeys(categories):
                await queries.assign(
                    self.db, tenant_id=self.tenant_id, rows=[{"product_id": made, "category_id": category_id}]
                )
        return await self._told(made, PRODUCT_CREATED)

    @audited("catalog.update_product", "product", "product_id")
    @transactional
    async def update(
        self,
        *,
        product_id: ProductId,
        name: str | None = None,
        slug: str | None = None,
        **fields: Unpack[ProductFields],
    ) -> Product:
        """Change what is given and leave the rest.

        Raises:
            ProductNotFound, ProductDeleted: there is nothing to change.
            InvalidProduct, CurrencyMismatch: `field` says which part. Nothing was written.
            SlugTaken, ProductExists: another product has it.
        """
        product = await self._locked(product_id)
        changes: dict[str, Any] = dict(fields)
        changes |= {key: value for key, value in (("name", name), ("slug", slug)) if value is not None}
        draft = checked(ProductDraft, draft_of_product(product) | changes, InvalidProduct)
        row = product_row(draft, currency=product.currency) | {"id": product_id}
        with _taken(row):
            await queries.update_products(self.db, tenant_id=self.tenant_id, rows=[row])
        return await self._told(product_id)

    @audited("catalog.publish", "product", "product_id")
    @transactional
    async def publish(self, *, product_id: ProductId) -> Product:
        """List and sell it. The instant of the first time stays in `published_at`.

        Raises:
            ProductNotFound: no such product.
            ProductMoveRefused: it is active already, or deleted.
        """
        return await self._move(product_id, ProductStatus.ACTIVE)

    @audited("catalog.unpublish", "product", "product_id")
    @transactional
    async def unpublish(self, *, product_id: ProductId) -> Product:
        """Take an active product back to be worked on."""
        return await self._move(product_id, ProductStatus.DRAFT)

    @audited("catalog.discontinue", "product", "product_id")
    @transactional
    async def discontinue(self, *, product_id: ProductId) -> Product:
        """Sell it no more."""
        return await self._move(product_id, ProductStatus.DISCONTINUED)

    @audited("catalog.set_out_of_stock", "product", "product_id")
    @transactional
    async def set_out_of_stock(self, *, product_id: ProductId) -> Product:
        """Take it off by hand until it can be had again, whatever the counters say."""
        return await self._move(product_id, ProductStatus.OUT_OF_STOCK)

    async def _move(self, product_id: ProductId, to: ProductStatus) -> Product:
        moved = await queries.move_products(
            self.db,
            tenant_id=self.tenant_id,
            product_ids=[product_id],
            to=to,
            sources=sources(PRODUCT_MOVES, to),
            published_at=self.context.clock.now() if to is ProductStatus.ACTIVE else None,
        )
        product = await self.get(product_id=product_id)
        if not moved:
            raise ProductMoveRefused(current="deleted" if product.deleted_at else product.status, wanted=to)
        await self._tell(product)
        return product

    @audited("catalog.delete_product", "product", "product_id")
    @transactional
    async def delete(self, *, product_id: ProductId) -> None:
        """Take it out of every list for good. The row stays for old orders, and its slug stays taken.

        Deleting again changes nothing.

        Raises:
            ProductNotFound: no such product.
        """
        deleted = await queries.delete_product(self.db, tenant_id=self.tenant_id, product_id=product_id)
        product = await self.get(product_id=product_id)
        if deleted:
            await self._tell(product)

    @audited("catalog.set_options", "product", "product_id")
    @transactional
    async def set_options(self, *, product_id: ProductId, options: Sequence[OptionDraft]) -> Product:
        """Replace the options; the variants keep what they chose and get their titles anew.

        A variant takes the first value of an option that is new, so the one variant of a product without options
        becomes the first choice of all.

        Raises:
            InvalidOptions: too many, one twice, or one without values.
            OptionValueInUse: an option or a value goes while a variant has it. Nothing was written.
        """
        product = await self._locked(product_id)
        chosen = normal_options(options, product.options)
        rows: list[dict[str, Any]] = []
        for variant in product.variants:
            _keep_values(variant, product.options, chosen)
            fitted = {option.name: variant.options.get(option.name, option.values[0]) for option in chosen}
            draft = VariantDraft(**{**draft_of_variant(variant), "options": fitted})
            rows.append(_row_of(draft, variant.id, product, chosen))
        await self._write_options(product_id, chosen)
        await self._update_variants(rows)
        await queries.touch_product(self.db, tenant_id=self.tenant_id, product_id=product_id)
        return await self._told(product_id)

    @audited("catalog.add_variant", "variant")
    @transactional
    async def add_variant(self, *, product_id: ProductId, variant: VariantDraft) -> Variant:
        """Sell another choice of the product's options.

        Raises:
            ProductNotFound, ProductDeleted: there is no product to add to.
            InvalidVariant, CurrencyMismatch: `field` says which part; also when the product has VARIANTS_MAX.
            VariantExists, SkuTaken, StripePriceTaken: it exists already.
        """
        product = await self._locked(product_id)
        if len(product.variants) >= VARIANTS_MAX:
            raise InvalidVariant(field="variants", reason=f"a product has at most {VARIANTS_MAX}")
        variant_id = VariantId(new_id())
        row = _row_of(variant, variant_id, product, product.options)
        if variant.position is None:
            row["position"] = max((v.position for v in product.variants), default=0) + 1
        await self._add_variants([row])
        await self._tell(product)
        return await self.variant(variant_id=variant_id)

    @audited("catalog.update_variant", "variant", "variant_id")
    @transactional
    async def update_variant(self, *, variant_id: VariantId, **fields: Unpack[VariantFields]) -> Variant:
        """Change what is given and leave the rest. Carts keep the price they saw until it is looked at again.

        Raises:
            VariantNotFound, ProductDeleted: there is nothing to change.
            InvalidVariant, CurrencyMismatch: `field` says which part. Nothing was written.
            VariantExists, SkuTaken, StripePriceTaken: another variant has it.
        """
        product_id = await queries.product_id_of_variant(self.db, tenant_id=self.tenant_id, variant_id=variant_id)
        if product_id is None:
            raise VariantNotFound(variant=variant_id)
        product = await self._locked(product_id)
        variant = await self.variant(variant_id=variant_id)
        draft = checked(VariantDraft, draft_of_variant(variant) | dict(fields), InvalidVariant)
        await self._update_variants([_row_of(draft, variant_id, product, product.options)])
        await self._tell(product)
        return await self.variant(variant_id=variant_id)

    async def deactivate_variant(self, *, variant_id: VariantId) -> Variant:
        """Sell it no more; orders that have it keep it."""
        return await self.update_variant(variant_id=variant_id, is_active=False)

    async def activate_variant(self, *, variant_id: VariantId) -> Variant:
        """Sell it again."""
        return await self.update_variant(variant_id=variant_id, is_active=True)

    @audited("catalog.add_image", "product", "product_id")
    @transactional
    async def add_image(self, *, product_id: ProductId, image: ImageDraft) -> Image:
        """Show a picture; one with the same address is changed.

        Raises:
            InvalidProduct: the address is none, or the product has IMAGES_MAX.
        """
        product = await self._locked(product_id)
        rows = image_rows([image], product_id, after=max((i.position for i in product.images), default=0))
        if len(product.images) >= IMAGES_MAX and rows[0]["url"] not in {i.url for i in product.images}:
            raise InvalidProduct(field="images", reason=f"at most {IMAGES_MAX}")
        await self._write_images(rows)
        written = await self._told(product_id)
        return next(shown for shown in written.images if shown.url == rows[0]["url"])

    @audited("catalog.remove_image", "product", "product_id")
    @transactional
    async def remove_image(self, *, product_id: ProductId, image_id: Any) -> None:
        """Show a picture no more; the file stays where it is."""
        product = await self._locked(product_id)
        if not await queries.remove_image(self.db, tenant_id=self.tenant_id, product_id=product_id, image_id=image_id):
            raise ImageNotFound(image_id=image_id)
        await self._tell(product)

    async def _locked(self, product_id: ProductId) -> Product:
        """The product, which nobody else changes until the transaction ends."""
        if await queries.lock_product(self.db, tenant_id=self.tenant_id, product_id=product_id) is None:
            raise ProductNotFound(product=product_id)
        product = await self.get(product_id=product_id)
        if product.deleted_at is not None:
            raise ProductDeleted(product_id=product_id)
        return product

    async def _told(self, product_id: ProductId, event: str = PRODUCT_UPDATED) -> Product:
        """The product as it is now, which others hear of."""
        product = await self.get(product_id=product_id)
        await self._tell(product, event)
        return product

    async def _tell(self, product: Product, event: str = PRODUCT_UPDATED) -> None:
        payload = told_of(product.id, name=product.name, slug=product.slug, status=product.status)
        await outbox.enqueue(
            self.db,
            tenant_id=self.tenant_id,
            event_type=event,
            payload=payload | {"deleted": product.deleted_at is not None},
            entity_type="product",
            entity_id=product.id,
        )

    async def _write_options(self, product_id: ProductId, options: Sequence[Option]) -> None:
        await queries.remove_options(self.db, tenant_id=self.tenant_id, product_ids=[product_id])
        rows = [
            {"id": o.id, "product_id": product_id, "name": o.name, "position": place, "values": o.values}
            for place, o in enumerate(options, start=1)
        ]
        await queries.add_options(self.db, tenant_id=self.tenant_id, rows=rows)

    async def _write_images(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            await queries.add_images(self.db, tenant_id=self.tenant_id, rows=rows)

    async def _add_variants(self, rows: Sequence[dict[str, Any]]) -> None:
        """A variant is born with its stock row, and with the movement that explains what is on it."""
        with _taken_by_variants(rows):
            await queries.add_variants(self.db, tenant_id=self.tenant_id, rows=rows)
        await self._add_stock(rows, reason=None)

    async def _add_stock(self, rows: Iterable[Mapping[str, Any]], *, reason: str | None) -> None:
        levels = [{"variant_id": row["id"], "on_hand": row["on_hand"]} for row in rows]
        await queries.add_stock_levels(self.db, tenant_id=self.tenant_id, rows=levels)
        await self._add_movements(
            [(level["variant_id"], level["on_hand"], level["on_hand"]) for level in levels if level["on_hand"]],
            kind="initial",
            reason=reason,
        )

    async def _add_movements(
        self, changes: Sequence[tuple[VariantId, int, int]], *, kind: str, reason: str | None
    ) -> None:
        """The rows of `stock_movements` for changes of (variant, units added, on hand after)."""
        actor = self.context.actor
        rows = [
            {"id": new_id(), "variant_id": variant_id, "kind": kind, "quantity": added, "on_hand_after": after}
            for variant_id, added, after in changes
        ]
        if rows:
            await queries.add_movements(
                self.db,
                tenant_id=self.tenant_id,
                reason=reason,
                actor_kind=actor.kind,
                actor_id=actor.user_id,
                rows=rows,
            )

    async def _update_variants(self, rows: Sequence[Mapping[str, Any]]) -> None:
        with _taken_by_variants(rows):
            await queries.update_variants(self.db, tenant_id=self.tenant_id, rows=rows)


def told_of(product_id: ProductId, *, name: str, slug: str, status: ProductStatus) -> dict[str, Any]:
    """What others hear of a product: which one; what it is like they ask for."""
    return {"id": product_id, "name": name, "slug": slug, "status": status, "deleted": False}


def _row_of(draft: VariantDraft, variant_id: VariantId, product: Product, options: Sequence[Option]) -> dict[str, Any]:
    return variant_row(draft, variant_id=variant_id, product_id=product.id, currency=product.currency, options=options)


def _keep_values(variant: Variant, before: Sequence[Option], after: Sequence[Option]) -> None:
    """Refuse options that lack what a variant has chosen."""
    kept = {option.name: option.values for option in after}
    for option in before:
        value = variant.options[option.name]
        if value not in kept.get(option.name, ()):
            raise OptionValueInUse(option=option.name, value=value, variant_id=variant.id)


def _taken(row: Mapping[str, Any]) -> AbstractContextManager[None]:
    return violations(
        {
            "products_slug_unique": lambda: SlugTaken(slug=row["slug"]),
            "products_pkey": lambda: ProductExists(field="id", value=str(row["id"])),
            "products_external_unique": lambda: ProductExists(field="external_id", value=row["external_id"]),
            "products_legacy_unique": lambda: ProductExists(field="legacy_id", value=str(row["legacy_id"])),
        }
    )


def _taken_by_variants(rows: Sequence[Mapping[str, Any]]) -> AbstractContextManager[None]:
    one = rows[0] if len(rows) == 1 else {}
    return violations(
        {
            "products_sku_unique": lambda: SkuTaken(sku=one.get("sku")),
            "product_variants_options_unique": lambda: VariantExists(title=one.get("title")),
            "product_variants_stripe_unique": lambda: StripePriceTaken(stripe_price_id=one.get("stripe_price_id")),
        }
    )
