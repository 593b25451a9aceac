"""Many products at once, as a file brings them: made where they are new, brought in line where they are known.

A lot is one transaction of a few statements, however many rows it has. What cannot be stored is left out and reported;
the rest of the lot is written.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from storeroom import outbox
from storeroom.audit import record
from storeroom.catalog import queries
from storeroom.catalog.drafts import (
    CategoryDraft,
    ImageDraft,
    OptionDraft,
    ProductDraft,
    VariantDraft,
    category_row,
    checked,
    draft_of_product,
    draft_of_variant,
    image_rows,
    normal_options,
    product_row,
    slug_from,
    slug_of,
    variant_row,
)
from storeroom.catalog.errors import InvalidCategory, InvalidProduct, InvalidVariant
from storeroom.catalog.model import (
    IMAGES_MAX,
    PRODUCT_MOVES,
    VARIANTS_MAX,
    Option,
    ProductHead,
    ProductStatus,
    SkuOwner,
    Variant,
)
from storeroom.catalog.products import PRODUCT_CREATED, PRODUCT_UPDATED, Products, told_of
from storeroom.core.errors import Invalid
from storeroom.core.ids import ProductId, VariantId, new_id
from storeroom.core.states import sources
from storeroom.database.service import ActorKind, transactional

LOT_PRODUCTS_MAX: Final = 50
_SKU_LENGTH_MAX: Final = 100
_HASH_LENGTH: Final = 8


class IncomingVariant(msgspec.Struct, kw_only=True):
    """A variant of a file; `fields` are those of VariantDraft that the file carries."""

    line: int
    values: list[str]  # in the order of the options
    sku: str | None  # None: one is made
    fields: dict[str, Any]
    on_hand: int | None  # None: the stock stays as it is


class IncomingProduct(msgspec.Struct, kw_only=True):
    """A product of a file; `fields` are those of ProductDraft that the file carries."""

    line: int
    slug: str
    fields: dict[str, Any]
    fields_if_new: dict[str, Any]
    status: ProductStatus
    option_names: list[str] | None  # None: those it has
    category: str | None
    variants: list[IncomingVariant]
    images: list[tuple[int, ImageDraft]]
    variant_rows: int = 0  # also those that could not be read


class Refusal(msgspec.Struct, frozen=True):
    """What was left out, and why."""

    line: int
    slug: str
    field: str
    reason: str


class LotResult(msgspec.Struct):
    """What became of a lot."""

    products_created: int = 0
    products_updated: int = 0
    variants_created: int = 0
    variants_updated: int = 0
    images: int = 0
    categories_created: int = 0
    refusals: list[Refusal] = []

    def refuse(self, incoming: IncomingProduct, line: int, error: Invalid) -> None:
        """Note what is left out."""
        reason = str(getattr(error, "reason", error))
        self.refusals.append(Refusal(line, incoming.slug, error.field or "", reason))


class _Plan(msgspec.Struct):
    """What will be written for one product."""

    incoming: IncomingProduct
    id: ProductId
    head: ProductHead | None
    row: dict[str, Any]
    options: list[Option]
    new: list[dict[str, Any]] = []
    known: list[dict[str, Any]] = []  # those that change
    seen: int = 0  # variants that were there
    moved_skus: list[VariantId] = []
    counts: list[tuple[VariantId, int]] = []  # stock that may differ
    images: list[dict[str, Any]] = []

    def moves(self, head: ProductHead) -> bool:
        """Whether its status becomes another."""
        return self.incoming.status in PRODUCT_MOVES[head.status]

    def told(self) -> dict[str, Any]:
        """What others hear of it."""
        status = self.incoming.status if self.head is None or self.moves(self.head) else self.head.status
        return told_of(self.id, name=self.row["name"], slug=self.incoming.slug, status=status)

    def changes(self, head: ProductHead) -> bool:
        """Whether a product that was there becomes another, its stock aside."""
        return bool(
            self.new
            or self.known
            or self.moved_skus
            or self.images
            or self.options != head.options
            or self.moves(head)
            or _differs(self.row, head)
        )


class Bulk(Products):
    """Products, written by the lot."""

    @transactional
    async def write(self, *, lot: Sequence[IncomingProduct]) -> LotResult:
        """Write at most LOT_PRODUCTS_MAX products of different slugs; refuse what cannot be.

        A product is known by its slug, a variant by its options or else by its SKU. What a file does not carry stays
        as it is, variants and images that it does not mention among it.
        """
        result = LotResult()
        plans = await self._plan(lot, result)
        await self._write_heads(plans)
        await self._write_variants(plans)
        images = [row for plan in plans for row in plan.images]
        await self._write_images(images)
        result.images = len(images)
        await self._write_categories(plans, result)
        await self._tell_all(plans)
        for plan in plans:
            result.products_created += plan.head is None
            result.products_updated += plan.head is not None
            result.variants_created += len(plan.new)
            result.variants_updated += plan.seen
        if self.context.actor.kind is not ActorKind.CUSTOMER:  # one entry for the lot: its rows say the rest
            counts = {name: count for name, count in msgspec.structs.asdict(result).items() if name != "refusals"}
            values = {**counts, "slugs": [plan.incoming.slug for plan in plans], "refused": len(result.refusals)}
            await record(self.db, self.context, action="catalog.import", resource_type="product", new_values=values)
        return result

    # What will be written -------------------------------------------------------------------------------------------

    async def _plan(self, lot: Sequence[IncomingProduct], result: LotResult) -> list[_Plan]:
        currency = (await self.context.settings()).currency
        slugs = [incoming.slug for incoming in lot]
        ids = await queries.lock_products_by_slug(self.db, tenant_id=self.tenant_id, slugs=slugs)
        heads: dict[str, ProductHead] = {}
        variants: dict[ProductId, list[Variant]] = {}
        if ids:
            found = await queries.find_products(self.db, tenant_id=self.tenant_id, product_ids=ids)
            heads = {head.slug: head for head in found}
            limit = VARIANTS_MAX * len(ids)
            for variant in await queries.find_variants(self.db, tenant_id=self.tenant_id, product_ids=ids, limit=limit):
                variants.setdefault(variant.product_id, []).append(variant)
        skus = _Skus(lot)
        owners = await queries.sku_owners(self.db, tenant_id=self.tenant_id, skus=skus.asked)
        skus.owners = {owner.sku: owner for owner in owners}
        plans: list[_Plan] = []
        for incoming in lot:
            head = heads.get(incoming.slug)
            try:
                plan = self._head(incoming, head, variants.get(head.id, []) if head else [], currency)
            except Invalid as error:
                result.refuse(incoming, incoming.line, error)
                continue
            _fit_variants(plan, variants.get(plan.id, []), currency, skus, result)
            _fit_images(plan, result)
            if head is None and not plan.new:
                if not incoming.variant_rows:
                    missing = InvalidProduct(field="variants", reason="no row of it is a variant that can be sold")
                    result.refuse(incoming, incoming.line, missing)
                continue
            plans.append(plan)
        return plans

    def _head(
        self, incoming: IncomingProduct, head: ProductHead | None, known: Sequence[Variant], currency: str
    ) -> _Plan:
        if head is None and "name" not in incoming.fields:
            raise InvalidProduct(field="name", reason="missing: the first row of a product names it")
        if head is not None and head.deleted_at is not None:
            raise InvalidProduct(field="slug", reason="the product was deleted here")
        if head is None:
            draft = {"slug": incoming.slug, **incoming.fields_if_new, **incoming.fields}
            published_at: datetime | None = self.context.clock.now()
            extra = {
                "id": ProductId(new_id()),
                "status": incoming.status,
                "published_at": published_at if incoming.status is ProductStatus.ACTIVE else None,
            }
        else:
            draft = draft_of_product(head) | incoming.fields
            extra = {"id": head.id}
        row = product_row(checked(ProductDraft, draft, InvalidProduct), currency=currency) | extra
        return _Plan(incoming, row["id"], head, row, _fit_options(incoming, head, known))

    async def _tell_all(self, plans: Sequence[_Plan]) -> None:
        """One event for each product that is new or changed; what the file only repeats is no news."""
        await outbox.enqueue_many(
            self.db,
            tenant_id=self.tenant_id,
            entity_type="product",
            events=[
                (PRODUCT_UPDATED if plan.head else PRODUCT_CREATED, plan.id, plan.told())
                for plan in plans
                if plan.head is None or plan.changes(plan.head)
            ],
        )

    # Writing it -----------------------------------------------------------------------------------------------------

    async def _write_heads(self, plans: Sequence[_Plan]) -> None:
        new = [plan.row for plan in plans if plan.head is None]
        if new:
            await queries.add_products(self.db, tenant_id=self.tenant_id, rows=new)
        changed = [plan.row for plan in plans if plan.head is not None and _differs(plan.row, plan.head)]
        if changed:
            await queries.update_products(self.db, tenant_id=self.tenant_id, rows=changed)
        for to in ProductStatus:
            moving = [
                plan.id
                for plan in plans
                if plan.head is not None and plan.incoming.status is to and plan.moves(plan.head)
            ]
            if moving:
                await queries.move_products(
                    self.db,
                    tenant_id=self.tenant_id,
                    product_ids=moving,
                    to=to,
                    sources=sources(PRODUCT_MOVES, to),
                    published_at=self.context.clock.now() if to is ProductStatus.ACTIVE else None,
                )
        renewed = [plan for plan in plans if plan.options != (plan.head.options if plan.head else [])]
        known = [plan.id for plan in renewed if plan.head is not None]
        if known:
            await queries.remove_options(self.db, tenant_id=self.tenant_id, product_ids=known)
        rows = [
            {"id": o.id, "product_id": plan.id, "name": o.name, "position": place, "values": o.values}
            for plan in renewed
            for place, o in enumerate(plan.options, start=1)
        ]
        if rows:
            await queries.add_options(self.db, tenant_id=self.tenant_id, rows=rows)

    async def _write_variants(self, plans: Sequence[_Plan]) -> None:
        moved = [variant_id for plan in plans for variant_id in plan.moved_skus]
        if moved:
            await queries.clear_skus(self.db, tenant_id=self.tenant_id, variant_ids=moved)
        known = [row for plan in plans for row in plan.known]
        if known:
            await queries.update_variants(self.db, tenant_id=self.tenant_id, rows=known)
        new = [row for plan in plans for row in plan.new]
        if new:
            await queries.add_variants(self.db, tenant_id=self.tenant_id, rows=new)
            await self._add_stock(new, reason="import")
        wanted = dict(count for plan in plans for count in plan.counts)
        if wanted:
            await self._count_stock(wanted)

    async def _count_stock(self, wanted: dict[VariantId, int]) -> None:
        """Set what is on hand, under the lock of its rows, and say by how much it changed."""
        shelves = await queries.lock_stock(self.db, tenant_id=self.tenant_id, variant_ids=list(wanted))
        changes = [
            (shelf.variant_id, wanted[shelf.variant_id] - shelf.on_hand, wanted[shelf.variant_id])
            for shelf in shelves
            if wanted[shelf.variant_id] != shelf.on_hand
        ]
        if changes:
            rows = [{"variant_id": variant_id, "on_hand": after} for variant_id, _, after in changes]
            await queries.set_stock(self.db, tenant_id=self.tenant_id, rows=rows)
            await self._add_movements(changes, kind="import", reason="import")

    async def _write_categories(self, plans: Sequence[_Plan], result: LotResult) -> None:
        wanted: dict[str, tuple[dict[str, Any], list[ProductId]]] = {}
        for plan in plans:
            if plan.incoming.category is None:
                continue
            try:
                row = category_row(CategoryDraft(name=plan.incoming.category))
            except InvalidCategory as error:
                refusal = InvalidCategory(field="category", reason=error.reason)
                result.refuse(plan.incoming, plan.incoming.line, refusal)
                continue
            wanted.setdefault(row["slug"], (row, []))[1].append(plan.id)
        if not wanted:
            return
        slugs = sorted(wanted)
        rows = [{"id": new_id(), "name": wanted[slug][0]["name"], "slug": slug} for slug in slugs]
        result.categories_created = await queries.add_missing_categories(self.db, tenant_id=self.tenant_id, rows=rows)
        found = await queries.category_slugs(self.db, tenant_id=self.tenant_id, slugs=slugs)
        assigned = [{"product_id": made, "category_id": c.id} for c in found for made in wanted[c.slug][1]]
        await queries.assign(self.db, tenant_id=self.tenant_id, rows=assigned)


class _Skus:
    """Who has which SKU, in the database and in the lot."""

    def __init__(self, lot: Sequence[IncomingProduct]) -> None:
        self.owners: dict[str, SkuOwner] = {}
        self._in_lot: dict[str, int] = {}  # SKU -> the line that has it
        self._given = {variant.sku for product in lot for variant in product.variants}
        self.asked = list({sku for p in lot for v in p.variants for sku in (v.sku, made_sku(p.slug, v.values)) if sku})

    def take(self, slug: str, incoming: IncomingVariant, product_id: ProductId, known: Variant | None) -> str:
        """The SKU of a variant: the file's, the one it has, or a new one that is the same whenever it is made."""
        if incoming.sku is None and known is not None and known.sku is not None:
            return self._keep(known.sku, incoming.line)
        if incoming.sku is not None:
            owner = self.owners.get(incoming.sku)
            if owner is not None and owner.product_id != product_id:
                raise InvalidVariant(field="sku", reason=f"{incoming.sku!r} belongs to another product")
            if incoming.sku in self._in_lot:
                raise InvalidVariant(
                    field="sku", reason=f"{incoming.sku!r} is in line {self._in_lot[incoming.sku]} too"
                )
            return self._keep(incoming.sku, incoming.line)
        made = made_sku(slug, incoming.values)
        if made in self._in_lot or made in self._given or made in self.owners:
            made = made_sku(slug, incoming.values, hashed=True)
        return self._keep(made, incoming.line)

    def _keep(self, sku: str, line: int) -> str:
        self._in_lot[sku] = line
        return sku


