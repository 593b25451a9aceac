"""What a link in a reminder leads to: the order that can still be paid, or a cart with what was kept."""

from typing import Self

import msgspec
from typing_extensions import override

from storeroom.carts import (
    CartFull,
    Carts,
    CartView,
    Customisation,
    LineTooLarge,
    NotForSale,
    lock_cart,
)
from storeroom.catalog import VariantNotFound
from storeroom.core.ids import OrderId
from storeroom.core.visitor import Visitor
from storeroom.database.executor import Executor
from storeroom.database.service import Actor, ActorKind, Context, Service, transactional
from storeroom.identity import ProfileChanges, TokenKeys, UserNotFound, Users
from storeroom.retention import CartReminderKind, CartReminders, CartReminderStatus


class Restored(msgspec.Struct, frozen=True, kw_only=True):
    """Where whoever followed a link goes on."""

    order_id: OrderId | None  # it still waits for its payment: nothing is put into a cart, or it would be bought twice
    order_number: str | None
    view: CartView | None
    left_out: int  # lines that are no longer for sale, or found no room


class CartReturns(Service):
    """Coming back to a cart by the link of a reminder. The link is the permission: whoever has it may follow it."""

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        """Without keys no link can be read."""
        super().__init__(context)
        self._keys = keys

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    @transactional
    async def restore(self, *, token: str, visitor: Visitor, domain: str | None = None) -> Restored:
        """Put what was kept into the visitor's cart, at today's prices.

        Lines that are there already get the larger of both quantities, so that a second time changes nothing. A cart
        that is still the visitor's own stays as it is. Of the owner nothing is told.

        Args:
            token: of the link.
            visitor: whose cart is filled.
            domain: where a cart is made, if one is.

        Raises:
            CartReminderNotFound: the link is none of ours, or its time is over.
            InvalidVisitor, VisitorNotFound: as `Carts.create`.
        """
        kept, lines = await self._reminders.named(token=token)
        if kept.payable:
            return Restored(order_id=kept.order_id, order_number=kept.order_number, view=None, left_out=0)
        carts = Carts(self.context.on(self.db))
        cart = await carts.create(visitor=visitor, domain=domain)
        left_out = 0
        if cart.id != kept.cart_id:
            await lock_cart(self.db, tenant_id=self.tenant_id, cart_id=cart.id)  # two who follow one link come in turn
            there = {
                (line.variant_id, line.patch_type, line.print_name, line.print_number): line.quantity
                for line in await carts.lines(cart_id=cart.id)
            }
            for line in lines:
                customisation = Customisation(
                    patch_type=line.patch_type, print_name=line.print_name, print_number=line.print_number
                )
                missing = line.quantity - there.get(
                    (line.variant_id, line.patch_type, line.print_name, line.print_number), 0
                )
                if missing <= 0:
                    continue
                try:
                    await carts.add(
                        cart_id=cart.id,
                        variant_id=line.variant_id,
                        quantity=missing,
                        customisation=customisation,
                        visitor=visitor,
                    )
                except (NotForSale, VariantNotFound, CartFull, LineTooLarge):
                    left_out += 1
            await self._reminders.finish(reminder_id=kept.id, status=CartReminderStatus.RETURNED)
        return Restored(order_id=None, order_number=None, view=await carts.view(cart_id=cart.id), left_out=left_out)

    @transactional
    async def stop(self, *, token: str) -> None:
        """No more reminders of this cart; of a cart that was left, the consent to mail that sells is taken back.

        A second time changes nothing.

        Raises:
            CartReminderNotFound: the link is none of ours, or its time is over.
        """
        kept, _ = await self._reminders.named(token=token)
        await self._reminders.finish(reminder_id=kept.id, status=CartReminderStatus.CANCELLED)
        if kept.kind is CartReminderKind.ABANDONED and kept.user_id is not None:
            owner = Actor(kind=ActorKind.CUSTOMER, user_id=kept.user_id)
            context = msgspec.structs.replace(self.context, actor=owner).on(self.db)
            try:
                await Users(context).update_profile(
                    user_id=kept.user_id, changes=ProfileChanges(marketing_consent=False)
                )
            except UserNotFound:  # closed meanwhile, and its consents with it
                return

    @property
    def _reminders(self) -> CartReminders:
        return CartReminders(self.context.on(self.db), self._keys)
