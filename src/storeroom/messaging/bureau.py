"""What both ways of sending need of a notice: opened, still wanted, in the words of its shop."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import TemplateError

from storeroom.configuration import SUPPORT_EMAIL, SUPPORT_PHONE, ConfigCache, ConfigUnreadable, Configuration, Setting
from storeroom.core.clock import Clock, SystemClock
from storeroom.core.crypto import SealBroken
from storeroom.core.errors import Misconfigured
from storeroom.core.ids import OrderId, TenantId, UserId
from storeroom.core.senders import Mailbox
from storeroom.database.executor import Executor
from storeroom.database.service import Context, TenantSuspended, TenantUnknown
from storeroom.identity import TokenKeys
from storeroom.integration import Claimed
from storeroom.messaging import options, queries
from storeroom.messaging.model import Words
from storeroom.messaging.rendering import Place, render
from storeroom.messaging.words import Frame, chosen, framed, language_of, languages, shipped
from storeroom.notices import KINDS, Channel, Kind, Notice, opened, public_facts
from storeroom.tenants import settings_of


class NotSent(Exception):
    """A notice is not sent now, or never."""

    def __init__(self, told: str, *, final: bool = False, unwanted: bool = False) -> None:
        super().__init__(told)
        self.told, self.final, self.unwanted = told, final, unwanted


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that can be sent."""

    notice: Notice
    kind: Kind
    words: Words
    configuration: Configuration
    shop_name: str