def made_sku(slug: str, values: Sequence[str], *, hashed: bool = False) -> str:
    """The SKU of a variant that came without one: 'BLUE-SHIRT-RED-M'; where that is taken or too long, with a hash."""
    sku = slug_from("-".join([slug, *values])).upper()
    if not hashed and 0 < len(sku) <= _SKU_LENGTH_MAX:
        return sku
    digest = hashlib.sha256(msgspec.json.encode([slug, *values])).hexdigest()[:_HASH_LENGTH].upper()
    return f"{sku[: _SKU_LENGTH_MAX - _HASH_LENGTH - 1]}-{digest}"


def _differs(row: dict[str, Any], head: ProductHead) -> bool:
    before = product_row(ProductDraft(**draft_of_product(head)), currency=head.currency)
    return any(row[column] != value for column, value in before.items())


def _fit_options(incoming: IncomingProduct, head: ProductHead | None, known: Sequence[Variant]) -> list[Option]:
    """The options with the values that its variants have, those of the file first."""
    before = {option.name: option.values for option in head.options} if head else {}
    names = list(before) if incoming.option_names is None else incoming.option_names
    values: dict[str, dict[str, None]] = {name: {} for name in names}
    if incoming.option_names is None:
        for name in names:
            values[name].update(dict.fromkeys(before[name]))
    for variant in incoming.variants:
        for name, value in zip(names, variant.values, strict=False):
            if value:
                values[name].setdefault(value)
    for there in known:
        if there.options.keys() == set(names):
            for name, value in there.options.items():
                values[name].setdefault(value)
    drafts = [OptionDraft(name, list(chosen)) for name, chosen in values.items()]
    return normal_options([draft for draft in drafts if draft.values], head.options if head else ())


