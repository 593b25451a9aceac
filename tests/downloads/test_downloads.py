"""Digital goods: their files, the link that is sent once, and what ends it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from factories import SECRET, forged_from, make_method, make_product, open_shop, place
from rivals import race
from serving import app_of
from storeroom import notices
from storeroom.catalog import ProductNotFound
from storeroom.configuration import ConfigUnreadable
from storeroom.core.ids import OrderId, PaymentId, ProductId, VariantId, new_id
from storeroom.database.pool import Database, Transaction
from storeroom.downloads import (
    DownloadNotFound,
    DownloadOver,
    Downloads,
    FileNotAccepted,
    NotDigital,
    NothingToSend,
    queries,
)
from storeroom.downloads.jobs import Looked, send_links, send_unsent
from storeroom.downloads.model import LOOKED_AGAIN_MAX, LinkMail, is_good, look_again_at
from storeroom.identity import TokenKeys
from storeroom.notices import Notice
from storeroom.orders import OrderNotFound
from storeroom.payments import ProofStore
from storeroom.refunds import ItemToRefund, RefundMethod
from storeroom.room import Shop, Storeroom

BOOK = b"%PDF-1.7 a book"
QUEUED = "SELECT id, payload FROM webhook_queue WHERE tenant_id = $1 AND destination = 'mail' ORDER BY id"


@dataclass
class Stall:
    """A shop that sells one book to be downloaded, and a shirt."""

    shop: Shop
    room: Storeroom
    book: VariantId
    product: ProductId
    shirt: VariantId
    store: ProofStore

    @property
    def db(self) -> Database:
        return self.room.db

    @property
    def keys(self) -> TokenKeys:
        return self.room.token_keys

    @property
    def downloads(self) -> Downloads:
        return Downloads(self.shop.context, self.keys, files=self.store)

    async def ordered(self, *lines: VariantId, domain: str | None = None) -> tuple[OrderId, PaymentId]:
        placed = await place(self.shop, *((line, 1) for line in lines or (self.book,)), payment_method="zelle")
        assert placed.order.payment is not None
        return placed.order.id, placed.order.payment.id

    async def bought(self, *lines: VariantId) -> OrderId:
        order_id, payment_id = await self.ordered(*lines)
        await self.shop.payments.verify(payment_id=payment_id)
        return order_id

    async def sending(self, tx: Transaction) -> Looked:
        tenants = self.shop.context.tenants
        return await send_unsent(
            tx,
            tenants=tenants,
            keys=self.keys,
            tenant_id=self.shop.tenant_id,
            limit=50,  # type: ignore[arg-type]
        )

    async def send(self) -> int:
        return (await self.db.run(self.sending)).sent

    async def wait(self, span: timedelta) -> None:
        """As if so much time had gone by since the lines were looked at."""
        sql = (
            "UPDATE order_items SET download_due_at = download_due_at - $2::interval WHERE tenant_id = $1 "
            "AND isfinite(download_due_at)"
        )
        await self.db.execute(sql, self.shop.tenant_id, span)

    async def mails(self) -> list[Notice]:
        rows = await self.db.fetch(QUEUED, self.shop.tenant_id)
        return [
            notices.opened(self.keys, tenant_id=self.shop.tenant_id, webhook_id=row["id"], payload=row["payload"])
            for row in rows
        ]

    async def links(self) -> list[str]:
        return [str(each["link"]) for mail in await self.mails() for each in mail.facts["downloads"]]

    async def token(self) -> str:
        return (await self.links())[-1].rpartition("/")[2]


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(stall: Stall, token: str) -> bytes:
    file = await stall.downloads.open(token=token)
    return b"".join([chunk async for chunk in file.chunks])


@pytest.fixture
async def stall(shop: Shop, room: Storeroom, tmp_path: Path) -> Stall:
    return await stall_of(shop, room, tmp_path)


async def stall_of(shop: Shop, room: Storeroom, tmp_path: Path) -> Stall:
    await make_method(shop)
    await shop.configuration.set(key="general.service_url", value="https://api.example")
    book = await make_product(shop, name="The Handbook", slug="the-handbook", is_digital=True, stock=100)
    variant = await shop.products.variant(variant_id=book)
    made = Stall(shop, room, book, variant.product_id, await make_product(shop), ProofStore.at(str(tmp_path)))
    await made.downloads.put_file(
        product_id=made.product, chunks=pieces(BOOK[:3], BOOK[3:]), content_type="application/pdf"
    )
    return made


# --- Sending ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("STO-OI-03", "STO-PROD-03")
async def test_the_link_is_sent_once_for_each_digital_line_and_only_when_paid(stall: Stall) -> None:
    order_id, payment_id = await stall.ordered(stall.book, stall.shirt)
    assert await stall.send() == 0
    await stall.shop.payments.verify(payment_id=payment_id)
    assert await stall.send() == 1
    assert await stall.send() == 0
    (mail,) = await stall.mails()
    assert (mail.kind, mail.to) == ("download_ready", "bo@buyer.example")
    assert [each["name"] for each in mail.facts["downloads"]] == ["The Handbook"]
    (link,) = await stall.links()
    assert link.startswith(f"https://api.example/v1/downloads/{stall.shop.tenant_id}.")
    path = (await stall.shop.products.get(product_id=stall.product)).file_path
    assert path and path not in str(mail.facts)
    (told,) = await stall.downloads.of_order(order_id=order_id)
    assert (told.product_name, told.sent, told.mail) == ("The Handbook", False, LinkMail.QUEUED)
    assert await read(stall, await stall.token()) == BOOK


@pytest.mark.requirement("STO-OI-03")
async def test_a_worker_that_dies_between_sending_and_marking_loses_nothing(stall: Stall) -> None:
    await stall.bought()
    with pytest.raises(ConnectionError):
        async with stall.db.transaction() as tx:
            assert (await stall.sending(tx)).sent == 1
            raise ConnectionError
    assert await stall.mails() == []
    assert await stall.send() == 1
    assert len(await stall.mails()) == 1


@pytest.mark.requirement("STO-OI-03")
async def test_two_workers_at_once_send_one(stall: Stall) -> None:
    await stall.bought()
    async with stall.db.transaction() as tx:
        assert (await stall.sending(tx)).sent == 1
        assert await stall.send() == 0  # held by the other: passed over
    assert await stall.send() == 0
    assert len(await stall.mails()) == 1


async def test_the_job_goes_through_all_shops(stall: Stall) -> None:
    await stall.bought()
    assert await send_links(stall.db, keys=TokenKeys(None)) == 0
    assert await send_links(stall.db, keys=stall.keys) >= 1
    assert len(await stall.mails()) == 1


async def test_a_shop_where_it_fails_keeps_no_other_from_its_turn(
    fresh_database: Callable[[], Awaitable[str]], tmp_path: Path
) -> None:
    async with Storeroom.open(await fresh_database(), secret=SECRET) as room:
        stalls = []
        for shop in sorted([await open_shop(room), await open_shop(room)], key=lambda shop: shop.tenant_id):
            stalls.append(await stall_of(shop, room, tmp_path))
            await stalls[-1].bought()
        sql = "UPDATE store_configs SET value = 'no address' WHERE tenant_id = $1 AND key = 'general.service_url'"
        await room.db.execute(sql, stalls[0].shop.tenant_id)
        with pytest.raises(ConfigUnreadable):
            await send_links(room.db, keys=room.token_keys)
        assert [len(await each.mails()) for each in stalls] == [0, 1]


async def test_a_file_that_comes_after_the_money_is_sent_then(stall: Stall) -> None:
    late = await make_product(stall.shop, name="Volume Two", is_digital=True)
    await stall.bought(late)
    assert await stall.send() == 0
    product = (await stall.shop.products.variant(variant_id=late)).product_id
    await stall.downloads.put_file(product_id=product, chunks=pieces(b"ID3 a song"), content_type="audio/mpeg")
    assert await stall.send() == 1


async def test_a_line_that_cannot_be_sent_is_left_alone_until_something_changes(stall: Stall) -> None:
    late = await make_product(stall.shop, name="Volume Two", is_digital=True)
    await stall.bought(late)
    order_id, payment_id = await stall.ordered()
    looks = [await stall.db.run(stall.sending) for _ in range(2)]
    assert [(each.lines, each.sent) for each in looks] == [(2, 0), (0, 0)]
    assert stall.shop.tenant_id not in await queries.tenants_with_due(stall.db, rows=1_000)
    await stall.shop.payments.verify(payment_id=payment_id)
    assert await stall.db.run(stall.sending) == Looked(lines=1, sent=1)
    await stall.wait(timedelta(minutes=2))
    assert await stall.db.run(stall.sending) == Looked(lines=1, sent=0)
    product = (await stall.shop.products.variant(variant_id=late)).product_id
    await stall.downloads.put_file(product_id=product, chunks=pieces(BOOK), content_type="application/pdf")
    assert await stall.db.run(stall.sending) == Looked(lines=1, sent=1)
    assert [line.mail for line in await stall.downloads.of_order(order_id=order_id)] == [LinkMail.QUEUED]


async def test_an_order_that_is_paid_while_its_line_is_looked_at_is_sent_at_the_next_look(stall: Stall) -> None:
    """The look has read it as unpaid. Whoever pays waits for that to end, or the line would be put off after it."""
    _, payment_id = await stall.ordered()
    paid = await race(stall.db, stall.sending, lambda: stall.shop.payments.verify(payment_id=payment_id))
    assert not isinstance(paid, BaseException)
    assert await stall.send() == 1


def test_the_longer_ago_it_was_ordered_the_longer_a_line_is_left_alone() -> None:
    now = datetime(2026, 3, 1, tzinfo=UTC)
    waits = {}
    for age in (timedelta(0), timedelta(hours=1), timedelta(hours=24), timedelta(days=29), timedelta(days=30)):
        at = look_again_at(ordered_at=now - age, now=now)
        waits[age] = at and at - now
    assert list(waits.values()) == [
        timedelta(minutes=1),
        timedelta(minutes=15),
        timedelta(hours=6),
        timedelta(hours=6),
        None,
    ]


@pytest.mark.parametrize("how", ["refunded", "cancelled"])
async def test_an_order_that_has_ended_is_sent_nothing_and_its_links_are_closed(stall: Stall, how: str) -> None:
    ended, _ = await stall.bought(), await stall.bought()
    await stall.send()
    token = (await stall.links())[0].rpartition("/")[2]
    again, payment_id = await stall.ordered()
    await stall.shop.payments.verify(payment_id=payment_id)
    for order_id in (ended, again):
        if how == "cancelled":
            await stall.shop.cancellation.cancel(order_id=order_id, reason="the buyer asked")
            continue
        (line,) = await stall.shop.orders.items(order_id=order_id)
        (payment,) = await stall.shop.payments.for_order(order_id=order_id)
        refund = await stall.shop.refunds.request(
            payment_id=payment.id,
            amount=payment.amount,
            reason="not what was wanted",
            items=[ItemToRefund(order_item_id=line.id, quantity=1)],
        )
        await stall.shop.refunding.complete(refund_id=refund.id, method=RefundMethod.OTHER)
    assert await stall.send() == 0
    with pytest.raises(DownloadOver) as over:
        await stall.downloads.open(token=token)
    assert over.value.why == "closed"
    assert await read(stall, await stall.token()) == BOOK  # another order's
    with pytest.raises(NothingToSend):
        await stall.downloads.send(order_id=ended)


async def test_staff_send_it_again_and_the_link_before_ends(stall: Stall) -> None:
    order_id = await stall.bought()
    await stall.send()
    old = await stall.token()
    await read(stall, old)
    (sent,) = await stall.downloads.send(order_id=order_id)
    assert (sent.mail, sent.downloads, sent.downloads_max) == (LinkMail.QUEUED, 0, 5)
    new = await stall.token()
    assert new != old and await read(stall, new) == BOOK
    with pytest.raises(DownloadNotFound):
        await stall.downloads.open(token=old)
    with pytest.raises(OrderNotFound):
        await stall.downloads.send(order_id=OrderId(new_id()))
    shipped = await stall.bought(stall.shirt)
    with pytest.raises(NothingToSend):
        await stall.downloads.send(order_id=shipped)
    assert await stall.downloads.of_order(order_id=shipped) == []


# --- Handing out -----------------------------------------------------------------------------------------------------


async def test_a_link_works_as_often_and_as_long_as_the_shop_says(stall: Stall) -> None:
    await stall.shop.configuration.set(key="downloads.times", value="2", group="downloads")
    await stall.shop.configuration.set(key="downloads.days", value="3", group="downloads")
    order_id = await stall.bought()
    await stall.send()
    token = await stall.token()
    for _ in range(2):
        assert await read(stall, token) == BOOK
    with pytest.raises(DownloadOver) as over:
        await stall.downloads.open(token=token)
    assert over.value.why == "used_up"
    await stall.downloads.send(order_id=order_id)
    await stall.db.execute(
        "UPDATE downloads SET expires_at = expires_at - INTERVAL '3 days' WHERE tenant_id = $1", stall.shop.tenant_id
    )
    with pytest.raises(DownloadOver) as over:
        await stall.downloads.open(token=await stall.token())
    assert over.value.why == "expired"


async def test_two_who_come_for_the_last_time_get_it_once(stall: Stall) -> None:
    await stall.shop.configuration.set(key="downloads.times", value="1", group="downloads")
    await stall.bought()
    await stall.send()
    token = await stall.token()
    named, _ = await stall.downloads._link(token=token)

    async def first(tx: Transaction) -> None:
        await stall.downloads.bound(tx)._count(named=named)

    outcome = await race(stall.db, first, lambda: stall.downloads.open(token=token))
    assert isinstance(outcome, DownloadOver) and outcome.why == "used_up"


async def test_a_file_that_cannot_be_opened_costs_no_download(stall: Stall, tmp_path: Path) -> None:
    order_id = await stall.bought()
    await stall.send()
    path = (await stall.shop.products.get(product_id=stall.product)).file_path
    (tmp_path / str(path)).unlink()
    with pytest.raises(DownloadNotFound):
        await stall.downloads.open(token=await stall.token())
    (found,) = await stall.downloads.of_order(order_id=order_id)
    assert found.downloads == 0


async def test_what_is_no_link_of_this_shop_opens_nothing(stall: Stall, room: Storeroom) -> None:
    await stall.bought()
    await stall.send()
    token = await stall.token()
    other = await open_shop(room)
    theirs = Downloads(other.context, stall.keys, files=stall.store)
    moved = f"{other.tenant_id}.{token.partition('.')[2]}"
    for wrong in (token, moved):
        with pytest.raises(DownloadNotFound):
            await theirs.open(token=wrong)
    for wrong in (
        "",
        ".",
        stall.shop.tenant_id,
        f"{stall.shop.tenant_id}.1.ab.cd",
        forged_from(token),
        token + "x" * 500,
    ):
        with pytest.raises(DownloadNotFound):
            await stall.downloads.open(token=wrong)


@pytest.mark.parametrize(
    "path",
    [
        None,
        "",
        "t/goods/",
        "t/payments/p/x.pdf",
        "other/goods/x.pdf",
        "t/goods/../payments/x.pdf",
        "t/goods//x.pdf",
        "t/goods/.hidden",
        "t/goods/a/../../payments/x",
        "t/goods/x.pdf/",
        "t/goods/a\nb.pdf",
        "/t/goods/x.pdf",
        "t/goods/" + "x" * 250,
    ],
)
@pytest.mark.requirement("STO-PROD-03")
def test_no_path_leads_out_of_the_folder_of_the_shops_goods(path: str | None) -> None:
    assert is_good("t", path) is False  # type: ignore[arg-type]
    assert is_good("t", "t/goods/by-hand/Book_1.2.pdf")  # type: ignore[arg-type]


async def test_a_path_that_staff_wrote_by_hand_is_handed_out_only_from_there(stall: Stall, tmp_path: Path) -> None:
    """In the statement that sends, too, or such a line would be looked at for ever."""
    for path in (
        "t/x.pdf",
        f"{stall.shop.tenant_id}/goods/../payments/x.pdf",
        f"{stall.shop.tenant_id}/payments/x.pdf",
    ):
        (tmp_path / "t").mkdir(exist_ok=True)
        await stall.shop.products.update(product_id=stall.product, file_path=path)
        await stall.bought()
        assert await stall.send() == 0
    await stall.wait(LOOKED_AGAIN_MAX)
    file = tmp_path / stall.shop.tenant_id / "goods" / "by-hand.pdf"
    file.write_bytes(b"%PDF- by hand")
    await stall.shop.products.update(product_id=stall.product, file_path=f"{stall.shop.tenant_id}/goods/by-hand.pdf")
    assert await stall.send() == 3
    assert await read(stall, await stall.token()) == b"%PDF- by hand"


# --- Files -----------------------------------------------------------------------------------------------------------


async def test_what_is_no_file_of_its_kind_is_not_kept(
    stall: Stall, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await stall.shop.products.get(product_id=stall.product)
    files = set(tmp_path.rglob("*"))
    monkeypatch.setattr("storeroom.downloads.model.FILE_BYTES_MAX", 1_000)
    for content_type, *chunks in (
        ("text/html", b"<script>"),
        ("application/pdf", b"MZ", b"an executable of some kind"),
        ("application/pdf", b""),
        ("application/pdf",),
        ("video/mp4", b"short"),
        ("application/pdf", b"%PDF-1.7 and on and on", b"x" * 600, b"x" * 600),
    ):
        with pytest.raises(FileNotAccepted):
            await stall.downloads.put_file(
                product_id=stall.product, chunks=pieces(*chunks), content_type=str(content_type)
            )
    assert await stall.shop.products.get(product_id=stall.product) == before
    assert {path for path in tmp_path.rglob("*") if path.is_file()} <= files


async def test_only_a_digital_product_has_a_file(stall: Stall, tmp_path: Path) -> None:
    shirt = (await stall.shop.products.variant(variant_id=stall.shirt)).product_id
    files = set(tmp_path.rglob("*"))
    with pytest.raises(NotDigital):
        await stall.downloads.put_file(product_id=shirt, chunks=pieces(BOOK), content_type="application/pdf")
    with pytest.raises(ProductNotFound):
        await stall.downloads.put_file(
            product_id=ProductId(new_id()), chunks=pieces(BOOK), content_type="application/pdf"
        )
    assert set(tmp_path.rglob("*")) == files


async def test_links_begin_where_it_was_bought_only_if_that_is_a_host_of_the_shop(stall: Stall) -> None:
    await stall.shop.configuration.delete(key="general.service_url")
    await stall.shop.domains.create(domain_name="shop.example")
    for domain in ("SHOP.example", "evil.example"):
        order_id = await stall.bought()
        await stall.db.execute(
            "UPDATE orders SET domain = $3 WHERE tenant_id = $1 AND id = $2", stall.shop.tenant_id, order_id, domain
        )
        await stall.send()
    ours, unknown = await stall.mails()
    assert ours.facts["with_links"] and ours.facts["downloads"][0]["link"].startswith(
        "https://shop.example/v1/downloads/"
    )
    assert not unknown.facts["with_links"] and "link" not in unknown.facts["downloads"][0]


async def test_what_is_paid_too_late_is_left_to_staff(stall: Stall) -> None:
    order_id = await stall.bought()
    await stall.db.execute(
        "UPDATE order_items SET created_at = created_at - $2::interval WHERE tenant_id = $1",
        stall.shop.tenant_id,
        timedelta(days=30, seconds=1),
    )
    assert await stall.db.run(stall.sending) == Looked(lines=1, sent=0)
    await stall.wait(timedelta(days=30))
    assert await stall.db.run(stall.sending) == Looked(lines=0, sent=0)
    assert (await stall.downloads.send(order_id=order_id))[0].mail is LinkMail.QUEUED


# --- Over HTTP -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("STO-PROD-03")
async def test_over_http_a_link_needs_no_header_and_gives_an_attachment(
    stall: Stall, room: Storeroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STOREROOM_FILES_URL", str(tmp_path))
    await stall.bought()
    await stall.send()
    (link,) = await stall.links()
    app = app_of(room)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://anywhere.example") as http:
        found = await http.get(link.removeprefix("https://api.example"))
        assert (found.status_code, found.content) == (200, BOOK)
        assert found.headers["content-type"] == "application/pdf"
        assert found.headers["content-disposition"] == "attachment; filename*=UTF-8''the-handbook.pdf"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert found.headers["cache-control"] == "private, no-store"
        path = str((await stall.shop.products.get(product_id=stall.product)).file_path)
        for wrong in (path, f"{stall.shop.tenant_id}.{path}", f"{stall.shop.tenant_id}.1.2.3", "nobody.1.2.3"):
            refused = await http.get(f"/v1/downloads/{wrong}")
            assert refused.status_code == 404
        shown = await http.get("/v1/products/the-handbook", headers={"Storeroom-Tenant": stall.shop.tenant_id})
        assert shown.status_code == 200 and "goods" not in shown.text
