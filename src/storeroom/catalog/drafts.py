"""What callers hand in, brought into the form that is stored, or refused with the name of the part that is wrong."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Final, TypeAlias, TypedDict, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta

from storeroom.catalog.errors import InvalidBatch, InvalidCategory, InvalidOptions, InvalidProduct, InvalidVariant
from storeroom.catalog.model import (
    IMAGES_MAX,
    MEMO_FIELD,
    MEMO_FIELDS,
    METADATA_BYTES_MAX,
    OPTION_VALUES_MAX,
    OPTIONS_MAX,
    PRICE_MAX,
    RESTRICTIONS_MAX,
    STOCK_MAX,
    TAGS_MAX,
    CryptoPrice,
    Option,
    ProductHead,
    ProductType,
    StockPolicy,
    Variant,
    variant_title,
)
from storeroom.core.contact import InvalidAddress, normal_country
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import ProductId, VariantId, new_id
from storeroom.core.money import CurrencyMismatch, Money, UnknownCurrency, currency_digits

_TEXT: Final = r"^[^\x00]*\Z"  # what PostgreSQL cannot hold must not reach it
Text50: TypeAlias = Annotated[str, Meta(max_length=50, pattern=_TEXT)]
Text100: TypeAlias = Annotated[str, Meta(max_length=100, pattern=_TEXT)]
Text255: TypeAlias = Annotated[str, Meta(max_length=255, pattern=_TEXT)]
Text2000: TypeAlias = Annotated[str, Meta(max_length=2_000, pattern=_TEXT)]
LongText: TypeAlias = Annotated[str, Meta(max_length=200_000, pattern=_TEXT)]
Units: TypeAlias = Annotated[int, Meta(ge=0, le=STOCK_MAX)]
Position: TypeAlias = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)]

RESTRICTED_COUNTRIES: Final = ("CA", "AU", "GB")  # unless a product says otherwise

_SLUG: Final = re.compile(r"[\w.~-]+")
_STATE: Final = re.compile(r"(?:[A-Z]{2}-)?[A-Z0-9]{1,3}")
_LINK: Final = re.compile(r"https?://\S+|[^\s:]+", re.IGNORECASE)  # no javascript:, no data:
_S = TypeVar("_S", bound=msgspec.Struct)
_Refuse: TypeAlias = "Callable[..., StoreroomError]"


class OptionDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something to choose and its values, in the order of display."""

    name: Text50
    values: list[Text100]