def _fit_variants(plan: _Plan, known: Sequence[Variant], currency: str, skus: _Skus, result: LotResult) -> None:
    """Match the file's variants with those that are there, and make the rows that are written."""
    names = [option.name for option in plan.options]
    unmatched = {variant.id: variant for variant in known}
    lines: dict[tuple[str, ...], int] = {}
    first = True
    matches: list[tuple[IncomingVariant, Variant | None]] = []
    for incoming in plan.incoming.variants:
        key = tuple(incoming.values)
        if len(key) != len(names) or not all(key):
            gap = InvalidVariant(field=f"option{_first_gap(key, names)}", reason="missing, or without a name")
            result.refuse(plan.incoming, incoming.line, gap)
            continue
        if key in lines:
            twice = InvalidVariant(field="option1", reason=f"the same options as line {lines[key]}")
            result.refuse(plan.incoming, incoming.line, twice)
            continue
        lines[key] = incoming.line
        chosen = dict(zip(names, key, strict=True))
        match = next((v for v in unmatched.values() if v.options == chosen), None)
        if match is None and incoming.sku is not None:
            match = next((v for v in unmatched.values() if v.sku == incoming.sku), None)
        if match is None and first and names and len(known) == 1 and not known[0].options:
            match = known[0]  # a product that had no options got some: its one variant is the first choice now
        first = False
        if match is not None:
            del unmatched[match.id]
        matches.append((incoming, match))
    stranded = next((v for v in unmatched.values() if v.options.keys() != set(names)), None)
    if stranded is not None:
        reason = f"the variant {stranded.sku or stranded.title} that is here has other options and is not in the file"
        result.refuse(plan.incoming, plan.incoming.line, InvalidVariant(field="option1", reason=reason))
        plan.options = plan.head.options if plan.head else []
        return
    for place, (incoming, match) in enumerate(matches, start=1):
        try:
            room = VARIANTS_MAX - len(known) - len(plan.new)
            _fit_variant(plan, incoming, match, place=place, currency=currency, skus=skus, room=room)
        except Invalid as error:
            result.refuse(plan.incoming, incoming.line, error)


