"""Links of reminders over HTTP."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import Meta

from storeroom.flows.cart_returns import CartReturns
from storeroom.retention import TOKEN_LENGTH_MAX, CartReminderNotFound
from storeroom.web import Arrival, Call, Limiter, RateLimited, says

FOLLOWED_BY_ADDRESS: Final = 60  # in WINDOW
WINDOW: Final = timedelta(minutes=10)


class CartLink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the link of a reminder carries."""

    token: Annotated[str, Meta(max_length=TOKEN_LENGTH_MAX)] = ""  # of none: not found


class RestoredCart(msgspec.Struct, frozen=True, kw_only=True):
    """Where to go on: at an order that can still be paid, or with the visitor's cart."""

    order_number: str | None  # it still waits for its payment
    cart_id: UUID | None
    lines_left_out: int  # no longer for sale, or without room
    guest_token: str | None  # where a guest session was made for this; it is also sent as a cookie


@post(
    "/v1/carts/restore",
    summary="Follow the link of a reminder",
    tags=["carts"],
    status_code=200,
    responses=says(CartReminderNotFound, RateLimited),
)
async def restore_cart(
    data: JSONBody[CartLink],
    arrival: NamedDependency[Arrival],
    call: NamedDependency[Call],
    limiter: NamedDependency[Limiter],
    cart_returns: NamedDependency[CartReturns],
) -> RestoredCart:
    """What was kept is in the caller's own cart afterwards, at today's prices. A second time changes nothing."""
    await limiter.by_address("cart_link", times=FOLLOWED_BY_ADDRESS, window=WINDOW)
    found = await cart_returns.restore(token=data.token, visitor=arrival.visitor, domain=call.domain)
    return RestoredCart(
        order_number=found.order_number,
        cart_id=None if found.view is None else found.view.cart.id,
        lines_left_out=found.left_out,
        guest_token=arrival.token,
    )


@post(
    "/v1/cart-reminders/stop",
    summary="Be reminded no more",
    tags=["carts"],
    status_code=204,
    responses=says(CartReminderNotFound, RateLimited),
)
async def stop_reminders(
    data: JSONBody[CartLink], limiter: NamedDependency[Limiter], cart_returns: NamedDependency[CartReturns]
) -> None:
    """By the link of a reminder. Of a cart that was left, it takes the consent to mail that sells back as well."""
    await limiter.by_address("cart_link", times=FOLLOWED_BY_ADDRESS, window=WINDOW)
    await cart_returns.stop(token=data.token)


route_handlers: Final[Sequence[ControllerRouterHandler]] = (restore_cart, stop_reminders)
