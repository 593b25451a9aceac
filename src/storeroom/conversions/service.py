"""Whom a shop tells, what visitors said to it, and what waits."""

import re
from collections.abc import Sequence
from typing import Any, Final, Self
from uuid import UUID

import msgspec
from typing_extensions import override

from storeroom.audit import audited
from storeroom.conversions import queries
from storeroom.conversions.errors import (
    ConversionNotFound,
    InvalidProvider,
    InvalidSignal,
    ProviderNotFound,
    ProviderTaken,
    SessionNeeded,
    TooManyProviders,
)
from storeroom.conversions.model import (
    CODE_LENGTH_MAX,
    FBC_LENGTH_MAX,
    FBP_LENGTH_MAX,
    GA_CLIENT_LENGTH_MAX,
    GA_SESSION_LENGTH_MAX,
    NAME_LENGTH_MAX,
    PROVIDERS_MAX,
    RETRIED_AT_ONCE_MAX,
    SECRET_LENGTH_MAX,
    Conversion,
    ConversionId,
    ConversionStatus,
    Event,
    Item,
    Known,
    Occasion,
    Person,
    Provider,
    ProviderId,
    ProviderKind,
    Signals,
    Waiting,
)
from storeroom.conversions.queueing import forget_policy, queue
from storeroom.conversions.sealed import PURPOSE, place_of
from storeroom.core.ids import new_id
from storeroom.core.money import Money
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.core.secrets import Secret
from storeroom.core.visitor import Visitor
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.identity import TokenKeys
from storeroom.outbox import wake

_ACCOUNTS: Final = {
    ProviderKind.META: (re.compile(r"[0-9]{1,30}"), "the pixel's id: digits"),
    ProviderKind.GA4: (re.compile(r"G-[A-Z0-9]{4,20}"), "the measurement id, such as G-AB12CD34EF"),
}
_LENGTHS: Final = {
    "fbp": FBP_LENGTH_MAX,
    "fbc": FBC_LENGTH_MAX,
    "ga_client_id": GA_CLIENT_LENGTH_MAX,
    "ga_session_id": GA_SESSION_LENGTH_MAX,
}
_TEST_ITEM: Final = "storeroom-test"


class ProviderChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields to change; what is left out stays."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    secret: str | msgspec.UnsetType = msgspec.UNSET
    test_event_code: str | msgspec.UnsetType | None = msgspec.UNSET
    is_active: bool | msgspec.UnsetType = msgspec.UNSET