def _first_gap(key: Sequence[str], names: Sequence[str]) -> int:
    return next((n for n, value in enumerate(key, start=1) if not value or n > len(names)), len(key) + 1)


def _fit_variant(
    plan: _Plan,
    incoming: IncomingVariant,
    match: Variant | None,
    *,
    place: int,
    currency: str,
    skus: _Skus,
    room: int,
) -> None:
    chosen = {option.name: value for option, value in zip(plan.options, incoming.values, strict=True)}
    given = {**incoming.fields, "options": chosen, "position": place}
    variant_id = VariantId(new_id()) if match is None else match.id
    if match is None:
        if room < 1:
            raise InvalidVariant(field="variants", reason=f"a product has at most {VARIANTS_MAX}")
        draft = checked(VariantDraft, given | {"on_hand": incoming.on_hand or 0}, InvalidVariant)
    else:
        draft = checked(VariantDraft, draft_of_variant(match) | given, InvalidVariant)
    row = variant_row(draft, variant_id=variant_id, product_id=plan.id, currency=currency, options=plan.options)
    row["sku"] = skus.take(plan.incoming.slug, incoming, plan.id, match)
    if len(row["sku"]) > _SKU_LENGTH_MAX:
        raise InvalidVariant(field="sku", reason=f"at most {_SKU_LENGTH_MAX} characters")
    if match is None:
        plan.new.append(row)
        return
    plan.seen += 1
    if _row_differs(row, match):
        plan.known.append(row)
    if match.sku is not None and match.sku != row["sku"]:
        plan.moved_skus.append(match.id)
    if incoming.on_hand is not None and incoming.on_hand != match.on_hand:
        plan.counts.append((match.id, incoming.on_hand))


