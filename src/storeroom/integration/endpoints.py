"""Where events go: kept by staff, each with a secret that signs what it gets."""

import base64
import os
from collections.abc import Sequence
from typing import Any, Final, Self

import msgspec
from typing_extensions import override

from storeroom.audit import audited
from storeroom.core.crypto import KeyRing
from storeroom.core.ids import EndpointId, new_id
from storeroom.core.secrets import Secret
from storeroom.database.errors import violations
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.identity import TokenKeys
from storeroom.integration import queries
from storeroom.integration.destinations import checked_url
from storeroom.integration.errors import EndpointNotFound, EndpointTaken, InvalidWebhook, TooManyEndpoints
from storeroom.integration.model import (
    ATTEMPTS_DEFAULT,
    ATTEMPTS_MAX,
    ENDPOINTS_MAX,
    EVENT_TYPES_MAX,
    IN_FLIGHT_DEFAULT,
    IN_FLIGHT_MAX,
    NAME_LENGTH_MAX,
    TIMEOUT_DEFAULT,
    TIMEOUT_MAX,
    Endpoint,
    EndpointKeys,
)
from storeroom.integration.sealed import PURPOSE, place_of
from storeroom.outbox import wake

SECRET_BYTES: Final = 32
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # of the Standard Webhooks scheme
EVENT_TYPE_LENGTH_MAX: Final = 100


class EndpointChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fields to change; what is left out stays. `event_types` null means all."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    url: str | msgspec.UnsetType = msgspec.UNSET
    event_types: Sequence[str] | msgspec.UnsetType | None = msgspec.UNSET
    max_attempts: int | msgspec.UnsetType = msgspec.UNSET
    timeout_seconds: int | msgspec.UnsetType = msgspec.UNSET
    in_flight_max: int | msgspec.UnsetType = msgspec.UNSET
    keeps_order: bool | msgspec.UnsetType = msgspec.UNSET
    is_active: bool | msgspec.UnsetType = msgspec.UNSET


class Endpoints(Service):
    """The endpoints of one shop."""

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        """Without keys no secret can be sealed: making an endpoint says that the installation has none."""
        super().__init__(context)
        self._keys = keys or TokenKeys(None)

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    @audited("webhooks.create_endpoint", "webhook_endpoint")
    @transactional
    async def create(
        self,
        *,
        name: str,
        url: str,
        event_types: Sequence[str] | None = None,
        max_attempts: int = ATTEMPTS_DEFAULT,
        timeout_seconds: int = int(TIMEOUT_DEFAULT.total_seconds()),
        in_flight_max: int = IN_FLIGHT_DEFAULT,
        keeps_order: bool = False,
        is_active: bool = True,
    ) -> tuple[Endpoint, Secret]:
        """Add an endpoint; return it and the secret that signs what it gets, which is shown this once.

        It gets what happens from now on.

        Args:
            name: for people, 1 to 100 characters.
            url: https, or http; a shop has it once. Whether it may be sent to is asked at each delivery.
            event_types: such as `order.placed`, or `order.*` for all that begin so; None: all.
            max_attempts: 1 to ATTEMPTS_MAX; 16 take about a day.
            timeout_seconds: for an answer, 1 to 60.
            in_flight_max: deliveries at a time from one worker, 1 to 64.
            keeps_order: of one order's (or payment's, …) events the next waits for the one before.
            is_active: otherwise it gets nothing, and what happens meanwhile is not kept for it.

        Raises:
            InvalidWebhook, EndpointTaken, TooManyEndpoints: nothing was written.
            SigningSecretMissing: the installation has no secret to seal with.
        """
        facts = _checked(
            name=name,
            url=url,
            event_types=event_types,
            max_attempts=max_attempts,
            timeout_seconds=timeout_seconds,
            in_flight_max=in_flight_max,
            keeps_order=keeps_order,
            is_active=is_active,
        )
        if len(await queries.endpoints(self.db, tenant_id=self.tenant_id, size=ENDPOINTS_MAX)) >= ENDPOINTS_MAX:
            raise TooManyEndpoints
        endpoint_id, secret = EndpointId(new_id()), _new_secret()
        with self._taken(facts["url"]):
            await queries.insert_endpoint(
                self.db, tenant_id=self.tenant_id, id=endpoint_id, secret=self._seal(endpoint_id, secret), **facts
            )
        return await self._endpoint(endpoint_id), secret

    @operation
    async def get(self, *, endpoint_id: EndpointId) -> Endpoint:
        """One endpoint. Raises EndpointNotFound."""
        return await self._endpoint(endpoint_id)

    @operation
    async def list(self) -> Sequence[Endpoint]:
        """All of them, the oldest first."""
        return await queries.endpoints(self.db, tenant_id=self.tenant_id, size=ENDPOINTS_MAX)

    @audited("webhooks.update_endpoint", "webhook_endpoint", "endpoint_id")
    @transactional
    async def update(self, *, endpoint_id: EndpointId, changes: EndpointChanges) -> Endpoint:
        """Change some fields; a pause ends, and what waits is tried.

        Raises:
            EndpointNotFound, InvalidWebhook, EndpointTaken: nothing was changed.
        """
        found = await queries.lock_endpoint(self.db, tenant_id=self.tenant_id, endpoint_id=endpoint_id)
        if found is None:
            raise EndpointNotFound(endpoint_id=endpoint_id)
        known, asked = msgspec.structs.asdict(found), msgspec.structs.asdict(changes)
        facts = _checked(**{name: known[name] if to is msgspec.UNSET else to for name, to in asked.items()})
        with self._taken(facts["url"]):
            await queries.update_endpoint(self.db, tenant_id=self.tenant_id, id=endpoint_id, **facts)
        wake(self.db)
        return await self._endpoint(endpoint_id)

    @audited("webhooks.change_secret", "webhook_endpoint", "endpoint_id")
    @transactional
    async def change_secret(self, *, endpoint_id: EndpointId) -> Secret:
        """Give it a new secret, which is shown this once. The one before signs beside it until `drop_previous_secret`.

        So the receiver can change over without losing a delivery. Raises EndpointNotFound.
        """
        secret = _new_secret()
        changed = await queries.change_secret(
            self.db, tenant_id=self.tenant_id, endpoint_id=endpoint_id, secret=self._seal(endpoint_id, secret)
        )
        if not changed:
            raise EndpointNotFound(endpoint_id=endpoint_id)
        return secret

    @audited("webhooks.drop_previous_secret", "webhook_endpoint", "endpoint_id")
    @transactional
    async def drop_previous_secret(self, *, endpoint_id: EndpointId) -> None:
        """Sign with the newest secret alone. Raises EndpointNotFound."""
        if not await queries.drop_previous_secret(self.db, tenant_id=self.tenant_id, endpoint_id=endpoint_id):
            raise EndpointNotFound(endpoint_id=endpoint_id)

    @audited("webhooks.delete_endpoint", "webhook_endpoint", "endpoint_id")
    @transactional
    async def delete(self, *, endpoint_id: EndpointId) -> None:
        """Remove it; what waits for it is given up. Raises EndpointNotFound."""
        if await queries.lock_against_rows(self.db, tenant_id=self.tenant_id, endpoint_id=endpoint_id) is None:
            raise EndpointNotFound(endpoint_id=endpoint_id)
        await queries.cancel_queued(self.db, tenant_id=self.tenant_id, endpoint_id=endpoint_id)
        await queries.delete_endpoint(self.db, tenant_id=self.tenant_id, endpoint_id=endpoint_id)

    async def _endpoint(self, endpoint_id: EndpointId) -> Endpoint:
        found = await queries.endpoint(self.db, tenant_id=self.tenant_id, endpoint_id=endpoint_id)
        if found is None:
            raise EndpointNotFound(endpoint_id=endpoint_id)
        return found

    def _seal(self, endpoint_id: EndpointId, secret: Secret) -> str:
        ring = secrets_ring(self._keys)
        return ring.seal(secret.reveal().encode(), bound_to=place_of(self.tenant_id, endpoint_id))

    def _taken(self, url: str) -> Any:
        return violations({"webhook_endpoints_url_unique": lambda: EndpointTaken(url=url)}, self.db.names)


