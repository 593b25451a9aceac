"""The import of a product file as Shopify exports it: CSV, one row a variant or a picture, rows of a product together.

    Handle, Title, Body (HTML), Vendor, Type, Tags, Published, Status, Gift Card     on the first row of a product
    Option1 Name .. Option3 Name                                                     on the first row, too
    Option1 Value .. Option3 Value, Variant ..., Cost per item                       on the row of each variant
    Image Src, Image Position, Image Alt Text                                        on any row

Columns are known by their names; others are not looked at. The meanings are Shopify's: no inventory tracker means that
stock is not tracked, the policy `continue` sells below zero, an empty status is active. A row that cannot be read is
reported with its line in the file, and the others are imported: a bad variant is left out alone, a product without a
title as a whole. Importing again brings products (by handle) and variants (by options, else SKU) in line and makes none
twice, so an import that was cut off is simply run again.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import asyncpg
import msgspec

from storeroom.catalog.bulk import (
    LOT_PRODUCTS_MAX,
    Bulk,
    IncomingProduct,
    IncomingVariant,
    LotResult,
    slug_of_handle,
)
from storeroom.catalog.drafts import ImageDraft, one_line
from storeroom.catalog.errors import InvalidOptions, InvalidProduct, InvalidVariant, UnreadableFile
from storeroom.catalog.model import STOCK_MAX, ProductStatus, ProductType, StockPolicy
from storeroom.catalog.products import Products
from storeroom.core.errors import Invalid
from storeroom.core.money import Money

ERRORS_KEPT_MAX: Final = 1_000  # the rest are counted
ROWS_PER_PRODUCT_MAX: Final = 2_000
ROWS_PER_LOT_MAX: Final = 2_000
LOT_ATTEMPTS_MAX: Final = 3
_CHUNK_BYTES: Final = 1 << 20

_COLUMNS: Final = (
    "Handle", "Title", "Body (HTML)", "Vendor", "Type", "Tags", "Published", "Status", "Gift Card",
    "Option1 Name", "Option1 Value", "Option2 Name", "Option2 Value", "Option3 Name", "Option3 Value",
    "Variant SKU", "Variant Grams", "Variant Inventory Tracker", "Variant Inventory Qty", "Variant Inventory Policy",
    "Variant Price", "Variant Compare At Price", "Variant Requires Shipping", "Variant Taxable", "Variant Barcode",
    "Variant Image", "Cost per item", "Image Src", "Image Position", "Image Alt Text",
)  # fmt: skip
_OPTIONS: Final = (1, 2, 3)
_VARIANT_CELLS: Final = ("Option1 Value", "Variant SKU", "Variant Price")  # a row with one of them is a variant

# What a stored field was called in the file.
_COLUMN_OF: Final[Mapping[str, str]] = {
    "name": "Title", "slug": "Handle", "description": "Body (HTML)", "vendor": "Vendor", "category": "Type",
    "tags": "Tags", "option1": "Option1 Value", "option2": "Option2 Value", "option3": "Option3 Value",
    "option4": "Option3 Value", "options": "Option1 Name", "sku": "Variant SKU", "price": "Variant Price",
    "compare_at_price": "Variant Compare At Price", "cost_price": "Cost per item", "weight_g": "Variant Grams",
    "barcode": "Variant Barcode", "image_url": "Variant Image", "on_hand": "Variant Inventory Qty",
    "url": "Image Src", "images.url": "Image Src", "images": "Image Src", "alt_text": "Image Alt Text",
    "position": "Image Position", "variants": "Variant Price",
}  # fmt: skip

_STATUSES: Final = {
    "active": ProductStatus.ACTIVE,
    "draft": ProductStatus.DRAFT,
    "archived": ProductStatus.DISCONTINUED,
}
_BOOLEANS: Final = {"true": True, "false": False}
_POLICIES: Final = {"deny": StockPolicy.DENY, "continue": StockPolicy.BACKORDER}
_T = TypeVar("_T")
_Row = dict[str, str]


class RowError(msgspec.Struct, frozen=True, kw_only=True):
    """A row, or a part of it, that was not imported."""

    line: int  # of the file, where the row begins; the header is line 1
    handle: str
    column: str
    reason: str


class ImportReport(msgspec.Struct, kw_only=True):
    """What an import did."""

    rows: int = 0
    products_created: int = 0
    products_updated: int = 0  # known before and brought in line
    variants_created: int = 0
    variants_updated: int = 0
    images: int = 0  # added or changed
    categories_created: int = 0
    errors_count: int = 0
    errors: list[RowError] = []  # the first ERRORS_KEPT_MAX

    @property
    def ok(self) -> bool:
        """Whether every row was imported."""
        return self.errors_count == 0


class ImportProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an import is."""

    rows: int
    bytes_read: int
    bytes_total: int | None  # None where the file cannot tell


