"""Mail from the queue to a real server, whatever the server says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiosmtplib
import pytest
from postbox import LOGIN, Postbox, certificate, mailing
from sending import ANN, Office

from ports import free_port
from storeroom.core.ids import new_id
from storeroom.identity import UserRole
from storeroom.integration import WebhookStatus
from storeroom.integration.model import CARRY_MAX
from storeroom.messaging import smtp
from storeroom.notices import Channel


async def test_a_mail_says_who_it_is_from_and_what_happened(office: Office, postbox: Postbox) -> None:
    queued = await office.queue()
    await office.by_mail(postbox).work()
    (letter,) = postbox.letters
    mail = letter.mail
    assert (letter.sender, letter.receivers) == ("mail@shop.example", [ANN])
    assert (mail["From"], mail["To"]) == ("The shop <mail@shop.example>", ANN)
    assert mail["Subject"] == "Your password was changed"
    assert mail["Message-ID"] == f"<{queued}@shop.example>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert "Hello Ann," in letter.part("plain") and "January 31, 2026" in letter.part("plain")
    (row,) = await office.rows()
    assert (row.status, row.attempts, row.response_status, row.payload) == (WebhookStatus.SUCCESS, 1, 250, None)


async def test_a_shop_says_itself_who_it_is(office: Office, postbox: Postbox) -> None:
    for key, value in {
        "mail.from_address": "bestellung@bücher.example",
        "mail.from_name": "Bücher, Gläser & Co",
        "mail.reply_to": "help@shop.example",
        "mail.logo_url": "https://shop.example/l.png",
        "notices.shop_name": "Bücher",
        "notices.order_url": "https://shop.example/orders/{number}",
        "notices.order_placed_bcc": "books@shop.example, ann@example.com",
    }.items():
        await office.set(key, value)
    usd = {"amount": 1000, "currency": "USD"}
    lines = [{"name": "<b>Tea</b>", "quantity": 1, "unit_price": usd, "total": usd}]
    await office.queue("order_placed", order_number="A/1", lines=lines, subtotal=usd, total=usd)
    await office.by_mail(postbox).work()
    (letter,) = postbox.letters
    mail = letter.mail
    assert mail["From"] == '"Bücher, Gläser & Co" <bestellung@xn--bcher-kva.example>'
    assert (mail["Sender"], mail["Reply-To"]) == ("mail@shop.example", "help@shop.example")
    assert (letter.sender, letter.receivers) == ("mail@shop.example", [ANN, "books@shop.example"])
    assert "books@" not in letter.raw.decode(), "nobody sees who gets a copy"
    html = letter.part("html")
    assert "&lt;b&gt;Tea" in html and "<b>Tea" not in html
    assert 'href="https://shop.example/orders/A%2F1"' in html and "https://shop.example/l.png" in html
    assert "https://shop.example/orders/A%2F1" in letter.part("plain")


async def test_what_the_server_cannot_take_now_is_tried_again_as_the_same_mail(
    office: Office, postbox: Postbox
) -> None:
    await office.queue()
    postbox.answers = ["451 4.3.0 try later", "421 4.3.2 closing"]
    at = office.by_mail(postbox)
    await at.work()
    assert postbox.letters == []
    (row,) = await office.rows()
    assert (row.status, row.response_status) == (WebhookStatus.PENDING, 451)
    assert row.last_error is not None and "451 4.3.0" in row.last_error
    await at.again()
    await at.again()
    assert [row.status for row in await office.rows()] == [WebhookStatus.SUCCESS]
    first = postbox.letters[0].raw
    await office.run("UPDATE {webhook_queue} SET status = 'pending', completed_at = NULL")
    await at.again()
    assert postbox.letters[1].raw == first, "the same to the byte"


async def test_an_answer_that_is_no_text_makes_no_second_mail(office: Office, postbox: Postbox) -> None:
    postbox.answers = ["451 4.3.0 sp\udce4ter\x00", "250 2.0.0 angenommen f\udcfcr\x00 morgen"]
    await office.queue()
    at = office.by_mail(postbox)
    await at.work()
    (row,) = await office.rows()
    assert (row.status, row.last_error) == (WebhookStatus.PENDING, "the mail was refused: 451 4.3.0 sp?ter")
    await at.again()
    (row,) = await office.rows()
    assert (row.status, row.response_body) == (WebhookStatus.SUCCESS, "250 2.0.0 angenommen f?r morgen")
    await at.again()
    assert len(postbox.letters) == 1


async def test_a_receiver_that_does_not_exist_is_given_up_at_once(office: Office, postbox: Postbox) -> None:
    postbox.refused = {ANN: f"550 5.1.1 <{ANN}> unknown", "copy@shop.example": "450 4.2.1 not now"}
    await office.queue()
    await office.queue(to="bo@example.com", bcc=("copy@shop.example",))
    await office.by_mail(postbox).work()
    gone, sent = await office.rows()
    assert (gone.status, gone.attempts, gone.response_status) == (WebhookStatus.FAILED, 1, 550)
    assert gone.last_error is not None and "550 5.1.1" in gone.last_error
    assert ANN not in gone.last_error, "who a mail was for stands nowhere"
    assert sent.status is WebhookStatus.SUCCESS, "a copy that is refused keeps nobody's mail back"
    for _ in range(8):
        await office.queue(to="bo@example.com")
    postbox.connections = 0
    await office.by_mail(postbox).work()
    assert len(postbox.letters) == 9 and postbox.connections <= 2, "a connection serves many"


@pytest.mark.parametrize(
    ("answer", "final"),
    [
        ("550 5.1.1 unknown", True),
        ("553 unknown", True),
        ("550 5.7.1 relaying denied", False),
        ("530 5.7.0 log in first", False),
        ("554 5.7.1 your address is on a list", False),
        ("554 no", False),
    ],
)
async def test_who_is_refused_for_our_sake_is_tried_again(
    office: Office, postbox: Postbox, answer: str, final: bool
) -> None:
    postbox.refused = {ANN: answer}
    await office.queue()
    await office.by_mail(postbox).work()
    (row,) = await office.rows()
    assert row.status is (WebhookStatus.FAILED if final else WebhookStatus.PENDING), row.last_error
    assert row.response_status == int(answer[:3])


async def test_a_slow_server_gets_the_time_there_is_or_no_mail_at_all(
    office: Office, postbox: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    data = aiosmtplib.SMTP.data

    async def spied(client: aiosmtplib.SMTP, content: bytes, *, timeout: float) -> aiosmtplib.SMTPResponse:
        waited.append(timeout)
        return await data(client, content, timeout=timeout)

    monkeypatch.setattr(aiosmtplib.SMTP, "data", spied)
    await office.queue()
    await office.by_mail(postbox).work()
    assert len(postbox.letters) == 1 and 60 < waited[0] <= smtp.SEND_MAX_S < CARRY_MAX.total_seconds()
    monkeypatch.setattr(smtp, "SEND_MAX_S", smtp.TAKE_MIN_S)
    await office.queue()
    await office.by_mail(postbox).work()
    assert len(postbox.letters) == 1, "too little was left to hear whether it was taken"
    assert (await office.rows())[-1].last_error == "the mail server is too slow"


async def test_a_mail_that_is_refused_as_such_is_tried_again(office: Office, postbox: Postbox) -> None:
    postbox.answers = ["554 5.7.1 no mail of yours"]
    await office.queue()
    await office.by_mail(postbox).work()
    (row,) = await office.rows()
    assert (row.status, row.response_status) == (WebhookStatus.PENDING, 554)


async def test_a_server_that_is_not_there_is_waited_for(office: Office, postbox: Postbox) -> None:
    await office.queue()
    await office.by_mail(Postbox(port=free_port())).work()
    (row,) = await office.rows()
    assert row.status is WebhookStatus.PENDING and "is not reached" in str(row.last_error)
    await office.by_mail(postbox).again()
    assert len(postbox.letters) == 1


async def test_over_starttls_with_a_login(office: Office, tmp_path: Path) -> None:
    context, trusted = certificate(tmp_path)
    async with mailing(tls=context) as box:
        await office.queue()
        await office.by_mail(box, "smtp://shop%40shop.example:p%3Aa%2Fss%40word@127.0.0.1:{port}").work()
        (row,) = await office.rows()
        assert box.letters == [] and "CERTIFICATE" in str(row.last_error).upper(), "nobody vouches for this server"
        url = "smtp://shop%40shop.example:{word}@127.0.0.1:{port}?ca=" + str(trusted)
        await office.by_mail(box, url.replace("{word}", "wrong")).again()
        (row,) = await office.rows()
        assert (row.status, row.response_status) == (WebhookStatus.PENDING, 535), row.last_error
        await office.by_mail(box, url.replace("{word}", "p%3Aa%2Fss%40word")).again()
        (letter,) = box.letters
        assert (letter.encrypted, letter.login) == (True, LOGIN[0].decode())
        assert "p:a/ss@word" not in str([row.last_error for row in await office.rows()])


async def test_where_tls_is_asked_for_nothing_goes_without(office: Office, postbox: Postbox, tmp_path: Path) -> None:
    await office.queue()
    await office.by_mail(postbox, "smtp://127.0.0.1:{port}?starttls=required").work()
    assert postbox.letters == []
    context, trusted = certificate(tmp_path)
    async with mailing(tls=context, implicit=True) as box:
        await office.by_mail(box, "smtps://127.0.0.1:{port}?ca=" + str(trusted)).again()
        assert len(box.letters) == 1


@pytest.mark.parametrize(
    "name", ["Ann\r\nBcc: eve@example.com", "Ann\nSubject: x\n\nbody", "Ann\x00\u2028Bcc: e@x.example"]
)
async def test_no_fact_reaches_a_header(office: Office, postbox: Postbox, name: str) -> None:
    usd = {"amount": 1000, "currency": "USD"}
    await office.shop.notice_templates.create(
        kind="order_cancelled",
        channel="mail",
        subject="{{ name }}\n{{ reason }}",
        body="{{ name }}",  # type: ignore[arg-type]
    )
    await office.set("mail.from_name", "The shop")
    await office.queue("order_cancelled", order_number="A-1", total=usd, name=name, reason=name)
    await office.queue(to="eve@example.com\r\nRCPT TO:<bo@example.com>")
    await office.by_mail(postbox).work()
    (letter,) = postbox.letters
    assert letter.receivers == [ANN]
    assert set(letter.mail.keys()) == {
        "Message-ID", "Date", "From", "To", "Subject", "Auto-Submitted", "X-Auto-Response-Suppress",
        "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip
    assert (await office.rows())[1].status is WebhookStatus.FAILED


@pytest.mark.requirement("SBB-WOUT-02", "SBB-WOUT-03")
async def test_a_mail_waits_for_its_time_and_is_listed_with_what_it_is_about(office: Office, postbox: Postbox) -> None:
    order_id = new_id()
    await office.queue(entity=("order", order_id), not_before=datetime.now(UTC) + timedelta(hours=1))
    await office.queue("phone_code", channel=Channel.SMS, to="12125550199", entity=("order", order_id), code="493817")
    await office.by_mail(postbox).work()
    assert postbox.letters == []
    told = await office.shop.webhooks.of_entity(entity_type="order", entity_id=order_id)
    assert {(row.destination, row.status, row.payload) for row in told} == {
        ("mail", WebhookStatus.PENDING, None),
        ("sms", WebhookStatus.SUCCESS, None),
    }
    await office.by_mail(postbox).again()
    assert [letter.receivers for letter in postbox.letters] == [[ANN]]


async def test_where_one_may_turn_it_off_stands_in_a_header(office: Office, postbox: Postbox) -> None:
    usd = {"amount": 1000, "currency": "USD"}
    for link in ("https://shop.example/stop?token=a>\r\nBcc: eve@example.com", "javascript:alert(1)"):
        await office.queue("abandoned_cart", lines=[], total=usd, stop_link=link)
    await office.by_mail(postbox).work()
    found = [letter.mail["List-Unsubscribe"] for letter in postbox.letters]
    assert sorted(str(each).strip() for each in found) == [
        "<https://shop.example/stop?token=a%3E%20Bcc:%20eve@example.com>",
        "None",
    ]
    assert not [letter for letter in postbox.letters if letter.mail["Bcc"]]


@pytest.mark.parametrize("to", [ANN, "jürgen@bücher.example"])
async def test_the_way_to_turn_it_off_is_one_line(office: Office, postbox: Postbox, to: str) -> None:
    link = "https://shop.example/v1/reminders/stop?token=" + "aB3_-xYz9" * 13
    await office.queue("abandoned_cart", to=to, lines=[], total={"amount": 1000, "currency": "USD"}, stop_link=link)
    await office.by_mail(postbox).work()
    (letter,) = postbox.letters
    assert f"List-Unsubscribe: <{link}>".encode() in letter.raw.splitlines()


async def test_letters_beyond_ascii_in_an_address(office: Office, postbox: Postbox) -> None:
    await office.queue(to="jürgen@bücher.example")
    await office.by_mail(postbox).work()
    (letter,) = postbox.letters
    assert letter.receivers == ["jürgen@xn--bcher-kva.example"]


async def test_what_is_worth_nothing_any_more_is_not_sent(office: Office, postbox: Postbox) -> None:
    """A code that expired; an account that was closed; a shop that is suspended, until it is resumed."""
    at = office.by_mail(postbox)
    await office.queue(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    user = await office.shop.users.create(email="bo@example.com", role=UserRole.CUSTOMER)
    await office.queue(entity=("user", user.id))
    await office.shop.users.delete(user_id=user.id)
    await at.work()
    expired, closed = await office.rows()
    assert (expired.status, expired.last_error) == (WebhookStatus.FAILED, "it expired before it could be sent")
    assert (closed.status, closed.response_body) == (WebhookStatus.SUCCESS, "not sent: its account was closed")
    await office.queue()
    await office.room.tenants.suspend(office.shop.tenant_id)
    await at.again()
    assert postbox.letters == []
    await office.room.tenants.resume(office.shop.tenant_id)
    await at.again()
    assert len(postbox.letters) == 1


async def test_without_a_server_a_mail_is_a_file_that_one_can_read(office: Office) -> None:
    await office.queue("verify_email", facts={"token": "a-token", "expires_at": "2026-01-31T12:00:00Z"})
    await office.work()
    await office.run("UPDATE {webhook_queue} SET status = 'pending', completed_at = NULL WHERE destination = 'mail'")
    await office.again()
    (file,) = office.files()
    assert (file["kind"], file["to"], file["facts"]["token"]) == ("verify_email", ANN, "a-token")
    assert file["subject"] == "Prove your mail address" and "a-token" in file["text"]


LINKS = {
    "link": "https://shop.example/cart/restore?token=dG9rZW4tb2YtdGhlLWJ1eWVy",
    "stop_link": "https://shop.example/cart/stop?token=dG9rZW4tb2YtdGhlLWJ1eWVy",
}


async def remind(office: Office, **links: str) -> None:
    usd = {"amount": 1000, "currency": "USD"}
    lines = [{"name": "Tea", "quantity": 1, "total": usd}]
    await office.queue(
        "abandoned_cart", bcc=("sales@shop.example", "desk@shop.example"), lines=lines, total=usd, name="Ann", **links
    )


async def test_a_copy_holds_no_link_that_is_the_receivers_own(office: Office, postbox: Postbox) -> None:
    await remind(office, **LINKS)
    await office.by_mail(postbox).work()
    mail, copy = postbox.letters
    assert (mail.receivers, copy.receivers) == ([ANN], ["sales@shop.example", "desk@shop.example"])
    token = "dG9rZW4tb2YtdGhlLWJ1eWVy"
    assert token in mail.part("plain")
    assert "Tea" in copy.part("plain") and "https://" not in copy.part("plain")
    assert token not in copy.raw.decode() and copy.mail["List-Unsubscribe"] is None
    assert copy.mail["To"] == mail.mail["To"] and copy.mail["Message-ID"] != mail.mail["Message-ID"]


async def test_where_there_is_no_such_link_a_copy_is_the_same_mail(office: Office, postbox: Postbox) -> None:
    await remind(office)
    await office.by_mail(postbox).work()
    (mail,) = postbox.letters
    assert mail.receivers == [ANN, "sales@shop.example", "desk@shop.example"]


async def test_a_copy_that_nobody_takes_sends_the_mail_no_second_time(office: Office, postbox: Postbox) -> None:
    postbox.refused = {"sales@shop.example": "550 5.1.1 nobody", "desk@shop.example": "550 5.1.1 nobody"}
    await remind(office, **LINKS)
    await office.by_mail(postbox).work()
    (row,) = await office.rows()
    assert (row.status, len(postbox.letters)) == ("success", 1)
    assert "the copy was not taken" in str(row.response_body)
    postbox.refused = {"sales@shop.example": "550 5.1.1 nobody"}
    await remind(office, **LINKS)
    await office.by_mail(postbox).work()
    assert [each.receivers for each in postbox.letters[1:]] == [[ANN], ["desk@shop.example"]]
