"""Money: exact sums, one rounding, shares that sum to the whole."""

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeroom.core.money import (
    AMOUNT_MAX,
    ASSET_DIGITS,
    DIGITS_MAX,
    PARTS_MAX,
    AmountOutOfRange,
    CurrencyMismatch,
    InvalidAmount,
    InvalidSplit,
    Money,
    UnknownCurrency,
    UnknownLocale,
    currency_digits,
    round_amount,
)

amounts = st.integers(-AMOUNT_MAX, AMOUNT_MAX)
currencies = st.sampled_from(["JPY", "USD", "KWD", "CLF", "USDC", "SOL"])
money = st.builds(Money, amounts, currencies)
weights = st.lists(st.integers(0, 10**12), min_size=1, max_size=40).filter(any)


@pytest.mark.parametrize(
    ("currency", "digits"),
    [
        ("JPY", 0), ("KRW", 0), ("UGX", 0), ("USD", 2), ("EUR", 2), ("LKR", 2), ("AED", 2), ("KWD", 3), ("BHD", 3),
        ("OMR", 3), ("TND", 3), ("CLF", 4), ("USDC", 6), ("USDT", 6), ("PYUSD", 6), ("SOL", 9),
        ("IQD", 3), ("LBP", 2), ("RSD", 2),  # ISO 4217, where CLDR says 0
    ],
)  # fmt: skip
def test_digits(currency, digits):
    assert currency_digits(currency) == digits


@pytest.mark.parametrize("currency", ["XXX", "ABC", "usd", "US", "DOGEDOGE", "", "USD\n", "US\u0044\u0301"])
def test_a_currency_nobody_has_is_refused(currency):
    with pytest.raises(UnknownCurrency):
        currency_digits(currency)
    with pytest.raises(UnknownCurrency):
        Money.zero(currency)


def test_assets_have_at_most_nine_decimals():
    assert max(ASSET_DIGITS.values()) == DIGITS_MAX == 9


@pytest.mark.parametrize("currency", ["usd", "US", "ELEVENCHARS", "USD\n", "U$D", ""])
def test_construction_checks_the_form_of_the_code(currency):
    with pytest.raises(UnknownCurrency) as refused:
        Money(1, currency)
    assert refused.value.facts() == {"field": "currency", "currency": currency}


@pytest.mark.parametrize("amount", [1.0, True, "1", Decimal(1), None])
def test_an_amount_is_an_int(amount):
    with pytest.raises(TypeError, match="an amount is an int"):
        Money(amount, "USD")


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        ("129.50", "USD", 12950), ("129.5", "USD", 12950), ("129", "USD", 12900), ("129.5000", "USD", 12950),
        ("-0.01", "USD", -1), ("0", "USD", 0), ("-0", "USD", 0), ("007", "USD", 700), ("1295", "JPY", 1295),
        ("1.234", "KWD", 1234), ("0.000001", "USDC", 1), ("0.000000001", "SOL", 1), ("1.5", "SOL", 1_500_000_000),
        ("92233720368547758.07", "USD", 2**63 - 1), ("-92233720368547758.07", "USD", 1 - 2**63),
    ],
)  # fmt: skip
def test_reading(text, currency, amount):
    assert Money.of(text, currency) == Money(amount, currency)
    assert Money.of(Decimal(text), currency) == Money(amount, currency)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ("129.505", "USD"), ("0.5", "JPY"), ("1.2345", "KWD"), ("0.0000001", "USDC"),  # finer than the smallest unit
        ("1,000", "USD"), ("1 000", "USD"), ("1e3", "USD"), ("+1", "USD"), (".5", "USD"), ("5.", "USD"), ("", "USD"),
        ("1\n", "USD"), (" 1", "USD"), ("NaN", "USD"), ("Infinity", "USD"), ("0x10", "USD"), ("1_000", "USD"),
        ("\u0661", "USD"), ("--1", "USD"), ("0" * 41, "USD"),
    ],
)  # fmt: skip
def test_what_is_not_an_amount_is_refused(text, currency):
    with pytest.raises(InvalidAmount):
        Money.of(text, currency)


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "0.001", "1E-99999", "1" * 101 + ".1"])
def test_a_decimal_is_read_as_exactly_as_a_text(text):
    with pytest.raises((InvalidAmount, AmountOutOfRange)):
        Money.of(Decimal(text), "USD")


@pytest.mark.parametrize("text", ["92233720368547758.08", "-92233720368547758.08", "9" * 40])
def test_an_amount_past_64_bits_is_refused(text):
    with pytest.raises(AmountOutOfRange):
        Money.of(text, "USD")


def test_a_short_decimal_of_a_million_digits_is_refused_at_once():
    with pytest.raises((AmountOutOfRange, InvalidAmount)):
        Money.of(Decimal("1E+999999"), "USD")
    with pytest.raises(AmountOutOfRange):
        round_amount(Decimal("1E+999999"))


@given(money)
def test_an_amount_survives_being_written_and_read(whole):
    assert Money.of(format(whole.decimal(), "f"), whole.currency) == whole
    assert Money.of(whole.decimal(), whole.currency) == whole
    assert -whole.decimal().as_tuple().exponent == currency_digits(whole.currency)
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Money) == whole


