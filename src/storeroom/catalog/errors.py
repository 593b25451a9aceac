"""What the catalogue refuses, and why."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound


class InvalidProduct(Invalid):
    """A product cannot be like this; `field` says which part is wrong."""

    code = "catalog.invalid_product"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class InvalidVariant(Invalid):
    """A variant cannot be like this; `field` says which part is wrong."""

    code = "catalog.invalid_variant"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class InvalidOptions(Invalid):
    """The options of a product cannot be like this."""

    code = "catalog.invalid_options"

    def __init__(self, *, reason: str, field: str = "options") -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class InvalidCategory(Invalid):
    """A category cannot be like this; `field` says which part is wrong."""

    code = "catalog.invalid_category"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class InvalidBatch(Invalid):
    """A batch cannot be like this; `field` says which part is wrong."""

    code = "catalog.invalid_batch"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class InvalidSearch(Invalid):
    """Nothing can be searched for like this."""

    code = "catalog.invalid_search"

    def __init__(self, *, reason: str, field: str = "q") -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class UnreadableFile(Invalid):
    """A file to import is not what it should be, as a whole; `line` says where that was seen."""

    code = "catalog.unreadable_file"

    def __init__(self, *, reason: str, line: int | None = None, field: str = "file") -> None:
        super().__init__(reason if line is None else f"line {line}: {reason}", field=field)
        self.reason, self.line = reason, line


class ProductNotFound(NotFound):
    """The tenant has no such product, or none that may be shown."""

    code = "catalog.product_not_found"

    def __init__(self, *, product: UUID | str) -> None:
        super().__init__(f"no product {product}")
        self.product = product


class VariantNotFound(NotFound):
    """The tenant has no such variant."""

    code = "catalog.variant_not_found"

    def __init__(self, *, variant: UUID | str) -> None:
        super().__init__(f"no variant {variant}")
        self.variant = variant


class ImageNotFound(NotFound):
    """The product has no such image."""

    code = "catalog.image_not_found"

    def __init__(self, *, image_id: UUID) -> None:
        super().__init__(f"no image {image_id}")
        self.image_id = image_id


class CategoryNotFound(NotFound):
    """The tenant has no such category, or none that may be shown."""

    code = "catalog.category_not_found"

    def __init__(self, *, category: UUID | str) -> None:
        super().__init__(f"no category {category}")
        self.category = category


class BatchNotFound(NotFound):
    """The tenant has no such batch."""

    code = "catalog.batch_not_found"

    def __init__(self, *, batch_id: UUID) -> None:
        super().__init__(f"no batch {batch_id}")
        self.batch_id = batch_id


class ProductExists(Conflict):
    """A product already has this id, or this id of another system."""

    code = "catalog.product_exists"

    def __init__(self, *, field: str, value: str) -> None:
        super().__init__(f"another product has the {field} {value}")
        self.field, self.value = field, value


class SlugTaken(Conflict):
    """Another product, perhaps a deleted one, has this slug."""

    code = "catalog.slug_taken"

    def __init__(self, *, slug: str) -> None:
        super().__init__(f"the slug {slug!r} is taken")
        self.slug = slug


class SkuTaken(Conflict):
    """Another variant of the tenant has this SKU."""

    code = "catalog.sku_taken"

    def __init__(self, *, sku: str | None) -> None:
        super().__init__("two variants cannot have the same SKU" if sku is None else f"the SKU {sku!r} is taken")
        self.sku = sku


class StripePriceTaken(Conflict):
    """Another variant of the tenant has this Stripe price."""

    code = "catalog.stripe_price_taken"

    def __init__(self, *, stripe_price_id: str | None) -> None:
        super().__init__(f"the Stripe price {stripe_price_id or ''} is taken")
        self.stripe_price_id = stripe_price_id


class VariantExists(Conflict):
    """The product already has a variant of these option values."""

    code = "catalog.variant_exists"

    def __init__(self, *, title: str | None = None) -> None:
        super().__init__(f"the product has this variant already: {title or 'the same options twice'}")
        self.title = title


class OptionValueInUse(Conflict):
    """An option or a value cannot go while a variant has it."""

    code = "catalog.option_value_in_use"

    def __init__(self, *, option: str, value: str, variant_id: UUID) -> None:
        super().__init__(f"{option} {value!r} is in use by the variant {variant_id}")
        self.option, self.value, self.variant_id = option, value, variant_id


class ProductMoveRefused(Conflict):
    """A product of this status cannot get that one."""

    code = "catalog.product_move_refused"

    def __init__(self, *, current: str, wanted: str) -> None:
        super().__init__(f"a product that is {current} cannot become {wanted}")
        self.current, self.wanted = current, wanted


class ProductDeleted(Conflict):
    """The product was deleted; it is kept for old orders and changes no more."""

    code = "catalog.product_deleted"

    def __init__(self, *, product_id: UUID) -> None:
        super().__init__(f"the product {product_id} was deleted")
        self.product_id = product_id


class CategorySlugTaken(Conflict):
    """Another category has this slug."""

    code = "catalog.category_slug_taken"

    def __init__(self, *, slug: str) -> None:
        super().__init__(f"the slug {slug!r} is taken by another category")
        self.slug = slug


class CategoryCycle(Conflict):
    """A category would become its own ancestor."""

    code = "catalog.category_cycle"

    def __init__(self, *, category_id: UUID, parent_id: UUID) -> None:
        super().__init__(f"{parent_id} is {category_id} itself or stands below it")
        self.category_id, self.parent_id = category_id, parent_id


class BatchNumberTaken(Conflict):
    """The product already has a batch of this number."""

    code = "catalog.batch_number_taken"

    def __init__(self, *, batch_number: str) -> None:
        super().__init__(f"the product has a batch {batch_number!r} already")
        self.batch_number = batch_number


class BatchExpired(Conflict):
    """The last day of the batch is over."""

    code = "catalog.batch_expired"

    def __init__(self, *, batch_id: UUID) -> None:
        super().__init__(f"the batch {batch_id} has expired")
        self.batch_id = batch_id


class BatchesShort(Conflict):
    """The verified, active, unexpired batches of a product do not hold as many units."""

    code = "catalog.batches_short"

    def __init__(self, *, product_id: UUID, requested: int, available: int) -> None:
        super().__init__(f"{requested} units requested, verified batches hold {available}")
        self.product_id, self.requested, self.available = product_id, requested, available
