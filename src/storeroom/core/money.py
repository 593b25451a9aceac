"""Money: a whole number of the currency's smallest unit, together with the currency.

No float comes near it. Rounding happens in one place, `round_amount`, half up and away from zero; splitting hands out
the remainder, so that the parts always sum to the whole.
"""

import copy
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Self

import msgspec
from msgspec import Meta

from storeroom.core.errors import Invalid

if TYPE_CHECKING:
    from babel.core import Locale
    from babel.numbers import NumberPattern

AMOUNT_MAX: Final = 2**63 - 1  # the largest bigint; the smallest amount is its negative, so every amount can be negated
DIGITS_MAX: Final = 9
PARTS_MAX: Final = 10_000
_TEXT_LENGTH_MAX: Final = 40

CURRENCY_PATTERN: Final = r"^[A-Z]{3,10}\Z"
_currency_code = re.compile(CURRENCY_PATTERN).match
_DECIMAL_TEXT: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_LETTER_MEETS_DIGIT: Final = re.compile(r"(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")  # CLDR's spacing, which babel lacks
_EXACT: Final = Context(prec=100, traps=[InvalidOperation, Inexact, Overflow])  # a result it cannot hold is an error

# Tokens, which no standard lists: the decimals their issuers publish.
ASSET_DIGITS: Final = MappingProxyType(
    {"BONK": 5, "EURC": 6, "JUP": 6, "PYUSD": 6, "SOL": 9, "USDC": 6, "USDG": 6, "USDH": 6, "USDT": 6}
)

# CLDR, which babel brings, says how many digits people write, ISO 4217 how many the currency has. They differ where
# inflation has eaten the small unit. Gateways and ledgers count by ISO, and so do we.
_ISO_DIGITS: Final = MappingProxyType(
    {"AFN": 2, "ALL": 2, "IQD": 3, "IRR": 2, "KPW": 2, "LAK": 2, "LBP": 2}
    | {"MGA": 2, "MMK": 2, "RSD": 2, "SOS": 2, "SYP": 2, "YER": 2}
)
_NO_CURRENCY: Final = "XXX"  # ISO 4217's code for "no currency is involved"


class CurrencyMismatch(Invalid):
    """Amounts of two currencies met in one sum or comparison."""

    code = "core.currency_mismatch"

    def __init__(self, *, expected: str, actual: str, field: str | None = "currency") -> None:
        super().__init__(f"an amount in {expected} was expected, this one is in {actual}", field=field)
        self.expected, self.actual = expected, actual


class UnknownCurrency(Invalid):
    """Neither a currency of ISO 4217 nor an asset we know the decimals of."""

    code = "core.unknown_currency"

    def __init__(self, *, currency: str, field: str | None = "currency") -> None:
        super().__init__(f"{currency[:16]!r} is not a currency known here", field=field)
        self.currency = currency[:16]


class InvalidAmount(Invalid):
    """The text or number is not an amount of this currency."""

    code = "core.invalid_amount"

    def __init__(self, *, reason: str, field: str | None = "amount") -> None:
        super().__init__(f"not an amount: {reason}", field=field)
        self.reason = reason


class AmountOutOfRange(Invalid):
    """The amount does not fit into 64 bits."""

    code = "core.amount_out_of_range"

    def __init__(self, *, amount_max: int = AMOUNT_MAX, field: str | None = "amount") -> None:
        super().__init__(f"an amount lies between -{amount_max} and {amount_max} smallest units", field=field)
        self.amount_max = amount_max


class InvalidSplit(Invalid):
    """There is no way to divide an amount like this."""

    code = "core.invalid_split"

    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnknownLocale(Invalid):
    """No conventions are known for this language and region."""

    code = "core.unknown_locale"

    def __init__(self, *, locale: str, field: str | None = "locale") -> None:
        super().__init__(f"{locale[:40]!r} is not a locale known here, write one like en-US", field=field)
        self.locale = locale[:40]


