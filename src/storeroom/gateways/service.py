"""Gateways: configured by staff, read by the server alone. Their secrets are sealed here, field by field."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import msgspec
from typing_extensions import override

from storeroom.audit import audited
from storeroom.core.crypto import KeyRing
from storeroom.core.secrets import Secret
from storeroom.database.errors import foreign_key_violated
from storeroom.database.executor import Executor
from storeroom.database.service import Context, Service, operation, transactional
from storeroom.gateways import queries
from storeroom.gateways.errors import (
    GatewayIncomplete,
    GatewayInUse,
    GatewayNotFound,
    GatewayTaken,
    InvalidGateway,
    TooManyGateways,
)
from storeroom.gateways.model import (
    FIELD,
    FIELDS_MAX,
    GATEWAYS_MAX,
    ID,
    INTERFACES,
    LIST_LENGTH_MAX,
    LIVE_ENDPOINT,
    NAME_LENGTH_MAX,
    NUMBER_MAX,
    SEALED,
    SET,
    TEST_ENDPOINT,
    TEXT_LENGTH_MAX,
    Gateway,
    GatewayConfig,
    GatewayKind,
    GatewayRow,
    OfferedGateway,
    endpoint,
    host_of,
    is_sealed,
    is_secret,
    place_of,
    shown,
    unsafe_endpoint,
)
from storeroom.gateways.sealed import PURPOSE
from storeroom.identity import TokenKeys


class Gateways(Service):
    """The gateways of one shop.

    What comes back says of a secret only that it is set; `config` alone opens them, for code of the server that calls
    the provider.
    """

    def __init__(self, context: Context, keys: TokenKeys | None = None) -> None:
        """Without keys no secret can be kept or read."""
        super().__init__(context)
        self._keys = keys or TokenKeys(None)

    @override
    def bound(self, db: Executor) -> Self:
        return type(self)(self.context.on(db), self._keys)

    @audited("gateways.create", "gateway", hidden=("config",))
    @transactional
    async def create(
        self,
        *,
        id: str,  # noqa: A002 - it is called so in the document, and everywhere else gateway_id
        name: str,
        kind: GatewayKind | None = None,
        config: Mapping[str, Any] | None = None,
        is_test_mode: bool = True,
        position: int | None = None,
    ) -> Gateway:
        """Add a gateway. It is inactive: see `activate`.

        Args:
            id: 1 to 50 lower-case letters, digits, `-` and `_`. It cannot be changed later.
            name: for people.
            kind: whose interface it speaks; None: as the id says, or `other`.
            config: names and values: text, whole numbers, on and off, lists of texts. What the kind names as secret,
                and what sounds like it (`…_key`, `…password…`, `…token…`), is sealed, and is text.
            is_test_mode: calls the provider's test endpoint.
            position: smaller ones are shown first; None: as the last.

        Raises:
            InvalidGateway: a setting cannot be right; `field` names it.
            GatewayTaken: the shop has one of this id.
            TooManyGateways: the shop has GATEWAYS_MAX.
            SigningSecretMissing: there is a secret, and the installation has none to seal it with.
        """
        if not ID.fullmatch(id):
            raise InvalidGateway(field="id", reason="1 to 50 lower-case letters, digits, '-' or '_'")
        chosen = kind or (GatewayKind(id) if id in list(GatewayKind) else GatewayKind.OTHER)
        present = await queries.lock_gateways(self.db, tenant_id=self.tenant_id, size=GATEWAYS_MAX)
        if len(present) >= GATEWAYS_MAX:
            raise TooManyGateways(maximum=GATEWAYS_MAX)
        kept = self._merged(id, chosen, {}, config or {})
        self._check_mode(id, chosen, kept, is_test_mode=is_test_mode)
        made = await queries.insert_gateway(
            self.db,
            tenant_id=self.tenant_id,
            id=id,
            kind=chosen,
            name=_name(name),
            config=kept,
            is_test_mode=is_test_mode,
            position=len(present) + 1 if position is None else _position(position),
        )
        if made is None:
            raise GatewayTaken(gateway=id)
        return _gateway(made)

    @audited("gateways.update", "gateway", hidden=("config",))
    @transactional
    async def update(
        self,
        *,
        gateway_id: str,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        is_test_mode: bool | None = None,
        position: int | None = None,
    ) -> Gateway:
        """Change what is given; the rest stays.

        Args:
            gateway_id: which.
            name: for people.
            config: fields to change; the others stay, also a secret that comes back as it was shown, `{"set": true}`.
                null takes a field away.
            is_test_mode: which endpoint is called.
            position: smaller ones are shown first.

        Raises:
            GatewayNotFound: no such gateway.
            InvalidGateway, SigningSecretMissing: as for `create`; also where secrets would go to another endpoint.
            GatewayIncomplete: it is active, and would lack what its provider asks for.
        """
        known = await self._locked(gateway_id)
        kept = known.config if config is None else self._merged(gateway_id, known.kind, known.config, config)
        _check_address(known.config, kept)
        test_mode = known.is_test_mode if is_test_mode is None else is_test_mode
        self._check_mode(gateway_id, known.kind, kept, is_test_mode=test_mode)
        changed = msgspec.structs.replace(
            known,
            name=known.name if name is None else _name(name),
            config=kept,
            is_test_mode=test_mode,
            position=known.position if position is None else _position(position),
        )
        if changed.is_active:
            _require_complete(changed)
        return await self._write(changed)

    @audited("gateways.activate", "gateway")
    @transactional
    async def activate(self, *, gateway_id: str) -> Gateway:
        """Offer the ways to pay behind it; again is no error.

        Raises:
            GatewayNotFound: no such gateway.
            GatewayIncomplete: it lacks what its provider asks for.
        """
        known = await self._locked(gateway_id)
        _require_complete(known)
        return await self._write(msgspec.structs.replace(known, is_active=True))

    @audited("gateways.deactivate", "gateway")
    @transactional
    async def deactivate(self, *, gateway_id: str) -> Gateway:
        """Offer none of the ways to pay behind it; payments that are under way go on. Raises GatewayNotFound."""
        return await self._write(msgspec.structs.replace(await self._locked(gateway_id), is_active=False))

    @audited("gateways.reorder", "gateway")
    @transactional
    async def reorder(self, *, gateway_ids: Sequence[str]) -> list[Gateway]:
        """Show these first, in this order; the others follow as they did. Returns all of them.

        Raises:
            GatewayNotFound: one of them is not the shop's. Nothing was changed.
            InvalidGateway: one is named twice.
        """
        if len(set(gateway_ids)) != len(gateway_ids):
            raise InvalidGateway(field="gateway_ids", reason="a gateway is named twice")
        present = await queries.lock_gateways(self.db, tenant_id=self.tenant_id, size=GATEWAYS_MAX)
        for gateway_id in gateway_ids:
            if gateway_id not in present:
                raise GatewayNotFound(gateway=gateway_id)
        wanted = [*gateway_ids, *(gateway_id for gateway_id in present if gateway_id not in gateway_ids)]
        await queries.place_gateways(
            self.db, tenant_id=self.tenant_id, gateway_ids=wanted, places=list(range(1, len(wanted) + 1))
        )
        return [_gateway(row) for row in await queries.gateways(self.db, tenant_id=self.tenant_id, size=GATEWAYS_MAX)]

    @audited("gateways.delete", "gateway")
    @transactional
    async def delete(self, *, gateway_id: str) -> None:
        """Remove a gateway that nothing refers to.

        Raises:
            GatewayNotFound: no such gateway.
            GatewayInUse: a way to pay refers to it, or what was paid through it.
        """
        with foreign_key_violated(lambda: GatewayInUse(gateway=gateway_id)):
            if not await queries.delete_gateway(self.db, tenant_id=self.tenant_id, gateway_id=gateway_id):
                raise GatewayNotFound(gateway=gateway_id)

    @operation
    async def get(self, *, gateway_id: str) -> Gateway:
        """One gateway, active or not. Raises GatewayNotFound."""
        return _gateway(await self._row(gateway_id))

    @operation
    async def list(self) -> Sequence[Gateway]:
        """All gateways by position; at most GATEWAYS_MAX."""
        return [_gateway(row) for row in await queries.gateways(self.db, tenant_id=self.tenant_id, size=GATEWAYS_MAX)]

    @operation
    async def offered(self) -> Sequence[OfferedGateway]:
        """The active ones by position, without their configurations."""
        return await queries.active_gateways(self.db, tenant_id=self.tenant_id, size=GATEWAYS_MAX)

    @operation
    async def config(self, *, gateway_id: str) -> GatewayConfig:
        """All that is needed to call the provider, secrets opened, active or not. For the server's own use.

        Raises:
            GatewayNotFound: no such gateway.
            SealBroken: a secret was sealed by a key we do not have, at another place, or was changed.
            SigningSecretMissing: the installation has no secret.
        """
        row = await self._row(gateway_id)
        return GatewayConfig(
            gateway_id=row.id,
            kind=row.kind,
            is_test_mode=row.is_test_mode,
            is_active=row.is_active,
            endpoint=endpoint(row.kind, row.config, is_test_mode=row.is_test_mode),
            settings={name: value for name, value in row.config.items() if not is_sealed(value)},
            secrets={
                name: self._opened(gateway_id, name, value) for name, value in row.config.items() if is_sealed(value)
            },
        )

    # --- Shared steps -------------------------------------------------------------------------------------------------

    async def _row(self, gateway_id: str) -> GatewayRow:
        found = await queries.gateway(self.db, tenant_id=self.tenant_id, gateway_id=gateway_id)
        if found is None:
            raise GatewayNotFound(gateway=gateway_id)
        return found

    async def _locked(self, gateway_id: str) -> GatewayRow:
        found = await queries.lock_gateway(self.db, tenant_id=self.tenant_id, gateway_id=gateway_id)
        if found is None:
            raise GatewayNotFound(gateway=gateway_id)
        return found

    async def _write(self, row: GatewayRow) -> Gateway:
        written = await queries.update_gateway(
            self.db,
            tenant_id=self.tenant_id,
            gateway_id=row.id,
            name=row.name,
            config=row.config,
            is_test_mode=row.is_test_mode,
            is_active=row.is_active,
            position=row.position,
        )
        if written is None:
            raise GatewayNotFound(gateway=row.id)
        return _gateway(written)

    def _merged(
        self, gateway_id: str, kind: GatewayKind, known: Mapping[str, Any], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The configuration as the row keeps it."""
        kept = dict(known)
        for name, value in given.items():
            field = f"config.{name[:50]}"
            if not FIELD.fullmatch(name):
                raise InvalidGateway(field="config", reason="names are lower-case letters, digits and '_', at most 50")
            if value is None:
                kept.pop(name, None)
            elif is_secret(kind, name):
                if value == {SET: True} and is_sealed(kept.get(name)):
                    continue
                text = value.reveal() if isinstance(value, Secret) else value
                if not isinstance(text, str) or not 1 <= len(text) <= TEXT_LENGTH_MAX or "\x00" in text:
                    raise InvalidGateway(field=field, reason=f"a secret: 1 to {TEXT_LENGTH_MAX} characters")
                place = place_of(self.tenant_id, gateway_id, name)
                kept[name] = {SEALED: self._ring.seal(text.encode(), bound_to=place)}
            else:
                kept[name] = _plain(field, value)
        if len(kept) > FIELDS_MAX:
            raise InvalidGateway(field="config", reason=f"at most {FIELDS_MAX} fields")
        return kept

    def _check_mode(self, gateway_id: str, kind: GatewayKind, config: Mapping[str, Any], *, is_test_mode: bool) -> None:
        """In test mode nothing of the live one is used: neither its host, nor a key that works there."""
        interface = INTERFACES[kind]
        for name in (TEST_ENDPOINT, LIVE_ENDPOINT):
            if name in config and (why := unsafe_endpoint(name, config[name])):
                raise InvalidGateway(field=f"config.{name}", reason=why)
        if not interface.live_keys:
            live = {host_of(interface.live_endpoint), host_of(config.get(LIVE_ENDPOINT))} - {None}
            if host_of(endpoint(kind, config, is_test_mode=True)) in live:
                raise InvalidGateway(field=f"config.{TEST_ENDPOINT}", reason="is the live endpoint")
            return
        wrong = interface.live_keys if is_test_mode else interface.test_keys
        for name, value in config.items():
            if is_sealed(value) and self._opened(gateway_id, name, value).reveal().startswith(wrong):
                mode = "test" if is_test_mode else "live"
                raise InvalidGateway(
                    field=f"config.{name}", reason=f"is not of the {mode} mode, which the gateway is in"
                )

    def _opened(self, gateway_id: str, name: str, value: Mapping[str, str]) -> Secret:
        place = place_of(self.tenant_id, gateway_id, name)
        return Secret(self._ring.open(value[SEALED], bound_to=place).decode())

    @property
    def _ring(self) -> KeyRing:
        return self._keys.ring(PURPOSE)


