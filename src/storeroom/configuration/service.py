"""Reading and setting keys: the environment comes first, then what staff have set, then the default."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar

from typing_extensions import override

from storeroom.audit import audited
from storeroom.configuration import queries
from storeroom.configuration.cache import ConfigCache, channel, message
from storeroom.configuration.errors import ConfigNotFound, ConfigUnreadable, InvalidConfig, TooManyConfigs
from storeroom.configuration.model import (
    GENERAL,
    GROUP,
    KEY,
    KEYS_MAX,
    VALUE_LENGTH_MAX,
    Config,
    ConfigRow,
    Setting,
    Source,
    place_of,
)
from storeroom.configuration.sealed import PURPOSE
from storeroom.configuration.settings import declared
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.secrets import Secret, sounds_secret
from storeroom.database.executor import Executor
from storeroom.database.pool import Transaction
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.identity import TokenKeys

T = TypeVar("T")


def _hidden(asked: Mapping[str, Any]) -> Sequence[str]:
    """A value may stand in the trail where it is said to be no secret, and is none."""
    setting = declared().get(str(asked.get("key")))
    return () if asked.get("is_encrypted") is False and not (setting and setting.secret) else ("value",)


class Configuration(Service):
    """The configuration of one shop.

    `value` and `get` are for the server's own code: they open secrets, and inside a transaction they read what it sees,
    past the cache. `list` and `entry` are what staff are shown.
    """

    def __init__(
        self,
        context: Context,
        keys: TokenKeys | None = None,
        cache: ConfigCache | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Without keys no secret can be kept or read; without a cache each read is a statement."""
        super().__init__(context)
        self._keys = keys or TokenKeys(None)
        self._cache = cache
        self._environment = os.environ if environment is None else environment

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys, self._cache, self._environment)

    # --- For the server ----------------------------------------------------------------------------------------------

    @operation
    async def value(self, setting: Setting[T]) -> T:
        """What a known key means now.

        Raises:
            ConfigUnreadable: the environment or the row says something that it cannot mean.
            SealBroken, SigningSecretMissing: it is a secret, and none of our keys opens it.
        """
        said = self._said(setting)
        source, found = Source.ENVIRONMENT, said
        if found is None:
            source, found = Source.STORED, await self._stored(setting.key)
        if found is None:
            return setting.default
        try:
            return setting.parse(found)
        except ValueError as error:
            raise ConfigUnreadable(key=setting.key, source=source, reason=str(error)) from None

    @operation
    async def get(self, *, key: str) -> str | None:
        """The text under any key; None where there is none. Defaults are known by `value` alone.

        Raises:
            SealBroken, SigningSecretMissing: as for `value`.
        """
        setting = declared().get(key)
        said = self._said(setting) if setting else None
        return await self._stored(key) if said is None else said

    async def secret(self, *, key: str) -> Secret | None:
        """The same, so that it shows itself nowhere."""
        found = await self.get(key=key)
        return None if found is None else Secret(found)

    # --- For staff ----------------------------------------------------------------------------------------------------

    @operation
    async def list(
        self, *, group: str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[Config]:
        """What is stored, by key; of one group where one is named. Secrets are hidden."""
        size = page_size(limit)
        after = decode_cursor(cursor, (str,))[0] if cursor else ""
        rows = await queries.configs_after(
            self.db, tenant_id=self.tenant_id, after=after, size=size + 1, group_name=group
        )
        return page_of([self._shown(row) for row in rows], size, lambda config: (config.key,))

    @operation
    async def entry(self, *, key: str) -> Config:
        """One key, stored or known. A secret is hidden. Raises ConfigNotFound."""
        row = await queries.config(self.db, tenant_id=self.tenant_id, key=key)
        if row is not None:
            return self._shown(row)
        setting = declared().get(key)
        if setting is None:
            raise ConfigNotFound(key=key)
        said = self._said(setting)
        default = None if setting.default is None else str(setting.default).lower()
        return Config(
            key=key,
            group_name=setting.group,
            value=None if setting.secret else said or default,
            is_encrypted=setting.secret,
            source=Source.DEFAULT if said is None else Source.ENVIRONMENT,
            updated_at=None,
        )

    @audited("configuration.set", "config", hidden=_hidden)
    @transactional
    async def set(self, *, key: str, value: str, group: str | None = None, is_encrypted: bool | None = None) -> Config:
        """Set a key, whatever it was; all processes read the new value from a moment after this is committed.

        Args:
            key: a letter, then letters, digits, `_`, `.` and `-`; 100 at most.
            value: text, 10,000 characters at most; what a known key takes.
            group: lower-case letters, digits and `_`; None: the one it has, or what its name begins with, or `general`.
            is_encrypted: sealed, and shown to nobody; None: as a known key is, or as it was, or as the name sounds.

        Raises:
            InvalidConfig: one of these cannot be right.
            TooManyConfigs: the shop has KEYS_MAX.
            SigningSecretMissing: it is a secret, and the installation has none to seal it with.
        """
        if not KEY.fullmatch(key):
            raise InvalidConfig(field="key", reason="a letter, then letters, digits, '_', '.' and '-', at most 100")
        if len(value) > VALUE_LENGTH_MAX or "\x00" in value:
            raise InvalidConfig(field="value", reason=f"at most {VALUE_LENGTH_MAX} characters")
        known = await queries.lock_config(self.db, tenant_id=self.tenant_id, key=key)
        if known is None and await queries.count_configs(self.db, tenant_id=self.tenant_id) >= KEYS_MAX:
            raise TooManyConfigs(maximum=KEYS_MAX)
        setting = declared().get(key)
        if setting is not None:
            try:
                setting.parse(value)
            except ValueError as error:
                raise InvalidConfig(field="value", reason=str(error)) from None
            if setting.secret and is_encrypted is False:
                raise InvalidConfig(field="is_encrypted", reason="this key is a secret")
            if not setting.secret and is_encrypted:
                raise InvalidConfig(field="is_encrypted", reason="this key is no secret, and is read without a key")
        sealed = is_encrypted
        if sealed is None:
            sealed = setting.secret if setting else known.is_encrypted if known else sounds_secret(key)
        row = await queries.put_config(
            self.db,
            tenant_id=self.tenant_id,
            key=key,
            value=self._sealed(key, value) if sealed else value,
            is_encrypted=sealed,
            group_name=_group(group, known, setting, key),
        )
        await self._tell(key)
        return self._shown(row)

    @audited("configuration.delete", "config")
    @transactional
    async def delete(self, *, key: str) -> None:
        """Forget what is stored; the default is what it means again. Raises ConfigNotFound."""
        if not await queries.delete_config(self.db, tenant_id=self.tenant_id, key=key):
            raise ConfigNotFound(key=key)
        await self._tell(key)

    # --- Shared steps -------------------------------------------------------------------------------------------------

    def _said(self, setting: Setting[Any]) -> str | None:
        said = self._environment.get(setting.environment, "") if setting.environment else ""
        return said.strip() or None

    async def _stored(self, key: str) -> str | None:
        if self._cache is None or isinstance(self.db, Transaction):
            row = await queries.config(self.db, tenant_id=self.tenant_id, key=key)
        else:
            row = await self._cache.row(self.tenant_id, key)
        if row is None:
            return None
        if not row.is_encrypted:
            return row.value
        return self._keys.ring(PURPOSE).open(row.value, bound_to=place_of(self.tenant_id, key)).decode()

    def _sealed(self, key: str, value: str) -> str:
        return self._keys.ring(PURPOSE).seal(value.encode(), bound_to=place_of(self.tenant_id, key))

    async def _tell(self, key: str) -> None:
        await queries.tell(self.db, channel=channel(self.db.names), changed=message(self.tenant_id, key))
        if self._cache is not None and isinstance(self.db, Transaction):
            self.db.after_commit(partial(self._cache.forget, self.tenant_id, key))

    def _shown(self, row: ConfigRow) -> Config:
        setting = declared().get(row.key)
        said = self._said(setting) if setting else None
        return Config(
            key=row.key,
            group_name=row.group_name,
            value=None if row.is_encrypted or (setting and setting.secret) else row.value if said is None else said,
            is_encrypted=row.is_encrypted,
            source=Source.STORED if said is None else Source.ENVIRONMENT,
            updated_at=row.updated_at,
        )


def _group(group: str | None, known: ConfigRow | None, setting: Setting[Any] | None, key: str) -> str:
    if group is not None:
        if not GROUP.fullmatch(group):
            raise InvalidConfig(field="group", reason="a lower-case letter, then letters, digits and '_', at most 50")
        return group
    if known is not None or setting is not None:
        return known.group_name if known else setting.group if setting else GENERAL
    prefix, dot, _ = key.partition(".")
    return prefix if dot and GROUP.fullmatch(prefix) else GENERAL
