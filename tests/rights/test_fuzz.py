"""What arrives from outside and is taken apart by hand: whatever is sent, it is read or refused in our own words."""

import base64
import re

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from storeroom.access import ApiKeyRefused, InvalidOrigin, KeyText, normal_origin
from storeroom.core.contact import InvalidEmail, InvalidPhone, normal_email, normal_phone
from storeroom.core.ids import TenantId
from storeroom.identity import TokenKeys, TokenRefused
from storeroom.identity.tokens import RefreshToken
from storeroom.server.gate import RoomGate
from storeroom.web import Call, InvalidToken, guest_token, read_guest_token

ANYTHING = st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1"))
TENANTS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
many = settings(max_examples=300, deadline=None)


@many
@given(ANYTHING | st.builds("sk_{}.{}".format, ANYTHING, ANYTHING))
@example("sk_a." + "A" * 43)
@example("sk_a." + "A" * 43 + "\n")
@example("sk_a." + "\uff21" * 43)
@example("sk_\ud800." + "A" * 43)
def test_a_key_is_read_back_as_it_was_or_refused(text: str) -> None:
    try:
        key = KeyText.read(text)
    except ApiKeyRefused:
        return
    assert key.text == text
    assert re.fullmatch(r"[0-9a-f]{64}", key.hash)
    assert key.secret not in repr(key)


@given(TENANTS)
def test_every_key_that_is_made_can_be_read(tenant: str) -> None:
    key = KeyText.new(TenantId(tenant))
    assert KeyText.read(key.text) == key
    assert KeyText.new(TenantId(tenant)).secret != key.secret


@many
@given(ANYTHING | st.builds("guest_{}.{}".format, ANYTHING, ANYTHING))
def test_a_guests_token_is_read_back_as_it_was_or_refused(text: str) -> None:
    try:
        tenant, token = read_guest_token(text)
    except InvalidToken:
        return
    assert guest_token(tenant, token) == text
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tenant)


@many
@given(ANYTHING)
def test_a_refresh_token_is_read_back_as_it_was_or_refused(text: str) -> None:
    try:
        token = RefreshToken.read(text)
    except TokenRefused:
        return
    assert token.text == text


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.sampled_from(
    [{"alg": "HS256"}, {"alg": "none"}, {"alg": "HS512"}, {"alg": "RS256"}, {"alg": "HS256", "crit": ["x"]}, {}]
)


@many
@given(ANYTHING | st.builds(lambda h, c, s: f"{_part(h)}.{_part(c)}.{s}", HEADERS | JSON, JSON, ANYTHING))
@example(_part({"alg": "none"}) + "." + _part({"sub": "x", "exp": 9999999999}) + ".")
@example("." * 4000)
def test_no_access_token_that_we_did_not_sign_is_read(text: str) -> None:
    from datetime import UTC, datetime

    keys = TokenKeys.of("a secret of the tests, long enough to sign with")
    with pytest.raises(TokenRefused):
        keys.read(text, now=datetime.now(UTC))


class _NoRoom:
    """Fails where anything of it is asked: no token below may get that far."""

    tenants = property()
    db = None

    def tenant(self, tenant_id: str) -> object:
        assert re.fullmatch(r".*", tenant_id, re.DOTALL)
        raise InvalidToken


@many
@given(ANYTHING | st.builds(lambda h, c, s: f"{_part(h)}.{_part(c)}.{s}", HEADERS, JSON, ANYTHING))
async def test_a_bearer_is_taken_apart_without_a_surprise(text: str) -> None:
    with pytest.raises(InvalidToken):
        await RoomGate(_NoRoom()).authenticate(text)  # type: ignore[arg-type]


@many
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                b"authorization cookie host origin storeroom-session storeroom-tenant user-agent x-forwarded-for "
                b"x-forwarded-proto x-request-id sec-fetch-site".split()
            ),
            st.binary(max_size=100),
        ),
        max_size=6,
    ),
    st.integers(0, 3),
)
@example([(b"cookie", b"storeroom_session=guest_\xff.\x00")], 0)
@example([(b"origin", b"https://"), (b"host", b":443")], 1)
def test_headers_are_read_whatever_they_hold(headers: list[tuple[bytes, bytes]], proxies: int) -> None:
    scope = {"headers": headers, "client": ("203.0.113.9", 1), "method": "POST", "scheme": "http"}
    call = Call(scope, None, trusted_proxies=proxies)  # type: ignore[arg-type]
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", call.request_id)
    assert (call.foreign, call.private, call.https) is not None
    assert all(len(text or "") <= 500 for text in (call.user_agent, call.host, call.domain, call.origin, call.ip))


@many
@given(ANYTHING | st.from_regex(r"\+?[0-9 ()./-]{1,40}", fullmatch=True), st.sampled_from(["US", "LK", "DE", "ZZ", ""]))
@example("", "")
@example("+94 77 123 4567", "US")
@example("٠٧٧١٢٣٤٥٦٧", "LK")
@example("077 123 4567;ext=9", "LK")
def test_a_telephone_number_becomes_digits_or_is_refused(text: str, region: str) -> None:
    try:
        digits = normal_phone(text, region)
    except InvalidPhone:
        return
    assert re.fullmatch(r"[1-9][0-9]{5,14}", digits)
    assert normal_phone(f"+{digits}", "US") == digits


@many
@given(ANYTHING | st.emails())
def test_a_mail_address_has_one_form_or_is_refused(text: str) -> None:
    try:
        email = normal_email(text)
    except InvalidEmail:
        return
    assert email == email.lower()
    assert 3 <= len(email) <= 255
    assert normal_email(email) == email


@many
@given(ANYTHING | st.builds("{}://{}:{}".format, st.sampled_from(["http", "https"]), ANYTHING, st.integers(-1, 70000)))
def test_an_origin_has_one_form_or_is_refused(text: str) -> None:
    try:
        origin = normal_origin(text)
    except InvalidOrigin:
        return
    assert normal_origin(origin) == origin
    assert re.fullmatch(r"https?://[a-z0-9.\[\]:-]+", origin)
    assert len(origin) <= 255
