"""Who may tell the shop something: kept by staff, each with a secret that its messages are signed with."""

import base64
import os
import re
from collections.abc import Sequence
from typing import Any, Final, Self

import msgspec
from typing_extensions import override

from storeroom.audit import audited
from storeroom.core.secrets import Secret
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.identity import TokenKeys
from storeroom.inbox import queries
from storeroom.inbox.errors import InvalidSource, SourceNotFound, SourceTaken, TooManySources
from storeroom.inbox.model import (
    ATTEMPTS_DEFAULT,
    ATTEMPTS_MAX,
    OF_SCHEME,
    OF_SOURCE,
    SECRET_LENGTH_MAX,
    SECRET_LENGTH_MIN,
    SOURCES_MAX,
    STANDARD_TOLERANCE_S,
    TOLERANCE_MAX_S,
    TOLERANCE_MIN_S,
    Defaults,
    Encoding,
    Scheme,
    WebhookSource,
)
from storeroom.inbox.sealed import PURPOSE, place_of

SECRET_BYTES: Final = 32
STANDARD_PREFIX: Final = "whsec_"
PREFIX_LENGTH_MAX: Final = 20
PATH_LENGTH_MAX: Final = 200
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,49}")
_HEADER: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")
_PLACE: Final = re.compile(r"header:[a-z0-9][a-z0-9-]{0,99}|payload:[^\s:.\x00]+(\.[^\s:.\x00]+)*")


class SourceChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields to change; what is left out stays. The scheme stays: another one is another source."""

    signature_header: str | msgspec.UnsetType = msgspec.UNSET
    encoding: Encoding | msgspec.UnsetType = msgspec.UNSET
    prefix: str | msgspec.UnsetType = msgspec.UNSET
    timestamp_header: str | msgspec.UnsetType | None = msgspec.UNSET
    tolerance_seconds: int | msgspec.UnsetType = msgspec.UNSET
    event_id_at: str | msgspec.UnsetType | None = msgspec.UNSET
    event_type_at: str | msgspec.UnsetType = msgspec.UNSET
    max_attempts: int | msgspec.UnsetType = msgspec.UNSET
    is_active: bool | msgspec.UnsetType = msgspec.UNSET


class WebhookSources(Service):
    """The sources of one shop."""

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        """Without keys no secret can be sealed: making a source says that the installation has none."""
        super().__init__(context)
        self._keys = keys or TokenKeys(None)

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    @audited("inbox.create_source", "webhook_source")
    @transactional
    async def create(
        self,
        *,
        code: str,
        scheme: Scheme | None = None,
        secret: Secret | str | None = None,
        signature_header: str | None = None,
        encoding: Encoding = Encoding.HEX,
        prefix: str = "",
        timestamp_header: str | None = None,
        tolerance_seconds: int | None = None,
        event_id_at: str | msgspec.UnsetType | None = msgspec.UNSET,
        event_type_at: str | None = None,
        max_attempts: int = ATTEMPTS_DEFAULT,
        is_active: bool = True,
    ) -> tuple[WebhookSource, Secret]:
        """Add a source; return it and its secret, which is shown this once.

        Args:
            code: the last part of its address, as in `shippo`; handlers are registered for it.
            scheme: how it signs; None: as the source of that code does, else Standard Webhooks.
            secret: as the provider shows it; None: one is made.
            signature_header: of Stripe's scheme and of a plain HMAC.
            encoding: of a plain HMAC.
            prefix: before a plain HMAC, as in `sha256=`.
            timestamp_header: signed before the body of a plain HMAC, with a dot between; None: the body alone is.
            tolerance_seconds: so old a message may be, TOLERANCE_MIN_S to TOLERANCE_MAX_S; of Standard Webhooks always
                STANDARD_TOLERANCE_S.
            event_id_at: `header:name` or `payload:a.b`; None: the same bytes are the same event. Inside what is signed
                is better: who repeats a message may change a header.
            event_type_at: the same, for the provider's name of what happened.
            max_attempts: 1 to ATTEMPTS_MAX; then a message is failed.
            is_active: otherwise its messages are refused.

        Raises:
            InvalidSource, SourceTaken, TooManySources: nothing was written.
            SigningSecretMissing: the installation has no secret to seal with.
        """
        if not _CODE.fullmatch(code):
            raise InvalidSource(field="code", reason="a letter, then letters, digits and _, 50 at most")
        usual = OF_SOURCE.get(code, OF_SCHEME[scheme or Scheme.STANDARD_WEBHOOKS])
        if scheme is not None and usual.scheme is not scheme:
            usual = OF_SCHEME[scheme]
        facts = _checked(
            usual.scheme,
            signature_header=signature_header or usual.signature_header,
            encoding=encoding,
            prefix=prefix,
            timestamp_header=timestamp_header,
            tolerance_seconds=usual.tolerance_seconds if tolerance_seconds is None else tolerance_seconds,
            event_id_at=usual.event_id_at if event_id_at is msgspec.UNSET else event_id_at,
            event_type_at=event_type_at or usual.event_type_at,
            max_attempts=max_attempts,
            is_active=is_active,
        )
        known = _known(usual, secret)
        if len(await queries.sources(self.db, tenant_id=self.tenant_id, size=SOURCES_MAX)) >= SOURCES_MAX:
            raise TooManySources
        made = await queries.insert_source(
            self.db, tenant_id=self.tenant_id, code=code, scheme=usual.scheme, secret=self._seal(code, known), **facts
        )
        if not made:
            raise SourceTaken(source=code)
        return await self._source(code), known

    @operation
    async def get(self, *, code: str) -> WebhookSource:
        """One source. Raises SourceNotFound."""
        return await self._source(code)

    @operation
    async def list(self) -> Sequence[WebhookSource]:
        """All of them, by code."""
        return await queries.sources(self.db, tenant_id=self.tenant_id, size=SOURCES_MAX)

    @audited("inbox.update_source", "webhook_source")
    @transactional
    async def update(self, *, code: str, changes: SourceChanges) -> WebhookSource:
        """Change some fields, for what comes from now on.

        Raises:
            SourceNotFound, InvalidSource: nothing was changed.
        """
        _checked_code(code)
        found = await queries.lock_source(self.db, tenant_id=self.tenant_id, code=code)
        if found is None:
            raise SourceNotFound(source=code)
        if (
            found.scheme is Scheme.STANDARD_WEBHOOKS
        ):  # one from before another was refused is no reason to refuse the rest
            found = msgspec.structs.replace(found, tolerance_seconds=STANDARD_TOLERANCE_S)
        asked = msgspec.structs.asdict(changes)
        facts = _checked(
            found.scheme,
            **{name: getattr(found, name) if to is msgspec.UNSET else to for name, to in asked.items()},
        )
        await queries.update_source(self.db, tenant_id=self.tenant_id, code=code, **facts)
        return await self._source(code)

    @audited("inbox.rotate_secret", "webhook_source")
    @transactional
    async def rotate(self, *, code: str, secret: Secret | str | None = None) -> Secret:
        """Give it a new secret, which is shown this once. The one before is good as well until `drop_previous_secret`.

        Args:
            code: of the source.
            secret: as the provider shows it; None: one is made.

        Raises:
            SourceNotFound, InvalidSource: nothing was changed.
        """
        known = _known(Defaults(scheme=(await self._source(code)).scheme), secret)
        if not await queries.change_secret(
            self.db, tenant_id=self.tenant_id, code=code, secret=self._seal(code, known)
        ):
            raise SourceNotFound(source=code)
        return known

    @audited("inbox.drop_previous_secret", "webhook_source")
    @transactional
    async def drop_previous_secret(self, *, code: str) -> None:
        """Take messages that are signed with the newest secret alone. Raises SourceNotFound."""
        _checked_code(code)
        if not await queries.drop_previous_secret(self.db, tenant_id=self.tenant_id, code=code):
            raise SourceNotFound(source=code)

    @audited("inbox.delete_source", "webhook_source")
    @transactional
    async def delete(self, *, code: str) -> None:
        """Take no more messages of it; what came is processed, and stays to be seen. Raises SourceNotFound."""
        _checked_code(code)
        if not await queries.delete_source(self.db, tenant_id=self.tenant_id, code=code):
            raise SourceNotFound(source=code)

    async def _source(self, code: str) -> WebhookSource:
        _checked_code(code)
        found = await queries.source(self.db, tenant_id=self.tenant_id, code=code)
        if found is None:
            raise SourceNotFound(source=code)
        return found

    def _seal(self, code: str, secret: Secret) -> str:
        return self._keys.ring(PURPOSE).seal(secret.reveal().encode(), bound_to=place_of(self.tenant_id, code))


def _checked_code(code: str) -> None:
    if not _CODE.fullmatch(code):
        raise SourceNotFound(source=code)


def _known(usual: Defaults, secret: Secret | str | None) -> Secret:
    """The secret that was given, or a new one of the form that its scheme likes."""
    standard = usual.scheme is Scheme.STANDARD_WEBHOOKS
    if secret is None:
        made = base64.b64encode(os.urandom(SECRET_BYTES)).decode()
        return Secret(STANDARD_PREFIX + made if standard else made)
    text = secret.reveal() if isinstance(secret, Secret) else secret
    if not (SECRET_LENGTH_MIN <= len(text) <= SECRET_LENGTH_MAX and text.isascii() and text.isprintable()):
        raise InvalidSource(field="secret", reason=f"{SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} visible characters")
    if standard:
        try:
            decoded = base64.b64decode(text.removeprefix(STANDARD_PREFIX) + "==", validate=True)
        except ValueError:
            decoded = b""
        if not decoded:
            raise InvalidSource(field="secret", reason="of Standard Webhooks it is base64, after whsec_")
    return Secret(text)


def _checked(scheme: Scheme, **facts: Any) -> dict[str, Any]:
    for name in ("signature_header", "timestamp_header"):
        if facts[name] is not None:
            facts[name] = facts[name].lower()
            if not _HEADER.fullmatch(facts[name]) and not (scheme is Scheme.MAILGUN and facts[name] == ""):
                raise InvalidSource(field=name, reason="the name of a header")
    if len(facts["prefix"]) > PREFIX_LENGTH_MAX or not facts["prefix"].isascii() or not facts["prefix"].isprintable():
        raise InvalidSource(field="prefix", reason=f"at most {PREFIX_LENGTH_MAX} visible ASCII characters")
    for name in ("event_id_at", "event_type_at"):
        place = facts[name]
        if place is not None and (len(place) > PATH_LENGTH_MAX or not _PLACE.fullmatch(place)):
            raise InvalidSource(field=name, reason="header:name or payload:a.b")
    for name, least, most in (
        ("max_attempts", 1, ATTEMPTS_MAX),
        ("tolerance_seconds", TOLERANCE_MIN_S, TOLERANCE_MAX_S),
    ):
        if not least <= facts[name] <= most:
            raise InvalidSource(field=name, reason=f"{least} to {most}")
    if scheme is Scheme.STANDARD_WEBHOOKS and facts["tolerance_seconds"] != STANDARD_TOLERANCE_S:
        raise InvalidSource(field="tolerance_seconds", reason=f"{STANDARD_TOLERANCE_S}, as Standard Webhooks has it")
    return facts
