"""Carts: what visitors are about to buy."""

from storeroom.carts.errors import (
    CartAddressNotFound,
    CartContended,
    CartFull,
    CartLineNotFound,
    CartNotActive,
    CartNotFound,
    InvalidCustomisation,
    InvalidLine,
    InvalidLineQuantity,
    InvalidVisitor,
    LineTooLarge,
    NotForSale,
    ShippingUnavailable,
    VisitorNotFound,
)
from storeroom.carts.model import (
    CART_MOVES,
    LINES_MAX,
    Attribution,
    Cart,
    CartLine,
    CartStatus,
    CartView,
    Customisation,
    PriceChange,
)
from storeroom.carts.service import Carts
from storeroom.core.visitor import Visitor

__all__ = [
    "CART_MOVES",
    "LINES_MAX",
    "Attribution",
    "Cart",
    "CartAddressNotFound",
    "CartContended",
    "CartFull",
    "CartLine",
    "CartLineNotFound",
    "CartNotActive",
    "CartNotFound",
    "CartStatus",
    "CartView",
    "Carts",
    "Customisation",
    "InvalidCustomisation",
    "InvalidLine",
    "InvalidLineQuantity",
    "InvalidVisitor",
    "LineTooLarge",
    "NotForSale",
    "PriceChange",
    "ShippingUnavailable",
    "Visitor",
    "VisitorNotFound",
]
