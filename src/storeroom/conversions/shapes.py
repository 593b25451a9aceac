"""One event in the words of each kind of provider. Pure; what is personal is hashed here, before it is kept.

Sources: Meta, *Conversions API: Parameters* (server event, customer information, custom data); Google Analytics,
*Measurement Protocol reference* and *Send user-provided data with User-ID*.
"""

import hashlib
import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import msgspec

from storeroom.conversions.model import Event, Item, Occasion, Person, ProviderKind
from storeroom.core.contact import Address
from storeroom.core.money import ASSET_DIGITS, Money

_NO_LETTERS: Final = re.compile(r"[^\w]|[\d_]")
_NO_WORD: Final = re.compile(r"[\W_]")
_DOTLESS: Final = frozenset({"gmail.com", "googlemail.com"})  # whose hosts see no dots before the @, as Google counts
_GA4_NAMES: Final = {
    Occasion.ADD_TO_CART: "add_to_cart",
    Occasion.INITIATE_CHECKOUT: "begin_checkout",
    Occasion.PURCHASE: "purchase",
    Occasion.TEST: "storeroom_test",
}


def knows(currency: str) -> bool:
    """Whether providers know the currency: they take those of ISO 4217, and no tokens."""
    return currency not in ASSET_DIGITS


def payload_of(event: Event) -> dict[str, Any]:
    """The event by kind of provider, each part as it is sent."""
    return {ProviderKind.META: _meta(event), ProviderKind.GA4: _ga4(event)}


# --- Meta -------------------------------------------------------------------------------------------------------------


def _meta(event: Event) -> dict[str, Any]:
    known = event.known
    custom: dict[str, Any] = {
        "currency": event.value.currency,
        "value": _number(event.value),
        "content_type": "product",
        "content_ids": [item.id for item in event.items],
        "contents": [
            {"id": item.id, "quantity": item.quantity, "item_price": _number(item.price)} for item in event.items
        ],
        "num_items": sum(item.quantity for item in event.items),
    }
    if event.order is not None:
        custom["order_id"] = event.order.number
    return _given(
        event_name=event.occasion.value,
        event_time=int(event.at.timestamp()),
        event_id=event.id,
        event_source_url=event.source_url,
        action_source="website" if known.user_agent else "system_generated",  # a website's events name the browser
        user_data={
            **_meta_person(event.person),
            **_given(
                client_ip_address=known.ip,
                client_user_agent=known.user_agent,
                fbp=known.fbp,
                fbc=known.fbc,
            ),
        },
        custom_data=custom,
    )


def _meta_person(person: Person) -> dict[str, Any]:
    first, last = _names(person.name)
    address = person.address
    found = {
        "em": _hash(person.email, str.lower),
        "ph": _hash(person.phone),
        "fn": _hash(first, _letters),
        "ln": _hash(last, _letters),
        "external_id": _hash(str(person.user_id) if person.user_id else None),
    }
    if address is not None:
        found |= {
            "ct": _hash(address.city, _word),
            "st": _hash(address.state_province, _word),
            "zp": _hash(_zip(address), _word),
            "country": _hash(address.country_code, str.lower),
        }
    return {name: [value] for name, value in found.items() if value is not None}


def _zip(address: Address) -> str:
    return address.postal_code[:5] if address.country_code == "US" else address.postal_code


# --- Google Analytics -------------------------------------------------------------------------------------------------


def _ga4(event: Event) -> dict[str, Any]:
    known, person = event.known, event.person
    params: dict[str, Any] = {
        "currency": event.value.currency,
        "value": _number(event.value),
        "engagement_time_msec": 1,  # without it an event is left out of some reports
        "items": [_ga4_item(item) for item in event.items],
        **_given(session_id=known.ga_session_id),
    }
    if event.order is not None:
        params |= {
            "transaction_id": event.order.number,
            "shipping": _number(event.order.shipping),
            "tax": _number(event.order.tax),
            **_given(coupon=event.order.coupon),
        }
    body: dict[str, Any] = {
        # Of a browser without Google's cookie the visitor's own id: any text that stays the same is taken.
        "client_id": known.ga_client_id or known.anonymous_id or event.id,
        "events": [
            {
                "name": _GA4_NAMES[event.occasion],
                "timestamp_micros": int(event.at.timestamp() * 1_000_000),
                "params": params,
            }
        ],
    }
    if known.consents:
        body["consent"] = {"ad_user_data": "GRANTED", "ad_personalization": "GRANTED"}
    if person.user_id is not None:
        body["user_id"] = str(person.user_id)
        body |= _given(user_data=_ga4_person(person) or None)  # only beside a user_id
    return body


def _ga4_item(item: Item) -> dict[str, Any]:
    return {
        "item_id": item.id,
        "item_name": item.name[:100],
        "item_variant": item.variant[:100],
        "price": _number(item.price),
        "quantity": item.quantity,
    }


def _ga4_person(person: Person) -> dict[str, Any]:
    first, last = _names(person.name)
    address = _given(sha256_first_name=_hash(first, _letters), sha256_last_name=_hash(last, _letters))
    if person.address is not None:
        address |= {
            name: text
            for name, text in (
                ("city", _plain(person.address.city)),
                ("region", _plain(person.address.state_province)),
                ("postal_code", person.address.postal_code.strip()),
                ("country", person.address.country_code),
            )
            if text
        }
    email, phone = _hash(person.email, _google_email), _hash(person.phone and f"+{person.phone}")
    return _given(
        sha256_email_address=[email] if email else None,
        sha256_phone_number=[phone] if phone else None,
        address=[address] if address else None,
    )


def _google_email(text: str) -> str:
    name, at, host = text.lower().rpartition("@")
    return f"{name.replace('.', '')}{at}{host}" if host in _DOTLESS else f"{name}{at}{host}"


# --- Shared -----------------------------------------------------------------------------------------------------------


def _number(money: Money) -> msgspec.Raw:
    """In the main unit with all its decimals, as a number of JSON: no float comes near it."""
    return msgspec.Raw(f"{money.decimal():f}".encode())


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _hash(text: str | None, normal: Callable[[str], str] = str.strip) -> str | None:
    tidy = normal(unicodedata.normalize("NFC", text)).strip() if text else ""
    return hashlib.sha256(tidy.encode()).hexdigest() if tidy else None


def _letters(text: str) -> str:
    return _NO_LETTERS.sub("", text.lower())


def _word(text: str) -> str:
    return _NO_WORD.sub("", text.lower())


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _names(name: str | None) -> tuple[str | None, str | None]:
    """The first word and the last: all that a name in one line gives away."""
    words = (name or "").split()
    return (words[0] if words else None), (words[-1] if len(words) > 1 else None)
