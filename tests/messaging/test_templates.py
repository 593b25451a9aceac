"""Templates that staff write: tried before they are taken, and unable to do anything but say what a notice has."""

import time
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError
from sending import Office

from factories import open_shop
from storeroom.database.service import SYSTEM
from storeroom.messaging import (
    InvalidTemplate,
    NoticeTemplate,
    TemplateChanges,
    TemplateNotFound,
    TemplateTaken,
)
from storeroom.messaging.model import Sources
from storeroom.messaging.rendering import COMMON, Place, check, render
from storeroom.messaging.words import shipped
from storeroom.notices import KINDS, Channel, NoticeUnknown
from storeroom.room import Storeroom

HOSTILE = (
    "{{ ''.__class__.__mro__ }}", "{{ name.__class__ }}", "{{ name['__class__'] }}", "{{ lines[0] }}", "{{ self }}",
    "{{ cycler('a') }}", "{{ lipsum() }}", "{{ namespace() }}", "{{ range(9) }}", "{{ name.upper() }}", "{{ name.format }}",
    "{% set a = name ~ name %}", "{% for i in range(9) %}{% endfor %}", "{{ 'a' * 9 }}", "{{ 9 ** 9 }}", "{{ '%9d' % 1 }}",
    "{% include 'layout.html' %}", "{% import 'x' as x %}", "{% extends 'x' %}", "{% macro x() %}{% endmacro %}",
    "{% filter upper %}x{% endfilter %}", "{% block x %}{% endblock %}", "{% autoescape false %}{% endautoescape %}",
    "{{ name|attr('x') }}", "{{ name|safe }}", "{{ name|format(1) }}", "{{ lines|map('upper') }}", "{{ name|center(9) }}",
    "{% for a in lines %}{% for b in lines %}{% endfor %}{% endfor %}", "{% for l in lines %}{{ l.items }}{% endfor %}",
    "{% for l in lines %}{{ loop.cycle }}{% endfor %}", "{% for l in lines recursive %}{% endfor %}", "{{ config }}",
    "{{ nothing_like_it }}", "{{ name", "{% if %}", "x" * 20_001, "{{ " + "(" * 5_000 + "name" + ")" * 5_000 + " }}",
    "{{ " + "not " * 3_000 + "name }}", "{{ " + " and ".join(["name"] * 2_000) + " }}",
)  # fmt: skip


@pytest.fixture
async def office(room: Storeroom, tmp_path: Path) -> Office:
    """Nothing is sent here, so the database may be everybody's."""
    return Office(room, await open_shop(room, actor=SYSTEM), tmp_path)


async def wrote(office: Office, **more: Any) -> NoticeTemplate:
    return await office.shop.notice_templates.create(
        **{"kind": "order_placed", "channel": Channel.MAIL, "subject": "Order", "body": "{{ order_number }}", **more}
    )


@pytest.mark.parametrize("source", HOSTILE, ids=range(len(HOSTILE)))
def test_a_template_says_what_it_may_and_nothing_else(source: str) -> None:
    began = time.process_time()  # what it costs, however busy the machine is
    for sources in (
        Sources(subject="s", body=source),
        Sources(subject="s", body="b", html=source + "x" * 50_000 if source.startswith("xx") else source),
    ):
        with pytest.raises(InvalidTemplate):
            check(KINDS["order_placed"], sources, place=Place("en", "UTC"))
    assert time.process_time() - began < 5


def test_every_kind_has_words_that_use_only_what_it_has() -> None:
    for kind in KINDS.values():
        assert kind.channels
        for channel in kind.channels:
            sources = shipped(kind.name, channel, "en")
            assert sources is not None, kind.name
            words = check(kind, sources, place=Place("en", "America/New_York"))
            assert words.text.strip() and "None" not in words.text and "{" not in words.text
            assert bool(words.subject) is (channel is Channel.MAIL)
        assert not {each.name for each in kind.variables} & {each.name for each in COMMON}


async def test_what_becomes_too_long_is_refused_whatever_the_facts(office: Office) -> None:
    long = {"lines": [{"name": "x" * 3_000}] * 100}
    with pytest.raises(InvalidTemplate) as refused:
        await office.shop.notice_templates.preview(
            kind="order_placed",
            channel=Channel.MAIL,
            subject="s",
            body="{% for line in lines %}{{ line.name }}{% endfor %}",
            facts=long,
        )
    assert "longer than" in refused.value.reason


