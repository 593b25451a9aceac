"""The replay ledger: every payment that was honoured, and no signature twice."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from storeroom.audit import audited
from storeroom.core.clock import utc
from storeroom.core.money import Money
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import ActorKind, Service, operation, transactional
from storeroom.wallets import queries
from storeroom.wallets.errors import InvalidTransaction, NotForCustomers, NotOurAccount, TransactionNotFound
from storeroom.wallets.model import (
    ARCHIVE_BATCH_MAX,
    BATCH_MAX,
    NewTransaction,
    PaymentTransaction,
    Recorded,
    RecordedBatch,
    checked_transaction,
    normal_code,
)


class Transactions(Service):
    """Payments from wallets, by their signatures. Hexadecimal signatures are one in any case."""

    async def record(
        self,
        *,
        signature: str,
        resource_id: str,
        wallet: str,
        amount: Money,
        account: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Recorded:
        """Record a payment that was verified, and learn whether it is the first time: one round trip.

        Of any number of callers with one signature exactly one hears `first`; whoever hears otherwise honours nothing.
        What staff record also leaves an entry in the audit trail. A retry is safe and hears that it is a replay.

        Args:
            signature: of the transaction; `stripe:{session}` and the like for what a provider vouches for.
            resource_id: what was paid for: a product's id, `cart:{id}`.
            wallet: who paid.
            amount: in the smallest unit of its asset.
            account: where it arrived; it must be an active receiving account of the shop for this asset. Money of a
                bank may go without.
            metadata: METADATA_BYTES_MAX at most.

        Raises:
            NotForCustomers: the actor is a customer.
            InvalidTransaction, UnknownCurrency: a field is out of bounds; a token came without its account.
            NotOurAccount: the money arrived elsewhere. Nothing was written: the signature may be honoured where it did.
        """
        self._require_recorder()
        draft = checked_transaction(
            NewTransaction(
                signature=signature,
                resource_id=resource_id,
                wallet=wallet,
                amount=amount,
                account=account,
                metadata=dict(metadata or {}),
            )
        )
        if self.context.actor.kind is ActorKind.ADMIN or self.context.claim is not None:
            return await self._record_by_staff(**msgspec.structs.asdict(draft))
        return await self._record(draft)

    async def record_many(self, payments: Sequence[NewTransaction]) -> RecordedBatch:
        """Record a batch, all of it or nothing: one round trip.

        Raises:
            NotForCustomers, InvalidTransaction, UnknownCurrency, NotOurAccount: as `record`; nothing was written.
            InvalidTransaction: also for an empty batch, one of more than BATCH_MAX, or a signature that is in it twice.
        """
        self._require_recorder()
        if not 1 <= len(payments) <= BATCH_MAX:
            raise InvalidTransaction(field="payments", reason=f"1 to {BATCH_MAX} payments")
        drafts = [checked_transaction(payment) for payment in payments]
        if len({draft.signature for draft in drafts}) < len(drafts):
            raise InvalidTransaction(field="payments", reason="a signature is in it twice")
        if self.context.actor.kind is ActorKind.ADMIN or self.context.claim is not None:
            return await self._record_many_by_staff(payments=drafts)
        return await self._record_many(drafts)

    @operation
    async def has_been_processed(self, *, signature: str) -> bool:
        """Whether a signature was honoured, lately or long ago."""
        return await queries.signature_known(self.db, tenant_id=self.tenant_id, signature=normal_code(signature))

    @operation
    async def get(self, *, signature: str) -> PaymentTransaction:
        """A payment, archived or not. Raises TransactionNotFound."""
        found = await queries.transaction_of(self.db, tenant_id=self.tenant_id, signature=normal_code(signature))
        if found is None:
            raise TransactionNotFound(signature=signature)
        return found

    @operation
    async def list(
        self,
        *,
        wallet: str | None = None,
        resource_id: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[PaymentTransaction]:
        """Payments, newest first: of a wallet, for a resource, or all; without the archived ones."""
        size = page_size(limit)
        before_at, before_signature = decode_cursor(cursor, (datetime, str)) if cursor else (None, None)
        rows = await queries.transactions_listed(
            self.db,
            tenant_id=self.tenant_id,
            wallet=None if wallet is None else normal_code(wallet),
            resource_id=resource_id,
            before_at=before_at,
            before_signature=before_signature,
            size=size + 1,
        )
        return page_of(rows, size, lambda row: (row.created_at, row.signature))

    @audited("transactions.archive", "payment_transaction")
    @transactional
    async def archive_older_than(self, *, before: datetime, limit: int = 1_000) -> int:
        """Move payments recorded before an instant to the archive, the oldest first; return how many it were.

        Their signatures stay refused. Fewer than `limit`: there are no more, or another run is at them.

        Args:
            before: exclusive.
            limit: rows of this batch, 1 to ARCHIVE_BATCH_MAX.
        """
        self._require_recorder()
        if not 1 <= limit <= ARCHIVE_BATCH_MAX:
            raise InvalidTransaction(field="limit", reason=f"1 to {ARCHIVE_BATCH_MAX} rows")
        return await queries.archive_transactions(
            self.db, tenant_id=self.tenant_id, before=utc(before, field="before"), size=limit
        )

    # --- Inside -------------------------------------------------------------------------------------------------------

    def _require_recorder(self) -> None:
        if self.context.actor.kind is ActorKind.CUSTOMER:
            raise NotForCustomers

    @audited("transactions.record", "payment_transaction")
    @transactional
    async def _record_by_staff(
        self,
        *,
        signature: str,
        resource_id: str,
        wallet: str,
        amount: Money,
        account: str | None,
        metadata: dict[str, Any],
    ) -> Recorded:
        return await self._record(
            NewTransaction(
                signature=signature,
                resource_id=resource_id,
                wallet=wallet,
                amount=amount,
                account=account,
                metadata=metadata,
            )
        )

    @operation
    async def _record(self, draft: NewTransaction) -> Recorded:
        asset = draft.amount.currency
        if draft.account is None:
            found = await queries.record_vouched(
                self.db,
                tenant_id=self.tenant_id,
                signature=draft.signature,
                resource_id=draft.resource_id,
                wallet=draft.wallet,
                amount=draft.amount.amount,
                asset=asset,
                metadata=draft.metadata,
            )
        else:
            found = await queries.record_payment(
                self.db,
                tenant_id=self.tenant_id,
                signature=draft.signature,
                resource_id=draft.resource_id,
                wallet=draft.wallet,
                amount=draft.amount.amount,
                asset=asset,
                account=draft.account,
                metadata=draft.metadata,
            )
            if not found.counts:
                raise NotOurAccount(account=draft.account, asset=asset)
        return Recorded(first=found.first)

    @audited("transactions.record_many", "payment_transaction")
    @transactional
    async def _record_many_by_staff(self, *, payments: Sequence[NewTransaction]) -> RecordedBatch:
        return await self._record_many(payments)

    @operation
    async def _record_many(self, drafts: Sequence[NewTransaction]) -> RecordedBatch:
        obstacles = await queries.record_payments(
            self.db,
            tenant_id=self.tenant_id,
            payments=[
                {
                    "signature": draft.signature,
                    "resource_id": draft.resource_id,
                    "wallet": draft.wallet,
                    "amount": draft.amount.amount,
                    "amount_asset": draft.amount.currency,
                    "account": draft.account,
                    "metadata": draft.metadata,
                }
                for draft in drafts
            ],
        )
        for obstacle in obstacles:
            if obstacle.reason == "account":
                (draft,) = (draft for draft in drafts if draft.signature == obstacle.signature)
                raise NotOurAccount(account=draft.account or "", asset=draft.amount.currency)
        return RecordedBatch(first=not obstacles, replayed=[obstacle.signature for obstacle in obstacles])
