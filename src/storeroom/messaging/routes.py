"""Templates of notices over HTTP, for staff."""

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.types import ControllerRouterHandler
from msgspec import UNSET, Meta, UnsetType

from storeroom.core.pages import InvalidCursor, Page
from storeroom.identity import Permission
from storeroom.messaging.errors import InvalidTemplate, TemplateNotFound, TemplateTaken, TooManyTemplates
from storeroom.messaging.model import (
    BODY_LENGTH_MAX,
    HTML_LENGTH_MAX,
    LANGUAGE_DEFAULT,
    SUBJECT_LENGTH_MAX,
    NoticeTemplate,
    TemplateId,
    Words,
)
from storeroom.messaging.service import NoticeTemplates, TemplateChanges
from storeroom.notices import Channel, Kind
from storeroom.web import IDEMPOTENT, PAGE_SIZE_DEFAULT, CursorParameter, LimitParameter, requires, says

FACTS_MAX: Final = 50
_TAGS: Final = ["admin: notices"]
_STAFF: Final = [requires(Permission.SETTINGS_WRITE)]

KindName = Annotated[str, Meta(min_length=1, max_length=50, examples=["order_placed"])]
Language = Annotated[str, Meta(min_length=2, max_length=35, examples=["en", "de-AT"])]
Subject = Annotated[str, Meta(min_length=1, max_length=SUBJECT_LENGTH_MAX, examples=["Your order {{ order_number }}"])]
Body = Annotated[str, Meta(min_length=1, max_length=BODY_LENGTH_MAX)]
Html = Annotated[str, Meta(min_length=1, max_length=HTML_LENGTH_MAX)]


class NewTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shop's own words."""

    kind: KindName
    channel: Channel
    language: Language = LANGUAGE_DEFAULT
    subject: Subject | None = None
    body: Body
    html: Html | None = None


class ChangedTemplate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays; null takes the HTML away."""

    subject: Subject | UnsetType = UNSET
    body: Body | UnsetType = UNSET
    html: Html | UnsetType | None = UNSET


class PreviewWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A template to try. Without a body, the program's own."""

    kind: KindName
    channel: Channel
    language: Language = LANGUAGE_DEFAULT
    subject: Subject | None = None
    body: Body | None = None
    html: Html | None = None
    facts: Annotated[dict[str, Any], Meta(max_length=FACTS_MAX)] | None = None


class KindsShown(msgspec.Struct, frozen=True, kw_only=True):
    """All kinds of notices."""

    items: list[Kind]


@get("/v1/admin/notice-kinds", summary="Kinds of notices", tags=_TAGS, guards=_STAFF, responses=says())
async def list_notice_kinds(notice_templates: NamedDependency[NoticeTemplates]) -> KindsShown:
    """When each is sent, and what its templates may say."""
    return KindsShown(items=list(await notice_templates.kinds()))


@get(
    "/v1/admin/notice-templates",
    summary="The shop's own templates",
    tags=_TAGS,
    guards=_STAFF,
    responses=says(InvalidCursor),
)
async def list_notice_templates(
    notice_templates: NamedDependency[NoticeTemplates],
    cursor: CursorParameter = None,
    limit: LimitParameter = PAGE_SIZE_DEFAULT,
) -> Page[NoticeTemplate]:
    """By kind, channel and language."""
    return await notice_templates.list(cursor=cursor, limit=limit)


@post(
    "/v1/admin/notice-templates",
    summary="Say a notice in the shop's own words",
    tags=_TAGS,
    guards=_STAFF,
    opt=IDEMPOTENT,
    responses=says(InvalidTemplate, TemplateTaken, TooManyTemplates),
)
async def create_notice_template(
    data: JSONBody[NewTemplate], notice_templates: NamedDependency[NoticeTemplates]
) -> NoticeTemplate:
    """It is tried with samples before it is taken."""
    return await notice_templates.create(**msgspec.structs.asdict(data))


@post(
    "/v1/admin/notice-templates/preview",
    status_code=200,
    summary="What a template would say",
    tags=_TAGS,
    guards=_STAFF,
    responses=says(InvalidTemplate),
)
async def preview_notice_template(
    data: JSONBody[PreviewWanted], notice_templates: NamedDependency[NoticeTemplates]
) -> Words:
    """With samples, or the facts given. Nothing is kept or sent."""
    return await notice_templates.preview(**msgspec.structs.asdict(data))


@get(
    "/v1/admin/notice-templates/{template_id:uuid}",
    summary="One template of the shop",
    tags=_TAGS,
    guards=_STAFF,
    responses=says(TemplateNotFound),
)
async def get_notice_template(
    template_id: FromPath[UUID], notice_templates: NamedDependency[NoticeTemplates]
) -> NoticeTemplate:
    """As staff wrote it."""
    return await notice_templates.get(template_id=TemplateId(template_id))


@patch(
    "/v1/admin/notice-templates/{template_id:uuid}",
    summary="Change a template",
    tags=_TAGS,
    guards=_STAFF,
    responses=says(TemplateNotFound, InvalidTemplate),
)
async def update_notice_template(
    template_id: FromPath[UUID], data: JSONBody[ChangedTemplate], notice_templates: NamedDependency[NoticeTemplates]
) -> NoticeTemplate:
    """What is left out stays."""
    changes = TemplateChanges(**msgspec.structs.asdict(data))
    return await notice_templates.update(template_id=TemplateId(template_id), changes=changes)


@delete(
    "/v1/admin/notice-templates/{template_id:uuid}",
    status_code=204,
    summary="Say a notice in the program's words again",
    tags=_TAGS,
    guards=_STAFF,
    responses=says(TemplateNotFound),
)
async def delete_notice_template(
    template_id: FromPath[UUID], notice_templates: NamedDependency[NoticeTemplates]
) -> None:
    """What waits is said so, too."""
    await notice_templates.delete(template_id=TemplateId(template_id))


route_handlers: Final[Sequence[ControllerRouterHandler]] = (
    list_notice_kinds,
    list_notice_templates,
    create_notice_template,
    preview_notice_template,
    get_notice_template,
    update_notice_template,
    delete_notice_template,
)