_AS_STORED: Final = (
    "title", "options", "sku", "barcode", "stripe_price_id", "stock_policy", "backorder_limit", "low_stock_threshold",
    "weight_g", "requires_shipping", "taxable", "image_url", "position", "is_active", "metadata",
)  # fmt: skip
_AMOUNTS: Final = ("price", "compare_at_price", "cost_price")


def _row_differs(row: dict[str, Any], variant: Variant) -> bool:
    """Whether an update would change the variant. A crypto price comes from no file, so it is not compared."""
    if any(row[column] != getattr(variant, column) for column in _AS_STORED):
        return True
    before = {column: getattr(variant, column) for column in _AMOUNTS}
    return any(row[column] != (None if money is None else money.amount) for column, money in before.items())


def _fit_images(plan: _Plan, result: LotResult) -> None:
    known = {image.url: image for image in plan.head.images} if plan.head else {}
    rows: dict[str, dict[str, Any]] = {}
    for line, draft in plan.incoming.images:
        try:
            (row,) = image_rows([draft], plan.id, after=len(rows))
            shown = known.get(row["url"])
            if shown is None and len(known) + len(rows) >= IMAGES_MAX:
                raise InvalidProduct(field="images", reason=f"a product has at most {IMAGES_MAX}")
        except Invalid as error:
            result.refuse(plan.incoming, line, error)
            continue
        if row["url"] in rows:
            continue
        if shown is None or (shown.alt_text, shown.position) != (row["alt_text"], row["position"]):
            rows[row["url"]] = row
    plan.images = list(rows.values())


def slug_of_handle(handle: str) -> str:
    """The slug of a handle in a file."""
    return slug_of(handle, 255, InvalidProduct)
