"""Two shops with three customers, and what they must be refused."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from factories import HOME, STAFF, place, usd
from storeroom.core.visitor import Visitor
from storeroom.flows.model import Placement
from storeroom.identity import ProfileChanges, SavedAddress, User
from storeroom.room import Shop

PASSWORD = "correct horse battery"
As = Callable[..., AbstractAsyncContextManager[asyncpg.Connection]]


@dataclass(frozen=True, kw_only=True)
class Customer:
    """Somebody with an address, a paid order, an open one, and a session."""

    shop: Shop
    user: User
    address: SavedAddress
    paid: Placement
    open: Placement

    @property
    def claims(self) -> dict[str, str]:
        return {"sub": str(self.user.id), "tenant_id": self.shop.tenant_id, "role": "storeroom_authenticated"}

    @property
    def orders(self) -> set[UUID]:
        return {self.paid.order.id, self.open.order.id}


@dataclass(frozen=True, kw_only=True)
class Town:
    ann: Customer  # Ann and Ben buy in one shop, Cat in the other
    ben: Customer
    cat: Customer


async def customer(shop: Shop, name: str, method: str, variant_id: Any) -> Customer:
    user = await shop.users.register(
        email=f"{name}-{secrets.token_hex(4)}@buyer.example", password=PASSWORD, full_name=name.title()
    )
    await shop.users.update_profile(user_id=user.id, changes=ProfileChanges(first_name=name.title()))
    address = await shop.addresses.add(user_id=user.id, address=HOME)
    await shop.sessions.start(proof=await shop.sessions.prove(email=user.email, password=PASSWORD))
    visitor = Visitor(user_id=user.id)
    cart = await shop.carts.create(visitor=visitor)
    await shop.carts.add(cart_id=cart.id, variant_id=variant_id, quantity=1)
    paid, open_ = [
        await place(shop, (variant_id, 1), visitor=visitor, email=user.email, payment_method=method) for _ in range(2)
    ]
    assert paid.order.payment is not None
    await shop.payments.submit_proof(reference=paid.order.payment.reference, customer_reference="TX-1")
    staff = shop.acting(actor=STAFF)
    await staff.payments.verify(payment_id=paid.order.payment.id, received=paid.order.total, notes="seen")
    await staff.refunds.request(payment_id=paid.order.payment.id, amount=usd(1), reason="a difficult customer")
    await staff.store_credit.grant(user_id=user.id, amount=paid.order.total, note="a difficult customer")
    await staff.orders.add_note(order_id=paid.order.id, note="a difficult customer")
    return Customer(shop=shop, user=user, address=address, paid=paid, open=open_)


@asynccontextmanager
async def refused(
    connection: asyncpg.Connection, match: str = "permission denied", error: type[Exception] | None = None
) -> AsyncIterator[None]:
    """What is inside fails, and the transaction goes on."""
    with pytest.raises(error or asyncpg.InsufficientPrivilegeError, match=match):
        async with connection.transaction():
            yield
