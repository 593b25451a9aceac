"""Mail addresses, telephone numbers and postal addresses: one stored form each."""

import msgspec
import pytest
from email_validator import SPECIAL_USE_DOMAIN_NAMES
from hypothesis import given
from hypothesis import strategies as st

from storeroom.core import contact
from storeroom.core.contact import (
    _STATES,
    Address,
    InvalidAddress,
    InvalidEmail,
    InvalidPhone,
    _countries,
    normal_address,
    normal_email,
    normal_phone,
    ships_to_restricted,
)


def address(**given) -> Address:
    lines = {
        "recipient_name": "Ann Lee",
        "street_line_1": "1 Main St",
        "city": "Albany",
        "state_province": "NY",
        "postal_code": "12207",
    }
    return Address(**(lines | given))


def abroad(country, **given) -> Address:
    return address(**({"country_code": country, "state_province": ""} | given))


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("Ann@Example.COM", "ann@example.com"),
        ("  ann@example.com\n", "ann@example.com"),
        ("ann.lee+shop@example.co.uk", "ann.lee+shop@example.co.uk"),
        ("U\u0308n@EXÄMPLE.de", "ün@exämple.de"),  # composed
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_an_email_in_its_stored_form(text, email):
    assert normal_email(text) == email


@pytest.mark.parametrize(
    "text",
    [
        "", "ann", "ann@", "@example.com", "ann@example", "ann@localhost", "ann lee@example.com", "ann@exa mple.com",
        "Ann <ann@example.com>", "ann@example.com, bob@example.com", "ann@example.com\nBcc: x@example.com",
        "ann@[127.0.0.1]", '"ann"@example.com', "ann@example..com", "ann@shop.test", "a\x00b@example.com",
        "a" * 243 + "@example.com", "a@" + "b" * 5000 + ".com",
    ],
)  # fmt: skip
def test_what_is_no_email_is_refused(text):
    with pytest.raises(InvalidEmail) as refused:
        normal_email(text, field="customer_email")
    assert refused.value.field == "customer_email"


def emails(local, label, top):
    return st.builds(
        lambda one, labels, last: f"{one}@{'.'.join([*labels, last])}",
        local,
        st.lists(label, min_size=1, max_size=4),
        top,
    )


PLAIN = emails(
    st.from_regex(r"[A-Za-z0-9_+-]{1,9}(\.[A-Za-z0-9_+-]{1,9}){0,3}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9-]{0,9}[A-Za-z0-9])?", fullmatch=True),
    st.sampled_from(["com", "Museum", "uk", "TEST", "c"]),
)
ODD = st.text("aZ0-_+.", min_size=1, max_size=70)


@given(st.one_of(PLAIN, emails(ODD, ODD, ODD), st.emails()))
def test_what_is_right_at_a_glance_is_right_on_inspection(text):
    if contact._PLAIN_EMAIL.fullmatch(text):
        assert normal_email(text) == contact._checked_email(text, "email")


def test_no_reserved_domain_is_right_at_a_glance():
    for domain in SPECIAL_USE_DOMAIN_NAMES:
        assert not contact._PLAIN_EMAIL.fullmatch(f"ann@shop.{domain}")
        assert not contact._PLAIN_EMAIL.fullmatch(f"ann@shop.{domain.upper()}")


@given(st.emails())
def test_the_stored_form_of_an_email_is_stable(text):
    try:
        email = normal_email(text)
    except InvalidEmail:
        return
    assert normal_email(email) == email
    assert normal_email(text.upper()) == email or not text.isascii()


@pytest.mark.parametrize(
    ("text", "region", "phone"),
    [
        ("94771234567", "LK", "94771234567"),
        ("0771234567", "LK", "94771234567"),
        ("+94 77 123 4567", "LK", "94771234567"),
        ("+94 77 123 4567", None, "94771234567"),
        ("+94 77 123 4567", "US", "94771234567"),
        ("94771234567", None, "94771234567"),  # its own stored form
        ("94771234567", "US", "94771234567"),  # which we also show, so it is read in every country
        ("15125550123", "LK", "15125550123"),
        ("0094771234567", "LK", "94771234567"),
        ("077-123 4567", "LK", "94771234567"),
        ("\u0660\u0667\u0667\u0661\u0662\u0663\u0664\u0665\u0666\u0667", "LK", "94771234567"),  # Arabic-Indic digits
        ("(212) 555-0100", "US", "12125550100"),
        ("+39 06 6982 1234", "IT", "390669821234"),  # the zero belongs to it
    ],
)
def test_a_phone_in_its_stored_form(text, region, phone):
    assert normal_phone(text, region) == phone


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("", "LK"), ("   ", "LK"), ("12", "LK"), ("077123456", "LK"), ("07712345678", "LK"), ("0771234567", None),
        ("0771234567", "US"), ("0771234567", "XX"),
        ("94 77 123 4567", "US"), ("7712345678", "LK"), ("+94771234567 ext 5", "LK"), ("1-800-FLOWERS", "US"),
        ("call 0771234567", "LK"), ("+", "LK"), ("++94771234567", "LK"), ("-" * 41, "LK"), ("9" * 5000, "LK"),
        ("0771234567;0771234568", "LK"),
    ],
)  # fmt: skip
def test_what_is_no_phone_is_refused(text, region):
    with pytest.raises(InvalidPhone) as refused:
        normal_phone(text, region)
    assert refused.value.field == "phone"


