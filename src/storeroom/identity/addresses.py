"""The addresses that accounts keep."""

from collections.abc import Sequence

import msgspec

from storeroom.audit import audited
from storeroom.core.contact import Address, normal_address
from storeroom.core.ids import AddressId, UserId, new_id
from storeroom.database.service import operation, transactional
from storeroom.identity import checks, queries
from storeroom.identity.errors import AddressNotFound, TooManyAddresses
from storeroom.identity.model import ADDRESSES_MAX, LABEL_LENGTH_MAX, SOURCE_LENGTH_MAX, AddressType, SavedAddress
from storeroom.identity.people import People


class Addresses(People):
    """The addresses of one tenant's accounts. Customers touch their own only.

    Of each type an account has at most one default; whoever changes addresses holds the account's lock, so parallel
    changes follow each other.
    """

    @audited("identity.add_address", "address")
    @transactional
    async def add(
        self,
        *,
        user_id: UserId,
        address: Address,
        address_type: AddressType = AddressType.SHIPPING,
        label: str | None = None,
        is_default: bool = False,
    ) -> SavedAddress:
        """Keep an address, brought into its stored form.

        Args:
            user_id: whose.
            address: see `core.contact.normal_address`.
            address_type: what it is for.
            label: how its owner calls it, at most 50 characters.
            is_default: make it the default of its type, instead of the one before; one for both uses, of either.

        Raises:
            UserNotFound: no such account.
            InvalidAddress, InvalidPerson: a line is missing or cannot be taken. Nothing was written.
            TooManyAddresses: the account keeps ADDRESSES_MAX.
        """
        lines = msgspec.structs.asdict(normal_address(address))
        label = checks.line(label, field="label", length_max=LABEL_LENGTH_MAX)
        await self._lock_own(user_id)
        if await queries.addresses_counted(self.db, tenant_id=self.tenant_id, user_id=user_id) >= ADDRESSES_MAX:
            raise TooManyAddresses
        address_id = AddressId(new_id())
        await queries.insert_address(
            self.db,
            tenant_id=self.tenant_id,
            id=address_id,
            user_id=user_id,
            address_type=address_type,
            label=label,
            **lines,
        )
        if is_default:
            await self._make_default(user_id, address_id, address_type)
        return await self._address(user_id, address_id)

    @operation
    async def list(self, *, user_id: UserId) -> Sequence[SavedAddress]:
        """All that an account keeps, the defaults first, then the newest."""
        self._check_customer(user_id)
        return await queries.addresses(self.db, tenant_id=self.tenant_id, user_id=user_id, rows=ADDRESSES_MAX)

    @operation
    async def get(self, *, user_id: UserId, address_id: AddressId) -> SavedAddress:
        """One address. Raises AddressNotFound, also for somebody else's."""
        self._check_customer(user_id)
        return await self._address(user_id, address_id)

    @operation
    async def default(
        self, *, user_id: UserId, address_type: AddressType = AddressType.SHIPPING
    ) -> SavedAddress | None:
        """The default of a type, else the one for both uses; None where there is neither.

        So of an address for both, and one of the type that was chosen after it, the latter counts.
        """
        self._check_customer(user_id)
        for wanted in dict.fromkeys((address_type, AddressType.BOTH)):
            found = await queries.default_address(
                self.db, tenant_id=self.tenant_id, user_id=user_id, address_type=wanted
            )
            if found is not None:
                return found
        return None

    @audited("identity.update_address", "address", "address_id")
    @transactional
    async def update(
        self,
        *,
        user_id: UserId,
        address_id: AddressId,
        address: Address,
        address_type: AddressType | None = None,
        label: str | None = None,
    ) -> SavedAddress:
        """Replace an address. Where the place is another, it is no longer a validated one.

        A default that changes its type is no default of the new one; use `set_default`.

        Raises:
            UserNotFound, AddressNotFound: no such account or address.
            InvalidAddress, InvalidPerson: a line is missing or cannot be taken. Nothing was written.
        """
        new = normal_address(address)
        label = checks.line(label, field="label", length_max=LABEL_LENGTH_MAX)
        await self._lock_own(user_id)
        known = await self._address(user_id, address_id)
        wanted = address_type or known.address_type
        same_place = _place(new) == _place(known.address)
        await queries.update_address(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            address_id=address_id,
            address_type=wanted,
            is_default=known.is_default and wanted is known.address_type,
            label=label,
            validated=known.validated and same_place,
            validated_at=known.validated_at if same_place else None,
            validation_source=known.validation_source if same_place else None,
            **msgspec.structs.asdict(new),
        )
        return await self._address(user_id, address_id)

    @audited("identity.set_default_address", "address", "address_id")
    @transactional
    async def set_default(self, *, user_id: UserId, address_id: AddressId) -> SavedAddress:
        """Make an address the default of its type, instead of the one before; one for both uses, of either.

        Raises:
            UserNotFound, AddressNotFound: no such account or address.
        """
        await self._lock_own(user_id)
        known = await self._address(user_id, address_id)
        await self._make_default(user_id, address_id, known.address_type)
        return await self._address(user_id, address_id)

    @audited("identity.mark_address_validated", "address", "address_id")
    @transactional
    async def mark_validated(self, *, user_id: UserId, address_id: AddressId, source: str) -> SavedAddress:
        """Record that a parcel would arrive there, by the word of `source`: a carrier's service, or `manual`.

        Raises:
            UserNotFound, AddressNotFound: no such account or address.
            RoleForbidden: the caller is not staff.
        """
        source = checks.required(source, field="source", length_max=SOURCE_LENGTH_MAX)
        await self._lock_managed(user_id)
        if not await queries.set_address_validated(
            self.db, tenant_id=self.tenant_id, user_id=user_id, address_id=address_id, source=source
        ):
            raise AddressNotFound(address_id=address_id)
        return await self._address(user_id, address_id)

    @audited("identity.delete_address", "address", "address_id")
    @transactional
    async def delete(self, *, user_id: UserId, address_id: AddressId) -> None:
        """Forget an address. Carts that chose it stay as they are; orders have their own copy.

        Raises:
            UserNotFound, AddressNotFound: no such account or address.
        """
        await self._lock_own(user_id)
        if not await queries.delete_address(self.db, tenant_id=self.tenant_id, user_id=user_id, address_id=address_id):
            raise AddressNotFound(address_id=address_id)

    async def _make_default(self, user_id: UserId, address_id: AddressId, address_type: AddressType) -> None:
        if address_type is AddressType.BOTH:
            await queries.clear_default_addresses(self.db, tenant_id=self.tenant_id, user_id=user_id)
        else:
            await queries.clear_default_address(
                self.db, tenant_id=self.tenant_id, user_id=user_id, address_type=address_type
            )
        await queries.make_default_address(self.db, tenant_id=self.tenant_id, user_id=user_id, address_id=address_id)

    async def _address(self, user_id: UserId, address_id: AddressId) -> SavedAddress:
        found = await queries.address(self.db, tenant_id=self.tenant_id, user_id=user_id, address_id=address_id)
        if found is None:
            raise AddressNotFound(address_id=address_id)
        return found


def _place(address: Address) -> tuple[str | None, ...]:
    """What a validation looked at; who lives there is not part of it."""
    return (
        address.street_line_1,
        address.street_line_2,
        address.city,
        address.state_province,
        address.postal_code,
        address.country_code,
    )