def secrets_ring(keys: TokenKeys) -> KeyRing:
    """What seals the secrets of endpoints. Raises SigningSecretMissing."""
    return keys.ring(PURPOSE)


def secrets_of(ring: KeyRing, tenant_id: str, endpoint: EndpointKeys) -> list[Secret]:
    """The secrets that sign, the newest first. Raises SealBroken."""
    sealed = [text for text in (endpoint.secret, endpoint.previous_secret) if text is not None]
    return [Secret(ring.open(text, bound_to=place_of(tenant_id, endpoint.id)).decode()) for text in sealed]


def _new_secret() -> Secret:
    return Secret(SECRET_PREFIX + base64.b64encode(os.urandom(SECRET_BYTES)).decode())


def _checked(**facts: Any) -> dict[str, Any]:
    facts["name"] = " ".join(facts["name"].split())
    if not 1 <= len(facts["name"]) <= NAME_LENGTH_MAX or not facts["name"].isprintable():
        raise InvalidWebhook(field="name", reason=f"1 to {NAME_LENGTH_MAX} printable characters")
    checked_url(facts["url"])
    for field, most in (
        ("max_attempts", ATTEMPTS_MAX),
        ("timeout_seconds", int(TIMEOUT_MAX.total_seconds())),
        ("in_flight_max", IN_FLIGHT_MAX),
    ):
        if not 1 <= facts[field] <= most:
            raise InvalidWebhook(field=field, reason=f"1 to {most}")
    if facts["event_types"] is not None:
        types = sorted(set(facts["event_types"]))
        if not 1 <= len(types) <= EVENT_TYPES_MAX or not all(_is_type(name) for name in types):
            raise InvalidWebhook(
                field="event_types", reason=f"1 to {EVENT_TYPES_MAX} of the form order.placed or order.*"
            )
        facts["event_types"] = types
    return facts


def _is_type(name: str) -> bool:
    entity, dot, what = name.partition(".")
    words = what.replace("_", "").replace(".", "")
    return (
        len(name) <= EVENT_TYPE_LENGTH_MAX
        and dot == "."
        and entity.replace("_", "").isalnum()
        and entity.isascii()
        and (what == "*" or (words.isalnum() and words.isascii()))
    )