async def import_products(
    products: Products, file: Path | BinaryIO, *, on_progress: Callable[[ImportProgress], None] | None = None
) -> ImportReport:
    """Import a product file of Shopify, in UTF-8, a transaction for every LOT_PRODUCTS_MAX products.

    Args:
        products: of the shop that the products go to; prices are in its currency.
        file: a path, or a file open for reading bytes; it is read as a stream.
        on_progress: called after each transaction.

    Raises:
        UnreadableFile: not UTF-8, not CSV, or without a column Handle. What was imported before stays.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return await import_products(products, opened, on_progress=on_progress)
    total = _check_encoding(file)
    currency = (await products.context.settings()).currency
    report = ImportReport(errors=[])
    bulk = Bulk(products.context)
    lot: dict[str, IncomingProduct] = {}
    rows_in_lot = 0

    async def write() -> None:
        nonlocal rows_in_lot
        if lot:
            _add(report, await _write(bulk, list(lot.values())))
            lot.clear()
            rows_in_lot = 0
        if on_progress is not None:
            on_progress(ImportProgress(rows=report.rows, bytes_read=_place(file, total), bytes_total=total))

    for group in _groups(_rows(file, report), report):
        product = _read_product(group, currency, report)
        if product is None:
            continue
        if product.slug in lot or len(lot) >= LOT_PRODUCTS_MAX or rows_in_lot + len(group) > ROWS_PER_LOT_MAX:
            await write()
        lot[product.slug] = product
        rows_in_lot += len(group)
    await write()
    report.errors.sort(key=lambda error: error.line)
    return report


async def _write(bulk: Bulk, lot: list[IncomingProduct]) -> list[LotResult]:
    """Write a lot; where a rival or one of its rows is in the way of the whole, its products one by one."""
    for _ in range(LOT_ATTEMPTS_MAX):
        try:
            return [await bulk.write(lot=lot)]
        except asyncpg.UniqueViolationError:
            continue  # another import made one of them meanwhile: it is found now
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError):
            break
    if len(lot) > 1:
        return [result for product in lot for result in await _write(bulk, [product])]
    try:
        return [await bulk.write(lot=lot)]
    except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
        result = LotResult(refusals=[])
        result.refuse(lot[0], lot[0].line, InvalidProduct(field="slug", reason=str(error)))
        return [result]


def _add(report: ImportReport, results: list[LotResult]) -> None:
    for result in results:
        for counter in LotResult.__struct_fields__:
            if counter != "refusals":
                setattr(report, counter, getattr(report, counter) + getattr(result, counter))
        for refusal in sorted(result.refusals, key=lambda r: r.line):
            column = _COLUMN_OF.get(refusal.field, refusal.field)
            if refusal.field.startswith("options."):
                column = "Option1 Value"
            _report(report, refusal.line, refusal.slug, column, refusal.reason)


def _report(report: ImportReport, line: int, handle: str, column: str, reason: str) -> None:
    report.errors_count += 1
    if len(report.errors) < ERRORS_KEPT_MAX:
        report.errors.append(RowError(line=line, handle=handle[:255], column=column, reason=reason))


# --- The file ---------------------------------------------------------------------------------------------------------


def _check_encoding(file: BinaryIO) -> int | None:
    """Read a file through before anything is written, since half of a file in another encoding helps nobody.

    Returns:
        Its length in bytes; None where it cannot be read twice.
    """
    if not file.seekable():
        return None
    start, line = file.tell(), 1
    utf8 = codecs.getincrementaldecoder("utf-8")()
    while True:
        chunk = file.read(_CHUNK_BYTES)
        try:
            utf8.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            raise UnreadableFile(reason="not UTF-8: save it as UTF-8, with or without a mark", line=line) from error
        if not chunk:
            break
        line += chunk.count(b"\n")
    total = file.tell()
    file.seek(start)
    return total


def _place(file: BinaryIO, total: int | None) -> int:
    return 0 if total is None else file.tell()


def _rows(file: BinaryIO, report: ImportReport) -> Iterator[tuple[int, _Row]]:
    """Each row with the line on which it begins; a cell may hold line breaks."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        reader = csv.reader(text, strict=True)
        line = 1
        try:
            header = next(reader, [])
            places = _places(header)
            line = reader.line_num + 1
            for cells in reader:
                if any(cells):
                    report.rows += 1
                    if any(cell.strip() for cell in cells[len(header) :]):
                        _report(report, line, "", header[-1], "the row has more cells than the header")
                    else:
                        yield line, {name: cells[at].strip() for name, at in places if at < len(cells)}
                line = reader.line_num + 1
        except csv.Error as error:
            raise UnreadableFile(reason=f"not CSV: {error}", line=line) from error
        except UnicodeDecodeError as error:
            raise UnreadableFile(reason="not UTF-8", line=line) from error
    finally:
        text.detach()


