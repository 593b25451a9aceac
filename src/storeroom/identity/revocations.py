"""What was taken back while access tokens that say otherwise are about: kept in memory, so that a request asks nothing.

An access token says who holds it and what they may do, and is believed for ACCESS_TOKEN_LIFETIME. Meanwhile its session
may end, or its account get other rights. Each process keeps these few cases: what it did itself at once, what another
process did after REVOCATIONS_EVERY at most. What escapes even that, such as a row changed by hand, ends with the token.
"""

import asyncio
import time
from typing import Final
from uuid import UUID
from weakref import WeakKeyDictionary

import msgspec

from storeroom.database.executor import Executor
from storeroom.database.pool import Database, Transaction
from storeroom.identity import queries
from storeroom.identity.model import (
    REVOCATIONS_EVERY,
    REVOCATIONS_KEPT,
    REVOCATIONS_MAX,
    AccessClaims,
    RevokedSession,
    Rights,
)

Key = tuple[str, UUID]  # tenant, and the session or the account

_known: Final[WeakKeyDictionary[Database, "Revocations"]] = WeakKeyDictionary()


class Revocations:
    """Sessions that ended lately, and accounts whose rights changed, of all tenants of one database."""

    def __init__(self) -> None:
        """Knows nothing until `learn` was called."""
        self.complete = True  # False: there are more than are kept, ask the database
        self._sessions: set[Key] = set()
        self._rights: dict[Key, Rights] = {}
        self._noted: list[RevokedSession | Rights] = []  # by this process since it last asked
        self._until = 0.0
        self._asking = asyncio.Lock()

    @classmethod
    def of(cls, db: Executor) -> "Revocations":
        """Those of the database that a service works on; one for the whole process."""
        database = db.database if isinstance(db, Transaction) else db
        if not isinstance(database, Database):
            raise TypeError("a service works on a Database or a Transaction")
        found = _known.get(database)
        if found is None:
            found = _known[database] = cls()
        return found

    async def learn(self, db: Executor) -> None:
        """Ask what others revoked, if the last time was REVOCATIONS_EVERY ago. Who comes meanwhile waits for it."""
        if time.monotonic() < self._until:
            return
        async with self._asking:
            if time.monotonic() >= self._until:
                await self._ask(db)

    def forget(self) -> None:
        """Ask again next time."""
        self._until = 0.0

    async def _ask(self, db: Executor) -> None:
        until = time.monotonic() + REVOCATIONS_EVERY.total_seconds()
        self._noted = []
        sessions = await queries.revoked_lately(db, kept=REVOCATIONS_KEPT, rows=REVOCATIONS_MAX + 1)
        rights = await queries.rights_changed_lately(db, kept=REVOCATIONS_KEPT, rows=REVOCATIONS_MAX + 1)
        self.complete = len(sessions) <= REVOCATIONS_MAX and len(rights) <= REVOCATIONS_MAX
        self._sessions = {(each.tenant_id, each.session_id) for each in sessions}
        self._rights = {(each.tenant_id, each.user_id): each for each in rights}
        for each in self._noted:  # what this process committed while it was being told
            self._keep(each)
        self._until = until

    def note(self, db: Executor, fact: RevokedSession | Rights) -> None:
        """Keep what a service has just written, from the moment it is committed."""

        def keep() -> None:
            self._noted.append(fact)
            self._keep(fact)

        if isinstance(db, Transaction):
            db.after_commit(keep)
        else:
            keep()

    def _keep(self, fact: RevokedSession | Rights) -> None:
        if isinstance(fact, RevokedSession):
            self._sessions.add((fact.tenant_id, fact.session_id))
        else:
            self._rights[fact.tenant_id, fact.user_id] = fact

    def ended(self, claims: AccessClaims) -> bool:
        """Whether the session of a token has ended."""
        return (claims.tenant_id, claims.session_id) in self._sessions

    def present(self, claims: AccessClaims) -> AccessClaims:
        """The token's claims, with the rights that the account has now."""
        now = self._rights.get((claims.tenant_id, claims.user_id))
        if now is None:
            return claims
        return msgspec.structs.replace(claims, role=now.role, permissions=now.permissions)
