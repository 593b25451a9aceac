"""The addresses at which money counts."""

from collections.abc import Sequence
from uuid import UUID

from storeroom.audit import audited
from storeroom.core.ids import new_id
from storeroom.database.service import Service, operation, transactional
from storeroom.wallets import queries
from storeroom.wallets.errors import ReceivingAccountNotFound, ReceivingAccountTaken, TooManyReceivingAccounts
from storeroom.wallets.model import ACCOUNTS_MAX, ReceivingAccount, checked_account


class ReceivingAccounts(Service):
    """Where a shop takes money from wallets. A payment counts for it only if it arrived at one of these.

    Two tenants may name the same address only to their own loss, so nothing refuses it; `storeroom doctor` tells.
    """

    @audited("receiving_accounts.create", "receiving_account")
    @transactional
    async def create(self, *, asset: str, address: str, label: str) -> ReceivingAccount:
        """Add an address; money that arrives there counts from now on.

        Raises:
            InvalidAccount, UnknownCurrency: a field is out of bounds.
            ReceivingAccountTaken: the shop has it, active or not.
            TooManyReceivingAccounts: the shop has ACCOUNTS_MAX.
        """
        code, place, called = checked_account(asset, address, label)
        if len(await queries.accounts(self.db, tenant_id=self.tenant_id, size=ACCOUNTS_MAX)) >= ACCOUNTS_MAX:
            raise TooManyReceivingAccounts(maximum=ACCOUNTS_MAX)
        made = await queries.insert_account(
            self.db, tenant_id=self.tenant_id, account_id=new_id(), asset=code, address=place, label=called
        )
        if made is None:
            raise ReceivingAccountTaken(asset=code, address=place)
        return made

    @operation
    async def get(self, *, account_id: UUID) -> ReceivingAccount:
        """One account, active or not. Raises ReceivingAccountNotFound."""
        found = await queries.account(self.db, tenant_id=self.tenant_id, account_id=account_id)
        if found is None:
            raise ReceivingAccountNotFound(account_id=account_id)
        return found

    @operation
    async def list(self, *, asset: str | None = None, active: bool | None = None) -> Sequence[ReceivingAccount]:
        """The accounts, by asset and address; ACCOUNTS_MAX at most."""
        return await queries.accounts(
            self.db, tenant_id=self.tenant_id, asset=asset, is_active=active, size=ACCOUNTS_MAX
        )

    @audited("receiving_accounts.update", "receiving_account", "account_id")
    @transactional
    async def update(
        self, *, account_id: UUID, label: str | None = None, is_active: bool | None = None
    ) -> ReceivingAccount:
        """Rename an account, or say whether money that arrives there counts; what is left out stays.

        What was recorded before stays recorded. Address and asset never change: it would be another account.

        Raises:
            ReceivingAccountNotFound, InvalidAccount: nothing was changed.
        """
        known = await self.get(account_id=account_id)
        _, _, called = checked_account(known.asset, known.address, known.label if label is None else label)
        changed = await queries.update_account(
            self.db,
            tenant_id=self.tenant_id,
            account_id=account_id,
            label=called,
            is_active=known.is_active if is_active is None else is_active,
        )
        if changed is None:
            raise ReceivingAccountNotFound(account_id=account_id)
        return changed
