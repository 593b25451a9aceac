"""Text messages through a gateway that is asked over HTTP, as its operator describes it."""

from pathlib import Path
from urllib.parse import parse_qs

import pytest
from sending import Office

from receiver import Receiver, receiving, status
from storeroom.core.secrets import Secret
from storeroom.core.senders import SmsGateway
from storeroom.integration import WebhookStatus
from storeroom.notices import Channel

PHONE = "94771234567"
ODD = '1","to":"9 {token} &To=8\r\nX: y é'


def gateway(receiver: Receiver, **more: object) -> SmsGateway:
    return SmsGateway(url=receiver.url, sender="Shop", token=Secret("a token"), **more)  # type: ignore[arg-type]


async def send(office: Office, at: SmsGateway, code: str = "493817") -> None:
    await office.queue("phone_code", channel=Channel.SMS, to=PHONE, facts={"code": code, "minutes": 5})
    await office.by_sms(at).work()


async def test_json_with_a_token(office: Office) -> None:
    async with receiving() as receiver:
        await send(
            office, gateway(receiver, body='{"to": "+{to}", "message": {"text": "{text}"}, "from": "{from}", "n": 1}')
        )
    (request,) = receiver.requests
    assert request.json["to"] == f"+{PHONE}" and request.json["from"] == "Shop" and request.json["n"] == 1
    assert request.json["message"]["text"].startswith("493817 is your code for ")
    assert request.headers["authorization"] == "Bearer a token"
    (row,) = await office.rows("sms")
    assert (row.status, row.response_status, row.response_body) == (WebhookStatus.SUCCESS, 200, None)
    assert request.headers["idempotency-key"] == str(row.id)


@pytest.mark.parametrize(
    ("more", "read"),
    [
        ({}, lambda request: (request.json["to"], request.json["text"])),
        (
            {"body": "To=%2B{to}&Text={text}&Key={token}"},
            lambda request: (parse_qs(request.body.decode())["To"][0][1:], parse_qs(request.body.decode())["Text"][0]),
        ),
        (
            {"method": "GET", "path": "?to={to}&text={text}", "headers": {"X-Key": "{token}"}},
            lambda request: tuple(parse_qs(request.path.partition("?")[2])[name][0] for name in ("to", "text")),
        ),
    ],
)
async def test_no_text_leaves_its_place(office: Office, more: dict[str, object], read: object) -> None:
    async with receiving() as receiver:
        path = str(more.pop("path", ""))
        at = SmsGateway(url=receiver.url + path, token=Secret("a token"), **more).check()  # type: ignore[arg-type]
        asked = at.request(to=PHONE, text=ODD, message_id="1")
        assert "a token" not in repr(asked)
        await send(office, at, code=ODD)
    (request,) = receiver.requests
    to, text = read(request)  # type: ignore[operator]
    assert to == PHONE
    assert text.startswith('1","to":"9 {token} &To=8\nX: y é is your code')
    assert "x" not in request.headers and request.headers["idempotency-key"]


@pytest.mark.parametrize(("said", "state"), [(400, "failed"), (503, "pending"), (401, "pending"), (429, "pending")])
async def test_a_message_that_is_wrong_is_given_up_and_all_else_waits(office: Office, said: int, state: str) -> None:
    code = "code-4938-17"  # digits alone may stand in the time or the id of a row
    async with receiving(status(said, f"cannot send {code}".encode())) as receiver:
        await send(office, gateway(receiver), code=code)
        assert code in receiver.requests[0].json["text"]
    (row,) = await office.rows("sms")
    assert (row.status, row.attempts) == (WebhookStatus(state), 1)
    assert code not in str(row)


async def test_without_a_gateway_a_message_is_a_file(office: Office) -> None:
    await office.queue("phone_code", channel=Channel.SMS, to=PHONE, facts={"code": "493817", "minutes": 5})
    await office.work()
    (file,) = office.files()
    assert (file["channel"], file["to"], file["facts"]["code"]) == ("sms", PHONE, "493817")
    assert file["text"].startswith("493817 is your code") and "subject" not in file
    (path,) = office.notices.iterdir()
    assert (path.stat().st_mode & 0o777, office.notices.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_a_folder_that_cannot_be_written_is_a_failed_attempt(office: Office) -> None:
    await office.queue()
    Path(office.folder).write_text("in the way")
    await office.work()
    (row,) = await office.rows()
    assert (row.status, row.last_error) == (WebhookStatus.PENDING, "the folder of notices: NotADirectoryError")
