"""Batches: made, verified, used up in the order in which they expire."""

from datetime import date, timedelta
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from storeroom.audit import audited
from storeroom.catalog import queries
from storeroom.catalog.drafts import BatchDraft, batch_row, checked
from storeroom.catalog.errors import (
    BatchesShort,
    BatchExpired,
    BatchNotFound,
    BatchNumberTaken,
    InvalidBatch,
    ProductNotFound,
)
from storeroom.catalog.model import BATCHES_LISTED_MAX, STOCK_MAX, Allocation, Batch
from storeroom.core.ids import BatchId, ProductId, TenantId, new_id
from storeroom.database.errors import violations
from storeroom.database.executor import Executor
from storeroom.database.service import Service, operation, transactional

NEAR_EXPIRY_MAX: Final = timedelta(days=3_660)
_Batches: TypeAlias = list[Batch]  # in the class below, `list` is a method
_Allocations: TypeAlias = list[Allocation]


class Batches(Service):
    """The batches of a shop's products. Days are those of the shop's time zone; a batch is good through its last."""

    @audited("catalog.create_batch", "batch")
    @transactional
    async def create(
        self,
        *,
        product_id: ProductId,
        batch_number: str,
        quantity_produced: int,
        coa_file_url: str,
        manufactured_at: date,
        expires_at: date,
    ) -> Batch:
        """Record a batch with its certificate of analysis. Nothing is shipped from it before it is verified.

        Raises:
            InvalidBatch: `field` says which part; there is no batch without a certificate.
            ProductNotFound: the tenant has no such product.
            BatchNumberTaken: the product has a batch of this number.
        """
        values = {
            "batch_number": batch_number,
            "quantity_produced": quantity_produced,
            "coa_file_url": coa_file_url,
            "manufactured_at": manufactured_at,
            "expires_at": expires_at,
        }
        row = batch_row(checked(BatchDraft, values, InvalidBatch))
        meanings = {
            "product_batches_number_unique": lambda: BatchNumberTaken(batch_number=row["batch_number"]),
            "product_batches_product_fkey": lambda: ProductNotFound(product=product_id),
        }
        with violations(meanings):
            return await queries.add_batch(
                self.db, tenant_id=self.tenant_id, batch_id=new_id(), product_id=product_id, **row
            )

    @audited("catalog.verify_batch", "batch", "batch_id")
    @transactional
    async def verify(self, *, batch_id: BatchId) -> Batch:
        """Record that the caller has looked at the certificate; the first one who did stays recorded.

        The product then shows this batch, if it is active and none of its verified batches is newer.

        Raises:
            BatchNotFound: the tenant has no such batch.
        """
        batch = await self._locked(batch_id)
        verified = await queries.verify_batch(
            self.db, tenant_id=self.tenant_id, batch_id=batch_id, verified_by=self.context.actor.user_id
        )
        await self._show_newest(batch.product_id)
        return verified or await self.get(batch_id=batch_id)

    @audited("catalog.activate_batch", "batch", "batch_id")
    @transactional
    async def activate(self, *, batch_id: BatchId) -> Batch:
        """Use a batch again.

        Raises:
            BatchNotFound: the tenant has no such batch.
            BatchExpired: its last day is over.
        """
        batch = await self._locked(batch_id)
        if batch.expires_at < await self._today():
            raise BatchExpired(batch_id=batch_id)
        return await self._switch(batch, is_active=True)

    @audited("catalog.deactivate_batch", "batch", "batch_id")
    @transactional
    async def deactivate(self, *, batch_id: BatchId) -> Batch:
        """Ship nothing from it any more, and show it no more: a recall, or used up."""
        return await self._switch(await self._locked(batch_id), is_active=False)

    @operation
    async def get(self, *, batch_id: BatchId) -> Batch:
        """One batch.

        Raises:
            BatchNotFound: the tenant has no such batch.
        """
        found = await queries.batch(self.db, tenant_id=self.tenant_id, batch_id=batch_id)
        if found is None:
            raise BatchNotFound(batch_id=batch_id)
        return found

    @operation
    async def list(self, *, product_id: ProductId, limit: int = BATCHES_LISTED_MAX) -> _Batches:
        """The batches of a product, first the one that expires last; at most BATCHES_LISTED_MAX."""
        return await queries.batches_of(self.db, tenant_id=self.tenant_id, product_id=product_id, limit=_bounded(limit))

    @operation
    async def near_expiry(self, *, within: timedelta, limit: int = BATCHES_LISTED_MAX) -> _Batches:
        """The active batches whose last day comes within this time, the first to expire first."""
        if not timedelta() <= within <= NEAR_EXPIRY_MAX:
            raise InvalidBatch(field="within", reason=f"0 to {NEAR_EXPIRY_MAX.days} days")
        until = await self._today() + within
        return await queries.batches_expiring(self.db, tenant_id=self.tenant_id, until=until, limit=_bounded(limit))

    @transactional
    async def allocate(self, *, product_id: ProductId, quantity: int) -> _Allocations:
        """Take units for a shipment out of verified, active, unexpired batches, the first to expire first.

        Counts the batches down, in the caller's transaction. A product that has never had a batch needs none: the
        answer is empty.

        Raises:
            InvalidBatch: `quantity` is not 1 to STOCK_MAX.
            BatchesShort: its batches hold fewer units. Nothing was taken.
        """
        if not 1 <= quantity <= STOCK_MAX:
            raise InvalidBatch(field="quantity", reason=f"1 to {STOCK_MAX}")
        today = await self._today()
        usable = await queries.lock_usable_batches(
            self.db, tenant_id=self.tenant_id, product_id=product_id, today=today
        )
        available = sum(batch.quantity_remaining for batch in usable)
        if available < quantity:
            if not usable and not await queries.has_batches(self.db, tenant_id=self.tenant_id, product_id=product_id):
                return []
            raise BatchesShort(product_id=product_id, requested=quantity, available=available)
        taken: _Allocations = []
        wanted = quantity
        for batch in usable:
            units = min(wanted, batch.quantity_remaining)
            if units == 0:
                break
            if not await queries.take_from_batch(
                self.db, tenant_id=self.tenant_id, batch_id=batch.id, quantity=units, today=today
            ):
                raise BatchesShort(product_id=product_id, requested=quantity, available=quantity - wanted)
            taken.append(Allocation(batch_id=batch.id, batch_number=batch.batch_number, quantity=units))
            wanted -= units
        return taken

    async def _today(self) -> date:
        zone = ZoneInfo((await self.context.settings()).time_zone)
        return self.context.clock.now().astimezone(zone).date()

    async def _locked(self, batch_id: BatchId) -> Batch:
        """The batch, whose product nobody else changes until the transaction ends."""
        batch = await self.get(batch_id=batch_id)
        await queries.lock_product(self.db, tenant_id=self.tenant_id, product_id=batch.product_id)
        return batch

    async def _switch(self, batch: Batch, *, is_active: bool) -> Batch:
        await queries.switch_batches(self.db, tenant_id=self.tenant_id, batch_ids=[batch.id], is_active=is_active)
        await self._show_newest(batch.product_id)
        return await self.get(batch_id=batch.id)

    async def _show_newest(self, product_id: ProductId) -> None:
        await show_newest_batch(self.db, self.tenant_id, product_id, await self._today())


async def show_newest_batch(db: Executor, tenant_id: TenantId, product_id: ProductId, today: date) -> None:
    """Let a product show its newest verified, active batch, or none. The caller holds the product's row."""
    newest = await queries.newest_batch(db, tenant_id=tenant_id, product_id=product_id, today=today)
    await queries.set_current_batch(
        db,
        tenant_id=tenant_id,
        product_id=product_id,
        batch_number=newest.batch_number if newest else None,
        coa_url=newest.coa_file_url if newest else None,
    )


def _bounded(limit: int) -> int:
    if not 1 <= limit <= BATCHES_LISTED_MAX:
        raise InvalidBatch(field="limit", reason=f"1 to {BATCHES_LISTED_MAX}")
    return limit
