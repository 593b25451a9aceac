"""Customers as SAP has them: written with the account in one transaction, and claimed until they are there."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime, timedelta
from uuid import UUID

from storeroom.audit import audited
from storeroom.core.contact import normal_email
from storeroom.core.ids import UserId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.ensured import Ensured
from storeroom.database.errors import violations
from storeroom.database.service import Service, operation, transactional
from storeroom.identity import UserNotFound, Users
from storeroom.sap import queries
from storeroom.sap.errors import CustomerSynced, CustomerSyncNotFound, InvalidSap, SapCodeTaken
from storeroom.sap.model import (
    CODE_LENGTH_MAX,
    COMPANY_LENGTH_MAX,
    ENROLLED_AT_ONCE,
    ERROR_LENGTH_MAX,
    LEASE,
    CustomerSync,
    ToSync,
    backoff,
    map_customer_sync,
)

ensure_customer_syncs = Ensured("users", "customer_syncs")


class CustomerSyncs(Service):
    """The customers of one shop at SAP."""

    @audited("sap.upsert_customer", "customer_sync")
    @transactional
    async def upsert(
        self,
        *,
        customer_email: str,
        sap_customer_code: str | None = None,
        sap_sync: bool | None = None,
        company_code: str | None = None,
    ) -> CustomerSync:
        """Write down what SAP has of a customer, in their row and in the metadata of their account; both, or neither.

        Again changes the same row, whatever the case of the address. Other keys of the metadata stay.

        Args:
            customer_email: with or without an account.
            sap_customer_code: the number in SAP, which no other customer has; None: the one that is known stays.
            sap_sync: whether SAP has them; None: where there is a code. False: they wait to be sent (again).
            company_code: for which company; None: as it is.

        Raises:
            InvalidEmail, InvalidSap: a field is out of bounds, or they are in SAP without a code.
            SapCodeTaken: another customer has the code.
        """
        await ensure_customer_syncs(self.db)
        email = normal_email(customer_email, field="customer_email")
        code = _line(sap_customer_code, "sap_customer_code", CODE_LENGTH_MAX)
        company = _line(company_code, "company_code", COMPANY_LENGTH_MAX)
        account = await queries.account_of(self.db, tenant_id=self.tenant_id, customer_email=email)
        if account is not None:
            await self._follow(UserId(account), email)
        known = await queries.lock_customer_sync(self.db, tenant_id=self.tenant_id, customer_email=email)
        known_code = map_customer_sync(known).sap_customer_code if known else None
        synced = (code or known_code) is not None if sap_sync is None else sap_sync
        if synced and not (code or known_code):
            raise InvalidSap(field="sap_customer_code", reason="who is in SAP has one")
        with self._code_taken(code):
            sync_id = await queries.put_customer_sync(
                self.db,
                tenant_id=self.tenant_id,
                id=new_id(),
                customer_email=email,
                customer_id=account,
                sap_sync=synced,
                sap_customer_code=code or known_code,
                company_code=company,
            )
        return await self._told(await self.get(sync_id=sync_id))

    @transactional
    async def enrol(self, *, customer_id: UserId) -> bool:
        """Let a customer wait for SAP; who has a row keeps it, under the address of today. True: a new row."""
        await ensure_customer_syncs(self.db)
        await queries.follow_address(self.db, tenant_id=self.tenant_id, customer_id=customer_id)
        made = await queries.enrol_account(self.db, tenant_id=self.tenant_id, id=new_id(), customer_id=customer_id)
        return bool(made)

    async def enrol_all(self, *, company_code: str | None = None) -> int:
        """Let all customers wait who have no row yet, ENROLLED_AT_ONCE in a transaction; return how many those are.

        Raises:
            InvalidSap: no company has such a code.
        """
        enrolled, after = 0, UserId(UUID(int=0))
        while True:
            made, last = await self._enrol_after(after, company_code)
            enrolled += made
            if last is None:
                return enrolled
            after = last

    @audited("sap.enrol_customers", "customer_sync")
    @transactional
    async def _enrol_after(self, after: UserId, company_code: str | None) -> tuple[int, UserId | None]:
        await ensure_customer_syncs(self.db)
        company = _line(company_code, "company_code", COMPANY_LENGTH_MAX)
        ids = await queries.accounts_to_enrol(self.db, tenant_id=self.tenant_id, after_id=after, size=ENROLLED_AT_ONCE)
        made = await queries.enrol_accounts(
            self.db, tenant_id=self.tenant_id, ids=[new_id() for _ in ids], customer_ids=list(ids), company_code=company
        )
        return made, UserId(ids[-1]) if len(ids) == ENROLLED_AT_ONCE else None

    @operation
    async def get(self, *, sync_id: UUID) -> CustomerSync:
        """One row. Raises CustomerSyncNotFound."""
        await ensure_customer_syncs(self.db)
        row = await queries.customer_sync(self.db, tenant_id=self.tenant_id, sync_id=sync_id)
        if row is None:
            raise CustomerSyncNotFound(sync_id=sync_id)
        return map_customer_sync(row)

    @operation
    async def by_email(self, *, customer_email: str) -> CustomerSync | None:
        """The row of an address, in any case."""
        await ensure_customer_syncs(self.db)
        email = normal_email(customer_email, field="customer_email")
        row = await queries.customer_sync_of(self.db, tenant_id=self.tenant_id, customer_email=email)
        return None if row is None else map_customer_sync(row)

    @operation
    async def waiting(self, *, cursor: str | None = None, limit: int | None = None) -> Page[CustomerSync]:
        """Who is not in SAP yet, the oldest first, with what SAP said last."""
        await ensure_customer_syncs(self.db)
        size = page_size(limit)
        after_at, after_id = decode_cursor(cursor, (datetime, UUID)) if cursor else (None, None)
        rows = await queries.customers_waiting(
            self.db, tenant_id=self.tenant_id, size=size + 1, after_at=after_at, after_id=after_id
        )
        return page_of([map_customer_sync(row) for row in rows], size, lambda sync: (sync.created_at, sync.id))

    @audited("sap.retry_customer", "customer_sync", "sync_id")
    @transactional
    async def retry(self, *, sync_id: UUID) -> CustomerSync:
        """Give a waiting customer all attempts again, at once.

        Raises:
            CustomerSyncNotFound: no such row.
            CustomerSynced: SAP has them.
        """
        await ensure_customer_syncs(self.db)
        retried = await queries.retry_customer(self.db, tenant_id=self.tenant_id, sync_id=sync_id)
        sync = await self.get(sync_id=sync_id)
        if not retried:
            raise CustomerSynced(sync_id=sync_id)
        return sync

    # --- For whoever sends them ---------------------------------------------------------------------------------------

    @transactional
    async def claim(self, *, claim: UUID, size: int, lease: timedelta = LEASE) -> Sequence[ToSync]:
        """Take customers who are due, the oldest first; nobody else has them until the lease ends.

        Closed accounts that come up wait no longer, and are not among them.
        """
        await ensure_customer_syncs(self.db)
        return await queries.claim_customers(self.db, tenant_id=self.tenant_id, claim=claim, lease=lease, size=size)

    @transactional
    async def synced(self, *, claim: UUID, sync_id: UUID, sap_customer_code: str) -> CustomerSync | None:
        """SAP has them, under this code. None: the claim was lost, and nothing was written. Raises SapCodeTaken."""
        with self._code_taken(sap_customer_code):
            done = await queries.customer_synced(
                self.db,
                tenant_id=self.tenant_id,
                sync_id=sync_id,
                claim=claim,
                sap_customer_code=sap_customer_code,
            )
        return await self._told(await self.get(sync_id=sync_id)) if done else None

    @operation
    async def failed(self, *, claim: UUID, sync_id: UUID, error: str, attempts: int) -> bool:
        """It was tried in vain, and is tried again later: after ATTEMPTS_MAX only when staff say so."""
        return bool(
            await queries.customer_failed(
                self.db,
                tenant_id=self.tenant_id,
                sync_id=sync_id,
                claim=claim,
                error=error.replace("\x00", "")[:ERROR_LENGTH_MAX],
                again_in=backoff(attempts),
            )
        )

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _follow(self, account: UserId, email: str) -> None:
        """An account has one row, under its address of today."""
        await queries.follow_address(self.db, tenant_id=self.tenant_id, customer_id=account)
        await queries.forget_former_address(
            self.db, tenant_id=self.tenant_id, customer_id=account, customer_email=email
        )

    async def _told(self, sync: CustomerSync) -> CustomerSync:
        """The account's metadata says what the row says."""
        if sync.customer_id is not None:
            with suppress(UserNotFound):  # closed since: there is nobody to tell
                await Users(self.context.on(self.db)).merge_metadata(
                    user_id=sync.customer_id,
                    changes={"sap_sync": sync.sap_sync, "sap_customer_code": sync.sap_customer_code},
                )
        return sync

    def _code_taken(self, code: str | None) -> AbstractContextManager[None]:
        return violations(
            {"customer_syncs_code_unique": lambda: SapCodeTaken(sap_customer_code=str(code))}, self.db.names
        )


def _line(text: str | None, field: str, length_max: int) -> str | None:
    tidy = text.strip() if text is not None else None
    if tidy is not None and (not 1 <= len(tidy) <= length_max or not tidy.isprintable()):
        raise InvalidSap(field=field, reason=f"1 to {length_max} printable characters")
    return tidy
