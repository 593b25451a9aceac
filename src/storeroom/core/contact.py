"""How to reach people: mail addresses, telephone numbers and postal addresses, each in one written form.

Two spellings of one address must meet in a unique index, so everything is brought into its stored form here, before it
goes anywhere. Nothing asks the network: whether somebody is there, only a message tells.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

from storeroom.core.errors import Invalid

EMAIL_LENGTH_MAX: Final = 254
PHONE_LENGTH_MAX: Final = 40  # as typed, with its spaces and brackets; 15 digits remain at most

# What is right at a glance, as nearly every address is; whatever else there may be, email_validator decides. It takes a
# tenth of what placing an order costs, and reads all these to themselves: a test compares the two.
_PLAIN_EMAIL: Final = re.compile(
    r"(?=.{6,200}\Z)(?=[^@]{1,64}@)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@"
    r"(?:(?!..--)[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+"
    r"(?!(?i:arpa|invalid|local|localhost|onion|test)\Z)[A-Za-z]{2,63}"
)
E164_DIGITS: Final = re.compile(r"[1-9][0-9]{5,14}")  # as the tables have it
_PHONE_TEXT: Final = re.compile(
    r"\s*[+\uff0b]?[\d\s().\u2010-\u2015/-]+"
)  # no letters: "ext. 5" would be lost silently


class InvalidEmail(Invalid):
    """Not a mail address somebody could have. The text itself is left out: it is personal."""

    code = "core.invalid_email"

    def __init__(self, *, reason: str, field: str = "email") -> None:
        super().__init__(f"not a mail address: {reason}", field=field)
        self.reason = reason


class InvalidPhone(Invalid):
    """Not a telephone number that is in use in its country. The text itself is left out: it is personal."""

    code = "core.invalid_phone"

    def __init__(self, *, region: str | None, field: str = "phone") -> None:
        where = f"in {region}, or one that begins with + and a country code" if region else "with its country code"
        super().__init__(f"not a telephone number {where}", field=field)
        self.region = region


class InvalidAddress(Invalid):
    """Nothing can be sent to this address; `field` names the line that is wrong."""

    code = "core.invalid_address"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


Line200: TypeAlias = Annotated[str, Meta(max_length=200)]
Line255: TypeAlias = Annotated[str, Meta(max_length=255)]
Line100: TypeAlias = Annotated[str, Meta(max_length=100)]
Line20: TypeAlias = Annotated[str, Meta(max_length=20)]
CountryCode: TypeAlias = Annotated[str, Meta(min_length=2, max_length=2)]


class Address(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a parcel or an invoice goes; as typed, until `normal_address` has seen it."""

    recipient_name: Line200
    company: Line200 | None = None
    street_line_1: Line255
    street_line_2: Line255 | None = None
    city: Line100
    state_province: Line100  # empty where a country's addresses have none
    postal_code: Line20  # empty where a country has none
    country_code: CountryCode = "US"  # ISO 3166-1 alpha-2; UK is understood as GB
    phone: Line20 | None = None  # for the courier, as written; not how we recognise anyone


def normal_email(text: str, *, field: str = "email") -> str:
    """The stored form of a mail address: Unicode composed, all of it in lower case.

    The standard lets a host tell Ann@ from ann@. None in use does, and two accounts for one person cost more.

    Raises:
        InvalidEmail: not an address, longer than EMAIL_LENGTH_MAX, or in a domain that is reserved (`.test`, `.local`).
    """
    text = text.strip()
    if _PLAIN_EMAIL.fullmatch(text):
        return text.lower()
    return _checked_email(text, field)


def _checked_email(text: str, field: str) -> str:
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415  # slow to import

    if len(text) > EMAIL_LENGTH_MAX:
        raise InvalidEmail(reason=f"longer than {EMAIL_LENGTH_MAX} characters", field=field)
    try:
        email = validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise InvalidEmail(reason=str(error), field=field) from error
    if len(email) > EMAIL_LENGTH_MAX:  # a few letters grow when they are lowered
        raise InvalidEmail(reason=f"longer than {EMAIL_LENGTH_MAX} characters", field=field)
    return email