def test_json():
    assert msgspec.json.encode(Money(12950, "USD")) == b'{"amount":12950,"currency":"USD"}'
    assert msgspec.convert({"amount": 12950, "currency": "USD"}, Money) == Money(12950, "USD")


@pytest.mark.parametrize(
    "text",
    [
        '{"amount":1.5,"currency":"USD"}', '{"amount":"1","currency":"USD"}', '{"amount":true,"currency":"USD"}',
        '{"amount":1,"currency":"usd"}', '{"amount":1,"currency":"USD\\n"}', '{"amount":1}',
        '{"amount":1,"currency":"USD","x":1}', '{"amount":9223372036854775808,"currency":"USD"}',
        '{"amount":-9223372036854775808,"currency":"USD"}', "1", "null",
    ],
)  # fmt: skip
def test_json_that_is_not_money_is_refused(text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(text, type=Money)


def test_arithmetic():
    price, cost = Money(12950, "USD"), Money(4999, "USD")
    assert price + cost == Money(17949, "USD")
    assert price - cost == Money(7951, "USD")
    assert price * 3 == 3 * price == Money(38850, "USD")
    assert -price == Money(-12950, "USD")
    assert sum([price, cost, cost], start=Money.zero("USD")) == Money(22948, "USD")
    assert Money.zero("USD").is_zero
    assert not cost.is_zero
    assert not Money(-1, "USD").is_zero


def test_order():
    low, high = Money(1, "USD"), Money(2, "USD")
    assert low < high
    assert low <= high
    assert high > low
    assert high >= low
    assert low <= low
    assert not low < low
    assert not low > high
    assert sorted([high, low]) == [low, high]
    assert max(low, high) == high


@pytest.mark.parametrize("meet", ["__add__", "__sub__", "__lt__", "__le__", "__gt__", "__ge__"])
def test_two_currencies_do_not_meet(meet):
    with pytest.raises(CurrencyMismatch) as refused:
        getattr(Money(1, "USD"), meet)(Money(1, "EUR"))
    assert (refused.value.expected, refused.value.actual) == ("USD", "EUR")
    assert Money(0, "USD") != Money(0, "EUR")


def test_money_meets_no_bare_number():
    one = Money(1, "USD")
    for meet in (
        lambda: one + 1,
        lambda: 1 + one,
        lambda: one - 1,
        lambda: one < 1,
        lambda: one >= 0,
        lambda: one * 1.5,
        lambda: one * Decimal("1.5"),
        lambda: one * True,
        lambda: sum([one]),
    ):
        with pytest.raises(TypeError):
            meet()
    assert one != 1


def test_arithmetic_stays_within_64_bits():
    largest = Money(2**63 - 1, "USD")
    for reach in (
        lambda: largest + Money(1, "USD"),
        lambda: -largest - Money(1, "USD"),
        lambda: largest * 2,
        lambda: largest.times(Decimal("1.1")),
    ):
        with pytest.raises(AmountOutOfRange):
            reach()
    smallest = -largest
    assert -smallest == largest


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(1, 100)), max_size=200))
def test_totals_over_many_lines_are_exact(lines):
    total = sum((Money(price, "USD") * quantity for price, quantity in lines), start=Money.zero("USD"))
    by_hand = sum((Fraction(price, 100) * quantity for price, quantity in lines), start=Fraction(0))
    assert Fraction(total.decimal()) == by_hand


@pytest.mark.parametrize(
    ("minor", "rounded"),
    [
        ("0.5", 1), ("-0.5", -1), ("1.5", 2), ("2.5", 3), ("-2.5", -3), ("0.49", 0), ("-0.49", 0), ("2.4999999999", 2),
        ("9223372036854775807.49", 2**63 - 1), ("0", 0), ("1E-999", 0), ("7E2", 700),
    ],
)  # fmt: skip
def test_rounding_is_half_up_away_from_zero(minor, rounded):
    assert round_amount(Decimal(minor)) == rounded


def test_rounding_refuses_what_is_no_number_or_too_large():
    for text in ("NaN", "Infinity"):
        with pytest.raises(InvalidAmount):
            round_amount(Decimal(text))
    for text in ("9223372036854775807.5", "-9223372036854775807.5"):
        with pytest.raises(AmountOutOfRange):
            round_amount(Decimal(text))


@pytest.mark.parametrize(
    ("value", "currency", "amount"),
    [
        ("1.005", "USD", 101),
        ("-1.005", "USD", -101),
        ("1.0049", "USD", 100),
        ("0.5", "JPY", 1),
        ("1.23456", "KWD", 1235),
    ],
)
def test_rounding_an_amount_of_the_main_unit(value, currency, amount):
    assert Money.round_half_up(Decimal(value), currency) == Money(amount, currency)


