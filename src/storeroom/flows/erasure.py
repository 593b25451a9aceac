"""A person erased from a shop: nothing says any more who they were, but for what the law wants kept of their orders."""

from typing import Final

import msgspec

from storeroom.audit import audited
from storeroom.core.ids import UserId
from storeroom.database.service import Service, transactional
from storeroom.flows import queries
from storeroom.identity import UserNotFound, Users

NO_ROW: Final = "nobody's"  # for the audit trail, which would lock the account before its orders


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of a person."""

    user_id: UserId
    orders: int  # with the name and the addresses that they were bought with


class Erasures(Service):
    """People erased, in one tenant; for staff."""

    @audited("identity.erase_user", "user", "user_id", rows=NO_ROW)
    @transactional
    async def erase(self, *, user_id: UserId, reason: str) -> Erased:
        """Forget who the owner of an account was; it cannot be taken back. A deleted account can be erased, too.

        The account is closed at once and keeps its id, its orders and their payments. Its mail address becomes a hash,
        so that nobody takes it; name, number, profile, addresses, sessions, events, tries with codes and what other
        systems have told go. `erase_person_v1` has all of it. Copies of the database are not reached.

        Args:
            user_id: the account.
            reason: for the audit trail, which is not erased: "asked by letter", and no word of who it was.

        Raises:
            UserNotFound: no such account, or it was erased before.
            RoleForbidden: the caller does not stand above the account, or it is their own.
            InvalidPerson: no reason, or one too long. Nothing was written.
        """
        users = Users(self.context)
        await users.check_erasable(user_id=user_id, reason=reason)  # before any lock
        left = await queries.erase_person(self.db, tenant_id=self.tenant_id, user_id=user_id)
        if left is None:
            raise UserNotFound(user_id=user_id)
        await users.check_erasable(user_id=user_id, reason=reason)  # now that nobody changes the role
        await users.close_erased(user_id=user_id, address=left.address)
        return Erased(user_id=user_id, orders=left.orders)