class ImageDraft(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A picture to show; without a position it goes to the end."""

    url: Text2000
    alt_text: Text2000 | None = None
    position: Position | None = None


class VariantFields(TypedDict, total=False):
    """What of a variant can be changed. Its stock is the inventory's."""

    options: dict[str, str]
    sku: str | None
    barcode: str | None
    price: Money
    compare_at_price: Money | None
    cost_price: Money | None
    crypto_price: CryptoPrice | None
    stripe_price_id: str | None
    stock_policy: StockPolicy
    backorder_limit: int | None
    low_stock_threshold: int
    weight_g: int | None
    requires_shipping: bool
    taxable: bool
    image_url: str | None
    position: int
    is_active: bool
    metadata: dict[str, Any]


class VariantDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A variant to be made."""

    price: Money
    options: dict[str, str] = {}  # exactly the product's: {'Color': 'Red', 'Size': 'M'}
    sku: Text100 | None = None
    barcode: Text100 | None = None
    compare_at_price: Money | None = None
    cost_price: Money | None = None
    crypto_price: CryptoPrice | None = None
    stripe_price_id: Text255 | None = None
    stock_policy: StockPolicy = StockPolicy.DENY
    backorder_limit: Units | None = None
    low_stock_threshold: Units = 10
    weight_g: Units | None = None
    requires_shipping: bool = True
    taxable: bool = True
    image_url: Text2000 | None = None
    position: Position | None = None  # None: after the others
    is_active: bool = True
    metadata: dict[str, Any] = {}
    on_hand: Units = 0  # the first stock


class ProductFields(TypedDict, total=False):
    """What of a product can be given or changed beside its name and slug. The status has moves of its own."""

    product_type: ProductType
    short_description: str | None
    description: str | None
    vendor: str | None
    tags: Sequence[str]
    base_price: Money | None
    is_digital: bool
    file_path: str | None
    requires_age_verification: bool
    requires_kyc: bool
    restricted_states: Sequence[str] | None
    restricted_countries: Sequence[str] | None
    external_id: str | None
    memo_template: str | None
    subscription_config: dict[str, Any] | None
    brand_id: str | None
    company_code: str | None
    legacy_id: int | None
    metadata: dict[str, Any]


class ProductDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A product to be made, without what hangs on it; the defaults are those of the documents."""

    name: Text255
    slug: Text255 | None = None  # None: from the name
    product_type: ProductType = ProductType.PEPTIDE
    short_description: LongText | None = None
    description: LongText | None = None
    vendor: Text255 | None = None
    tags: list[Text255] = []
    base_price: Money | None = None
    is_digital: bool = False
    file_path: Text2000 | None = None
    requires_age_verification: bool = True
    requires_kyc: bool = False
    restricted_states: list[Text50] | None = None
    restricted_countries: list[Text50] | None = msgspec.field(default_factory=lambda: [*RESTRICTED_COUNTRIES])
    external_id: Text255 | None = None
    memo_template: Text2000 | None = None
    subscription_config: dict[str, Any] | None = None
    brand_id: Text255 | None = None
    company_code: Text255 | None = None
    legacy_id: Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | None = None
    metadata: dict[str, Any] = {}


class CategoryDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A category to be made."""

    name: Text100
    slug: Text100 | None = None  # None: from the name
    description: LongText | None = None
    sort_order: Position = 0
    is_active: bool = True


class BatchDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A batch to be made."""

    batch_number: Text50
    quantity_produced: Units
    coa_file_url: Text2000
    manufactured_at: date
    expires_at: date


def checked(struct: type[_S], values: Mapping[str, Any], refuse: _Refuse) -> _S:
    """Make the struct of what a caller gave, looking at each value.

    Raises:
        StoreroomError: what `refuse` makes of `field` and `reason`.
    """
    try:
        return msgspec.convert(values, struct)
    except msgspec.ValidationError as error:  # "Expected `str` of length <= 255 - at `$.name`"
        reason, _, path = str(error).partition(" - at `")
        field = path.rstrip("`").removeprefix("$.").split("`")[0]
        if "matching regex" in reason:
            reason = "holds a character that cannot be stored"
        raise refuse(field=field or "body", reason=reason) from error


# --- Products ---------------------------------------------------------------------------------------------------------


def product_row(draft: ProductDraft, *, currency: str) -> dict[str, Any]:
    """The columns of a product, by their names.

    Raises:
        InvalidProduct: a field is wrong.
        CurrencyMismatch: the base price is in another currency than the shop's.
    """
    draft = checked(ProductDraft, msgspec.structs.asdict(draft), InvalidProduct)
    name = one_line(draft.name, "name", InvalidProduct)
    row = {
        **msgspec.structs.asdict(draft),
        "name": name,
        "slug": slug_of(draft.slug if draft.slug is not None else slug_from(name), 255, InvalidProduct),
        "tags": _tags(draft.tags),
        "base_price": _amount(draft.base_price, "base_price", currency, InvalidProduct),
        "currency": currency,
        "restricted_states": _states(draft.restricted_states),
        "restricted_countries": _countries(draft.restricted_countries),
    }
    for field in ("short_description", "description", "vendor", "file_path", "external_id", "memo_template"):
        row[field] = (row[field] or "").strip() or None
    for found in MEMO_FIELD.findall(draft.memo_template or ""):
        if found not in MEMO_FIELDS:
            raise InvalidProduct(field="memo_template", reason=f"knows {', '.join(sorted(MEMO_FIELDS))}, not {found!r}")
    _small(draft.metadata, "metadata", InvalidProduct)
    _small(draft.subscription_config, "subscription_config", InvalidProduct)
    return row


def draft_of_product(product: ProductHead) -> dict[str, Any]:
    """What a product was made of, to be changed."""
    return {field: getattr(product, field) for field in ProductDraft.__struct_fields__}


def slug_from(name: str) -> str:
    """A slug made of a name: 'Crème brûlée, 2 pcs' is 'creme-brulee-2-pcs'; letters of other scripts stay."""
    folded = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", folded)).strip("-")


def slug_of(text: str, length_max: int, refuse: _Refuse) -> str:
    """A slug as it is stored: lower case, of letters, digits, `-`, `_`, `.` and `~`."""
    slug = unicodedata.normalize("NFC", text.strip().lower())
    if not _SLUG.fullmatch(slug) or len(slug) > length_max or not slug.strip("."):
        raise refuse(field="slug", reason=f"1 to {length_max} letters, digits and hyphens, such as 'blue-shirt'")
    return slug


def one_line(text: str, field: str, refuse: _Refuse, *, length_max: int = 255) -> str:
    """A name: composed Unicode, single spaces, not empty."""
    line = " ".join(unicodedata.normalize("NFC", text).split())
    if not line or len(line) > length_max or any(unicodedata.category(c) in {"Cc", "Cs"} for c in line):
        raise refuse(field=field, reason=f"1 to {length_max} printable characters")
    return line


def _tags(tags: Iterable[str]) -> list[str]:
    kept = list(dict.fromkeys(tag for tag in (" ".join(tag.split()) for tag in tags) if tag))
    if len(kept) > TAGS_MAX:
        raise InvalidProduct(field="tags", reason=f"at most {TAGS_MAX}")
    return kept


def _countries(codes: Sequence[str] | None) -> list[str] | None:
    if codes is None:
        return None
    try:
        kept = list(dict.fromkeys(normal_country(code) for code in codes))
    except InvalidAddress as error:
        raise InvalidProduct(
            field="restricted_countries", reason="two-letter codes of ISO 3166-1, such as CA"
        ) from error
    if len(kept) > RESTRICTIONS_MAX:
        raise InvalidProduct(field="restricted_countries", reason=f"at most {RESTRICTIONS_MAX}")
    return kept


def _states(codes: Sequence[str] | None) -> list[str] | None:
    if codes is None:
        return None
    kept = list(dict.fromkeys(re.sub(r"^UK-", "GB-", code.strip().upper()) for code in codes))
    if not all(_STATE.fullmatch(code) for code in kept):
        raise InvalidProduct(field="restricted_states", reason="codes such as CA, or AU-WA outside of the US")
    if len(kept) > RESTRICTIONS_MAX:
        raise InvalidProduct(field="restricted_states", reason=f"at most {RESTRICTIONS_MAX}")
    return kept


def _amount(money: Money | None, field: str, currency: str, refuse: _Refuse) -> int | None:
    if money is None:
        return None
    if money.currency != currency:
        raise CurrencyMismatch(expected=currency, actual=money.currency, field=field)
    if not 0 <= money.amount <= PRICE_MAX:
        raise refuse(field=field, reason=f"0 to {PRICE_MAX} smallest units")
    return money.amount


def _small(value: object, field: str, refuse: _Refuse) -> None:
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, UnicodeError) as error:
        raise refuse(field=field, reason="not JSON") from error
    if len(encoded) > METADATA_BYTES_MAX or b"\\u0000" in encoded:
        raise refuse(field=field, reason=f"at most {METADATA_BYTES_MAX} bytes of JSON, without NUL")


