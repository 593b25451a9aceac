"""What is sealed opens with the same secret at the same place, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storeroom.core.crypto import KeyRing, SealBroken
from storeroom.core.secrets import Secret

OLD, NEW = Secret("a secret of the installation, the old one"), Secret("a secret of the installation, the new one")
RING = KeyRing([OLD], purpose="tests, 1")


@given(st.binary(max_size=200), st.text(max_size=50))
def test_what_is_sealed_opens_again(text: bytes, place: str) -> None:
    try:
        place.encode()
    except UnicodeEncodeError:
        return
    sealed = RING.seal(text, bound_to=place)
    assert RING.open(sealed, bound_to=place) == text
    assert sealed != RING.seal(text, bound_to=place), "never twice the same"
    assert len(text) < 12 or text not in sealed.encode()  # shorter ones may be there by chance


def test_at_another_place_with_another_key_or_changed_it_does_not_open() -> None:
    sealed = RING.seal(b"hello", bound_to="row 1")
    version, key_id, body = sealed.split(".")
    flipped = body[:-2] + ("A" if body[-2] != "A" else "B") + body[-1]
    for ring, text, place in [
        (RING, sealed, "row 2"),
        (KeyRing([NEW], purpose="tests, 1"), sealed, "row 1"),
        (KeyRing([OLD], purpose="tests, 2"), sealed, "row 1"),
        (RING, f"{version}.{key_id}.{flipped}", "row 1"),
        (RING, f"2.{key_id}.{body}", "row 1"),
    ]:
        with pytest.raises(SealBroken):
            ring.open(text, bound_to=place)


@given(st.text(max_size=80))
def test_nonsense_does_not_open(text: str) -> None:
    for each in (text, f"1.{text}", f"{RING.seal(b'', bound_to='').rsplit('.', 1)[0]}.{text}"):
        with pytest.raises(SealBroken):
            RING.open(each, bound_to="")


def test_a_secret_is_replaced_while_rows_of_the_old_one_are_there() -> None:
    sealed = RING.seal(b"hello", bound_to="row 1")
    both = KeyRing([NEW, OLD], purpose="tests, 1")
    assert both.open(sealed, bound_to="row 1") == b"hello"
    again = both.seal(b"hello", bound_to="row 1")
    assert KeyRing([NEW], purpose="tests, 1").open(again, bound_to="row 1") == b"hello"
    with pytest.raises(SealBroken):
        RING.open(again, bound_to="row 1")


def test_a_ring_shows_no_key() -> None:
    assert OLD.reveal() not in repr(RING)
    with pytest.raises(ValueError, match="at least one"):
        KeyRing([], purpose="tests, 1")
