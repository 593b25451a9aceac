"""What is stored, what is refused, and what nobody may forge."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from reception import Desk, effect
from senders import SECRET, body_of, mailgun, parcel, plain, standard, timed

from factories import open_shop
from storeroom.core.ids import InboxId, new_id
from storeroom.inbox import (
    Encoding,
    InboxStatus,
    InvalidMessage,
    InvalidSource,
    MessageForged,
    MessageNotFound,
    MessageNotReplayable,
    Scheme,
    SourceChanges,
    SourceNotFound,
    SourceTaken,
)
from storeroom.inbox.jobs import purge
from storeroom.inbox.model import BODY_BYTES_MAX, FORGED_MAX

OTHER = "whsec_" + "b3RoZXI=" * 4
HMAC = {"scheme": Scheme.HMAC, "code": "plain"}

# A source, a body, its headers, and headers as another secret signs them.
SIGNED: dict[str, tuple[dict[str, Any], bytes, Any]] = {
    "standard": ({"code": "erp"}, body_of(), standard),
    "stripe": ({"code": "paid", "scheme": Scheme.STRIPE}, body_of(), timed),
    "shippo": (
        {"code": "shippo"},
        parcel("1Z", "TRANSIT"),
        lambda body, **more: timed(body, header="Shippo-Auth-Signature", **more),
    ),
    "hex": (HMAC, body_of(), plain),
    "base64": (
        {**HMAC, "encoding": Encoding.BASE64, "prefix": "sha256=", "signature_header": "X-Hub"},
        body_of(),
        lambda body, **more: plain(body, header="X-Hub", prefix="sha256=", base_64=True, **more),
    ),
}


@pytest.mark.requirement("SBB-WIN-01", "SBB-WIN-02", "SBB-WIN-06")
async def test_a_message_is_stored_as_it_came(desk: Desk) -> None:
    body = body_of(sku="A", n=[1, None, {"b": "ü\x00"}])
    headers = {
        **standard(body, id="msg_1"),
        "Authorization": "Bearer x",
        "Cookie": "a=b",
        "X-Api-Token": "t",
        "X-Shop": "1",
    }
    kept = await desk.entry(await desk.take(body, headers))
    assert (kept.source, kept.webhook_type, kept.event_id) == ("epicor_propello", "Inventory", "msg_1")
    assert (kept.status, kept.attempts, kept.max_attempts) == (InboxStatus.PENDING, 0, 3)
    assert kept.payload == {**json.loads(body), "n": [1, None, {"b": "ü"}]}
    assert set(kept.headers) == {"webhook-id", "webhook-timestamp", "webhook-signature", "x-shop"}
    assert (kept.signature, kept.signature_valid) == (headers["Webhook-Signature"], True)
    assert kept.verified_by == "secret"
    nothing = (kept.processed_at, kept.error_message, kept.result)
    assert nothing == (None, None, None)
    assert (kept.related_order_id, kept.related_payment_id, kept.related_fulfillment_id) == (None, None, None)
    assert kept.received_at == kept.created_at == kept.next_attempt_at


@pytest.mark.requirement("SBB-WIN-06")
@pytest.mark.parametrize("scheme", SIGNED)
async def test_what_is_not_signed_is_kept_and_never_processed(desk: Desk, scheme: str) -> None:
    facts, body, sign = SIGNED[scheme]
    code = facts["code"]
    await desk.source(**facts)
    right = sign(body)
    (name, value), *_ = [each for each in right.items() if "ignature" in each[0] or each[0] == "X-Hub"]
    wrong = [
        (body + b" ", right),
        (body, sign(body, secret=OTHER)),
        (body, {**right, name: value[:-2] + ("00" if value[-2:] != "00" else "11")}),
        (body, {**right, name: "ü" * 20}),
        (body, {each: text for each, text in right.items() if each != name}),
        (body, {}),
    ]
    if scheme in ("standard", "stripe", "shippo"):
        wrong += [(body, sign(body, age_s=400)), (body, sign(body, age_s=-400))]
    for changed, headers in wrong:
        with pytest.raises(MessageForged):
            await desk.take(changed, headers, source=code)
    kept = (await desk.shop.inbox.list(source=code)).items
    assert [(each.status, each.signature_valid, each.event_id) for each in kept] == [("failed", False, None)] * len(
        wrong
    )
    desk.handlers[code, "*"] = effect
    await desk.process()
    assert await desk.applied() == 0
    for each in kept[:1]:
        with pytest.raises(MessageNotReplayable):
            await desk.shop.inbox.replay(message_id=each.id)
    good = await desk.take(body, right, source=code)
    await desk.process()
    assert (await desk.entry(good)).status is InboxStatus.COMPLETED, "the forged ones have not taken its place"
    assert await desk.applied() == 1


@pytest.mark.requirement("SBB-WIN-06")
async def test_mailgun_signs_inside_the_body(desk: Desk) -> None:
    await desk.source("mailgun")
    body = mailgun("opened", "bo@buyer.example")
    said = json.loads(body)
    for forged in (
        {**said, "signature": {**said["signature"], "token": "0" * 32}},
        {**said, "signature": {**said["signature"], "timestamp": "1"}},
        {**said, "signature": "x"},
        {"event-data": said["event-data"]},
    ):
        with pytest.raises(MessageForged):
            await desk.take(json.dumps(forged).encode(), {}, source="mailgun")
    kept = await desk.entry(await desk.take(body, {}, source="mailgun"))
    assert (kept.webhook_type, kept.event_id) == ("opened", said["event-data"]["id"])
    assert (kept.signature, kept.signature_valid) == (said["signature"]["signature"], True)


async def test_a_time_that_is_signed_with_a_plain_hmac_is_looked_at(desk: Desk) -> None:
    await desk.source(**HMAC, timestamp_header="X-Time", tolerance_seconds=60)
    body = body_of()
    for at, good in ((0, True), (100, False), (-100, False)):
        moment = str(int(desk.shop.context.clock.now().timestamp()) - at)
        headers = {**plain(f"{moment}.".encode() + body), "X-Time": moment}
        if good:
            await desk.take(body, headers, source="plain")
        else:
            with pytest.raises(MessageForged):
                await desk.take(body, headers, source="plain")


async def test_no_card_number_is_kept_of_a_provider_of_payments_or_of_a_stranger(desk: Desk) -> None:
    """Other sources are goods' and customers': a number of theirs that looks like a card's stays as it came."""
    await desk.source(**SIGNED["stripe"][0])
    card = "4242424242424242"
    body = body_of(number=card, ean=card)
    paid = await desk.entry(await desk.take(body, timed(body), source="paid"))
    assert card not in json.dumps(paid.payload)
    with pytest.raises(MessageForged):
        await desk.take(body, {})
    (forged,) = (await desk.shop.inbox.list(status=InboxStatus.FAILED)).items
    assert card not in json.dumps((await desk.entry(forged.id)).payload)
    goods = await desk.entry(await desk.take(body, standard(body)))
    assert goods.payload["ean"] == card