# --- Options, variants, images ----------------------------------------------------------------------------------------


def normal_options(drafts: Sequence[OptionDraft], existing: Sequence[Option] = ()) -> list[Option]:
    """The options as they are stored; one that keeps its name keeps its id.

    Raises:
        InvalidOptions: too many, one twice, or one without values.
    """
    if len(drafts) > OPTIONS_MAX:
        raise InvalidOptions(reason=f"at most {OPTIONS_MAX}")
    ids = {option.name: option.id for option in existing}
    options: list[Option] = []
    for given in drafts:
        draft = checked(OptionDraft, msgspec.structs.asdict(given), InvalidOptions)
        name = one_line(draft.name, "options", InvalidOptions, length_max=50)
        values = [one_line(value, f"options.{name}", InvalidOptions, length_max=100) for value in draft.values]
        if not 1 <= len(values) <= OPTION_VALUES_MAX or len(set(values)) != len(values):
            raise InvalidOptions(reason=f"1 to {OPTION_VALUES_MAX} values, each once", field=f"options.{name}")
        options.append(Option(id=ids.get(name, new_id()), name=name, values=values))
    if len({option.name for option in options}) != len(options):
        raise InvalidOptions(reason="each name once")
    return options


def variant_row(
    draft: VariantDraft, *, variant_id: VariantId, product_id: ProductId, currency: str, options: Sequence[Option]
) -> dict[str, Any]:
    """The columns of a variant, by their names, and `on_hand`.

    Raises:
        InvalidVariant: a field is wrong, or an option or value is not the product's.
        CurrencyMismatch: a price is in another currency than the shop's.
    """
    draft = checked(VariantDraft, msgspec.structs.asdict(draft), InvalidVariant)
    chosen = _chosen(draft.options, options)
    title = variant_title(chosen, (option.name for option in options))
    if len(title) > 255:
        raise InvalidVariant(field="options", reason="the values together have more than 255 characters")
    if draft.backorder_limit is not None and draft.stock_policy is not StockPolicy.BACKORDER:
        raise InvalidVariant(field="backorder_limit", reason="only with the policy backorder")
    _small(draft.metadata, "metadata", InvalidVariant)
    row = msgspec.structs.asdict(draft)
    crypto = row.pop("crypto_price")
    row |= {
        "id": variant_id,
        "product_id": product_id,
        "title": title,
        "options": chosen,
        "currency": currency,
        "image_url": link(draft.image_url, "image_url", InvalidVariant) if draft.image_url else None,
        "position": 0 if draft.position is None else draft.position,
        **_crypto(crypto),
    }
    for field in ("sku", "barcode", "stripe_price_id"):
        row[field] = (row[field] or "").strip() or None
    for field in ("price", "compare_at_price", "cost_price"):
        row[field] = _amount(row[field], field, currency, InvalidVariant)
    return row


