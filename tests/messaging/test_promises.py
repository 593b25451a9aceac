"""What is queued is sent whoever dies, and nobody but its receiver reads it."""

import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from postbox import Postbox
from sending import Office

from factories import SECRET, open_shop
from receiver import receiving, status
from storeroom.core.secrets import Secret
from storeroom.core.senders import SmsGateway
from storeroom.database.pool import Database
from storeroom.database.service import SYSTEM, Actor, ActorKind
from storeroom.flows.secrets import rotate
from storeroom.identity import UserRole
from storeroom.integration.jobs import return_lost
from storeroom.notices import Channel
from storeroom.room import Storeroom
from storeroom.server import create_app
from storeroom.settings import Settings

PHONE = "12125550199"
CODE = "code-4938-17"  # digits alone may stand in the time or the id of a row
MAILER = Path(__file__).with_name("mailer.py")
PASSWORD = "correct horse battery"


async def test_a_worker_killed_while_it_sends_leaves_the_mail_to_another(
    fresh_database: Callable[..., Awaitable[str]], tmp_path: Path, postbox: Postbox
) -> None:
    """It may come twice then, and is the same mail: the server has both under one Message-ID."""
    dsn = await fresh_database()
    async with await Database.open(dsn) as db:
        room = Storeroom(db, secret=SECRET)
        office = Office(room, await open_shop(room, actor=SYSTEM), tmp_path)
        await office.queue()
        postbox.silent = True
        process = await asyncio.create_subprocess_exec(sys.executable, str(MAILER), dsn, SECRET, str(postbox.port))
        try:
            await asyncio.wait_for(postbox.came.wait(), 120)
        finally:
            process.kill()
            await process.wait()
        postbox.silent = False
        await office.run("UPDATE {webhook_queue} SET lease_until = now() WHERE status = 'processing'")
        assert await return_lost(db, limit=10) == 1
        await office.by_mail(postbox).again()
        (row,) = await office.rows()
    assert (row.status, row.attempts) == ("success", 2)
    first, second = postbox.letters
    assert first.raw == second.raw and first.mail["Message-ID"] == f"<{row.id}@shop.example>"


@pytest.mark.requirement("SIG-OTP-01")
async def test_a_code_goes_from_the_request_to_the_phone_and_back(office: Office) -> None:
    asked = await office.shop.phone_codes.request(phone="+1 212 555 0199")
    async with receiving() as receiver:
        await office.by_sms(SmsGateway(url=receiver.url)).work()
    (request,) = receiver.requests
    assert request.json["to"] == PHONE
    code = request.json["text"][:6]
    proof = await office.shop.phone_codes.verify(session_id=asked.session_id, code=code)
    assert proof.phone == PHONE


async def test_a_newcomer_reads_the_code_in_a_file(office: Office) -> None:
    asked = await office.shop.phone_codes.request(phone="+1 212 555 0199")
    await office.work()
    (file,) = office.files()
    assert await office.shop.phone_codes.verify(session_id=asked.session_id, code=file["facts"]["code"])


async def test_what_a_notice_says_is_in_no_table_no_log_and_no_answer(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes are searched for: the code, the token and the phone, while they wait and after they failed and arrived."""
    caplog.set_level(logging.DEBUG)
    shop = office.shop
    boss = await shop.users.create(email="boss@shop.example", role=UserRole.ADMIN, password=PASSWORD)
    await shop.users.register(email="bo@example.com", password=PASSWORD, full_name="Bo Buyer")
    await shop.mail_proofs.send_reset(email="bo@example.com")
    await office.queue("phone_code", channel=Channel.SMS, to=PHONE, facts={"code": CODE, "minutes": 5})
    async with receiving(status(503, f"cannot send {CODE} to {PHONE}".encode())) as receiver:
        await office.by_sms(SmsGateway(url=receiver.url, token=Secret("the gateway's token"))).work()
        receiver.answer = status(200, f"sent {CODE} to {PHONE}".encode())
        await office.by_sms(SmsGateway(url=receiver.url, token=Secret("the gateway's token"))).again()
        assert len(receiver.requests) == 2
    token = next(file["facts"]["token"] for file in office.files() if file["kind"] == "reset_password")
    told = {CODE, PHONE, token, "the gateway's token"}

    rows = await office.run(
        "SELECT to_jsonb(q)::text FROM {webhook_queue} q UNION ALL SELECT to_jsonb(a)::text FROM {webhook_attempts} a"
    )
    assert len(rows) > 2
    staff = shop.acting(actor=Actor(kind=ActorKind.ADMIN, user_id=boss.id))
    seen = [str(await staff.webhooks.list(limit=100)), str(await staff.webhooks.depths())]
    seen += [str(await staff.webhooks.attempts(webhook_id=row.id)) for row in await office.rows("sms")]
    host = "notices.test"
    await office.room.tenants.add_host(shop.tenant_id, host)
    transport = httpx.ASGITransport(app=create_app(office.room, Settings()))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as http:
        signed = await shop.sessions.sign_in(email=boss.email, password=PASSWORD)
        headers = {"Authorization": f"Bearer {signed.access_token}"}
        listed = await http.get("/v1/admin/webhooks", headers=headers)
        notices = [row for row in listed.json()["items"] if row["destination"] != "webhooks"]
        assert {row["destination"] for row in notices} == {"sms", "mail"}
        assert {json.dumps(row["payload"]) for row in notices} == {"null"}
        seen.append(listed.text)
    for where in (*(row[0] for row in rows), *seen, caplog.text):
        assert not [said for said in told if said in where], where[:200]


async def test_another_secret_opens_what_waits_until_it_is_sealed_again(office: Office, postbox: Postbox) -> None:
    await office.queue()
    new = "another secret of the installation, for tests only"
    both = Storeroom(office.room.db, secret=new, other_secrets=[SECRET])
    alone = Office(Storeroom(office.room.db, secret=new), office.shop, office.folder)
    await alone.by_mail(postbox).work()
    (row,) = await office.rows()
    assert postbox.letters == [] and "cannot be opened" in str(row.last_error)
    await Office(both, office.shop, office.folder).by_mail(postbox).again()
    assert len(postbox.letters) == 1
    await office.queue()
    assert {done.what: done.resealed for done in await rotate(both.db, both.token_keys)}["notices"] == 1
    await alone.by_mail(postbox).again()
    assert len(postbox.letters) == 2