def _gateway(row: GatewayRow) -> Gateway:
    return Gateway(**{**msgspec.structs.asdict(row), "config": shown(row.config)})


def _require_complete(row: GatewayRow) -> None:
    interface = INTERFACES[row.kind]
    missing = [name for name in interface.required if name not in row.config]
    if interface.endpoint_needed and endpoint(row.kind, row.config, is_test_mode=row.is_test_mode) is None:
        missing.append(TEST_ENDPOINT if row.is_test_mode else LIVE_ENDPOINT)
    if missing:
        raise GatewayIncomplete(gateway=row.id, missing=missing)


def _check_address(known: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
    """Who may set a secret may not read it, so not send it elsewhere either: another address takes the secrets anew."""
    for name in (TEST_ENDPOINT, LIVE_ENDPOINT):
        if kept.get(name) not in {None, known.get(name)} and any(
            is_sealed(value) and known.get(field) == value for field, value in kept.items()
        ):
            raise InvalidGateway(field=f"config.{name}", reason="another address: give the secrets again with it")


def _name(text: str) -> str:
    name = text.strip()
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise InvalidGateway(field="name", reason=f"1 to {NAME_LENGTH_MAX} printable characters")
    return name


def _position(position: int) -> int:
    if abs(position) > GATEWAYS_MAX * 1000:
        raise InvalidGateway(field="position", reason="is out of bounds")
    return position


def _plain(field: str, value: Any) -> Any:
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else None
    if texts is not None:
        if len(texts) <= LIST_LENGTH_MAX and all(
            isinstance(text, str) and len(text) <= TEXT_LENGTH_MAX and "\x00" not in text for text in texts
        ):
            return value
    elif isinstance(value, bool) or (isinstance(value, int) and abs(value) <= NUMBER_MAX):
        return value
    raise InvalidGateway(field=field, reason="text, a whole number, on or off, or a list of texts")