@pytest.mark.usefixtures("one_window")
async def test_a_flood_of_forged_ones_does_not_fill_the_table(desk: Desk) -> None:
    body = body_of(text="x" * 9_000)
    for _ in range(FORGED_MAX + 20):
        with pytest.raises(MessageForged):
            await desk.take(body, {})
    assert await desk.rows() == FORGED_MAX
    (newest, *_) = (await desk.shop.inbox.list()).items
    assert (await desk.entry(newest.id)).payload == {"left_out": f"{len(body)} bytes"}
    await desk.take(body)
    await purge(desk.room.db, limit=1_000)
    assert await desk.rows() == FORGED_MAX + 1
    await desk.run(
        "UPDATE {webhooks_inbox} SET created_at = now() - interval '2 days', received_at = now() - interval '2 days' "
        "WHERE tenant_id = $1"
    )
    assert await purge(desk.room.db, limit=1_000) >= FORGED_MAX
    assert await desk.rows() == 1


async def test_what_was_processed_goes_after_a_month_and_what_failed_stays(desk: Desk) -> None:
    for status in ("completed", "skipped", "failed", "pending"):
        message = await desk.take(body_of())
        at = "now()" if status != "pending" else "NULL"
        sql = f"UPDATE {{webhooks_inbox}} SET status = $2, processed_at = {at} WHERE tenant_id = $1 AND id = $3"
        await desk.run(sql, status, message)
    for days, left in ((29, 4), (31, 2)):
        sql = "UPDATE {webhooks_inbox} SET received_at = now() - $2::interval WHERE tenant_id = $1"
        await desk.run(sql, timedelta(days=days))
        await purge(desk.room.db, limit=1_000)
        assert await desk.rows() == left
    assert {each.status for each in (await desk.shop.inbox.list()).items} == {InboxStatus.FAILED, InboxStatus.PENDING}


