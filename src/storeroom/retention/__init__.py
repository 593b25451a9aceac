"""Carts that are kept for their owners, and when these are reminded: a failed payment, a cart that was left."""

from storeroom.retention.errors import CartReminderNotFound, InvalidRetainCart
from storeroom.retention.links import TOKEN_LENGTH_MAX
from storeroom.retention.model import (
    CART_REMINDER_MOVES,
    CartReminder,
    CartReminderKind,
    CartReminderStatus,
    KeptCart,
    KeptLine,
    RetainCartConfig,
    RetainCartRules,
    map_retain_cart_config,
)
from storeroom.retention.service import (
    CartReminders,
    ensure_retain_cart_configs,
    keep_carts,
    keep_order_cart,
)

__all__ = [
    "CART_REMINDER_MOVES",
    "TOKEN_LENGTH_MAX",
    "CartReminder",
    "CartReminderKind",
    "CartReminderNotFound",
    "CartReminderStatus",
    "CartReminders",
    "InvalidRetainCart",
    "KeptCart",
    "KeptLine",
    "RetainCartConfig",
    "RetainCartRules",
    "ensure_retain_cart_configs",
    "keep_carts",
    "keep_order_cart",
    "map_retain_cart_config",
]
