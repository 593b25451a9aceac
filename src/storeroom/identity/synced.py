"""Accounts and addresses that another system keeps too: what it says becomes what is here, within bounds.

An account that was made for such a customer follows the other system in everything, until somebody owns it: has a way
to sign in, or has proven the mail address. From then on the person decides, and the other system adds what is missing.
Nothing here gives anybody a way in: passwords, proofs of addresses, roles and rights are not touched.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from storeroom.core.contact import Address, InvalidPhone, normal_address, normal_email
from storeroom.core.ids import AddressId, UserId, new_id
from storeroom.database.pool import Transaction
from storeroom.database.service import transactional
from storeroom.identity import checks, queries
from storeroom.identity.errors import EmailTaken, InvalidPerson, UserNotFound
from storeroom.identity.model import (
    ADDRESSES_MAX,
    FULL_NAME_LENGTH_MAX,
    METADATA_BYTES_MAX,
    PROFILE_NAME_LENGTH_MAX,
    USER_MOVES,
    AddressType,
    ConsentKind,
    SavedAddress,
    SyncedAccount,
    SyncedCustomer,
    SyncObstacle,
    TokenPurpose,
    UserStatus,
    erased_email,
)
from storeroom.identity.service import Users

# Said by the ERP and by SAP's sync, whatever others call so.
RESERVED: Final = frozenset({"credit_limit", "credit_currency", "terms", "sap_customer_code", "sap_sync"})


class SyncedAccounts(Users):
    """For `flows`, in the name of another system; no route leads here."""

    @transactional
    async def put(self, *, customer: SyncedCustomer, user_id: UserId | None) -> UserId | SyncObstacle:
        """Make an account say what the other system says of its customer; make or find one where there is none.

        Args:
            customer: all that is known of it.
            user_id: the account that the customer is known to be; None: none yet.

        Returns:
            The account, or why there can be none yet. An account that is not its customer's by proof is not linked: who
            signed up with somebody else's address would get to see that person's orders.

        Raises:
            InvalidEmail, InvalidPerson: a field cannot be taken. Nothing was written.
        """
        custom = {name: value for name, value in customer.custom_fields.items() if name not in RESERVED}
        if len(msgspec.json.encode(custom)) > METADATA_BYTES_MAX:
            raise InvalidPerson(field="customFields", reason=f"more than {METADATA_BYTES_MAX} bytes of JSON")
        said = msgspec.structs.replace(
            customer,
            email=normal_email(customer.email, field="emailAddress"),
            first_name=checks.line(customer.first_name, field="firstName", length_max=PROFILE_NAME_LENGTH_MAX),
            last_name=checks.line(customer.last_name, field="lastName", length_max=PROFILE_NAME_LENGTH_MAX),
            custom_fields=custom,
        )
        _full_name(said)
        account = await self._linked(said, user_id)
        if isinstance(account, SyncObstacle):
            return account
        await self._ensure_profile(account.id)
        await (self._complete if account.is_own else self._follow)(account, said)
        await self._announced(account.id)
        return account.id

    async def _linked(self, customer: SyncedCustomer, user_id: UserId | None) -> SyncedAccount | SyncObstacle:
        if user_id is not None:
            known = await queries.synced_account(self.db, tenant_id=self.tenant_id, user_id=user_id)
            if known is None:
                raise UserNotFound(user_id=user_id)
            return SyncObstacle.EMAIL_OF_DELETED if known.deleted_at else known
        known = await queries.synced_by_email(self.db, tenant_id=self.tenant_id, email=customer.email)
        if known is None:  # or of somebody who was erased
            erased = erased_email(self.tenant_id, customer.email)
            known = await queries.synced_by_email(self.db, tenant_id=self.tenant_id, email=erased)
        if known is None:
            known = await self._made(customer.email)
        if known.deleted_at is not None:
            return SyncObstacle.EMAIL_OF_DELETED
        if known.vendure_customer_id not in (None, customer.external_id):
            return SyncObstacle.EMAIL_OF_ANOTHER
        if known.is_own and not known.email_verified:
            return SyncObstacle.EMAIL_NOT_PROVEN
        return known

    async def _made(self, email: str) -> SyncedAccount:
        """A new account without a way in, or the one that somebody made with this address just now."""
        if not isinstance(self.db, Transaction):
            raise TypeError("an account is linked inside a transaction")
        try:
            async with self.db.transaction() as whole:  # a savepoint: the address may be taken under our hands
                await self.bound(whole).create(email=email, status=UserStatus.ACTIVE)
        except EmailTaken:
            pass
        made = await queries.synced_by_email(self.db, tenant_id=self.tenant_id, email=email)
        if made is None:
            raise EmailTaken
        return made

    async def _follow(self, account: SyncedAccount, customer: SyncedCustomer) -> None:
        """Nobody owns the account: all is as the other system says, but for an address or number that others have."""
        email = customer.email
        if email != account.email:
            if await self._has_owner(email, account):
                email = account.email
            else:  # what was sent to the old address must not open the account of the new one
                for purpose in (TokenPurpose.VERIFY_EMAIL, TokenPurpose.RESET_PASSWORD):
                    await queries.delete_account_tokens(
                        self.db, tenant_id=self.tenant_id, user_id=account.id, purpose=purpose
                    )
        phone = await self._number(customer.phone, account)
        status = account.status
        if not customer.is_active and UserStatus.SUSPENDED in USER_MOVES[status]:
            status = UserStatus.SUSPENDED  # never back from it: staff may have reasons of their own
        await queries.write_synced(
            self.db,
            tenant_id=self.tenant_id,
            user_id=account.id,
            vendure_customer_id=customer.external_id,
            email=email,
            full_name=_full_name(customer),
            phone=phone,
            phone_verified=phone is not None and customer.phone_verified,
            status=status,
            custom_fields=customer.custom_fields,
        )
        await queries.set_profile_names(
            self.db,
            tenant_id=self.tenant_id,
            user_id=account.id,
            first_name=customer.first_name,
            last_name=customer.last_name,
        )
        await self._follow_consent(account, customer)

    async def _follow_consent(self, account: SyncedAccount, customer: SyncedCustomer) -> None:
        given, said_at = customer.marketing_consent, customer.marketing_consent_at
        if given is None or said_at is None:
            return
        if await queries.set_synced_consent(
            self.db, tenant_id=self.tenant_id, user_id=account.id, given=given, said_at=said_at
        ):
            await self._note_consent(account.id, ConsentKind.MARKETING, given=given)

    async def _complete(self, account: SyncedAccount, customer: SyncedCustomer) -> None:
        """Somebody owns the account: what it says of itself stands, and what it does not say is added."""
        await queries.write_synced(
            self.db,
            tenant_id=self.tenant_id,
            user_id=account.id,
            vendure_customer_id=customer.external_id,
            email=account.email,
            full_name=account.full_name or _full_name(customer),
            phone=account.phone,
            phone_verified=account.phone_verified,
            status=account.status,
            custom_fields=customer.custom_fields,
        )
        profile = await self._profile(account.id)
        await queries.set_profile_names(
            self.db,
            tenant_id=self.tenant_id,
            user_id=account.id,
            first_name=profile.first_name or customer.first_name,
            last_name=profile.last_name or customer.last_name,
        )

    async def _has_owner(self, email: str, account: SyncedAccount) -> bool:
        """Whether another account has an address, or had it until it was erased."""
        for each in (email, erased_email(self.tenant_id, email)):
            if await queries.email_taken(self.db, tenant_id=self.tenant_id, email=each, user_id=account.id):
                return True
        return False

    async def _number(self, phone: str | None, account: SyncedAccount) -> str | None:
        """The number in its stored form; None where it is none, or another account has it."""
        try:
            number = await self._phone(phone)
        except InvalidPhone:
            return None
        if number is not None and await queries.phone_taken(
            self.db, tenant_id=self.tenant_id, phone=number, user_id=account.id
        ):
            return None
        return number

    # --- Addresses ----------------------------------------------------------------------------------------------------

    @transactional
    async def put_address(
        self,
        *,
        user_id: UserId,
        address_id: AddressId | None,
        external_id: str,
        address: Address,
        address_type: AddressType,
    ) -> AddressId | None:
        """Make an address say what the other system says; None where the account keeps ADDRESSES_MAX already.

        One that the other system has given to somebody else leaves the account that had it.

        Raises:
            InvalidAddress: a line is missing or cannot be taken. Nothing was written.
        """
        lines = normal_address(address)
        holder = None
        if address_id is not None:
            holder = await queries.address_holder(self.db, tenant_id=self.tenant_id, address_id=address_id)
        for account in sorted({user_id, holder or user_id}):  # two that change places do not wait for each other
            await self._lock(account)
        if address_id is not None and holder not in (None, user_id):
            await queries.delete_address(self.db, tenant_id=self.tenant_id, user_id=holder, address_id=address_id)
        known = (
            await queries.address(self.db, tenant_id=self.tenant_id, user_id=user_id, address_id=address_id)
            if address_id is not None
            else None
        )
        if known is None:
            return await self._add_address(user_id, external_id, lines, address_type)
        if (known.address, known.address_type) != (lines, address_type):
            same = known.address == lines
            await queries.update_address(
                self.db,
                tenant_id=self.tenant_id,
                user_id=user_id,
                address_id=known.id,
                address_type=address_type,
                is_default=known.is_default and address_type is known.address_type,
                label=known.label,
                validated=known.validated and same,
                validated_at=known.validated_at if same else None,
                validation_source=known.validation_source if same else None,
                **msgspec.structs.asdict(lines),
            )
        return known.id

    async def _add_address(
        self, user_id: UserId, external_id: str, lines: Address, address_type: AddressType
    ) -> AddressId | None:
        if await queries.addresses_counted(self.db, tenant_id=self.tenant_id, user_id=user_id) >= ADDRESSES_MAX:
            return None
        address_id = AddressId(new_id())
        await queries.insert_address(
            self.db,
            tenant_id=self.tenant_id,
            id=address_id,
            user_id=user_id,
            address_type=address_type,
            label=None,
            **msgspec.structs.asdict(lines),
        )
        await queries.set_vendure_address(
            self.db,
            tenant_id=self.tenant_id,
            user_id=user_id,
            address_id=address_id,
            vendure_address_id=external_id,
        )
        return address_id

    @transactional
    async def drop_address(self, *, user_id: UserId, address_id: AddressId) -> None:
        """Forget an address that the other system has no more; one that is gone already stays gone."""
        await self._lock(user_id)
        await queries.delete_address(self.db, tenant_id=self.tenant_id, user_id=user_id, address_id=address_id)

    @transactional
    async def choose_defaults(self, *, user_id: UserId, chosen: Mapping[AddressType, AddressId]) -> None:
        """Make addresses the defaults of their types, and no others of the same system; not where the owner chooses."""
        account = await queries.synced_account(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if account is None or account.is_own:
            return
        for address_type in AddressType:
            wanted = chosen.get(address_type)
            default: SavedAddress | None = await queries.default_address(
                self.db, tenant_id=self.tenant_id, user_id=user_id, address_type=address_type
            )
            if wanted is None:
                await queries.clear_synced_default(
                    self.db, tenant_id=self.tenant_id, user_id=user_id, address_type=address_type
                )
            elif default is None or default.id != wanted:
                await queries.clear_default_address(
                    self.db, tenant_id=self.tenant_id, user_id=user_id, address_type=address_type
                )
                await queries.make_default_address(
                    self.db, tenant_id=self.tenant_id, user_id=user_id, address_id=wanted
                )

    # --- The ERP ------------------------------------------------------------------------------------------------------

    @transactional
    async def add_to_metadata(self, *, user_id: UserId, more: Mapping[str, Any]) -> None:
        """Add keys to an account's metadata, or replace those; the others stay.

        Raises:
            UserNotFound: no such account, or it is deleted.
            InvalidPerson: it would be more than METADATA_BYTES_MAX. Nothing was written.
        """
        await self._lock(user_id)
        user = await self._user(user_id)
        if len(msgspec.json.encode({**user.metadata, **more})) > METADATA_BYTES_MAX:
            raise InvalidPerson(field="metadata", reason=f"more than {METADATA_BYTES_MAX} bytes of JSON")
        await queries.add_to_metadata(self.db, tenant_id=self.tenant_id, user_id=user_id, more=dict(more))


def _full_name(customer: SyncedCustomer) -> str | None:
    return checks.line(
        " ".join(filter(None, (customer.first_name, customer.last_name))),
        field="lastName",
        length_max=FULL_NAME_LENGTH_MAX,
    )