async def test_of_many_shops_none_is_left_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shops whose old messages stay, more of them than are asked for at once, do not hide the others'."""
    monkeypatch.setattr("storeroom.inbox.jobs.TENANTS_MAX", 2)
    desks = sorted(
        [desk, *[Desk(desk.room, await open_shop(desk.room)) for _ in range(3)]], key=lambda each: each.shop.tenant_id
    )
    for each in desks:
        if each is not desk:
            await each.source()
        status = "completed" if each is desks[-1] else "failed"
        sql = (
            "UPDATE {webhooks_inbox} SET status = $2, processed_at = now(), received_at = now() - interval '31 days' "
            "WHERE tenant_id = $1 AND id = $3"
        )
        await each.run(sql, status, await each.take(body_of()))
    await purge(desk.room.db, limit=1_000)
    assert [await each.rows() for each in desks] == [1, 1, 1, 0]


@pytest.mark.parametrize(
    "body",
    [b"", b"not json", b"[1]", b'"text"', b"\xff\xfe", b'{"a": "\\ud800"}', b"[" * 20_000],
    ids=lambda b: repr(b[:12]),
)
async def test_what_no_handler_could_read_is_refused(desk: Desk, body: bytes) -> None:
    await desk.source(**HMAC)
    with pytest.raises(InvalidMessage):
        await desk.take(body, plain(body), source="plain")
    assert await desk.rows() == 0


async def test_a_message_that_is_too_long_is_refused(desk: Desk) -> None:
    body = body_of(text="x" * BODY_BYTES_MAX)
    with pytest.raises(InvalidMessage):
        await desk.take(body)
    assert await desk.rows() == 0


@pytest.mark.parametrize("source", ["nobody", "", "a.b", "\x00", "ü", "x" * 5_000, "EPICOR_PROPELLO"])
async def test_a_source_that_nobody_made_is_refused(desk: Desk, source: str) -> None:
    with pytest.raises(SourceNotFound):
        await desk.take(body_of(), source=source)
    assert await desk.rows() == 0


async def test_a_source_that_is_switched_off_is_refused(desk: Desk) -> None:
    await desk.shop.webhook_sources.update(code="epicor_propello", changes=SourceChanges(is_active=False))
    with pytest.raises(SourceNotFound):
        await desk.take(body_of())
    await desk.shop.webhook_sources.update(code="epicor_propello", changes=SourceChanges(is_active=True))
    await desk.take(body_of())


async def test_the_secret_before_is_good_until_it_is_dropped(desk: Desk) -> None:
    sources = desk.shop.webhook_sources
    new = (await sources.rotate(code="epicor_propello")).reveal()
    for secret, by in ((SECRET, "previous_secret"), (new, "secret")):
        body = body_of()
        assert (await desk.entry(await desk.take(body, standard(body, secret=secret)))).verified_by == by
    await sources.drop_previous_secret(code="epicor_propello")
    body = body_of()
    with pytest.raises(MessageForged):
        await desk.take(body)
    await desk.take(body, standard(body, secret=new))
    text = await desk.one("SELECT string_agg(to_jsonb(s)::text, '') FROM {webhook_sources} s WHERE tenant_id = $1")
    assert SECRET not in text and new not in text