@pytest.mark.parametrize(
    ("amount", "rate", "product"),
    [
        (12950, "0.0825", 1068),  # 1068.375
        (1000, "0.0825", 83),  # 82.5
        (-1000, "0.0825", -83),
        (333, "0.5", 167),  # 166.5
        (2**63 - 1, "1", 2**63 - 1),
        (2**62 + 1, "1.0000000000000000001", 2**62 + 1),  # 39 digits: a Decimal of 28 would have lost the last unit
        (10**18 + 1, "0.5000000000000000000000000000", 5 * 10**17 + 1),
        (5, "0", 0),
    ],
)
def test_a_rate_is_applied_exactly_and_rounded_once(amount, rate, product):
    assert Money(amount, "USD").times(Decimal(rate)) == Money(product, "USD")


@given(st.integers(-(10**15), 10**15), st.decimals(-100, 100, places=9))
def test_a_rate_rounds_to_the_nearest_unit(amount, rate):
    exact = amount * Fraction(rate)
    off = Money(amount, "USD").times(rate).amount - exact
    assert abs(off) < Fraction(1, 2) or (abs(off) == Fraction(1, 2) and off * exact > 0)


@pytest.mark.parametrize("rate", ["NaN", "Infinity", "1E-99999999", "1." + "1" * 100])
def test_a_rate_that_cannot_be_applied_exactly_is_refused(rate):
    with pytest.raises(InvalidAmount):
        Money(12950, "USD").times(Decimal(rate))


@pytest.mark.parametrize(
    ("amount", "parts", "shares"),
    [
        (100, 3, [34, 33, 33]), (-100, 3, [-34, -33, -33]), (2, 3, [1, 1, 0]), (0, 2, [0, 0]), (7, 1, [7]),
        (100, [1, 1, 1], [34, 33, 33]),
        (100, [0, 1, 0, 2], [0, 33, 0, 67]),  # 33.3 and 66.7: the one that was cut most
        (10, [5, 5, 0, 5], [4, 3, 0, 3]),
        (-10, [1, 2], [-3, -7]),
        (1000, [1999, 4999, 2], [286, 714, 0]),  # 285.571, 714.143, 0.286
        (0, [0, 0], [0, 0]),
    ],
)  # fmt: skip
def test_shares(amount, parts, shares):
    assert Money(amount, "USD").split(parts) == [Money(share, "USD") for share in shares]


@given(money, st.integers(1, 200))
def test_equal_shares_sum_to_the_whole_and_differ_by_a_unit_at_most(whole, parts):
    shares = whole.split(parts)
    assert len(shares) == parts
    assert sum(shares, start=Money.zero(whole.currency)) == whole
    assert max(shares).amount - min(shares).amount <= 1


@given(money, weights)
def test_shares_by_weight_sum_to_the_whole_and_keep_to_their_proportion(whole, weights):
    shares = whole.allocate(weights)
    assert sum(share.amount for share in shares) == whole.amount
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share.amount - Fraction(whole.amount * weight, sum(weights))) < 1
        assert weight or share.is_zero
    assert (-whole).allocate(weights) == [-share for share in shares]


@given(weights, st.data())
def test_no_discount_is_larger_than_its_line(lines, data):
    discount = data.draw(st.integers(0, sum(lines)))
    shares = Money(discount, "USD").allocate(lines)
    assert all(0 <= share.amount <= line for share, line in zip(shares, lines, strict=True))


@pytest.mark.parametrize("parts", [0, -1, PARTS_MAX + 1, [], [0, 0], [1, -1], [-1], [1] * (PARTS_MAX + 1)])
def test_a_split_that_makes_no_sense_is_refused(parts):
    with pytest.raises(InvalidSplit):
        Money(100, "USD").split(parts)


@pytest.mark.parametrize(
    ("whole", "locale", "text"),
    [
        (Money(123456, "USD"), "en-US", "$1,234.56"),
        (Money(-123456, "USD"), "en-US", "-$1,234.56"),
        (Money(123456, "EUR"), "de-DE", "1.234,56\xa0€"),
        (Money(1295, "JPY"), "en_US", "¥1,295"),
        (Money(1234, "KWD"), "en-US", "KWD\xa01.234"),
        (Money(1, "SOL"), "de-DE", "0,000000001\xa0SOL"),
        (Money(10**13, "INR"), "en-IN", "₹1,00,00,00,00,000.00"),
        (Money(2**63 - 1, "USD"), "en-US", "$92,233,720,368,547,758.07"),
    ],
)
def test_writing_for_people(whole, locale, text):
    assert whole.format(locale) == text


@pytest.mark.parametrize("locale", ["", "xx-YY", "en-US-nonsense-of-all-kinds", "../../etc/passwd", "e" * 500])
def test_a_locale_nobody_speaks_is_refused(locale):
    with pytest.raises(UnknownLocale):
        Money(1, "USD").format(locale)


def test_formatting_leaves_the_shared_pattern_alone():
    """The decimals are set on a copy: a currency of nine does not change the way the next one is written."""
    assert Money(1, "SOL").format("fr-FR") == "0,000000001\xa0SOL"
    assert Money(100, "EUR").format("fr-FR") == "1,00\xa0€"
    assert Money(1, "JPY").format("fr-FR") == "1\xa0JPY"