def _places(header: list[str]) -> list[tuple[str, int]]:
    known = {name.lower(): name for name in _COLUMNS}
    places: dict[str, int] = {}
    for at, cell in enumerate(header):
        name = known.get(cell.strip().lower())
        if name is not None:
            places.setdefault(name, at)
    if "Handle" not in places:
        raise UnreadableFile(reason="no column Handle, is this a product file with commas between the columns?", line=1)
    return list(places.items())


def _groups(rows: Iterator[tuple[int, _Row]], report: ImportReport) -> Iterator[list[tuple[int, _Row]]]:
    """The rows of one handle that follow each other."""
    group: list[tuple[int, _Row]] = []
    for line, row in rows:
        handle = row.get("Handle", "")
        if not handle:
            _report(report, line, "", "Handle", "missing")
            continue
        if group and group[0][1]["Handle"] != handle:
            yield group
            group = []
        if len(group) >= ROWS_PER_PRODUCT_MAX:
            _report(report, line, handle, "Handle", f"a product has at most {ROWS_PER_PRODUCT_MAX} rows")
            continue
        group.append((line, row))
    if group:
        yield group


# --- The rows ---------------------------------------------------------------------------------------------------------


def _read_product(group: list[tuple[int, _Row]], currency: str, report: ImportReport) -> IncomingProduct | None:
    line, first = group[0]
    handle = first["Handle"]
    try:
        product = IncomingProduct(
            line=line,
            slug=slug_of_handle(handle),
            fields=_product_fields(first),
            fields_if_new={
                "product_type": ProductType.ACCESSORY,
                "requires_age_verification": False,
                "restricted_countries": None,
            },
            status=_status(first),
            option_names=_option_names(first),
            category=first.get("Type") or None,
            variants=[],
            images=[],
        )
    except _BadCell as error:
        _report(report, line, handle, error.column, error.reason)
        return None
    except Invalid as error:
        _report(report, line, handle, _COLUMN_OF.get(error.field or "", "Handle"), str(getattr(error, "reason", error)))
        return None
    for at, row in group:
        for read in (_read_variant, _read_image):
            try:
                read(product, at, row, currency)
            except _BadCell as error:
                _report(report, at, handle, error.column, error.reason)
    return product


