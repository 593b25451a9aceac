"""The states and words of orders, read against tables written by hand."""

import pytest

from storeroom.core.states import mermaid
from storeroom.orders import ORDER_MOVES, OrderStatus, UnknownStatusWord, Vocabulary, from_word, to_word, traffic_source

MOVES = {
    "pending_payment": "payment_received cancelled",
    "payment_received": "processing cancelled refunded partially_refunded",
    "processing": "ready_to_ship shipped cancelled refunded partially_refunded",
    "ready_to_ship": "shipped cancelled refunded partially_refunded",
    "shipped": "delivered refunded partially_refunded",
    "delivered": "refunded partially_refunded",
    "cancelled": "",
    "refunded": "",
    "partially_refunded": "processing ready_to_ship shipped delivered cancelled refunded",
}


@pytest.mark.requirement("SBB-ORD-01")
def test_the_moves_are_these_and_no_others() -> None:
    assert {s.value: {t.value for t in to} for s, to in ORDER_MOVES.items()} == {
        s: set(t.split()) for s, t in MOVES.items()
    }


def test_the_diagram_draws_every_move() -> None:
    drawn = mermaid(ORDER_MOVES)
    assert "[*] --> pending_payment" in drawn
    assert "refunded --> [*]" in drawn
    assert drawn.count(" --> ") == 3 + sum(len(targets) for targets in ORDER_MOVES.values())


STORE = {
    "pending": "pending_payment",
    "paid": "payment_received",
    "processing": "processing",
    "shipped": "shipped",
    "completed": "delivered",
    "cancelled": "cancelled",
}
PAY_SERVER = {
    "created": "pending_payment",
    "paid": "payment_received",
    "processing": "processing",
    "fulfilled": "ready_to_ship",
    "shipped": "shipped",
    "delivered": "delivered",
    "cancelled": "cancelled",
    "refunded": "refunded",
}
PRE_ORDER = {
    "pending": "pending_payment",
    "confirmed": "payment_received",
    "processing": "processing",
    "shipped": "shipped",
    "delivered": "delivered",
}


@pytest.mark.requirement("STO-ORD-01", "CED-ORD-07")
@pytest.mark.parametrize(
    ("vocabulary", "words"),
    [(Vocabulary.STORE, STORE), (Vocabulary.PAY_SERVER, PAY_SERVER), (Vocabulary.PRE_ORDER, PRE_ORDER)],
)
def test_every_word_means_one_status_and_comes_back(vocabulary: Vocabulary, words: dict[str, str]) -> None:
    for word, status in words.items():
        assert from_word(word, vocabulary) is OrderStatus(status)
        assert from_word(f"  {word.upper()} ", vocabulary) is OrderStatus(status)
        assert to_word(OrderStatus(status), vocabulary) == word
    for unknown in ("", "done", "SOURCING", "paid;", "pending_payment"):
        with pytest.raises(UnknownStatusWord) as refused:
            from_word(unknown, vocabulary)
        assert set(refused.value.known) == set(words)


def test_a_state_without_a_word_is_told_by_a_nearer_one_or_not_at_all() -> None:
    assert to_word(OrderStatus.READY_TO_SHIP, Vocabulary.STORE) == "processing"
    assert to_word(OrderStatus.PARTIALLY_REFUNDED, Vocabulary.PAY_SERVER) == "paid"
    assert to_word(OrderStatus.REFUNDED, Vocabulary.STORE) == "cancelled"
    assert to_word(OrderStatus.CANCELLED, Vocabulary.PRE_ORDER) is None


@pytest.mark.requirement("STO-ORD-05")
@pytest.mark.parametrize(
    ("utm_source", "referrer", "expected"),
    [
        (None, None, "direct"),
        ("", "", "direct"),
        ("facebook", None, "facebook"),
        (" FB ", "https://www.google.com/", "facebook"),
        ("google", None, "google"),
        ("newsletter-7", None, "direct"),
        ("newsletter-7", "https://l.facebook.com/l.php?u=x", "facebook"),
        (None, "https://m.facebook.com/", "facebook"),
        (None, "https://www.google.com/search?q=shirt", "google"),
        (None, "https://www.google.co.uk/", "google"),
        (None, "https://google.lk/", "google"),
        (None, "https://GOOGLE.COM./", "google"),
        (None, "https://google.evil.com/", "direct"),
        (None, "https://notfacebook.com/", "direct"),
        (None, "https://facebook.com.evil.com/", "direct"),
        (None, "https://evil.com/?facebook.com", "direct"),
        (None, "http://[", "direct"),
        (None, "facebook.com", "direct"),
    ],
)
def test_the_traffic_source_is_the_known_parameter_else_the_known_host(
    utm_source: str | None, referrer: str | None, expected: str
) -> None:
    assert traffic_source(utm_source, referrer) == expected
