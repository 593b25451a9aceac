"""Nonces of staff: one act, named beforehand, within minutes, once."""

import re
from datetime import timedelta
from typing import Final

from storeroom.audit import audited
from storeroom.core.secrets import new_token
from storeroom.database.service import Service, transactional
from storeroom.verification import queries
from storeroom.verification.errors import (
    InvalidNonce,
    NonceExpired,
    NonceForOtherPurpose,
    NonceNotFound,
    NonceTaken,
    NonceUsed,
)
from storeroom.verification.model import (
    NONCE_ID_LENGTH_MAX,
    NONCE_LIFETIME,
    NONCE_LIFETIME_MAX,
    NONCE_PURPOSE_LENGTH_MAX,
    Nonce,
)

_PURPOSE: Final = re.compile(r"[a-z][a-z0-9-]*")


class Nonces(Service):
    """One-time permissions of a shop, each for one purpose such as `approve-refund`."""

    @audited("verification.create_nonce", "nonce")
    @transactional
    async def create(
        self,
        *,
        purpose: str,
        expires_in: timedelta = NONCE_LIFETIME,
        id: str | None = None,  # noqa: A002 - as the row's column
    ) -> Nonce:
        """Make a nonce for one purpose.

        Args:
            purpose: what it will be used for: lower-case letters, digits and hyphens, NONCE_PURPOSE_LENGTH_MAX at most.
            expires_in: up to NONCE_LIFETIME_MAX, counted by the database clock.
            id: None: one that nobody guesses.

        Raises:
            InvalidNonce: one of these is out of bounds.
            NonceTaken: there is one of this id, used or not.
        """
        if len(purpose) > NONCE_PURPOSE_LENGTH_MAX or not _PURPOSE.fullmatch(purpose):
            raise InvalidNonce(field="purpose", reason="lower-case letters, digits and hyphens, as in approve-refund")
        if not timedelta(seconds=1) <= expires_in <= NONCE_LIFETIME_MAX:
            raise InvalidNonce(field="expires_in", reason=f"one second to {NONCE_LIFETIME_MAX}")
        chosen = new_token() if id is None else id
        if not 1 <= len(chosen) <= NONCE_ID_LENGTH_MAX or not chosen.isprintable():
            raise InvalidNonce(field="id", reason=f"1 to {NONCE_ID_LENGTH_MAX} printable characters")
        made = await queries.insert_nonce(
            self.db, tenant_id=self.tenant_id, nonce_id=chosen, purpose=purpose, open_for=expires_in
        )
        if made is None:
            raise NonceTaken
        return made

    @transactional
    async def consume(self, *, nonce_id: str, purpose: str) -> Nonce:
        """Use a nonce up; whoever calls this does its act in the same transaction, so that both are done or none.

        Raises:
            NonceNotFound: there is none of this id.
            NonceForOtherPurpose: it is for something else, and stays good for that.
            NonceUsed: of any number who use it at once, one succeeds.
            NonceExpired: its time is over.
        """
        used = await queries.consume_nonce(self.db, tenant_id=self.tenant_id, nonce_id=nonce_id, purpose=purpose)
        if used is not None:
            return used
        found = await queries.nonce(self.db, tenant_id=self.tenant_id, nonce_id=nonce_id)
        if found is None:
            raise NonceNotFound
        if found.purpose != purpose:
            raise NonceForOtherPurpose(purpose=purpose)
        raise NonceExpired if found.consumed_at is None else NonceUsed