@pytest.mark.requirement("SBB-WIN-10")
async def test_the_same_event_at_once_is_stored_once(desk: Desk) -> None:
    body = body_of()
    receipts = await asyncio.gather(
        *(
            desk.shop.inbound.receive(source="epicor_propello", body=body, headers=standard(body, id="msg_9"))
            for _ in range(8)
        )
    )
    assert sorted(each.repeated for each in receipts) == [False] + [True] * 7
    assert await desk.rows() == 1


async def test_an_event_without_an_id_is_its_bytes(desk: Desk) -> None:
    await desk.source("shippo")
    header = "Shippo-Auth-Signature"
    for body, new in (
        (parcel("1Z", "TRANSIT"), True),
        (parcel("1Z", "TRANSIT"), False),
        (parcel("1Z", "DELIVERED"), True),
    ):
        receipt = await desk.shop.inbound.receive(source="shippo", body=body, headers=timed(body, header=header))
        assert receipt.repeated is not new


@pytest.mark.parametrize(
    "facts",
    [
        {"code": "Shippo"},
        {"code": "a-b"},
        {"code": ""},
        {"secret": "short"},
        {"secret": "whsec_%%%%%%%%"},
        {"signature_header": "no header"},
        {"timestamp_header": "a\nb"},
        {"prefix": "x" * 21},
        {"event_id_at": "id"},
        {"event_type_at": "payload:"},
        {"event_type_at": "query:a"},
        {"max_attempts": 0},
        {"tolerance_seconds": 5},
        {"scheme": Scheme.STANDARD_WEBHOOKS, "tolerance_seconds": 600},
    ],
    ids=str,
)
async def test_what_no_source_can_be_is_refused(desk: Desk, facts: dict[str, Any]) -> None:
    with pytest.raises(InvalidSource):
        await desk.shop.webhook_sources.create(**{"code": "other", **facts})
    with pytest.raises(SourceTaken):
        await desk.shop.webhook_sources.create(code="epicor_propello")


async def test_the_tolerance_of_standard_webhooks_is_its_own(desk: Desk) -> None:
    sources = desk.shop.webhook_sources
    with pytest.raises(InvalidSource, match="tolerance_seconds"):
        await sources.update(code="epicor_propello", changes=SourceChanges(tolerance_seconds=600))
    await desk.run("UPDATE {webhook_sources} SET tolerance_seconds = 600 WHERE tenant_id = $1")
    kept = await sources.update(code="epicor_propello", changes=SourceChanges(max_attempts=5))
    assert (kept.tolerance_seconds, kept.max_attempts) == (300, 5)
    await desk.source(**HMAC, timestamp_header="X-Time", tolerance_seconds=60)
    assert (await sources.get(code=HMAC["code"])).tolerance_seconds == 60


@pytest.mark.requirement("SBB-WIN-09")
async def test_staff_find_a_message_by_what_it_is(desk: Desk) -> None:
    await desk.source(**HMAC)
    ids = [await desk.take(body_of(type=kind)) for kind in ("Inventory", "Inventory", "Customer")]
    body = body_of(type="Inventory")
    other = await desk.take(body, plain(body), source="plain")
    sql = "UPDATE {webhooks_inbox} SET status = 'failed', processed_at = now() WHERE tenant_id = $1 AND id = $2"
    await desk.run(sql, ids[0])

    async def found(**asked: Any) -> list[InboxId]:
        return [each.id for each in (await desk.shop.inbox.list(**asked)).items]

    assert await found() == [other, *reversed(ids)]
    assert await found(status=InboxStatus.FAILED) == ids[:1]
    assert await found(status=InboxStatus.PENDING, source="epicor_propello") == [ids[2], ids[1]]
    assert await found(source="epicor_propello", webhook_type="Customer") == [ids[2]]
    first = await desk.shop.inbox.list(limit=3)
    assert [each.id for each in (await desk.shop.inbox.list(limit=3, cursor=first.next_cursor)).items] == ids[:1]
    with pytest.raises(InvalidSource):
        await desk.shop.inbox.list(webhook_type="Customer")
    with pytest.raises(MessageNotFound):
        await desk.shop.inbox.get(message_id=InboxId(new_id()))
    assert {each.status: each.rows for each in await desk.shop.inbox.depths()} == {"pending": 3, "failed": 1}