class Bureau:
    """One for a process."""

    def __init__(
        self,
        db: Executor,
        *,
        context_of: Callable[[TenantId], Context],
        keys: TokenKeys,
        configs: ConfigCache | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            db: of the room.
            context_of: the context of a shop.
            keys: open notices.
            configs: where what shops have set is kept.
            clock: for tests.
        """
        self.db, self.keys = db, keys
        self._context_of, self._configs = context_of, configs
        self._clock = clock or SystemClock()

    async def configuration(self, tenant_id: TenantId) -> Configuration:
        """What a shop has set. Raises NotSent where the shop may do nothing."""
        context = self._context_of(tenant_id)
        try:
            await context.settings()
        except TenantSuspended:
            raise NotSent("the shop is suspended") from None
        except TenantUnknown:
            raise NotSent("there is no such shop", final=True) from None
        return Configuration(context, self.keys, self._configs)

    async def ready(self, tenant_id: TenantId, row: Claimed) -> Ready:
        """Open and word a notice. Raises NotSent."""
        configuration = await self.configuration(tenant_id)
        try:
            notice = opened(self.keys, tenant_id=tenant_id, webhook_id=row.id, payload=row.payload)
        except (SealBroken, Misconfigured) as error:
            raise NotSent(str(error)) from None
        except (msgspec.MsgspecError, KeyError, TypeError):
            raise NotSent("it is no notice", final=True) from None
        kind = KINDS.get(notice.kind)
        if kind is None:
            raise NotSent("this release knows no such kind")
        if notice.expires_at is not None and self._clock.now() >= notice.expires_at:
            raise NotSent("it expired before it could be sent", final=True)
        if await self._closed(tenant_id, row):
            raise NotSent("its account was closed", unwanted=True)
        return await self._worded(tenant_id, notice, kind, configuration)

    async def copied(self, ready: Ready) -> Ready:
        """The same for somebody else to read: without what opens something. Raises NotSent."""
        notice = ready.notice
        facts = public_facts(ready.kind, notice.facts)
        if facts == notice.facts:
            return ready
        public = msgspec.structs.replace(notice, facts=facts)
        return await self._worded(notice.tenant_id, public, ready.kind, ready.configuration)

    async def value(self, configuration: Configuration, setting: Setting[Any]) -> Any:
        """What a shop has set; the default where that cannot be read, since a message is worth more than its logo."""
        try:
            return await configuration.value(setting)
        except ConfigUnreadable:
            return setting.default

    async def author(self, ready: Ready, default: Mailbox | None) -> Mailbox:
        """Who a mail is from: what the shop says, then the installation, then the shop's name."""
        address = await self.value(ready.configuration, options.FROM_ADDRESS)
        name = await self.value(ready.configuration, options.FROM_NAME)
        return Mailbox(
            address=address or (default.address if default else ""),
            name=name or (default.name if default else "") or ready.shop_name,
        )

    async def _worded(self, tenant_id: TenantId, notice: Notice, kind: Kind, configuration: Configuration) -> Ready:
        shop = await settings_of(self._context_of(tenant_id))
        shop_name = await self.value(configuration, options.SHOP_NAME) or shop.name
        common = {
            "shop_name": shop_name,
            "support_email": await self.value(configuration, SUPPORT_EMAIL),
            "support_phone": await self.value(configuration, SUPPORT_PHONE),
            "logo_url": await self.value(configuration, options.LOGO_URL),
        }
        wanted = languages(language_of(notice.language), await self.value(configuration, options.LANGUAGE))
        own = await queries.own_templates(
            self.db, tenant_id=tenant_id, kind=kind.name, channel=notice.channel, languages=wanted
        )
        found = chosen(kind.name, notice.channel, wanted, own)
        if found is None:
            raise NotSent("there are no words for it", final=True)
        language, sources = found
        facts = {**notice.facts, **common, **await self._link(notice, configuration)}
        try:
            words = render(kind, sources, facts, place=Place(language, shop.time_zone))
        except TemplateError:
            # A shop's own template, on what it never was tried with: better our words than none.
            words = _shipped(kind, notice.channel, facts, wanted, shop.time_zone)
        if words.html is not None:
            frame = Frame(language=language, **common)
            words = msgspec.structs.replace(words, html=framed(words.html, words.subject, frame))
        return Ready(notice=notice, kind=kind, words=words, configuration=configuration, shop_name=shop_name)

    async def _link(self, notice: Notice, configuration: Configuration) -> dict[str, str]:
        """Where the shop has a page for what a notice says, the way to it."""
        if (setting := options.TOKEN_PAGES.get(notice.kind)) is not None:
            page, place = await self.value(configuration, setting), "token"
        elif "link" not in notice.facts and "order_number" in notice.facts:
            page, place = await self.value(configuration, options.ORDER_URL), "number"
        else:
            return {}
        value = str(notice.facts.get("token") or notice.facts.get("order_number") or "")
        return {"link": page.replace("{" + place + "}", quote(value, safe=""))} if page else {}

    async def _closed(self, tenant_id: TenantId, row: Claimed) -> bool:
        if row.entity_id is None:
            return False
        if row.entity_type == "user":
            return await queries.account_closed(self.db, tenant_id=tenant_id, user_id=UserId(row.entity_id)) or False
        if row.entity_type == "order":
            closed = await queries.order_account_closed(self.db, tenant_id=tenant_id, order_id=OrderId(row.entity_id))
            return closed or False
        return False


def _shipped(kind: Kind, channel: Channel, facts: Mapping[str, Any], wanted: Sequence[str], time_zone: str) -> Words:
    for language in wanted:
        if (ours := shipped(kind.name, channel, language)) is not None:
            return render(kind, ours, facts, place=Place(language, time_zone))
    raise NotSent("its template cannot be used", final=True)


def hidden(text: str, notice: Notice) -> str:
    """What somebody else said of a notice, without anything that the notice says."""
    for said in sorted(_said({"to": [notice.to, *notice.bcc], **notice.facts}), key=len, reverse=True):
        text = text.replace(said, "…")
    return text


def _said(value: Any) -> set[str]:
    if isinstance(value, str):
        return {value} if len(value) > 3 else set()
    if isinstance(value, dict):
        return {each for inner in value.values() for each in _said(inner)}
    if isinstance(value, list):
        return {each for inner in value for each in _said(inner)}
    return set()