def draft_of_variant(variant: Variant) -> dict[str, Any]:
    """What a variant was made of, to be changed."""
    return {field: getattr(variant, field) for field in VariantDraft.__struct_fields__ if field != "on_hand"}


def _chosen(given: Mapping[str, str], options: Sequence[Option]) -> dict[str, str]:
    chosen: dict[str, str] = {}
    for option in options:
        value = " ".join(unicodedata.normalize("NFC", given.get(option.name, "")).split())
        if value not in option.values:
            known = ", ".join(option.values[:10])
            raise InvalidVariant(field=f"options.{option.name}", reason=f"one of {known}, not {value[:100]!r}")
        chosen[option.name] = value
    unknown = given.keys() - chosen.keys()
    if unknown:
        raise InvalidVariant(field="options", reason=f"the product has no option {min(unknown)[:50]!r}")
    return chosen


def _crypto(crypto: CryptoPrice | None) -> dict[str, Any]:
    if crypto is None:
        return {"crypto_amount": None, "crypto_token": None, "crypto_account": None}
    try:
        currency_digits(crypto.price.currency)
    except UnknownCurrency as error:
        raise InvalidVariant(field="crypto_price", reason=str(error)) from error
    account = one_line(crypto.account, "crypto_price.account", InvalidVariant)
    if crypto.price.amount < 0:
        raise InvalidVariant(field="crypto_price", reason="not negative")
    return {"crypto_amount": crypto.price.amount, "crypto_token": crypto.price.currency, "crypto_account": account}


def image_rows(drafts: Sequence[ImageDraft], product_id: ProductId, *, after: int = 0) -> list[dict[str, Any]]:
    """The columns of images, by their names; those without a position follow position `after`."""
    rows: dict[str, dict[str, Any]] = {}
    for place, given in enumerate(drafts, start=after + 1):
        draft = checked(ImageDraft, msgspec.structs.asdict(given), InvalidProduct)
        url = link(draft.url, "images.url", InvalidProduct)
        rows[url] = {
            "id": new_id(),
            "product_id": product_id,
            "url": url,
            "alt_text": (draft.alt_text or "").strip() or None,
            "position": place if draft.position is None else draft.position,
        }
    if len(rows) > IMAGES_MAX:
        raise InvalidProduct(field="images", reason=f"at most {IMAGES_MAX}")
    return list(rows.values())


def link(url: str, field: str, refuse: _Refuse) -> str:
    """An address of the web, or a path of our own."""
    url = url.strip()
    if not _LINK.fullmatch(url) or len(url) > 2_000:
        raise refuse(field=field, reason="an address that begins with https://, or a path")
    return url


# --- Categories, batches ----------------------------------------------------------------------------------------------


def category_row(draft: CategoryDraft) -> dict[str, Any]:
    """The columns of a category, by their names.

    Raises:
        InvalidCategory: a field is wrong.
    """
    draft = checked(CategoryDraft, msgspec.structs.asdict(draft), InvalidCategory)
    name = one_line(draft.name, "name", InvalidCategory, length_max=100)
    slug = slug_of(draft.slug if draft.slug is not None else slug_from(name), 100, InvalidCategory)
    return {**msgspec.structs.asdict(draft), "name": name, "slug": slug}


def batch_row(draft: BatchDraft) -> dict[str, Any]:
    """The columns of a batch, by their names.

    Raises:
        InvalidBatch: a field is wrong; a certificate is not optional.
    """
    draft = checked(BatchDraft, msgspec.structs.asdict(draft), InvalidBatch)
    if draft.quantity_produced < 1:
        raise InvalidBatch(field="quantity_produced", reason="at least 1")
    if draft.expires_at <= draft.manufactured_at:
        raise InvalidBatch(field="expires_at", reason="after the day of manufacture")
    return {
        **msgspec.structs.asdict(draft),
        "batch_number": one_line(draft.batch_number, "batch_number", InvalidBatch, length_max=50),
        "coa_file_url": link(draft.coa_file_url, "coa_file_url", InvalidBatch),
    }


def known_id(value: UUID | None) -> UUID:
    """The caller's id, or a new one."""
    return new_id() if value is None else value


def given(changes: msgspec.Struct) -> dict[str, Any]:
    """The fields that are to change: those that were not left out."""
    return {field: value for field, value in msgspec.structs.asdict(changes).items() if value is not UNSET}
