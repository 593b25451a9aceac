"""Every kind of notice and what its templates may say. A slice that sends another adds it here, with its templates.

`docs/notices.md` is written from this table.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from storeroom.notices.model import Channel, Fact, Kind, Variable


def _is(name: str, fact: Fact, says: str, sample: Any, *, optional: bool = False) -> Variable:
    return Variable(name=name, fact=fact, says=says, sample=sample, optional=optional)


def _usd(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "USD"}


_NAME: Final = _is("name", Fact.TEXT, "of the person", "Ann Buyer", optional=True)
_NUMBER: Final = _is("order_number", Fact.TEXT, "of the order", "SR-7KQP2MXW")
_ORDER_LINK: Final = _is(
    "link", Fact.TEXT, "to the order, where `notices.order_url` is set", "https://shop.example/orders", optional=True
)
_TOTAL: Final = _is("total", Fact.MONEY, "of the order", _usd(13850))
_REFERENCE: Final = _is("reference", Fact.TEXT, "of the payment", "PAY-7KQP2-MXW4D")
_REASON: Final = _is("reason", Fact.TEXT, "why, if somebody said so", "sold out", optional=True)
_MAIL: Final = (Channel.MAIL,)
_BACK: Final = _is(
    "link",
    Fact.SECRET,
    "back to what was in the cart, where the storefront's address is known",
    "https://shop.example/cart/restore?token=dG9r",
    optional=True,
)
_STOP: Final = _is(
    "stop_link", Fact.SECRET, "to be reminded no more", "https://shop.example/cart/stop?token=dG9r", optional=True
)
_KEPT_LINES: Final = Variable(
    name="lines",
    fact=Fact.ROWS,
    says="what is in the cart, 20 lines at most",
    sample=[{"name": "Shirt", "variant": "blue, M", "quantity": 2, "total": _usd(9800)}],
    row=(
        _is("name", Fact.TEXT, "of the product", ""),
        _is("variant", Fact.TEXT, "of it", "", optional=True),
        _is("quantity", Fact.NUMBER, "units", 1),
        _is("total", Fact.MONEY, "of the line", _usd(0)),
    ),
)


def _token(variable: str) -> tuple[Variable, ...]:
    return (
        _NAME,
        _is("token", Fact.SECRET, "the token", "dG9rZW4gZm9yIGEgcHJldmlldw"),
        _is(
            "link",
            Fact.SECRET,
            f"with the token, where `{variable}` is set",
            "https://shop.example/?token=dG9r",
            optional=True,
        ),
        _is("expires_at", Fact.INSTANT, "until when it works", "2026-01-31T12:00:00Z"),
    )


_ALL: Final = (
    Kind(
        name="phone_code",
        says="somebody asked for a code by phone",
        channels=(Channel.SMS,),
        variables=(
            _is("code", Fact.SECRET, "the six digits", "493817"),
            _is("minutes", Fact.NUMBER, "how long they work", 5, optional=True),
        ),
    ),
    Kind(
        name="verify_email",
        says="an address has to be proven",
        channels=_MAIL,
        variables=_token("notices.verify_email_url"),
    ),
    Kind(
        name="reset_password",
        says="somebody forgot a password",
        channels=_MAIL,
        variables=_token("notices.reset_password_url"),
    ),
    Kind(
        name="account_exists", says="somebody registered an address that has an account", channels=_MAIL, variables=()
    ),
    Kind(
        name="change_email",
        says="an account is to have another address, which has to be proven",
        channels=_MAIL,
        variables=_token("notices.verify_email_url"),
    ),
    Kind(
        name="email_changed",
        says="an account has another address; to the one before",
        channels=_MAIL,
        variables=(_NAME, _is("changed_at", Fact.INSTANT, "when", "2026-01-31T12:00:00Z")),
    ),
    Kind(
        name="password_changed",
        says="an account has another password",
        channels=_MAIL,
        variables=(_NAME, _is("changed_at", Fact.INSTANT, "when", "2026-01-31T12:00:00Z")),
    ),
    Kind(
        name="order_placed",
        says="an order was placed, with what it takes to pay it",
        channels=_MAIL,
        switchable=True,
        event_types=("order.created",),
        variables=(
            _NUMBER,
            _NAME,
            Variable(
                name="lines",
                fact=Fact.ROWS,
                says="what was bought, 100 lines at most",
                sample=[
                    {
                        "name": "Shirt, blue, M",
                        "sku": "SH-B-M",
                        "quantity": 2,
                        "unit_price": _usd(4900),
                        "total": _usd(9800),
                    },
                    {"name": "Cap", "sku": "CAP", "quantity": 1, "unit_price": _usd(3050), "total": _usd(3050)},
                ],
                row=(
                    _is("name", Fact.TEXT, "of the product and its variant", ""),
                    _is("sku", Fact.TEXT, "of the variant", "", optional=True),
                    _is("quantity", Fact.NUMBER, "units", 1),
                    _is("unit_price", Fact.MONEY, "of one", _usd(0)),
                    _is("total", Fact.MONEY, "of the line, before discounts", _usd(0)),
                ),
            ),
            _is("more_lines", Fact.NUMBER, "how many are left out", 0, optional=True),
            _is("subtotal", Fact.MONEY, "of the lines", _usd(12850)),
            _is("discount", Fact.MONEY, "taken off", _usd(500), optional=True),
            _is("shipping", Fact.MONEY, "for shipping", _usd(1500), optional=True),
            _is("tax", Fact.MONEY, "of taxes", _usd(0), optional=True),
            _TOTAL,
            _is("due", Fact.MONEY, "what is still to be paid; missing where nothing is", _usd(13850), optional=True),
            _is("pay_until", Fact.INSTANT, "when it has to be there", "2026-02-02T12:00:00Z", optional=True),
            _is("payment_method", Fact.TEXT, "the way to pay that was chosen", "Zelle", optional=True),
            _is("payment_reference", Fact.TEXT, "of the payment", "PAY-7KQP2-MXW4D", optional=True),
            _is("instructions", Fact.TEXT, "of that way to pay", "Send it to the account below.", optional=True),
            Variable(
                name="payment_details",
                fact=Fact.ROWS,
                says="where to send the money",
                sample=[{"label": "email", "value": "pay@shop.example"}],
                row=(_is("label", Fact.TEXT, "what it is", ""), _is("value", Fact.TEXT, "and says", "")),
                optional=True,
            ),
            _ORDER_LINK,
        ),
    ),
    Kind(
        name="payment_verified",
        says="staff saw the money of a payment",
        channels=_MAIL,
        switchable=True,
        event_types=("payment.completed",),
        variables=(
            _NUMBER,
            _NAME,
            _REFERENCE,
            _is("received", Fact.MONEY, "what arrived", _usd(13850)),
            _TOTAL,
            _is("due", Fact.MONEY, "what is still to be paid; missing where nothing is", _usd(1000), optional=True),
            _is(
                "cancelled",
                Fact.FLAG,
                "whether the order was cancelled: the money goes back",
                False,
                optional=True,
            ),
            _ORDER_LINK,
        ),
    ),
    Kind(
        name="payment_rejected",
        says="staff did not find the money of a payment",
        channels=_MAIL,
        switchable=True,
        event_types=("payment.failed",),
        variables=(
            _NUMBER,
            _NAME,
            _REFERENCE,
            _is("amount", Fact.MONEY, "that was asked for", _usd(13850)),
            _REASON,
            _is("may_try_again", Fact.FLAG, "whether a better proof may follow", True, optional=True),
            _ORDER_LINK,
        ),
    ),
    Kind(
        name="order_shipped",
        says="an order left the house",
        channels=_MAIL,
        switchable=True,
        event_types=("order.shipped",),
        variables=(
            _NUMBER,
            _NAME,
            _is("carrier", Fact.TEXT, "who brings it", "UPS", optional=True),
            _is("tracking_number", Fact.TEXT, "the carrier's number", "1Z999AA10123456784", optional=True),
            _ORDER_LINK,
        ),
    ),
    Kind(
        name="order_cancelled",
        says="an order was cancelled",
        channels=_MAIL,
        switchable=True,
        event_types=("order.cancelled",),
        variables=(
            _NUMBER,
            _NAME,
            _TOTAL,
            _is("paid", Fact.MONEY, "what was paid; missing where nothing was", _usd(13850), optional=True),
            _REASON,
            _ORDER_LINK,
        ),
    ),
    Kind(
        name="refund_completed",
        says="money went back",
        channels=_MAIL,
        switchable=True,
        event_types=("refund.completed",),
        variables=(
            _NUMBER,
            _NAME,
            _is("amount", Fact.MONEY, "that went back", _usd(3050)),
            _is("reference", Fact.TEXT, "of the refund", "REF-7KQP2-MXW4D", optional=True),
            _is("store_credit", Fact.FLAG, "whether it went to the balance of the account", False, optional=True),
            _ORDER_LINK,
        ),
    ),
    Kind(
        name="cart_retry",
        says="the payment of an order failed, and the time of its domain has passed",
        channels=_MAIL,
        variables=(_NUMBER, _NAME, _KEPT_LINES, _TOTAL, _BACK, _STOP),
    ),
    Kind(
        name="abandoned_cart",
        says="somebody who agreed to be written to has left a cart, and the time of its domain has passed",
        channels=_MAIL,
        variables=(_NAME, _KEPT_LINES, _is("total", Fact.MONEY, "of the cart", _usd(12850)), _BACK, _STOP),
    ),
    Kind(
        name="download_ready",
        says="what was bought can be downloaded",
        channels=_MAIL,
        variables=(
            _NUMBER,
            _NAME,
            Variable(
                name="downloads",
                fact=Fact.ROWS,
                says="one for each line",
                sample=[{"name": "The Handbook", "link": "https://shop.example/v1/downloads/default.1.ab12"}],
                row=(
                    _is("name", Fact.TEXT, "of the product", ""),
                    _is("link", Fact.SECRET, "to the file, where the shop's address is known", "", optional=True),
                ),
            ),
            _is("with_links", Fact.FLAG, "whether there are links", True, optional=True),
            _is("expires_at", Fact.INSTANT, "until when the links work", "2026-02-14T12:00:00Z"),
            _is("downloads_max", Fact.NUMBER, "how often each may be used", 5),
        ),
    ),
)
KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _ALL})


def public_facts(kind: Kind, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The same facts without what opens something for whoever has it: for a copy that somebody else reads."""
    return _public(kind.variables, facts)


def _public(variables: tuple[Variable, ...], facts: Mapping[str, Any]) -> dict[str, Any]:
    secret = {each.name for each in variables if each.fact is Fact.SECRET}
    rows = {each.name: each.row for each in variables if each.fact is Fact.ROWS}
    return {
        name: [_public(rows[name], row) for row in value] if name in rows and value else value
        for name, value in facts.items()
        if name not in secret
    }