def normal_phone(text: str, region: str | None = None, *, mobile: bool = False, field: str = "phone") -> str:
    """The stored form of a telephone number: E.164 without the plus, `94771234567`.

    Args:
        text: as typed; in LK `0771234567`, `94771234567` and `+94 77 123 4567` are one number. Our own stored form is
            read everywhere, where it is no number of the country itself.
        region: ISO 3166-1 alpha-2 of the country whose customs apply without a plus; None: the country code is there.
        mobile: whether it has to be one that can receive a text message.
        field: what the error names.

    Raises:
        InvalidPhone: no such number can exist, or it is a landline where a mobile one is asked for.
    """
    from phonenumbers import (  # noqa: PLC0415  # slow to import
        NumberParseException,
        PhoneNumberFormat,
        PhoneNumberType,
        format_number,
        is_valid_number,
        number_type,
        parse,
    )

    if len(text) > PHONE_LENGTH_MAX or not _PHONE_TEXT.fullmatch(text):
        raise InvalidPhone(region=region, field=field)
    text = text.strip()
    readings = [text if region or text[:1] in "+\uff0b" else f"+{text}"]
    if region and E164_DIGITS.fullmatch(text):
        readings.append(f"+{text}")
    mobiles = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
    for reading in readings:
        try:
            number = parse(reading, region)
        except NumberParseException:
            continue
        if not is_valid_number(number):
            continue
        digits = format_number(number, PhoneNumberFormat.E164).removeprefix("+")
        if (mobile and number_type(number) not in mobiles) or not E164_DIGITS.fullmatch(digits):
            break  # some plans go beyond the 15 digits of the standard
        return digits
    raise InvalidPhone(region=region, field=field)


def normal_address(address: Address) -> Address:
    """The stored form of an address: spaces tidied, country and state as codes, empty lines as None.

    States are codes in the United States, Canada and Australia, whichever way they were written; elsewhere they stay
    as written.

    Raises:
        InvalidAddress: a line is missing or too long, or country or state do not exist; `field` says which.
    """
    lines = {name: _tidy(line, name) for name, line in msgspec.structs.asdict(address).items()}
    country = lines["country_code"] = _country(lines["country_code"] or "")
    if country not in _countries():
        raise InvalidAddress(field="country_code", reason="not a country of ISO 3166-1, write two letters")
    state = lines["state_province"] or ""
    if state and country in _STATES:
        state = _state(country, state)
        if state not in _STATES[country].values():
            raise InvalidAddress(field="state_province", reason=f"not a state of {country}")
    lines["state_province"] = state
    lines["postal_code"] = (lines["postal_code"] or "").upper()
    needed = ["recipient_name", "street_line_1", "city"]
    needed += ["state_province"] * (country in _STATE_NEEDED) + ["postal_code"] * (country not in _NO_POSTAL_CODES)
    for name in needed:
        if not lines[name]:
            raise InvalidAddress(field=name, reason="missing")
    try:
        return msgspec.convert(lines, Address)
    except msgspec.ValidationError as error:  # "Expected `str` of length <= 100 - at `$.city`"
        reason, _, path = str(error).partition(" - at `$.")
        raise InvalidAddress(field=path.rstrip("`"), reason=reason) from error


def ships_to_restricted(
    address: Address,
    restricted_states: Iterable[str] | None,
    restricted_countries: Iterable[str] | None,
) -> str | None:
    """The entry, as it was written, that forbids shipping to this address; None if nothing does.

    A bare state code such as `CA` means the United States (Canada is a country); `CA-QC` means Quebec. Puerto Rico and
    the other territories are both a state of the United States and a country of ISO 3166-1: either entry meets either
    address.
    """
    country = _country(address.country_code)
    state = _state(country, address.state_province)
    countries, states = {country}, {(country, state)}
    if country in _TERRITORIES:
        states.add(("US", country))
    if country == "US" and state in _TERRITORIES:
        countries.add(state)
    for entry in restricted_countries or ():
        if _country(entry) in countries:
            return entry
    for entry in restricted_states or ():
        before, hyphen, after = entry.partition("-")
        of, written = (_country(before), after) if hyphen else ("US", entry)
        if (named := _state(of, written)) and (of, named) in states:
            return entry
    return None


def _tidy(line: str | None, field: str) -> str | None:
    """Composed Unicode, single spaces, no control characters; nothing left is None."""
    if line is None:
        return None
    tidied = " ".join(unicodedata.normalize("NFC", line).split())
    if not tidied.isprintable() and any(unicodedata.category(character) in {"Cc", "Cs"} for character in tidied):
        raise InvalidAddress(field=field, reason="holds a control character")
    return tidied or None


def normal_country(text: str, *, field: str = "country_code") -> str:
    """The ISO 3166-1 alpha-2 code of a country, `GB` for `uk`.

    Raises:
        InvalidAddress: no such country.
    """
    code = _country(text)
    if code not in _countries():
        raise InvalidAddress(field=field, reason="no such country")
    return code


