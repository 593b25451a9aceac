"""What the tables are called."""

import json

import pytest

from storeroom.core.errors import Misconfigured
from storeroom.database.names import InvalidTableName, TableNames
from storeroom.settings import Settings


def test_without_configuration_names_stay() -> None:
    assert TableNames().render("SELECT a FROM {orders}") == "SELECT a FROM orders"


def test_a_prefix_and_a_name_of_its_own() -> None:
    names = TableNames("shop_", {"orders": "sales"})
    assert names.resolve("orders") == "sales"  # whole, without the prefix
    assert names.render("{orders} JOIN {carts}") == "sales JOIN shop_carts"


@pytest.mark.parametrize(
    "kept",
    [
        "'{}'::jsonb",
        "'{orders}'",
        "'it''s {orders}'",
        r"E'\'{orders}'",
        '"{orders}"',
        "$$ {orders} $$",
        "$a$ $$ {orders} $$ $a$",
        "-- {orders}\n",
        "/* {orders}\n {orders} */",
        "'{1,2}'::int[]",
    ],
)
def test_strings_comments_and_quotes_are_left_alone(kept: str) -> None:
    names = TableNames("shop_")
    assert names.render(f"SELECT {kept} FROM {{carts}}") == f"SELECT {kept} FROM shop_carts"


def test_in_a_function_the_body_is_rendered_and_its_strings_are_not() -> None:
    body = "CREATE FUNCTION {f} () AS $$ SELECT '{x}', \"{x}\" FROM {orders} -- {x}\n $$"
    names = TableNames("shop_")
    assert names.render(body) == body.replace("{f}", "shop_f")
    assert names.render(body, inside_dollar=True) == body.replace("{f}", "shop_f").replace("{orders}", "shop_orders")


@pytest.mark.parametrize(
    "actual",
    [
        "",
        "Orders",
        "1orders",
        "or-ders",
        'orders"; DROP TABLE users; --',
        "a.b",
        "órders",
        "order",
        "user",
        "pg_orders",
        "a" * 55,
        "orders\n",
        "orders ",
    ],
)
def test_an_unsafe_name_is_refused(actual: str) -> None:
    with pytest.raises(InvalidTableName) as refused:
        TableNames(tables={"orders": actual})
    assert refused.value.code == "database.invalid_table_name"
    assert isinstance(refused.value, Misconfigured)


def test_54_bytes_fit() -> None:
    assert TableNames(tables={"orders": "a" * 54}).resolve("orders") == "a" * 54
    with pytest.raises(InvalidTableName):
        TableNames("p" * 50).resolve("orders")


@pytest.mark.parametrize("prefix", ["Shop_", "1_", "shop-", "a; --", "shop_\n"])
def test_an_unsafe_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(InvalidTableName):
        TableNames(prefix)


@pytest.mark.parametrize("name", ["Orders", "", "a b", 'a"', "orders;"])
def test_what_is_no_name_is_refused_in_braces(name: str) -> None:
    with pytest.raises(InvalidTableName):
        TableNames().render(f"SELECT 1 FROM {{{name}}}")


def test_no_two_things_get_one_name() -> None:
    with pytest.raises(InvalidTableName):
        TableNames(tables={"orders": "things", "carts": "things"})
    names = TableNames(tables={"orders": "carts"})
    with pytest.raises(InvalidTableName):
        names.render("SELECT 1 FROM {carts}")
    swapped = TableNames(tables={"orders": "carts", "carts": "orders"})
    assert swapped.render("{orders} {carts}") == "carts orders"


def test_the_original_of_a_constraint() -> None:
    names = TableNames("shop_", {"orders": "sales"})
    assert names.original("shop_carts_token_unique") == "carts_token_unique"
    assert names.original("sales") == "orders"
    assert names.original("sales_pkey") == "orders_pkey"
    assert names.original("salesmen_pkey") == "salesmen_pkey"
    assert TableNames().original("orders_pkey") == "orders_pkey"


def test_names_are_immutable_and_equal_by_value() -> None:
    one, other = TableNames("a_", {"orders": "x"}), TableNames("a_", {"orders": "x"})
    assert one == other
    assert hash(one) == hash(other)
    assert one != TableNames("a_")
    with pytest.raises(AttributeError):
        one.prefix = "b_"
    with pytest.raises(TypeError):
        one.tables["orders"] = "y"  # type: ignore[index]


