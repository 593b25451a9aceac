"""The settings of a shop, as its own staff read and change them."""

from storeroom.shops.service import ShopSettings

__all__ = ["ShopSettings"]
