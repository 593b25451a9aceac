"""What carts refuse."""

from uuid import UUID

from storeroom.core.errors import Conflict, Invalid, NotFound


class CartNotFound(NotFound):
    """There is no such cart, or it is somebody else's."""

    code = "carts.not_found"

    def __init__(self, *, cart_id: UUID) -> None:
        super().__init__(f"no cart {cart_id}")
        self.cart_id = cart_id


class CartNotActive(Conflict):
    """The cart was merged, converted, abandoned or has expired, and can not be changed."""

    code = "carts.not_active"

    def __init__(self, *, cart_id: UUID, status: str) -> None:
        super().__init__(f"the cart {cart_id} is {status}")
        self.cart_id, self.status = cart_id, status


class CartLineNotFound(NotFound):
    """The cart has no such line."""

    code = "carts.line_not_found"

    def __init__(self, *, line_id: UUID) -> None:
        super().__init__(f"the cart has no line {line_id}")
        self.line_id = line_id


class CartFull(Conflict):
    """The cart has as many lines as a cart may have."""

    code = "carts.full"

    def __init__(self, *, lines_max: int) -> None:
        super().__init__(f"a cart has at most {lines_max} lines")
        self.lines_max = lines_max


class LineTooLarge(Conflict):
    """With what is in the cart already, the line would have more units than a line may have."""

    code = "carts.line_too_large"

    def __init__(self, *, quantity: int, in_cart: int, quantity_max: int) -> None:
        super().__init__(f"{in_cart} are in the cart, {quantity} more make more than {quantity_max}")
        self.quantity, self.in_cart, self.quantity_max = quantity, in_cart, quantity_max


class NotForSale(Conflict):
    """The variant exists and is not offered: unpublished, deactivated, deleted, or in another currency."""

    code = "carts.not_for_sale"

    def __init__(self, *, variant_id: UUID, sku: str | None) -> None:
        super().__init__(f"{sku or variant_id} is not for sale")
        self.variant_id, self.sku = variant_id, sku


class VisitorNotFound(NotFound):
    """There is no such account or session to own a cart."""

    code = "carts.visitor_not_found"

    def __init__(self) -> None:
        super().__init__("no such account or guest session")


class CartAddressNotFound(NotFound):
    """The cart's owner has no such address."""

    code = "carts.address_not_found"

    def __init__(self, *, address_id: UUID) -> None:
        super().__init__(f"no address {address_id}")
        self.address_id = address_id


class ShippingUnavailable(Conflict):
    """No shipping rate of the shop reaches this address by this method."""

    code = "carts.shipping_unavailable"

    def __init__(self, *, country: str | None, method: str | None) -> None:
        super().__init__(f"nothing ships to {country or 'anywhere'} by {method or 'any method'}")
        self.country, self.method = country, method


class CartContended(Conflict):
    """The visitor's cart was made and ended by others again and again while we looked."""

    code, transient = "carts.contended", True

    def __init__(self) -> None:
        super().__init__("this visitor's cart keeps changing hands; try again")


class InvalidVisitor(Invalid):
    """A cart belongs to an account or to a guest's session."""

    code = "carts.invalid_visitor"

    def __init__(self, *, field: str | None = "visitor") -> None:
        super().__init__("name an account or a guest session", field=field)


class InvalidLine(Invalid):
    """Name what to put into the cart once: by its id or by its sku."""

    code = "carts.invalid_line"

    def __init__(self, *, field: str | None = "sku") -> None:
        super().__init__("name the variant by variant_id or by sku", field=field)


class InvalidLineQuantity(Invalid):
    """Not a number of units that a line may have."""

    code = "carts.invalid_quantity"

    def __init__(self, *, quantity: int, least: int, most: int, field: str = "quantity") -> None:
        super().__init__(f"{least} to {most} units, not {quantity}", field=field)
        self.quantity, self.least, self.most = quantity, least, most


class InvalidCustomisation(Invalid):
    """What is to be patched or printed cannot be."""

    code = "carts.invalid_customisation"

    def __init__(self, *, field: str, length_max: int) -> None:
        super().__init__(f"1 to {length_max} printable characters, without spaces around", field=field)
        self.length_max = length_max
