"""A shop's own words for its notices, as staff keep them."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from jinja2 import TemplateError

from storeroom.audit import audited
from storeroom.core.errors import StoreroomError
from storeroom.core.ids import new_id
from storeroom.core.pages import Page, decode_cursor, page_of, page_size
from storeroom.database.errors import violations
from storeroom.database.service import Service, operation, transactional
from storeroom.messaging import queries
from storeroom.messaging.errors import InvalidTemplate, TemplateNotFound, TemplateTaken, TooManyTemplates
from storeroom.messaging.model import (
    LANGUAGE,
    LANGUAGE_DEFAULT,
    TEMPLATES_MAX,
    NoticeTemplate,
    Sources,
    TemplateId,
    Words,
)
from storeroom.messaging.rendering import COMMON, Place, check, render
from storeroom.messaging.words import Frame, framed, languages, shipped
from storeroom.notices import KINDS, Channel, Kind
from storeroom.tenants import settings_of


class TemplateChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a template says. What is left out stays; null takes the HTML away."""

    subject: str | msgspec.UnsetType = msgspec.UNSET
    body: str | msgspec.UnsetType = msgspec.UNSET
    html: str | msgspec.UnsetType | None = msgspec.UNSET


class NoticeTemplates(Service):
    """The templates that one shop has in the place of those that come with the program."""

    @operation
    async def kinds(self) -> Sequence[Kind]:
        """Every kind of notice, with what its templates may say beside COMMON."""
        return list(KINDS.values())

    @operation
    async def list(self, *, cursor: str | None = None, limit: int | None = None) -> Page[NoticeTemplate]:
        """The shop's own, by kind, channel and language. Raises InvalidCursor, InvalidPageSize."""
        size = page_size(limit)
        kind, channel, language = decode_cursor(cursor, (str, str, str)) if cursor else ("", "", "")
        rows = await queries.templates_after(
            self.db, tenant_id=self.tenant_id, kind=kind, channel=channel, language=language, size=size + 1
        )
        return page_of(rows, size, lambda row: (row.kind, row.channel.value, row.language))

    @operation
    async def get(self, *, template_id: TemplateId) -> NoticeTemplate:
        """One of the shop's own. Raises TemplateNotFound."""
        return await self._template(template_id)

    @audited("messaging.create_template", "notice_template")
    @transactional
    async def create(
        self,
        *,
        kind: str,
        channel: Channel,
        language: str = LANGUAGE_DEFAULT,
        subject: str | None = None,
        body: str,
        html: str | None = None,
    ) -> NoticeTemplate:
        """Say something in the shop's own words from now on; what waits already is said so, too.

        Args:
            kind: of KINDS.
            channel: one that the kind goes by.
            language: as in `de` or `de-AT`; a shop has one for each.
            subject: of a mail; one line.
            body: plain text.
            html: of a mail; put into the frame that all mails of the shop have.

        Raises:
            InvalidTemplate: says what is wrong and in which line. Nothing was written.
            TemplateTaken: there is one. TooManyTemplates: there are TEMPLATES_MAX.
        """
        known, sources = await self._checked(kind, channel, language, Sources(subject=subject, body=body, html=html))
        if await queries.count_templates(self.db, tenant_id=self.tenant_id) >= TEMPLATES_MAX:
            raise TooManyTemplates(maximum=TEMPLATES_MAX)
        template_id = TemplateId(new_id())

        def taken() -> TemplateTaken:
            return TemplateTaken(kind=known.name, channel=channel, language=language)

        with violations({"notice_templates_unique": taken}, self.db.names):
            await queries.insert_template(
                self.db,
                tenant_id=self.tenant_id,
                id=template_id,
                kind=known.name,
                channel=channel,
                language=language,
                subject=sources.subject,
                body=sources.body,
                html=sources.html,
            )
        return await self._template(template_id)

    @audited("messaging.update_template", "notice_template", "template_id")
    @transactional
    async def update(self, *, template_id: TemplateId, changes: TemplateChanges) -> NoticeTemplate:
        """Change what it says.

        Raises:
            TemplateNotFound, InvalidTemplate: nothing was changed.
        """
        known = await queries.lock_template(self.db, tenant_id=self.tenant_id, template_id=template_id)
        if known is None:
            raise TemplateNotFound(template_id=template_id)
        asked = {
            name: getattr(known, name) if to is msgspec.UNSET else to
            for name, to in msgspec.structs.asdict(changes).items()
        }
        _, sources = await self._checked(known.kind, known.channel, known.language, Sources(**asked))
        await queries.update_template(
            self.db,
            tenant_id=self.tenant_id,
            id=template_id,
            subject=sources.subject,
            body=sources.body,
            html=sources.html,
        )
        return await self._template(template_id)

    @audited("messaging.delete_template", "notice_template", "template_id")
    @transactional
    async def delete(self, *, template_id: TemplateId) -> None:
        """Say it in the program's words again. Raises TemplateNotFound."""
        if not await queries.delete_template(self.db, tenant_id=self.tenant_id, template_id=template_id):
            raise TemplateNotFound(template_id=template_id)

    @operation
    async def preview(
        self,
        *,
        kind: str,
        channel: Channel,
        language: str = LANGUAGE_DEFAULT,
        subject: str | None = None,
        body: str | None = None,
        html: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Words:
        """What a template would say; nothing is kept or sent.

        Args:
            kind: of KINDS.
            channel: one that the kind goes by.
            language: how amounts and dates are written.
            subject: as for `create`.
            body: None: the program's own template is shown.
            html: as for `create`.
            facts: instead of samples, by variable.

        Raises:
            InvalidTemplate: as for `create`, or a fact is not what its variable takes.
        """
        if body is None:
            found = _kind(kind, channel)
            ours = (shipped(found.name, channel, each) for each in languages(language))
            sources = next((each for each in ours if each is not None), Sources(body=""))
        else:
            sources = Sources(subject=subject, body=body, html=html)
        known, sources = await self._checked(kind, channel, language, sources)
        settings = await settings_of(self.context)
        said = {each.name: each.sample for each in (*known.variables, *COMMON)}
        said |= {"shop_name": settings.name, **(facts or {})}
        try:
            words = render(known, sources, said, place=Place(language, settings.time_zone))
        except (StoreroomError, TemplateError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise InvalidTemplate(field="facts", reason=str(error)[:200] or type(error).__name__) from None
        if words.html is None:
            return words
        frame = Frame(language=language, **{each.name: said[each.name] for each in COMMON})
        return msgspec.structs.replace(words, html=framed(words.html, words.subject, frame))

    async def _checked(self, kind: str, channel: Channel, language: str, sources: Sources) -> tuple[Kind, Sources]:
        found = _kind(kind, channel)
        if not LANGUAGE.fullmatch(language):
            raise InvalidTemplate(field="language", reason="a language such as en or de-AT")
        if channel is Channel.MAIL and not (sources.subject or "").strip():
            raise InvalidTemplate(field="subject", reason="a mail has one")
        if channel is Channel.SMS and (sources.subject is not None or sources.html is not None):
            raise InvalidTemplate(field="body", reason="a text message has nothing else")
        zone = (await settings_of(self.context)).time_zone
        check(found, sources, place=Place(language, zone))
        return found, sources

    async def _template(self, template_id: TemplateId) -> NoticeTemplate:
        found = await queries.template(self.db, tenant_id=self.tenant_id, template_id=template_id)
        if found is None:
            raise TemplateNotFound(template_id=template_id)
        return found


def _kind(name: str, channel: Channel) -> Kind:
    found = KINDS.get(name)
    if found is None:
        raise InvalidTemplate(field="kind", reason=f"one of {', '.join(KINDS)}")
    if channel not in found.channels:
        raise InvalidTemplate(field="channel", reason=f"{name} goes by {', '.join(found.channels)}")
    return found