class Conversions(Service):
    """The conversions of one shop."""

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        """Without keys no secret can be kept: making a provider says that the installation has none."""
        super().__init__(context)
        self._keys = keys or TokenKeys(None)

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    # --- Whom the shop tells ------------------------------------------------------------------------------------------

    @audited("conversions.create_provider", "conversion_provider", hidden=("secret",))
    @transactional
    async def create_provider(
        self,
        *,
        kind: ProviderKind,
        name: str,
        account_id: str,
        secret: str,
        test_event_code: str | None = None,
        is_active: bool = True,
    ) -> Provider:
        """Add a provider. It is told what happens from now on; other processes know of it within seconds.

        Args:
            kind: whose interface it speaks.
            name: for people, 1 to 100 characters.
            account_id: the pixel's id, or the measurement id. It cannot be changed later.
            secret: the access token, or the API secret. Kept sealed, shown never.
            test_event_code: of Meta's test tool. While it is set all that is sent counts as a test.
            is_active: otherwise it is told nothing, and what happens meanwhile is not kept for it.

        Raises:
            InvalidProvider, ProviderTaken, TooManyProviders: nothing was written.
            SigningSecretMissing: the installation has no secret to seal with.
        """
        pattern, wanted = _ACCOUNTS[kind]
        if not pattern.fullmatch(account_id):
            raise InvalidProvider(field="account_id", reason=wanted)
        if len(await queries.lock_providers(self.db, tenant_id=self.tenant_id)) >= PROVIDERS_MAX:
            raise TooManyProviders
        provider_id = ProviderId(new_id())
        if not await queries.insert_provider(
            self.db,
            tenant_id=self.tenant_id,
            id=provider_id,
            kind=kind,
            name=_text("name", name, NAME_LENGTH_MAX),
            account_id=account_id,
            secret=self._seal(provider_id, secret),
            test_event_code=_code(kind, test_event_code),
            is_active=is_active,
        ):
            raise ProviderTaken(kind=kind, account_id=account_id)
        forget_policy(self.context)
        return await self._provider(provider_id)

    @audited("conversions.update_provider", "conversion_provider", "provider_id", hidden=("changes",))
    @transactional
    async def update_provider(self, *, provider_id: ProviderId, changes: ProviderChanges) -> Provider:
        """Change what is given. A pause ends, and what waits is tried.

        Raises:
            ProviderNotFound, InvalidProvider, SigningSecretMissing: nothing was written.
        """
        known = await queries.lock_provider(self.db, tenant_id=self.tenant_id, provider_id=provider_id)
        if known is None:
            raise ProviderNotFound(provider_id=provider_id)
        given: dict[str, Any] = {
            field: value
            for field in ProviderChanges.__struct_fields__
            if (value := getattr(changes, field)) is not msgspec.UNSET
        }
        if "secret" in given:
            sealed = self._seal(provider_id, given["secret"])
            await queries.set_secret(self.db, tenant_id=self.tenant_id, id=provider_id, secret=sealed)
        await queries.update_provider(
            self.db,
            tenant_id=self.tenant_id,
            id=provider_id,
            name=_text("name", given.get("name", known.name), NAME_LENGTH_MAX),
            test_event_code=_code(known.kind, given.get("test_event_code", known.test_event_code)),
            is_active=given.get("is_active", known.is_active),
        )
        forget_policy(self.context)
        await self._retry()
        return await self._provider(provider_id)

    @audited("conversions.delete_provider", "conversion_provider", "provider_id")
    @transactional
    async def delete_provider(self, *, provider_id: ProviderId) -> None:
        """Tell it no more; what waited for it alone is dropped. Raises ProviderNotFound."""
        if not await queries.delete_provider(self.db, tenant_id=self.tenant_id, provider_id=provider_id):
            raise ProviderNotFound(provider_id=provider_id)
        forget_policy(self.context)
        await self._retry()

    @operation
    async def provider(self, *, provider_id: ProviderId) -> Provider:
        """One of them, with how its last calls went. Raises ProviderNotFound."""
        return await self._provider(provider_id)

    @operation
    async def providers(self) -> Sequence[Provider]:
        """All of them, the oldest first; at most PROVIDERS_MAX."""
        return await queries.providers(self.db, tenant_id=self.tenant_id, size=PROVIDERS_MAX)

    @audited("conversions.test_provider", "conversion_provider", "provider_id")
    @transactional
    async def test_provider(self, *, provider_id: ProviderId) -> Provider:
        """Queue a test event for one provider, by the way that all others go; the provider says how it went.

        Raises:
            ProviderNotFound: no such provider.
            InvalidProvider: it is not active.
        """
        known = await self._provider(provider_id)
        if not known.is_active:
            raise InvalidProvider(field="is_active", reason="it is told nothing now")
        others = [str(other.id) for other in await self.providers() if other.id != provider_id]
        price = Money(0, (await self.context.settings()).currency)
        item = Item(id=_TEST_ITEM, name="Test", variant="Test", quantity=1, price=price)
        event = Event(
            occasion=Occasion.TEST,
            id=str(new_id()),
            at=self.context.clock.now(),
            value=price,
            items=[item],
            person=Person(email="test@storeroom.example"),
            known=_NOBODY,
            source_url=None,
        )
        await queue(self.context, event, session_id=None, sent=others)
        return known

    # --- Visitors -----------------------------------------------------------------------------------------------------

    @transactional
    async def set_signals(
        self,
        *,
        visitor: Visitor,
        consents: bool,
        fbp: str | None = None,
        fbc: str | None = None,
        ga_client_id: str | None = None,
        ga_session_id: str | None = None,
    ) -> Signals:
        """Keep what a visitor said, and what the browser is known by; who refuses is forgotten, and so is what waits.

        Args:
            visitor: with a session; it is kept with that.
            consents: whether the shop may tell its providers of this visitor.
            fbp: Meta's cookie `_fbp`, as in `fb.1.1596403881668.1116446470`.
            fbc: Meta's cookie `_fbc`.
            ga_client_id: of Google's cookie `_ga`, as in `1234567890.1700000000`.
            ga_session_id: of Google's cookie `_ga_<measurement id>`.

        Raises:
            SessionNeeded: the visitor has no session of this shop.
            InvalidSignal: one of them cannot be right.
        """
        texts = {"fbp": fbp, "fbc": fbc, "ga_client_id": ga_client_id, "ga_session_id": ga_session_id}
        for field, text in texts.items():
            if text is not None and not (
                1 <= len(text) <= _LENGTHS[field] and text.isascii() and text.isprintable() and " " not in text
            ):
                raise InvalidSignal(field=field, reason=f"1 to {_LENGTHS[field]} visible ASCII characters")
        session_id = visitor.session_id
        if session_id is None or not await queries.set_signals(
            self.db,
            tenant_id=self.tenant_id,
            session_id=session_id,
            consents=consents,
            **(texts if consents else dict.fromkeys(texts)),
        ):
            raise SessionNeeded
        if not consents:
            await queries.forget_waiting(self.db, tenant_id=self.tenant_id, session_id=session_id)
        kept = await queries.signals(self.db, tenant_id=self.tenant_id, session_id=session_id)
        if kept is None:
            raise SessionNeeded
        return kept

    @operation
    async def signals(self, *, visitor: Visitor) -> Signals | None:
        """What a visitor said; None: was not asked."""
        if visitor.session_id is None:
            return None
        return await queries.signals(self.db, tenant_id=self.tenant_id, session_id=visitor.session_id)

    # --- What waits ---------------------------------------------------------------------------------------------------

    @operation
    async def list(
        self, *, status: ConversionStatus | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[Conversion]:
        """Events that not everybody has, the latest first."""
        size = page_size(limit)
        (before,) = decode_cursor(cursor, (UUID,)) if cursor else (None,)
        rows = await queries.conversions(self.db, tenant_id=self.tenant_id, status=status, before=before, size=size + 1)
        return page_of(rows, size, lambda row: (row.id,))

    @operation
    async def get(self, *, conversion_id: ConversionId) -> Conversion:
        """One of them. Raises ConversionNotFound."""
        found = await queries.conversion(self.db, tenant_id=self.tenant_id, conversion_id=conversion_id)
        if found is None:
            raise ConversionNotFound(conversion_id=conversion_id)
        return found

    @operation
    async def waiting(self) -> Sequence[Waiting]:
        """How many wait, by state, and since when."""
        return await queries.waiting(self.db, tenant_id=self.tenant_id)

    @audited("conversions.retry", "conversion_provider", "provider_id")
    @transactional
    async def retry(self, *, provider_id: ProviderId) -> int:
        """End a provider's rest, and let all that waits be due now; return how many events it were.

        Raises:
            ProviderNotFound: no such provider.
        """
        if not await queries.end_pause(self.db, tenant_id=self.tenant_id, provider_id=provider_id):
            raise ProviderNotFound(provider_id=provider_id)
        return await self._retry()

    @audited("conversions.drop", "conversion", "conversion_id")
    @transactional
    async def drop(self, *, conversion_id: ConversionId) -> None:
        """Tell nobody of it any more. Raises ConversionNotFound."""
        if not await queries.drop_conversion(self.db, tenant_id=self.tenant_id, conversion_id=conversion_id):
            raise ConversionNotFound(conversion_id=conversion_id)

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _provider(self, provider_id: ProviderId) -> Provider:
        found = await queries.provider(self.db, tenant_id=self.tenant_id, provider_id=provider_id)
        if found is None:
            raise ProviderNotFound(provider_id=provider_id)
        return found

    async def _retry(self) -> int:
        due = await queries.retry_now(self.db, tenant_id=self.tenant_id, size=RETRIED_AT_ONCE_MAX)
        wake(self.db)
        return due

    def _seal(self, provider_id: ProviderId, secret: str) -> str:
        text = Secret(secret.strip())
        if not 1 <= len(text.reveal()) <= SECRET_LENGTH_MAX or not (
            text.reveal().isascii() and text.reveal().isprintable()
        ):
            raise InvalidProvider(field="secret", reason=f"1 to {SECRET_LENGTH_MAX} visible ASCII characters")
        place = place_of(self.tenant_id, provider_id)
        return self._keys.ring(PURPOSE).seal(text.reveal().encode(), bound_to=place)


_NOBODY: Final = Known(
    consents=True,
    withdrew=False,
    **dict.fromkeys(
        (
            "anonymous_id",
            "user_agent",
            "ip",
            "fbp",
            "fbc",
            "ga_client_id",
            "ga_session_id",
            "email",
            "phone",
            "full_name",
        )
    ),
)


def _text(field: str, text: str, length_max: int) -> str:
    tidy = text.strip()
    if not 1 <= len(tidy) <= length_max or not tidy.isprintable():
        raise InvalidProvider(field=field, reason=f"1 to {length_max} printable characters")
    return tidy


def _code(kind: ProviderKind, code: str | None) -> str | None:
    if code is None:
        return None
    if kind is not ProviderKind.META:
        raise InvalidProvider(field="test_event_code", reason="is Meta's alone")
    return _text("test_event_code", code, CODE_LENGTH_MAX)