class Money(msgspec.Struct, frozen=True, order=False, gc=False, forbid_unknown_fields=True):
    """An amount in the smallest unit of a currency: `Money(12950, "USD")` is 129.50 dollars.

    In JSON `{"amount": 12950, "currency": "USD"}`. Construction checks the form of the code only, since lists of rows
    make thousands; `of`, `zero` and `currency_digits` ask whether the currency exists.
    """

    amount: Annotated[int, Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
    currency: Annotated[str, Meta(pattern=CURRENCY_PATTERN)]

    def __post_init__(self) -> None:
        if type(self.amount) is not int:  # a float or a bool, which a type checker may not have seen
            raise TypeError(f"an amount is an int of smallest units, not {type(self.amount).__name__}")
        if not _currency_code(self.currency):
            raise UnknownCurrency(currency=self.currency)

    @classmethod
    def of(cls, value: str | Decimal, currency: str) -> Self:
        """Read an amount as people write it, in the main unit: `Money.of("129.50", "USD")`.

        Args:
            value: digits with an optional sign and a point; no grouping, no exponent. Or the Decimal of it.
            currency: a code of ISO 4217 or ASSET_DIGITS.

        Raises:
            InvalidAmount: not a number, or finer than the smallest unit: nothing is rounded here.
            AmountOutOfRange: past 64 bits.
            UnknownCurrency: no such currency.
        """
        digits = currency_digits(currency)
        if isinstance(value, str):
            if len(value) > _TEXT_LENGTH_MAX or not _DECIMAL_TEXT.fullmatch(value):
                raise InvalidAmount(reason="write it like 129.50")
            value = Decimal(value)
        minor = _minor(value, digits)
        amount = round_amount(minor)
        if amount != minor:
            raise InvalidAmount(reason=f"{currency} has {digits} decimals")
        return cls(amount, currency)

    @classmethod
    def round_half_up(cls, value: Decimal, currency: str) -> Self:
        """The amount nearest to `value` main units; half a smallest unit goes away from zero."""
        return cls(round_amount(_minor(value, currency_digits(currency))), currency)

    @classmethod
    def zero(cls, currency: str) -> Self:
        """Nothing, in a currency that exists: the start of a sum."""
        currency_digits(currency)
        return cls(0, currency)

    @property
    def is_zero(self) -> bool:
        """Whether it is nothing at all."""
        return self.amount == 0

    def decimal(self) -> Decimal:
        """The amount in the main unit, with all the currency's decimals: `Decimal("129.50")`."""
        return Decimal(self.amount).scaleb(-currency_digits(self.currency), _EXACT)

    def format(self, locale: str = "en-US") -> str:
        """For people: `$129.50`, `129,50 $`. Costs some 20 µs, so not for every row of a list.

        Raises:
            UnknownLocale: `locale` is not a BCP 47 tag that CLDR has conventions for.
        """
        parsed, pattern = _pattern(locale, currency_digits(self.currency))
        text: str = pattern.apply(self.decimal(), parsed, currency=self.currency, currency_digits=False)
        return _LETTER_MEETS_DIGIT.sub("\xa0", text)

    def split(self, parts: int | Sequence[int]) -> list[Self]:
        """Divide into `parts` equal shares, or by weights when they are a sequence; the shares sum to the whole.

        The units left over go one each to the first shares: 1.00 in three is 0.34, 0.33, 0.33.

        Raises:
            InvalidSplit: fewer than one or more than PARTS_MAX shares.
        """
        if not isinstance(parts, int):
            return self.allocate(parts)
        if not 1 <= parts <= PARTS_MAX:
            raise InvalidSplit(reason=f"an amount is split into 1 to {PARTS_MAX} shares, not {parts}")
        return self.allocate([1] * parts)

    def allocate(self, weights: Sequence[int]) -> list[Self]:
        """Divide in proportion to `weights`, such as the totals of an order's lines; the shares sum to the whole.

        The units left over go one each to the shares that were cut most (largest remainder), the earlier of two equal
        ones first. Hence a share of weight zero is zero, no share differs from its exact proportion by a whole unit,
        and none exceeds its weight unless the amount exceeds their sum: no discount is larger than its line. A negative
        amount is divided as its opposite.

        Raises:
            InvalidSplit: no weights, more than PARTS_MAX, a negative one, or only zeros for an amount that is not zero.
        """
        if not 1 <= len(weights) <= PARTS_MAX:
            raise InvalidSplit(reason=f"an amount is divided by 1 to {PARTS_MAX} weights, not {len(weights)}")
        if min(weights) < 0:
            raise InvalidSplit(reason="a weight is not negative")
        whole = sum(weights)
        if whole == 0:
            if self.amount:
                raise InvalidSplit(reason="weights of zero take no share, and something is there to share")
            return [self] * len(weights)
        sign, magnitude = (-1, -self.amount) if self.amount < 0 else (1, self.amount)
        shares, cuts = zip(*(divmod(magnitude * weight, whole) for weight in weights), strict=True)
        left_over = magnitude - sum(shares)
        most_cut = sorted(range(len(weights)), key=lambda place: -cuts[place])  # stable: the earlier place first
        topped_up = set(most_cut[:left_over])
        return [self._with(sign * (share + (place in topped_up))) for place, share in enumerate(shares)]

    def times(self, factor: Decimal) -> Self:
        """Multiply by a rate and round once, half up: the tax on a total, a percentage off."""
        try:
            return self._with(round_amount(_EXACT.multiply(Decimal(self.amount), factor)))
        except DecimalException as error:
            raise InvalidAmount(reason="the rate is not a number of fewer than 80 digits", field=None) from error

    def __add__(self, other: Self) -> Self:
        return self._with(self.amount + self._amount_of(other))

    def __sub__(self, other: Self) -> Self:
        return self._with(self.amount - self._amount_of(other))

    def __mul__(self, count: int) -> Self:
        if type(count) is not int:
            return NotImplemented
        return self._with(self.amount * count)

    __rmul__ = __mul__

    def __neg__(self) -> Self:
        return self._with(-self.amount)

    def __lt__(self, other: Self) -> bool:
        return self.amount < self._amount_of(other)

    def __le__(self, other: Self) -> bool:
        return self.amount <= self._amount_of(other)

    def __gt__(self, other: Self) -> bool:
        return self.amount > self._amount_of(other)

    def __ge__(self, other: Self) -> bool:
        return self.amount >= self._amount_of(other)

    def _amount_of(self, other: object) -> int:
        if not isinstance(other, Money):
            raise TypeError(f"money goes with money, not with {type(other).__name__}")
        if other.currency != self.currency:
            raise CurrencyMismatch(expected=self.currency, actual=other.currency)
        return other.amount

    def _with(self, amount: int) -> Self:
        if not -AMOUNT_MAX <= amount <= AMOUNT_MAX:
            raise AmountOutOfRange
        return type(self)(amount, self.currency)


def round_amount(minor: Decimal) -> int:
    """The one place where money is rounded: to whole smallest units, half away from zero.

    Raises:
        InvalidAmount: not a finite number.
        AmountOutOfRange: past 64 bits.
    """
    if not minor.is_finite():
        raise InvalidAmount(reason="not a finite number")
    whole = minor.to_integral_value(ROUND_HALF_UP)
    if whole.copy_abs() > AMOUNT_MAX:  # before int(): 1E+999999 is short as a Decimal and a million digits as an int
        raise AmountOutOfRange
    return int(whole)


@cache  # only codes that exist are kept: the others raise
def currency_digits(currency: str) -> int:
    """How many decimals the main unit has: JPY 0, USD 2, KWD 3, USDC 6; at most DIGITS_MAX.

    Raises:
        UnknownCurrency: neither in ISO 4217, former currencies included, nor in ASSET_DIGITS.
    """
    if (digits := ASSET_DIGITS.get(currency, _ISO_DIGITS.get(currency))) is not None:
        return digits
    from babel.numbers import get_currency_precision, is_currency  # noqa: PLC0415  # a command that shows no money starts without it

    if not is_currency(currency) or currency == _NO_CURRENCY:
        raise UnknownCurrency(currency=currency)
    return get_currency_precision(currency)


def _minor(value: Decimal, digits: int) -> Decimal:
    try:
        return value.scaleb(digits, _EXACT)
    except DecimalException as error:
        raise InvalidAmount(reason="not a number of fewer than 100 digits") from error


@lru_cache(maxsize=512)
def _pattern(locale: str, digits: int) -> "tuple[Locale, NumberPattern]":
    """The locale's way to write money, with our number of decimals in place of CLDR's."""
    from babel.core import Locale, UnknownLocaleError  # noqa: PLC0415  # as above

    try:
        parsed = Locale.parse(locale.replace("-", "_"))
    except (ValueError, UnknownLocaleError) as error:
        raise UnknownLocale(locale=locale) from error
    pattern = copy.copy(parsed.currency_formats["standard"])
    pattern.frac_prec = (digits, digits)
    return parsed, pattern