def _country(text: str) -> str:
    code = text.strip().upper()
    return "GB" if code == "UK" else code  # UK is reserved in ISO 3166-1 and means the same


def _state(country: str, text: str) -> str:
    """The state's code, also from its name or its ISO 3166-2 form (`US-CA`); what is unknown comes back as its key."""
    key = _key(text).removeprefix(f"{country}-")
    named = _STATES.get(country)
    return named.get(key, key) if named else key


def _key(text: str) -> str:
    """Upper case without dots, commas and accents: `Québec` is `QUEBEC`, `Washington, D.C.` is `WASHINGTON DC`."""
    plain = (character for character in unicodedata.normalize("NFKD", text) if not unicodedata.combining(character))
    return " ".join("".join(plain).replace(".", "").replace(",", " ").upper().split())


@cache
def _countries() -> frozenset[str]:
    from babel.core import Locale  # noqa: PLC0415  # slow to import

    names: Mapping[str, str] = Locale("en").territories
    return frozenset(code for code in names if len(code) == 2) - _NOT_COUNTRIES


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What CLDR lists beside the 249 officially assigned codes: parts, unions, test values, Kosovo's user-assigned code.
_NOT_COUNTRIES: Final = _codes("AC CP CQ DG EA EU EZ IC QO TA UN XA XB XK ZZ")

# States of the United States that have a country code of their own.
_TERRITORIES: Final = _codes("AS GU MP PR VI")

# The post of these countries does not deliver without the state or province.
_STATE_NEEDED: Final = _codes("AU BR CA IN MX US")

# Countries without postal codes, or where many addresses are written without.
_NO_POSTAL_CODES: Final = _codes(
    "AE AG AO AW BF BI BJ BO BS BW BZ CD CF CG CI CK CM DJ DM ER FJ GA GD GH GM GN GQ GY HK IE JM KE KI KM KN KP "
    "LC LY ML MO MR MS MW NR NU PA QA RW SB SC SL SO SR SS ST SY TD TG TK TL TO TT TV TZ UG VU WS YE ZW"
)


def _named(table: str, **others: str) -> MappingProxyType[str, str]:
    """From `CA California` lines the code for each name and for each code."""
    rows = [line.split(maxsplit=1) for line in table.strip().splitlines()]
    codes = {code: code for code, _ in rows} | {_key(name): code for code, name in rows}
    return MappingProxyType(codes | {name.replace("_", " "): code for name, code in others.items()})


_STATES: Final = MappingProxyType(
    {
        "US": _named(
            """
            AL Alabama
            AK Alaska
            AZ Arizona
            AR Arkansas
            CA California
            CO Colorado
            CT Connecticut
            DE Delaware
            FL Florida
            GA Georgia
            HI Hawaii
            ID Idaho
            IL Illinois
            IN Indiana
            IA Iowa
            KS Kansas
            KY Kentucky
            LA Louisiana
            ME Maine
            MD Maryland
            MA Massachusetts
            MI Michigan
            MN Minnesota
            MS Mississippi
            MO Missouri
            MT Montana
            NE Nebraska
            NV Nevada
            NH New Hampshire
            NJ New Jersey
            NM New Mexico
            NY New York
            NC North Carolina
            ND North Dakota
            OH Ohio
            OK Oklahoma
            OR Oregon
            PA Pennsylvania
            RI Rhode Island
            SC South Carolina
            SD South Dakota
            TN Tennessee
            TX Texas
            UT Utah
            VT Vermont
            VA Virginia
            WA Washington
            WV West Virginia
            WI Wisconsin
            WY Wyoming
            DC District of Columbia
            AS American Samoa
            GU Guam
            MP Northern Mariana Islands
            PR Puerto Rico
            VI Virgin Islands
            AA Armed Forces Americas
            AE Armed Forces Europe
            AP Armed Forces Pacific
            """,
            WASHINGTON_DC="DC",
            US_VIRGIN_ISLANDS="VI",
        ),
        "CA": _named(
            """
            AB Alberta
            BC British Columbia
            MB Manitoba
            NB New Brunswick
            NL Newfoundland and Labrador
            NS Nova Scotia
            NT Northwest Territories
            NU Nunavut
            ON Ontario
            PE Prince Edward Island
            QC Quebec
            SK Saskatchewan
            YT Yukon
            """
        ),
        "AU": _named(
            """
            ACT Australian Capital Territory
            NSW New South Wales
            NT Northern Territory
            QLD Queensland
            SA South Australia
            TAS Tasmania
            VIC Victoria
            WA Western Australia
            """
        ),
    }
)
