"""docs/operations.md is true: each function and each route that it names exists, and no operation is missing."""

import importlib
import inspect
import re
import typing
from functools import cached_property
from pathlib import Path
from unittest.mock import Mock

import pytest

import storeroom
from storeroom.database.pool import Database
from storeroom.room import Shop, Storeroom
from storeroom.server import create_app
from storeroom.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
ROW = re.compile(
    r"^\| (?P<operation>[^|]+?) \| `(?P<python>[\w.]+)` \| (?:`(?P<method>[A-Z]+) (?P<path>\S+)`)? ?\| .*\|$",
    re.MULTILINE,
)

# Of each interface, in the order of the document.
STORE = [
    "SaveCartQuote",
    "GetCartQuote",
    "MarkCartPaid",
    "HasCartAccess",
    "SaveCartQuotes",
    "GetCartQuotes",
    "SaveRefundQuote",
    "GetRefundQuote",
    "GetRefundQuoteByOriginalPurchaseID",
    "ListPendingRefunds",
    "MarkRefundProcessed",
    "DeleteRefundQuote",
    "SaveRefundQuotes",
    "TryStoreOrder",
    "GetOrder",
    "ListOrders",
    "ListOrdersFiltered",
    "UpdateOrderStatus",
    "AppendOrderHistory",
    "ListOrderHistory",
    "CreateFulfillment",
    "ListFulfillments",
    "UpdateFulfillmentStatus",
    "ReserveInventory",
    "ListActiveReservationsForCart",
    "ReleaseInventoryReservations",
    "ConvertInventoryReservations",
    "CleanupExpiredInventoryReservations",
    "RecordPayment",
    "HasPaymentBeenProcessed",
    "GetPayment",
    "RecordPayments",
    "ArchiveOldPayments",
    "CreateNonce",
    "ConsumeNonce",
    "CleanupExpiredNonces",
    "EnqueueWebhook",
    "DequeueWebhooks",
    "MarkWebhookProcessing",
    "MarkWebhookSuccess",
    "MarkWebhookFailed",
    "GetWebhook",
    "ListWebhooks",
    "RetryWebhook",
    "DeleteWebhook",
    "SaveIdempotencyKey",
    "GetIdempotencyKey",
    "DeleteIdempotencyKey",
    "CleanupExpiredIdempotencyKeys",
    "Close",
    "GetProduct",
    "GetProductByStripePriceID",
    "ListProducts",
    "CreateProduct",
    "UpdateProduct",
    "DeleteProduct",
    "GetCoupon",
    "ListCoupons",
    "GetAutoApplyCouponsForPayment",
    "GetAllAutoApplyCouponsForPayment",
    "CreateCoupon",
    "UpdateCoupon",
    "IncrementUsage",
    "DeleteCoupon",
    "Create",
    "Get",
    "Update",
    "Delete",
    "GetByWallet",
    "GetByStripeSubscriptionID",
    "GetByStripeCustomerID",
    "ListByProduct",
    "ListActive",
    "ListExpiring",
    "UpdateStatus",
    "ExtendPeriod",
]


def rows() -> list[dict[str, str]]:
    return [match.groupdict() for match in ROW.finditer(PAGE.read_text())]


def test_every_operation_of_the_document_has_its_row() -> None:
    named = [row["operation"] for row in rows()]
    lines = [
        line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "operation | Python" not in line
    ]
    assert len(named) == len(lines), "each row of a table is read"
    assert [name for name in STORE if name not in named] == []
    assert {f"Close ({each})" for each in ("products", "coupons", "subscriptions")} <= set(named)
    assert len(named) == len(STORE) + 3 + 2 + 4


@pytest.mark.parametrize("name", sorted({row["python"] for row in rows()}))
def test_the_function_exists(name: str) -> None:
    if name.startswith("shop."):
        _, attribute, method = name.split(".")
        member = vars(Shop)[attribute]
        assert isinstance(member, cached_property)
        found = getattr(typing.get_type_hints(member.func)["return"], method)
        assert inspect.iscoroutinefunction(found)
        return
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        assert callable(found)
        return
    raise AssertionError(f"no module of {name}")


def test_the_routes_exist() -> None:
    app = create_app(Storeroom(Mock(spec=Database), secret="a secret of no installation, for tests"), Settings())
    paths = app.openapi_schema.to_schema()["paths"]
    there = {f"{method.upper()} {path}" for path, operations in paths.items() for method in operations}
    named = {f"{row['method']} {row['path']}" for row in rows() if row["method"]}
    assert len(named) > 35
    assert sorted(named - there) == []
    told = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) /[^`]+)`", PAGE.read_text()))
    assert sorted(told - there) == []


def test_what_a_route_calls_is_said_to_have_one() -> None:
    """Read from the text of the routes: a service is called there by the name of its dependency."""
    routes = "".join(path.read_text() for path in sorted(Path(storeroom.__file__).parent.rglob("*routes.py")))
    bare = [row["python"].split(".")[1:] for row in rows() if not row["method"] and row["python"].startswith("shop.")]
    assert len(bare) > 10
    called = [f"{service}.{method}" for service, method in bare if re.search(rf"\b{service}\.{method}\(", routes)]
    assert called == []
