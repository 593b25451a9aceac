"""Store credit: granted and withdrawn by staff, spent at checkout, filled again by refunds."""

from typing import Final
from uuid import UUID

from storeroom.audit import audited
from storeroom.core.ids import OrderId, PaymentId, RefundId, UserId, new_id
from storeroom.core.money import AMOUNT_MAX, CurrencyMismatch, Money
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.credit import queries
from storeroom.credit.errors import CreditShort, CreditTooLarge, InvalidCredit
from storeroom.credit.model import NOTE_LENGTH_MAX, CreditEntry, CreditReason, CreditStatement
from storeroom.database.service import ActorKind, Service, operation, transactional
from storeroom.identity import UserNotFound
from storeroom.payments import PaymentMethods, StaffRequired

_FILLING: Final = frozenset({CreditReason.GRANTED, CreditReason.REFUNDED, CreditReason.GIVEN_BACK})


class StoreCredit(Service):
    """The balances of a shop's accounts, in its currency. Customers see their own; staff and flows change them."""

    @audited("credit.grant", "store_credit", "user_id")
    @transactional
    async def grant(self, *, user_id: UserId, amount: Money, note: str | None = None) -> CreditEntry:
        """Give an account credit; return the entry. With the first one the method `store-credit` is made.

        Args:
            user_id: of an account that is not deleted.
            amount: more than nothing, in the shop's currency.
            note: for staff, at most NOTE_LENGTH_MAX characters.

        Raises:
            StaffRequired: a customer's word is not enough.
            UserNotFound: no such account.
            InvalidCredit, CurrencyMismatch: as their names say.
            CreditTooLarge: the balance would not fit.

        A retry grants it again.
        """
        self._require_staff()
        return await self.fill(user_id=user_id, amount=amount, reason=CreditReason.GRANTED, note=note)

    @audited("credit.withdraw", "store_credit", "user_id")
    @transactional
    async def withdraw(self, *, user_id: UserId, amount: Money, note: str | None = None) -> CreditEntry:
        """Take credit back; return the entry, whose amount is below zero.

        Raises:
            StaffRequired, UserNotFound, InvalidCredit, CurrencyMismatch: as for `grant`.
            CreditShort: the balance is smaller; nothing was taken. Of two who would take the same, one gets it.
        """
        self._require_staff()
        said = await self._checked(amount, note)
        await self._lock(user_id)
        left = await queries.take(
            self.db, tenant_id=self.tenant_id, user_id=user_id, currency=amount.currency, amount=amount.amount
        )
        if left is None:
            raise CreditShort(asked=amount, balance=await self._balance(user_id, amount.currency))
        return await self._enter(user_id, -amount, CreditReason.WITHDRAWN, said)

    @transactional
    async def fill(
        self,
        *,
        user_id: UserId,
        amount: Money,
        reason: CreditReason,
        note: str | None = None,
        order_id: OrderId | None = None,
        payment_id: PaymentId | None = None,
        refund_id: RefundId | None = None,
    ) -> CreditEntry:
        """Add to a balance in the caller's transaction: for flows, which have asked who may; see `grant`.

        A refund fills a balance once: its id is unique among the entries.
        """
        if reason not in _FILLING:
            raise InvalidCredit(field="reason", reason="takes credit and gives none")
        said = await self._checked(amount, note)
        await self._lock(user_id, closed=reason is not CreditReason.GRANTED)
        await PaymentMethods(self.context.on(self.db)).ensure_store_credit()
        filled = await queries.add(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            currency=amount.currency,
            amount=amount.amount,
            balance_max=AMOUNT_MAX,
        )
        if filled is None:
            raise CreditTooLarge
        return await self._enter(
            user_id, amount, reason, said, order_id=order_id, payment_id=payment_id, refund_id=refund_id
        )

    @transactional
    async def hold(self, *, user_id: UserId) -> None:
        """Lock an account, closed or not, for the caller's transaction, which will change its balance later.

        Raises UserNotFound.
        """
        await self._lock(user_id)

    @operation
    async def balance(self, *, user_id: UserId) -> Money:
        """What the account has, in the shop's currency. Raises UserNotFound, for a customer also of somebody else."""
        self._check_seen(user_id)
        return await self._balance(user_id, (await self.context.settings()).currency)

    @operation
    async def entries(
        self, *, user_id: UserId, cursor: str | None = None, limit: int | None = None
    ) -> Page[CreditEntry]:
        """What changed a balance, newest first. Raises UserNotFound for a customer who asks of somebody else."""
        self._check_seen(user_id)
        size = page_size(limit)
        before = decode_cursor(cursor, (UUID,))[0] if cursor else None
        rows = await queries.entries(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            currency=(await self.context.settings()).currency,
            before=before,
            size=size + 1,
        )
        return page_of(rows, size, lambda entry: (entry.id,))

    @operation
    async def statement(
        self, *, user_id: UserId, cursor: str | None = None, limit: int | None = None
    ) -> CreditStatement:
        """The balance and a page of its entries. Raises UserNotFound for a customer who asks of somebody else."""
        page = await self.entries(user_id=user_id, cursor=cursor, limit=limit)
        return CreditStatement(
            balance=await self.balance(user_id=user_id), items=list(page.items), next_cursor=page.next_cursor
        )

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _require_staff(self) -> None:
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise StaffRequired

    def _check_seen(self, user_id: UserId) -> None:
        actor = self.context.actor
        if actor.kind is ActorKind.CUSTOMER and actor.user_id != user_id:
            raise UserNotFound(user_id=user_id)

    async def _balance(self, user_id: UserId, currency: str) -> Money:
        found = await queries.balance(self.db, tenant_id=self.tenant_id, user_id=user_id, currency=currency)
        return Money(found or 0, currency)

    async def _checked(self, amount: Money, note: str | None) -> str | None:
        currency = (await self.context.settings()).currency
        if amount.currency != currency:
            raise CurrencyMismatch(expected=currency, actual=amount.currency, field="amount")
        if amount.amount < 1:
            raise InvalidCredit(field="amount", reason="must be more than nothing")
        said = (note or "").strip()
        if len(said) > NOTE_LENGTH_MAX or "\x00" in said:
            raise InvalidCredit(field="note", reason=f"text of at most {NOTE_LENGTH_MAX} characters")
        return said or None

    async def _lock(self, user_id: UserId, *, closed: bool = True) -> None:
        found = await queries.lock_account(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if found is None or (found and not closed):
            raise UserNotFound(user_id=user_id)

    async def _enter(
        self,
        user_id: UserId,
        amount: Money,
        reason: CreditReason,
        note: str | None,
        *,
        order_id: OrderId | None = None,
        payment_id: PaymentId | None = None,
        refund_id: RefundId | None = None,
    ) -> CreditEntry:
        actor = self.context.actor
        return await queries.insert_entry(
            self.db,
            tenant_id=self.tenant_id,
            id=new_id(),
            user_id=user_id,
            currency=amount.currency,
            amount=amount.amount,
            reason=reason,
            order_id=order_id,
            payment_id=payment_id,
            refund_id=refund_id,
            actor_kind=actor.kind,
            actor_id=actor.user_id,
            note=note,
        )