def test_a_text_message_needs_a_mobile_number():
    assert normal_phone("0112345678", "LK") == "94112345678"
    with pytest.raises(InvalidPhone):
        normal_phone("0112345678", "LK", mobile=True)
    assert normal_phone("0771234567", "LK", mobile=True) == "94771234567"
    assert normal_phone("94771234567", "US", mobile=True) == "94771234567"
    with pytest.raises(InvalidPhone):
        normal_phone("94112345678", "US", mobile=True)
    assert normal_phone("(212) 555-0100", "US", mobile=True) == "12125550100"  # its plan does not tell them apart


def test_an_address_is_tidied():
    typed = address(
        recipient_name="  Ann\t Lee ", company=" ", street_line_2="", city="Que\u0301bec", postal_code="g1r 4s9",
        state_province="québec", country_code="ca", phone=" 555 0100 ",
    )  # fmt: skip
    assert normal_address(typed) == Address(
        recipient_name="Ann Lee",
        company=None,
        street_line_1="1 Main St",
        street_line_2=None,
        city="Qu\u00e9bec",
        state_province="QC",
        postal_code="G1R 4S9",
        country_code="CA",
        phone="555 0100",
    )


def test_the_country_is_the_united_states_unless_said():
    assert (
        msgspec.convert(
            {"recipient_name": "A", "street_line_1": "B", "city": "C", "state_province": "NY", "postal_code": "1"},
            Address,
        ).country_code
        == "US"
    )


@pytest.mark.parametrize(
    ("written", "stored"),
    [("US", "US"), (" us ", "US"), ("UK", "GB"), ("uk", "GB"), ("GB", "GB"), ("de", "DE"), ("PR", "PR")],
)
def test_countries(written, stored):
    state = "NY" if stored == "US" else ""
    assert normal_address(address(country_code=written, state_province=state)).country_code == stored


@pytest.mark.parametrize("written", ["", "XX", "EU", "XK", "ZZ", "USA", "U", "12", "Germany", "SU"])
def test_a_country_that_is_none_is_refused(written):
    with pytest.raises(InvalidAddress) as refused:
        normal_address(address(country_code=written))
    assert refused.value.field == "country_code"


def test_there_are_249_countries():
    """ISO 3166-1 assigns 249 codes; a new CLDR that lists something else beside them shows here."""
    assert len(_countries()) == 249


@pytest.mark.parametrize(
    ("written", "stored"),
    [
        ("ny", "NY"), ("N.Y.", "NY"), ("New York", "NY"), (" new   york ", "NY"), ("US-NY", "NY"), ("CALIFORNIA", "CA"),
        ("D.C.", "DC"), ("Washington, D.C.", "DC"), ("District of Columbia", "DC"), ("Washington", "WA"),
        ("Puerto Rico", "PR"), ("U.S. Virgin Islands", "VI"), ("Armed Forces Europe", "AE"), ("AP", "AP"),
    ],
)  # fmt: skip
def test_states(written, stored):
    assert normal_address(address(state_province=written)).state_province == stored


def test_the_tables_of_states_are_whole():
    assert {country: len(set(table.values())) for country, table in _STATES.items()} == {
        "US": 50 + 1 + 5 + 3,  # states, the district, territories, armed forces
        "CA": 13,
        "AU": 8,
    }
    assert all(len(code) == 2 for code in _STATES["US"].values())


@pytest.mark.parametrize("written", ["Quebec", "ZZ", "New Yrok", "NY NJ", "CA-QC", "-"])
def test_a_state_that_is_none_is_refused(written):
    with pytest.raises(InvalidAddress) as refused:
        normal_address(address(state_province=written))
    assert refused.value.field == "state_province"


def test_elsewhere_a_state_stays_as_written_and_may_be_left_out():
    assert normal_address(abroad("DE", state_province=" Bayern ")).state_province == "Bayern"
    assert normal_address(abroad("DE")).state_province == ""
    for country in ("US", "CA", "AU", "IN"):
        with pytest.raises(InvalidAddress) as refused:
            normal_address(abroad(country))
        assert refused.value.field == "state_province"


