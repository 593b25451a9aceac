"""Accounts as buyers: what they bought, where they live, and who may be written to."""

from collections.abc import Sequence
from uuid import UUID

from storeroom.core.contact import normal_email, normal_phone
from storeroom.core.ids import UserId
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import Service, operation, transactional
from storeroom.identity import ADDRESSES_MAX, MAY_SIGN_IN, UserNotFound, Users
from storeroom.orders import queries
from storeroom.orders.model import Customer, CustomerAddress
from storeroom.tenants import settings_of


class Customers(Service):
    """The views `customers` and `customer_addresses` of one tenant. Deleted accounts are not among them."""

    @operation
    async def get(self, *, customer_id: UserId) -> Customer:
        """One customer. Raises UserNotFound."""
        found = await queries.customer(self.db, tenant_id=self.tenant_id, customer_id=customer_id)
        if found is None:
            raise UserNotFound(user_id=customer_id)
        return found

    @operation
    async def by_email(self, *, email: str) -> Customer | None:
        """Whose mail address this is. Raises InvalidEmail."""
        return await queries.customer_by_email(self.db, tenant_id=self.tenant_id, email=normal_email(email))

    @operation
    async def by_phone(self, *, phone: str) -> Customer | None:
        """Whose number this is, in the customs of the tenant's country or with a country code. Raises InvalidPhone."""
        number = normal_phone(phone, (await settings_of(self.context)).country_code)
        return await queries.customer_by_phone(self.db, tenant_id=self.tenant_id, phone=number)

    @operation
    async def by_vendure_id(self, *, vendure_customer_id: str) -> Customer | None:
        """Who goes by this id in Vendure."""
        return await queries.customer_by_vendure_id(
            self.db, tenant_id=self.tenant_id, vendure_customer_id=vendure_customer_id
        )

    @operation
    async def list(
        self, *, active: bool = False, cursor: str | None = None, limit: int | None = None
    ) -> Page[Customer]:
        """Newest first; `active` leaves out those who may not sign in."""
        size = page_size(limit)
        statement = queries.active_customers_page if active else queries.customers_page
        rows = await statement(self.db, tenant_id=self.tenant_id, before=_last(cursor), size=size + 1)
        return page_of(rows, size, lambda customer: (customer.id,))

    @operation
    async def search(self, *, text: str, active: bool = False, limit: int | None = None) -> Sequence[Customer]:
        """Those whose name, mail address or number holds the text, newest first. Raises SearchRefused.

        `active` leaves out those who may not sign in.
        """
        statuses = MAY_SIGN_IN if active else None
        users = await Users(self.context).search(text=text, statuses=statuses, limit=page_size(limit))
        return await queries.customers_of(self.db, tenant_id=self.tenant_id, customer_ids=[user.id for user in users])

    @operation
    async def consenting(self, *, cursor: str | None = None, limit: int | None = None) -> Page[Customer]:
        """Who agreed to be written to, and has not taken it back."""
        size = page_size(limit)
        rows = await queries.customers_consenting(self.db, tenant_id=self.tenant_id, after=_last(cursor), size=size + 1)
        return page_of(rows, size, lambda customer: (customer.id,))

    @operation
    async def addresses(self, *, customer_id: UserId) -> Sequence[CustomerAddress]:
        """All that a customer keeps, the defaults first, then the newest."""
        return await queries.customer_addresses(
            self.db, tenant_id=self.tenant_id, customer_id=customer_id, size=ADDRESSES_MAX
        )

    @transactional
    async def update_statistics(self, *, customer_id: UserId) -> Customer:
        """Sum up again what the customer bought. Orders keep it right by themselves; twice is no harm.

        Raises:
            UserNotFound: the tenant has no such account, or it is deleted.
        """
        await queries.recount_customer(self.db, tenant_id=self.tenant_id, customer_id=customer_id)
        return await self.get(customer_id=customer_id)


def _last(cursor: str | None) -> UUID | None:
    """The id that the page before ended with."""
    return decode_cursor(cursor, (UUID,))[0] if cursor else None
