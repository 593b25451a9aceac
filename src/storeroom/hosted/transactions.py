"""Transactions of Mastercard's gateway (MPGS): made when a session opens, confirmed by what the return brings."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from storeroom.audit import record
from storeroom.core.ids import DomainId, OrderId, PaymentId, new_id
from storeroom.core.money import Money
from storeroom.core.pages import decode_cursor, page_of, page_size
from storeroom.core.secrets import same
from storeroom.core.stripping import bounded, stripped_text
from storeroom.database.ensured import Ensured
from storeroom.database.errors import violations
from storeroom.database.service import Service, operation, transactional
from storeroom.gateways import GatewayNotFound
from storeroom.hosted import queries
from storeroom.hosted.errors import (
    IndicatorRefused,
    InvalidHostedPayment,
    RetryRefused,
    TransactionNotFound,
    TransactionTaken,
)
from storeroom.hosted.model import (
    INDICATOR_LENGTH_MAX,
    MPGS_FELL_THROUGH,
    MPGS_MOVES,
    PAYMENT_STATUS,
    RAW_BYTES_MAX,
    SESSION_ID_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    MpgsFound,
    MpgsResult,
    MpgsStatus,
    MpgsTransaction,
    map_mpgs_transaction,
)
from storeroom.hosted.service import begin, settle
from storeroom.orders import OrderNotFound
from storeroom.payments import PaymentNotFound, Payments

ensure_mpgs_transactions = Ensured("orders", "payments", "mpgs_transactions")

_WORDS: Final = (
    *("order_status", "gateway_code", "gateway_transaction_id", "acquirer_code", "authorization_code", "card_brand"),
    *("three_ds_status", "transaction_receipt", "failure_reason"),
)


class MpgsTransactions(Service):
    """The transactions of one shop at Mastercard's gateway."""

    @transactional
    async def create(
        self,
        *,
        session_id: str,
        amount: Money,
        success_indicator: str | None = None,
        session_version: str | None = None,
        order_id: OrderId | None = None,
        payment_id: PaymentId | None = None,
        order_ref_id: str | None = None,
        order_increment_id: str | None = None,
        transaction_reference: str | None = None,
        gateway_id: str | None = None,
        merchant_id: str | None = None,
        retry_of: UUID | None = None,
        return_url: str | None = None,
        expires_at: datetime | None = None,
        domain_id: DomainId | None = None,
        legacy_id: int | None = None,
    ) -> MpgsTransaction:
        """Keep a checkout session that the gateway opened for an order.

        Args:
            session_id: the gateway's; the shop has it once.
            amount: what is asked.
            success_indicator: what the buyer's return must bring to count as paid. It is never shown.
            session_version: as the gateway said it.
            order_id: of the order.
            payment_id: the payment that it is for, which has no other transaction.
            order_ref_id: the order, as it was named to the gateway.
            order_increment_id: the order's number.
            transaction_reference: the payment's reference.
            gateway_id: through which it was opened.
            merchant_id: at the gateway.
            retry_of: a transaction that fell through, of the same order.
            return_url: where the buyer is sent afterwards.
            expires_at: from then on nobody can pay there.
            domain_id: where it was bought.
            legacy_id: the row's number in the system it came from; a shop has it once.

        Raises:
            InvalidHostedPayment: a field is out of its bounds.
            TransactionTaken: another one has the session, the payment or the number.
            OrderNotFound, PaymentNotFound, GatewayNotFound, TransactionNotFound: there is no such order, payment,
                gateway or former transaction.
            RetryRefused: the former one did not fall through, or was tried again before, or is another order's.
        """
        await ensure_mpgs_transactions(self.db)
        if not 1 <= len(session_id) <= SESSION_ID_LENGTH_MAX or not session_id.isprintable():
            raise InvalidHostedPayment(field="session_id", reason=f"1 to {SESSION_ID_LENGTH_MAX} printable characters")
        if amount.amount < 0:
            raise InvalidHostedPayment(field="amount", reason="must not be less than nothing")
        if retry_of is not None:
            former = await self._transaction(retry_of)
            if former.payment_status not in MPGS_FELL_THROUGH or former.order_id != order_id:
                raise RetryRefused(status=former.payment_status)
        transaction_id = new_id()
        with violations(
            {
                "mpgs_transactions_session_unique": lambda: TransactionTaken(field="session_id"),
                "mpgs_transactions_payment_unique": lambda: TransactionTaken(field="payment_id"),
                "mpgs_transactions_legacy_unique": lambda: TransactionTaken(field="legacy_id"),
                "mpgs_transactions_retry_unique": lambda: RetryRefused(status="tried again"),
                "mpgs_transactions_order_fkey": lambda: OrderNotFound(order=str(order_id)),
                "mpgs_transactions_gateway_fkey": lambda: GatewayNotFound(gateway=str(gateway_id)),
                "mpgs_transactions_payment_fkey": lambda: PaymentNotFound(payment=payment_id),
            },
            self.db.names,
        ):
            await queries.insert_transaction(
                self.db,
                tenant_id=self.tenant_id,
                id=transaction_id,
                legacy_id=legacy_id,
                order_id=order_id,
                payment_id=payment_id,
                order_ref_id=_word(order_ref_id),
                order_increment_id=_word(order_increment_id),
                transaction_reference=_word(transaction_reference),
                gateway_id=gateway_id,
                merchant_id=_word(merchant_id),
                session_id=session_id,
                session_version=_word(session_version),
                success_indicator=success_indicator and success_indicator[:INDICATOR_LENGTH_MAX],
                amount=amount.amount,
                currency=amount.currency,
                retry_of=retry_of,
                return_url=return_url,
                expires_at=expires_at,
                domain_id=domain_id,
            )
        return await self._transaction(transaction_id)

    async def retry(self, *, transaction_id: UUID, session_id: str, amount: Money, **facts: Any) -> MpgsTransaction:
        """Try again what fell through: a new transaction of the same order that points to the former one.

        Args:
            transaction_id: of the former one.
            session_id: a new one of the gateway.
            amount: what is asked now.
            facts: the rest of what `create` takes.

        Raises:
            TransactionNotFound, RetryRefused, TransactionTaken: as `create`.
        """
        former = await self.get(transaction_id=transaction_id)
        known: dict[str, Any] = {
            "order_id": former.order_id,
            "order_increment_id": former.order_increment_id,
            "gateway_id": former.gateway_id,
            "merchant_id": former.merchant_id,
            "domain_id": former.domain_id,
        }
        return await self.create(session_id=session_id, amount=amount, retry_of=transaction_id, **{**known, **facts})

    # --- What becomes of it -------------------------------------------------------------------------------------------

    async def confirm(
        self, *, session_id: str, result_indicator: str, result: MpgsResult | None = None
    ) -> MpgsTransaction:
        """Take the buyer's return: only what equals the success indicator counts, compared in constant time.

        The payment is completed and its order credited, once: a second return gives the transaction as it stands. A
        wrong indicator leaves the payment as it is, and an entry in the audit trail.

        Args:
            session_id: the gateway's.
            result_indicator: what the return brought.
            result: what the gateway said when it was asked since; None: it was not, and the amount asked has come.

        Raises:
            TransactionNotFound: no such session.
            IndicatorRefused: see above.
        """
        confirmed = await self._confirm(
            session_id=session_id, result_indicator=result_indicator[:INDICATOR_LENGTH_MAX], result=result
        )
        if confirmed is None:
            raise IndicatorRefused
        return confirmed

    @transactional
    async def _confirm(
        self, *, session_id: str, result_indicator: str, result: MpgsResult | None
    ) -> MpgsTransaction | None:
        await ensure_mpgs_transactions(self.db)
        row = await queries.lock_transaction(self.db, tenant_id=self.tenant_id, session_id=session_id)
        if row is None:
            raise TransactionNotFound(transaction=session_id)
        transaction, expected = map_mpgs_transaction(row), row["success_indicator"]
        said = stripped_text(result_indicator)
        fits = bool(expected) and same(expected, result_indicator)
        if said and (fits or transaction.paid_at is None):
            await queries.keep_indicator(self.db, tenant_id=self.tenant_id, id=transaction.id, result_indicator=said)
        if not fits:
            await record(
                self.db,
                self.context,
                action="hosted.confirm",
                resource_type="mpgs_transaction",
                resource_id=transaction.id,
                error_message=f"{IndicatorRefused.code}: the return brought a wrong indicator",
            )
            return None
        return await self._apply(transaction, result or MpgsResult(status=MpgsStatus.CAPTURED))

    @transactional
    async def update(self, *, session_id: str, result: MpgsResult) -> MpgsTransaction:
        """Take the gateway's word on a transaction; what would lead back, such as expiry after payment, does nothing.

        The payment follows: it is completed once, or ends. What went back of it is recorded by
        `HostedPayments.refresh_transaction`, which asks. Raises TransactionNotFound.
        """
        await ensure_mpgs_transactions(self.db)
        row = await queries.lock_transaction(self.db, tenant_id=self.tenant_id, session_id=session_id)
        if row is None:
            raise TransactionNotFound(transaction=session_id)
        return await self._apply(map_mpgs_transaction(row), result)

    async def _apply(self, transaction: MpgsTransaction, result: MpgsResult) -> MpgsTransaction:
        """Write what the gateway says of a transaction whose row is locked, and let the payment follow."""
        old, new = transaction.payment_status, result.status
        if new is not old and new not in MPGS_MOVES[old]:
            return transaction
        words = {name: _word(getattr(result, name)) for name in _WORDS}
        remark = None
        if new in (MpgsStatus.CAPTURED, MpgsStatus.REFUNDED) and transaction.paid_at is None:
            arrived = result.received or transaction.amount
            settled, remark = await settle(
                self,
                payment_id=transaction.payment_id,
                asked=transaction.amount,
                arrived=arrived,
                reference=words["gateway_transaction_id"] or transaction.transaction_reference,
            )
            await queries.mark_captured(
                self.db,
                tenant_id=self.tenant_id,
                id=transaction.id,
                received_amount=arrived.amount,
                received_currency=arrived.currency,
                settled_payment_id=settled.id if settled is not None else None,
            )
        elif new in (MpgsStatus.PENDING, MpgsStatus.AUTHORIZED) and new is not old:
            await begin(self, transaction.payment_id)
        elif new in MPGS_FELL_THROUGH and new is not old and transaction.payment_id is not None:
            await Payments(self.context.on(self.db)).fall_through(
                payment_id=transaction.payment_id,
                to=PAYMENT_STATUS[new],
                reason=words["failure_reason"] or f"the gateway says {new}",
            )
        await queries.update_transaction(
            self.db,
            tenant_id=self.tenant_id,
            id=transaction.id,
            payment_status=new,
            **{**words, "failure_reason": remark or words["failure_reason"]},
            card_last4=result.card_last4 if result.card_last4 and _last4(result.card_last4) else None,
            raw_response=bounded(result.raw, RAW_BYTES_MAX),
        )
        return await self._transaction(transaction.id)

    @operation
    async def expects(self, *, session_id: str, result_indicator: str) -> bool:
        """Whether this is what the return of a session must bring. Writes nothing, and pays nothing."""
        await ensure_mpgs_transactions(self.db)
        expected = await queries.indicator_of(self.db, tenant_id=self.tenant_id, session_id=session_id)
        return bool(expected) and same(str(expected), result_indicator[:INDICATOR_LENGTH_MAX])

    # --- Reading ------------------------------------------------------------------------------------------------------

    @operation
    async def get(self, *, transaction_id: UUID) -> MpgsTransaction:
        """One transaction. Raises TransactionNotFound."""
        await ensure_mpgs_transactions(self.db)
        return await self._transaction(transaction_id)

    @operation
    async def find(self, *, session_id: str) -> MpgsTransaction:
        """The transaction of a session of the gateway. Raises TransactionNotFound."""
        await ensure_mpgs_transactions(self.db)
        row = await queries.transaction_of_session(self.db, tenant_id=self.tenant_id, session_id=session_id)
        if row is None:
            raise TransactionNotFound(transaction=session_id)
        return map_mpgs_transaction(row)

    @operation
    async def of_payment(self, *, payment_id: PaymentId) -> MpgsTransaction | None:
        """The transaction of a payment, if it has one."""
        await ensure_mpgs_transactions(self.db)
        row = await queries.transaction_of_payment(self.db, tenant_id=self.tenant_id, payment_id=payment_id)
        return map_mpgs_transaction(row) if row is not None else None

    @operation
    async def list(
        self,
        *,
        session_id: str | None = None,
        order_id: OrderId | None = None,
        transaction_reference: str | None = None,
        result_indicator: str | None = None,
        status: MpgsStatus | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> MpgsFound:
        """Transactions, newest first, and how many there are in all; each condition narrows both."""
        await ensure_mpgs_transactions(self.db)
        size = page_size(limit)
        before = decode_cursor(cursor, (UUID,))[0] if cursor else None
        conditions: Mapping[str, Any] = {
            "tenant_id": self.tenant_id,
            "session_id": session_id,
            "order_id": order_id,
            "transaction_reference": transaction_reference,
            "result_indicator": result_indicator,
            "status": status,
        }
        rows = await queries.transactions_newest(self.db, **conditions, before=before, rows=size + 1)
        page = page_of([map_mpgs_transaction(row) for row in rows], size, lambda each: (each.id,))
        total = await queries.transactions_counted(self.db, **conditions)
        return MpgsFound(items=page.items, next_cursor=page.next_cursor, total=total)

    async def _transaction(self, transaction_id: UUID) -> MpgsTransaction:
        row = await queries.transaction(self.db, tenant_id=self.tenant_id, id=transaction_id)
        if row is None:
            raise TransactionNotFound(transaction=transaction_id)
        return map_mpgs_transaction(row)


def _word(text: str | None) -> str | None:
    """As it may be stored: no card numbers, no end without end; blank is nothing."""
    return stripped_text(text).strip()[:TEXT_LENGTH_MAX] or None if text else None


def _last4(text: str) -> bool:
    return len(text) == 4 and text.isascii() and text.isdigit()