@pytest.mark.parametrize("text", ['{"orders": "sales", "carts": "baskets"}', "orders=sales, carts=baskets"])
def test_names_come_from_the_environment(text: str) -> None:
    names = TableNames.from_environment({"STOREROOM_TABLE_PREFIX": "shop_", "STOREROOM_TABLE_NAMES": text})
    assert names == TableNames("shop_", {"orders": "sales", "carts": "baskets"})
    assert TableNames.from_environment({}) == TableNames()


@pytest.mark.parametrize("text", ["orders", "{", '{"orders": 1}', "[1]", "orders=a,orders=b", '{"a": "x", "a": "y"}'])
def test_what_cannot_be_read_from_the_environment_is_refused(text: str) -> None:
    with pytest.raises(InvalidTableName):
        TableNames.from_environment({"STOREROOM_TABLE_NAMES": text})


DOTTED = "storage.schema_mapping.{}.table_name"
CEDROS = {
    "payments": "payment_transactions",
    "sessions": "stripe_sessions",
    "products": "products",
    "coupons": "coupons",
    "cart_quotes": "cart_quotes",
    "refund_quotes": "refund_quotes",
    "admin_nonces": "admin_nonces",
    "webhook_queue": "webhook_queue",
}


@pytest.mark.requirement("CED-CFG-01")
def test_the_keys_of_the_pay_server_name_its_tables() -> None:
    pairs = ",".join(f"{DOTTED.format(entity)}=x_{entity}" for entity in CEDROS)
    documents = json.dumps({DOTTED.format(entity): f"x_{entity}" for entity in CEDROS})
    variables = {f"CEDROS_STORAGE_SCHEMA_MAPPING_{entity.upper()}_TABLE_NAME": f"x_{entity}" for entity in CEDROS}
    expected = TableNames(tables={table: f"x_{entity}" for entity, table in CEDROS.items()})
    assert TableNames.from_environment({"STOREROOM_TABLE_NAMES": pairs}) == expected
    assert TableNames.from_environment({"STOREROOM_TABLE_NAMES": documents}) == expected
    assert TableNames.from_environment(variables) == expected
    assert TableNames.from_environment(dict.fromkeys(variables, " ")) == TableNames(), "empty is not set"


@pytest.mark.requirement("CED-CFG-02", "CED-CFG-03")
def test_two_of_its_words_are_aliases_in_its_own_keys_alone() -> None:
    """Storeroom has a table `payments` of its own; `sessions` it has none of that name."""
    plain = TableNames.from_environment({"STOREROOM_TABLE_NAMES": "payments=receipts"})
    assert (plain.resolve("payments"), plain.resolve("payment_transactions")) == ("receipts", "payment_transactions")
    dotted = TableNames.from_environment({"STOREROOM_TABLE_NAMES": f"{DOTTED.format('payments')}=ledger"})
    assert (dotted.resolve("payments"), dotted.resolve("payment_transactions")) == ("payments", "ledger")


@pytest.mark.requirement("CED-CFG-01")
@pytest.mark.parametrize(
    "given",
    [
        {"STOREROOM_TABLE_NAMES": f"{DOTTED.format('coupons')}=a;b"},
        {"STOREROOM_TABLE_NAMES": f"{DOTTED.format('coupons')}=select"},
        {"STOREROOM_TABLE_NAMES": f"{DOTTED.format('coupons')}=a,coupons=b"},
        {"STOREROOM_TABLE_NAMES": "storage.schema_mapping.coupons=a"},
        {"CEDROS_STORAGE_SCHEMA_MAPPING_COUPONS_TABLE_NAME": 'x" (a INT); DROP TABLE orders; --'},
        {"CEDROS_STORAGE_SCHEMA_MAPPING_COUPONS_TABLE_NAME": "public.vouchers"},
        {"CEDROS_STORAGE_SCHEMA_MAPPING_COUPONS_TABLE_NAME": "a", "STOREROOM_TABLE_NAMES": "coupons=b"},
        {
            "CEDROS_STORAGE_SCHEMA_MAPPING_COUPONS_TABLE_NAME": "a",
            "CEDROS_STORAGE_SCHEMA_MAPPING_PRODUCTS_TABLE_NAME": "a",
        },
    ],
)
def test_unsafe_and_doubtful_names_are_refused_before_anything_starts(given: dict[str, str]) -> None:
    with pytest.raises(InvalidTableName):
        Settings.from_environment(given)