async def test_staff_keep_templates(office: Office) -> None:
    templates = office.shop.notice_templates
    made = await wrote(office, html="<p>{{ order_number }}</p>")
    assert await templates.get(template_id=made.id) == made
    with pytest.raises(TemplateTaken):
        await wrote(office)
    german = await wrote(office, language="de")
    changed = await templates.update(template_id=made.id, changes=TemplateChanges(body="{{ total }}", html=None))
    assert (changed.subject, changed.body, changed.html) == ("Order", "{{ total }}", None)
    with pytest.raises(InvalidTemplate):
        await templates.update(template_id=made.id, changes=TemplateChanges(subject="{{ code }}"))
    page = await templates.list(limit=1)
    assert [each.language for each in page.items] == ["de"]
    assert [each.id for each in (await templates.list(cursor=page.next_cursor)).items] == [made.id]
    await templates.delete(template_id=german.id)
    with pytest.raises(TemplateNotFound):
        await templates.delete(template_id=german.id)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"kind": "nothing"}, "kind"),
        ({"channel": Channel.SMS}, "channel"),
        ({"language": "English"}, "language"),
        ({"subject": None}, "subject"),
        ({"subject": "{{ nothing }}"}, "subject"),
        ({"body": ""}, "body"),
        ({"html": "{{ nothing }}"}, "html"),
        ({"kind": "phone_code", "channel": Channel.SMS, "body": "{{ code }}"}, "body"),
        ({"kind": "phone_code", "channel": Channel.SMS, "subject": None, "body": "{{ code }}" + "x" * 1_000}, "body"),
    ],
)
async def test_what_cannot_be_used_is_not_kept(office: Office, more: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidTemplate) as refused:
        await wrote(office, **more)
    assert refused.value.field == field
    assert (await office.shop.notice_templates.list()).items == []


@pytest.mark.parametrize(
    "source",
    [
        "{% if total > 5 %}x{% endif %}",
        "{{ -name }}",
        "{{ name|truncate('x') }}",
        "{{ name|truncate(1) }}",
        "{{ more_lines|length }}",
    ],
)
async def test_what_asks_too_much_of_a_value_is_refused(office: Office, source: str) -> None:
    templates = office.shop.notice_templates
    made = await wrote(office)
    for call in (
        wrote(office, language="de", body=source),
        templates.update(template_id=made.id, changes=TemplateChanges(body=source)),
        templates.preview(kind="order_placed", channel=Channel.MAIL, subject="s", body=source),
    ):
        with pytest.raises(InvalidTemplate):
            await call
    sources = Sources(subject="s", body=source)
    with pytest.raises(TemplateError):  # the worker falls back to our own words
        render(KINDS["order_placed"], sources, {"name": "Ann"}, place=Place("en", "UTC"))


async def test_a_preview_shows_samples_the_programs_words_or_facts_of_ones_own(office: Office) -> None:
    preview = office.shop.notice_templates.preview
    shown = await preview(kind="order_placed", channel=Channel.MAIL)
    assert shown.subject == "Your order SR-7KQP2MXW" and "Shirt, blue, M" in shown.text
    assert shown.html is not None and shown.html.startswith("<!doctype html>")
    own = await preview(
        kind="phone_code", channel=Channel.SMS, language="de", body="{{ shop_name }}: {{ code }}", facts={"code": "1"}
    )
    assert own.text == "A shop: 1"
    for wrong in ({"total": "much"}, {"lines": 7}, {"more_lines": "x"}, {"total": {"amount": 1, "currency": "??"}}):
        with pytest.raises(InvalidTemplate):
            await preview(kind="order_placed", channel=Channel.MAIL, facts=wrong)


async def test_what_is_queued_has_a_kind_and_its_facts(office: Office) -> None:
    for kind, facts in (("nothing", {}), ("password_changed", {"name": "Ann"})):
        with pytest.raises(NoticeUnknown):
            await office.queue(kind, facts=facts or {"x": 1})
    with pytest.raises(NoticeUnknown):
        await office.queue(channel=Channel.SMS)
    assert await office.rows() == []
