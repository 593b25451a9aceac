"""Reading the catalogue: lists and pages for customers, whole products for staff."""

from enum import StrEnum
from typing import Final, TypeAlias, TypeVar
from uuid import UUID

import msgspec

from storeroom.catalog import queries
from storeroom.catalog.errors import (
    CategoryNotFound,
    InvalidProduct,
    InvalidSearch,
    ProductNotFound,
    VariantNotFound,
)
from storeroom.catalog.model import (
    CATEGORY_DEPTH_MAX,
    SEARCH_LENGTH_MAX,
    VARIANTS_MAX,
    Product,
    ProductHit,
    ProductPage,
    ProductStatus,
    ProductSummary,
    ProductType,
    Variant,
)
from storeroom.core.ids import CategoryId, ProductId, VariantId
from storeroom.core.pages import Page, decode_cursor, encode_cursor, page_of, page_size
from storeroom.database.service import Service, operation

_E = TypeVar("_E", bound=StrEnum)
_Hits: TypeAlias = list[ProductHit]  # in the class below, `list` is a method
_CategoryIds: TypeAlias = list[CategoryId]
_LIKE: Final = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_"})


class Listing(Service):
    """What can be asked about products."""

    @operation
    async def get(self, *, product_id: ProductId) -> Product:
        """A product with all that hangs on it; also a deleted one, which old orders still show.

        Raises:
            ProductNotFound: the tenant has no such product.
        """
        found = await queries.find_products(self.db, tenant_id=self.tenant_id, product_ids=[product_id])
        if not found:
            raise ProductNotFound(product=product_id)
        variants = await queries.find_variants(
            self.db, tenant_id=self.tenant_id, product_ids=[product_id], limit=VARIANTS_MAX + 1
        )
        return Product(**msgspec.structs.asdict(found[0]), variants=variants)

    @operation
    async def by_slug(self, *, slug: str) -> Product:
        """The product of a slug, whatever its status. What customers may see of it is `page`."""
        found = await queries.product_id_by_slug(self.db, tenant_id=self.tenant_id, slug=_storable(slug))
        return await self._found(found, slug)

    @operation
    async def by_external_id(self, *, external_id: str) -> Product:
        """The product that the caller knows by this id."""
        found = await queries.product_id_by_external_id(
            self.db, tenant_id=self.tenant_id, external_id=_storable(external_id)
        )
        return await self._found(found, external_id)

    @operation
    async def by_stripe_price_id(self, *, stripe_price_id: str) -> Product:
        """The product one of whose variants has this price at Stripe."""
        found = await queries.product_id_by_stripe_price_id(
            self.db, tenant_id=self.tenant_id, stripe_price_id=_storable(stripe_price_id)
        )
        return await self._found(found, stripe_price_id)

    async def _found(self, product_id: ProductId | None, asked: str) -> Product:
        if product_id is None:
            raise ProductNotFound(product=asked[:255])
        return await self.get(product_id=product_id)

    @operation
    async def page(self, *, slug: str) -> ProductPage:
        """What a customer sees of an active product.

        Raises:
            ProductNotFound: no such product, or it is not active.
        """
        found = await queries.product_page(self.db, tenant_id=self.tenant_id, slug=_storable(slug))
        if found is None:
            raise ProductNotFound(product=slug[:255])
        return found

    @operation
    async def list(
        self,
        *,
        category: str | None = None,
        product_type: ProductType | None = None,
        tag: str | None = None,
        q: str | None = None,
        status: ProductStatus | None = None,
        storefront: bool = True,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[ProductSummary]:
        """A page of products, newest first; with `q` of what a search finds, best first.

        Args:
            category: its slug; what stands in the categories below it is listed too.
            product_type: only these.
            tag: only those that bear it.
            q: words that stand in the name, also in part or misspelt; 1 to SEARCH_LENGTH_MAX characters.
            status: for staff, only those of this status.
            storefront: only what customers may see. False lists everything that is not deleted.
            cursor: where the page before ended.
            limit: rows, 1 to PAGE_SIZE_MAX.

        Raises:
            CategoryNotFound: no such category, or it is hidden.
            InvalidSearch: nothing to search for, or too much.
            InvalidCursor, InvalidPageSize: as their names say.
        """
        size = page_size(limit)
        wanted = ProductStatus.ACTIVE if storefront else _member(ProductStatus, status, "status")
        kind = _member(ProductType, product_type, "product_type")
        tag = None if tag is None else _storable(tag)
        category_ids = None if category is None else await self._subtree(category, storefront=storefront)
        if q is not None:
            after_rank, after_id = (None, None) if cursor is None else decode_cursor(cursor, [float, UUID])
            words = _words(q)
            hits = await queries.product_hits(
                self.db,
                tenant_id=self.tenant_id,
                words=words,
                pattern=f"%{words.translate(_LIKE)}%",
                limit=size + 1,
                status=wanted,
                category_ids=category_ids,
                product_type=kind,
                tag=tag,
                after_rank=after_rank,
                after_id=after_id,
            )
            end = encode_cursor(hits[size - 1].rank, hits[size - 1].id) if len(hits) > size else None
            return Page([*hits[:size]], end)
        rows = await queries.product_summaries(
            self.db,
            tenant_id=self.tenant_id,
            limit=size + 1,
            status=wanted,
            category_ids=category_ids,
            product_type=kind,
            tag=tag,
            after_id=None if cursor is None else decode_cursor(cursor, [UUID])[0],
        )
        return page_of(rows, size, lambda row: (row.id,))

    @operation
    async def search(self, *, text: str, limit: int | None = None) -> _Hits:
        """The products that customers may see whose names hold the words, best first, with how well they fit."""
        words = _words(text)
        return await queries.product_hits(
            self.db,
            tenant_id=self.tenant_id,
            words=words,
            pattern=f"%{words.translate(_LIKE)}%",
            limit=page_size(limit),
            status=ProductStatus.ACTIVE,
            after_id=None,
        )

    async def _subtree(self, slug: str, *, storefront: bool) -> _CategoryIds:
        found = await queries.subtree(
            self.db,
            tenant_id=self.tenant_id,
            slug=_storable(slug),
            depth_max=CATEGORY_DEPTH_MAX,
            active_only=storefront,
        )
        if not found:
            raise CategoryNotFound(category=slug[:100])
        return found

    @operation
    async def variant(self, *, variant_id: VariantId) -> Variant:
        """A variant with its stock, whatever its product's status.

        Raises:
            VariantNotFound: the tenant has no such variant.
        """
        found = await queries.find_variants(self.db, tenant_id=self.tenant_id, variant_id=variant_id, limit=1)
        if not found:
            raise VariantNotFound(variant=variant_id)
        return found[0]

    @operation
    async def variant_by_sku(self, *, sku: str) -> Variant:
        """The variant of a SKU, in the spelling in which it is stored."""
        found = await queries.find_variants(self.db, tenant_id=self.tenant_id, sku=_storable(sku), limit=1)
        if not found:
            raise VariantNotFound(variant=sku[:100])
        return found[0]


def _storable(text: str) -> str:
    """A text that the database can look for; one that it cannot hold is not there."""
    return text.replace("\x00", "�").encode("utf-8", "replace").decode()


def _words(text: str) -> str:
    words = " ".join(_storable(text).split())
    if not 1 <= len(words) <= SEARCH_LENGTH_MAX:
        raise InvalidSearch(reason=f"1 to {SEARCH_LENGTH_MAX} characters")
    return words


def _member(kind: type[_E], value: str | None, field: str) -> _E | None:
    try:
        return None if value is None else kind(value)
    except ValueError as error:
        raise InvalidProduct(field=field, reason=f"one of {', '.join(kind)}") from error