class _BadCell(Exception):
    """A cell that cannot be read."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(column, reason)
        self.column, self.reason = column, reason


def _cell(row: _Row, column: str, read: Callable[[str], _T], empty: _T) -> _T:
    """The value of a cell, `empty` where there is nothing in it.

    Raises:
        _BadCell: `read` does not understand it.
    """
    text = row.get(column, "")
    if not text:
        return empty
    try:
        return read(text)
    except (KeyError, ValueError, InvalidOperation, Invalid) as error:
        reason = error.reason if hasattr(error, "reason") else f"{text[:50]!r} is not understood"
        raise _BadCell(column, str(reason)) from error


def _whole(text: str) -> int:
    number = Decimal(text)
    if not number.is_finite() or abs(number) > STOCK_MAX or number != number.to_integral_value():
        raise ValueError(text)
    return int(number)


def _grams(text: str) -> int:
    number = Decimal(text)
    if not number.is_finite() or not 0 <= number <= STOCK_MAX:
        raise ValueError(text)
    return int(number.to_integral_value())


def _product_fields(row: _Row) -> dict[str, Any]:
    """What the first row says of the product; a column that the file lacks says nothing."""
    fields: dict[str, Any] = {}
    if row.get("Title"):
        fields["name"] = row["Title"]
        for column, field in (("Body (HTML)", "description"), ("Vendor", "vendor")):
            if column in row:
                fields[field] = row[column] or None
        if "Tags" in row:
            fields["tags"] = row["Tags"].split(",")
        if row.get("Gift Card"):
            fields["is_digital"] = _cell(row, "Gift Card", lambda text: _BOOLEANS[text.lower()], False)
    return fields


def _status(row: _Row) -> ProductStatus:
    if row.get("Status"):
        return _cell(row, "Status", lambda text: _STATUSES[text.lower()], ProductStatus.ACTIVE)
    published = _cell(row, "Published", lambda text: _BOOLEANS[text.lower()], True)
    return ProductStatus.ACTIVE if published else ProductStatus.DRAFT


def _option_names(row: _Row) -> list[str] | None:
    """The names of the options; none for the one variant of a product that has no options."""
    names = [row.get(f"Option{n} Name", "") for n in _OPTIONS]
    if not any(names):
        return [] if row.get("Title") else None
    if names[0] == "Title" and row.get("Option1 Value") in ("Default Title", "") and not any(names[1:]):
        return []
    while names and not names[-1]:
        names.pop()
    return [one_line(name, "options", InvalidOptions, length_max=50) for name in names]


def _read_image(product: IncomingProduct, line: int, row: _Row, _currency: str) -> None:
    if row.get("Image Src"):
        position = _cell(row, "Image Position", _whole, None)
        product.images.append((line, ImageDraft(row["Image Src"], row.get("Image Alt Text") or None, position)))


def _read_variant(product: IncomingProduct, line: int, row: _Row, currency: str) -> None:
    if not any(row.get(cell) for cell in _VARIANT_CELLS):
        if not row.get("Image Src"):
            raise _BadCell("Variant Price", "missing; the row is no picture either")
        return
    product.variant_rows += 1
    values = [row.get(f"Option{n} Value", "") for n in _OPTIONS]
    if product.option_names == [] and values == ["Default Title", "", ""]:
        values = []
    while values and not values[-1]:
        values.pop()
    values = [_value(n, value) for n, value in enumerate(values, start=1)]
    if not row.get("Variant Price"):
        raise _BadCell("Variant Price", "missing")

    def money(text: str) -> Money:
        return Money.of(text, currency)

    def flag(text: str) -> bool:
        return _BOOLEANS[text.lower()]

    policy = _cell(row, "Variant Inventory Policy", lambda text: _POLICIES[text.lower()], StockPolicy.DENY)
    fields: dict[str, Any] = {"price": _cell(row, "Variant Price", money, None)}
    if "Variant Inventory Tracker" in row:
        fields["stock_policy"] = policy if row["Variant Inventory Tracker"] else StockPolicy.UNTRACKED
        fields["backorder_limit"] = None
    readers: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
        ("Variant Compare At Price", "compare_at_price", money),
        ("Cost per item", "cost_price", money),
        ("Variant Grams", "weight_g", _grams),
        ("Variant Barcode", "barcode", str),
        ("Variant Image", "image_url", str),
    )
    for column, field, read in readers:
        if column in row:
            fields[field] = _cell(row, column, read, None)
    for column, field in (("Variant Requires Shipping", "requires_shipping"), ("Variant Taxable", "taxable")):
        if row.get(column):
            fields[field] = _cell(row, column, flag, None)
    counted = _cell(row, "Variant Inventory Qty", _whole, None)
    product.variants.append(
        IncomingVariant(
            line=line,
            values=values,
            sku=row.get("Variant SKU") or None,
            fields=fields,
            on_hand=None if counted is None else max(counted, 0),  # Shopify counts oversold units as less than none
        )
    )


def _value(n: int, value: str) -> str:
    try:
        return one_line(value, "option", InvalidVariant, length_max=100) if value else value
    except InvalidVariant as error:
        raise _BadCell(f"Option{n} Value", error.reason) from error
