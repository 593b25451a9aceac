"""Keys for programs, and the origins whose pages may call."""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from storeroom.access import queries
from storeroom.access.errors import (
    ApiKeyNotFound,
    ApiKeyRefused,
    InvalidApiKey,
    InvalidOrigin,
    PeopleOnly,
    PermissionNotYours,
    TooManyApiKeys,
)
from storeroom.access.model import (
    CALLS_PER_MINUTE_MAX,
    KEYS_MAX,
    NAME_LENGTH_MAX,
    ORIGINS_MAX,
    PEOPLE_ONLY,
    TOUCH_EVERY,
    ApiKey,
    KeyInUse,
    KeyText,
    normal_origin,
)
from storeroom.audit import audited
from storeroom.core.clock import utc
from storeroom.core.ids import ApiKeyId, new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.service import ActorKind, Service, operation, transactional
from storeroom.identity import Permission, UserNotFound, Users, allows


class ApiKeys(Service):
    """The keys of one shop. Each carries its own permissions, at most those of whoever made it."""

    @audited("access.create_key", "api_key")
    @transactional
    async def create(
        self,
        *,
        name: str,
        permissions: Iterable[Permission],
        calls_per_minute: int | None = None,
        expires_at: datetime | None = None,
    ) -> tuple[ApiKey, str]:
        """Make a key; return it and its text, which is shown this once. A retry makes a second key.

        Args:
            name: what it is for, 1 to 100 characters.
            permissions: at least one, each of which the caller has. PEOPLE_ONLY are given to nobody.
            calls_per_minute: what it may call, over all servers, 1 to CALLS_PER_MINUTE_MAX; None: what the installation
                gives every key.
            expires_at: from then on it opens nothing; None: until it is revoked.

        Raises:
            InvalidApiKey: a field is out of bounds. Nothing was written.
            PermissionNotYours: the caller may not do that either.
            PeopleOnly: the caller is no member of staff.
            TooManyApiKeys: the shop has KEYS_MAX. Two who make the last one at once may pass it by one.
        """
        tidied = " ".join(unicodedata.normalize("NFC", name).split())
        if not 1 <= len(tidied) <= NAME_LENGTH_MAX or not tidied.isprintable():
            raise InvalidApiKey(field="name", reason=f"1 to {NAME_LENGTH_MAX} printable characters")
        if expires_at is not None and utc(expires_at) <= self.context.clock.now():
            raise InvalidApiKey(field="expires_at", reason="is over already")
        if calls_per_minute is not None and not 1 <= calls_per_minute <= CALLS_PER_MINUTE_MAX:
            raise InvalidApiKey(field="calls_per_minute", reason=f"1 to {CALLS_PER_MINUTE_MAX}")
        wanted = sorted(set(permissions))
        if not wanted:
            raise InvalidApiKey(field="permissions", reason="a key needs at least one")
        await self._check_giver(wanted)
        if await queries.keys_open(self.db, tenant_id=self.tenant_id) >= KEYS_MAX:
            raise TooManyApiKeys(keys_max=KEYS_MAX)
        text, key_id = KeyText.new(self.tenant_id), ApiKeyId(new_id())
        actor = self.context.actor
        await queries.insert_key(
            self.db,
            tenant_id=self.tenant_id,
            id=key_id,
            name=tidied,
            key_hash=text.hash,
            hint=text.hint,
            permissions=[permission.value for permission in wanted],
            calls_per_minute=calls_per_minute,
            created_by=actor.user_id,
            created_by_name=actor.name or None,
            expires_at=expires_at,
        )
        return await self._key(key_id), text.text

    @operation
    async def get(self, *, key_id: ApiKeyId) -> ApiKey:
        """One key, revoked or not. Raises ApiKeyNotFound."""
        return await self._key(key_id)

    @operation
    async def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[ApiKey]:
        """All keys, newest first, the revoked ones too."""
        size = page_size(limit)
        before = decode_cursor(cursor, (UUID,))[0] if cursor else None
        rows = await queries.keys_newest(self.db, tenant_id=self.tenant_id, before=before, rows=size + 1)
        return page_of(rows, size, lambda key: (key.id,))

    @audited("access.revoke_key", "api_key", "key_id")
    @transactional
    async def revoke(self, *, key_id: ApiKeyId) -> ApiKey:
        """Let a key open nothing from the next call on; again is no error.

        Raises:
            ApiKeyNotFound: the shop has no such key.
            PeopleOnly: the caller is no member of staff.
        """
        self._check_person()
        await queries.revoke_key(self.db, tenant_id=self.tenant_id, key_id=key_id)
        return await self._key(key_id)

    @operation
    async def authenticate(self, text: str) -> KeyInUse:
        """The key that a program sent. One statement; another once in TOUCH_EVERY, to note the use.

        Raises:
            ApiKeyRefused: unknown, of another shop, revoked, or its time is over.
        """
        sent = KeyText.read(text)
        if sent.tenant_id != self.tenant_id:
            raise ApiKeyRefused
        found = await queries.key_in_use(self.db, tenant_id=self.tenant_id, key_hash=sent.hash, touch_every=TOUCH_EVERY)
        if found is None:
            raise ApiKeyRefused
        if found.stale:
            await queries.touch_key(self.db, tenant_id=self.tenant_id, key_id=found.id, touch_every=TOUCH_EVERY)
        return found

    async def _key(self, key_id: ApiKeyId) -> ApiKey:
        found = await queries.key(self.db, tenant_id=self.tenant_id, key_id=key_id)
        if found is None:
            raise ApiKeyNotFound(key_id=key_id)
        return found

    def _check_person(self) -> None:
        """A key has no account behind it, nor has a guest; the operator at the command line is the system."""
        actor = self.context.actor
        person = actor.kind is ActorKind.ADMIN and actor.user_id is not None
        if not person and actor.kind is not ActorKind.SYSTEM:
            raise PeopleOnly

    async def _check_giver(self, wanted: Sequence[Permission]) -> None:
        self._check_person()
        actor = self.context.actor
        refused = [permission for permission in wanted if permission in PEOPLE_ONLY]
        if actor.user_id is not None:
            try:
                giver = await Users(self.context.on(self.db)).get(user_id=actor.user_id)
            except UserNotFound:
                raise PeopleOnly from None
            refused += [each for each in wanted if not allows(giver.role, giver.permissions, each)]
        if refused:
            raise PermissionNotYours(permissions=sorted(set(refused)))


class Origins(Service):
    """The web origins whose pages may read what the shop answers. Programs and its own pages need none."""

    @operation
    async def list(self) -> Sequence[str]:
        """All, by name."""
        return await queries.origins(self.db, tenant_id=self.tenant_id)

    @audited("access.set_origins", "origins")
    @transactional
    async def replace(self, *, origins: Iterable[str]) -> Sequence[str]:
        """Allow these and no others, in every process within seconds.

        Raises:
            InvalidOrigin: one is no origin, or there are more than ORIGINS_MAX. Nothing was written.
        """
        wanted = sorted({normal_origin(each) for each in origins})
        if len(wanted) > ORIGINS_MAX:
            raise InvalidOrigin
        await queries.remove_other_origins(self.db, tenant_id=self.tenant_id, origins=wanted)
        await queries.add_origins(self.db, tenant_id=self.tenant_id, origins=wanted)
        return wanted