def test_a_postal_code_may_be_left_out_where_there_are_none():
    assert normal_address(abroad("AE", postal_code=" ")).postal_code == ""
    with pytest.raises(InvalidAddress) as refused:
        normal_address(abroad("DE", postal_code=" "))
    assert refused.value.field == "postal_code"


@pytest.mark.parametrize("field", ["recipient_name", "street_line_1", "city"])
@pytest.mark.parametrize("line", ["", " ", "\t\n"])
def test_a_line_that_must_be_there_is_missed(field, line):
    with pytest.raises(InvalidAddress) as refused:
        normal_address(address(**{field: line}))
    assert refused.value.facts() == {"field": field, "reason": "missing"}


@pytest.mark.parametrize(
    ("field", "longest"),
    [
        ("recipient_name", 200), ("company", 200), ("street_line_1", 255), ("street_line_2", 255), ("city", 100),
        ("state_province", 100), ("postal_code", 20), ("phone", 20),
    ],
)  # fmt: skip
def test_lines_have_a_longest(field, longest):
    assert getattr(normal_address(abroad("DE", **{field: "X" * longest})), field) == "X" * longest
    too_long = abroad("DE", **{field: "X" * (longest + 1)})
    with pytest.raises(InvalidAddress) as refused:
        normal_address(too_long)
    assert refused.value.field == field
    with pytest.raises(msgspec.ValidationError, match=field):
        msgspec.json.decode(msgspec.json.encode(too_long), type=Address)


@pytest.mark.parametrize("line", ["a\x00b", "a\x1b[2Jb", "a\ud800b"])
def test_what_the_database_or_a_terminal_would_choke_on_is_refused(line):
    with pytest.raises(InvalidAddress) as refused:
        normal_address(address(city=line))
    assert refused.value.field == "city"


def test_a_line_nobody_asked_for_is_refused():
    with pytest.raises(msgspec.ValidationError, match="planet"):
        msgspec.convert(msgspec.structs.asdict(address()) | {"planet": "Mars"}, Address)


lines = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20)


@given(lines, lines, lines, st.sampled_from(sorted(_countries())))
def test_the_stored_form_of_an_address_is_stable(name, street, city, country):
    try:
        stored = normal_address(abroad(country, recipient_name=name, street_line_1=street, city=city))
    except InvalidAddress:
        return
    assert normal_address(stored) == stored


@pytest.mark.parametrize(
    ("to", "states", "countries", "entry"),
    [
        (address(), None, None, None),
        (address(), [], [], None),
        (address(), ["CA", "NY"], None, "NY"),
        (address(), ["ny"], None, "ny"),
        (address(), ["US-NY"], None, "US-NY"),
        (address(state_province="New York"), ["NY"], None, "NY"),
        (address(), ["CA"], ["CA", "AU", "UK"], None),
        (address(), None, ["US"], "US"),
        (address(), [""], [""], None),
        (address(state_province=""), ["", "US-"], None, None),
        # CA is California among the states and Canada among the countries
        (address(state_province="CA"), None, ["CA"], None),
        (abroad("CA", state_province="QC"), ["CA"], None, None),
        (abroad("CA", state_province="QC"), None, ["AU", "CA"], "CA"),
        (abroad("CA", state_province="Québec"), ["CA-QC"], None, "CA-QC"),
        (abroad("CA", state_province="ON"), ["CA-QC"], None, None),
        (abroad("AU", state_province="Western Australia"), ["WA"], None, None),  # Washington
        (abroad("AU", state_province="Western Australia"), ["AU-WA"], None, "AU-WA"),
        # the United Kingdom under both its codes
        (abroad("GB"), None, ["CA", "AU", "UK"], "UK"),
        (abroad("UK"), None, ["GB"], "GB"),
        (abroad("GB", state_province="NIR"), ["UK-NIR"], None, "UK-NIR"),
        # Puerto Rico, as a state and as a country
        (address(state_province="PR"), ["PR"], None, "PR"),
        (abroad("PR"), ["PR"], None, "PR"),
        (address(state_province="PR"), None, ["PR"], "PR"),
        (abroad("PR"), None, ["US"], None),
        # AE is the Emirates, and the Armed Forces in Europe
        (address(state_province="AE"), None, ["AE"], None),
        (abroad("AE"), ["AE"], None, None),
    ],
)
def test_where_a_product_may_not_go(to, states, countries, entry):
    assert ships_to_restricted(to, states, countries) == entry


def test_a_number_beyond_the_fifteen_digits_of_the_standard_is_refused() -> None:
    """The German plan has some; no table of ours, and no carrier abroad, would take them."""
    with pytest.raises(InvalidPhone):
        normal_phone("+49 30 000000000000", "DE")
    assert normal_phone("+49 30 00000000000", "DE") == "493000000000000"
