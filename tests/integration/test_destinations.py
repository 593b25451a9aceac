"""Which addresses are sent to: asked after the name was resolved, of the very address that is connected to."""

import asyncio
import base64
import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver import receiving
from storeroom.core.networks import is_public, networks
from storeroom.core.secrets import Secret
from storeroom.integration import Courier, DestinationRefused, InvalidWebhook, NoAnswer
from storeroom.integration import courier as courier_module
from storeroom.integration.destinations import ADDRESSES_MAX, checked_url, resolve


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1",
        "fec0::1", "feff:ffff::1", "64:ff9b:1::a00:1", "::7f00:1",
    ],
)  # fmt: skip
def test_these_are_not_in_the_internet(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_these_are(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_in_whatever_spelling_an_address_stays_what_it_is(address: ipaddress.IPv4Address) -> None:
    assert is_public(ipaddress.IPv6Address(f"::ffff:{address}")) == is_public(address)


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidWebhook):
        assert checked_url(text).hostname


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f000001", "2130706433", "::1", "a" * 64])
async def test_a_host_of_our_own_network_is_refused(host: str) -> None:
    with pytest.raises(DestinationRefused):
        await resolve(host, 80)


@pytest.mark.parametrize("fault", [socket.gaierror(-3, "again"), TimeoutError(), None])
async def test_a_name_that_is_not_found_just_now_may_be_later(
    monkeypatch: pytest.MonkeyPatch, fault: OSError | None
) -> None:
    """No address of ours: who asks tries again, and nobody is told that the provider is set up wrongly."""

    async def lookup(*_: Any, **__: Any) -> list[Any]:
        if fault is not None:
            raise fault
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lookup)
    async with Courier() as courier:
        with pytest.raises(NoAnswer, match="not known") as missed:
            await courier.ask("GET", "https://api.provider.example/")
        assert missed.value.transient
        outcome = await courier.send("https://api.provider.example/", b"{}", delivery_id=uuid4())
    assert outcome.error == "api.provider.example: its name is not known"


async def test_the_operator_may_allow_a_network() -> None:
    (address,) = await resolve("127.0.0.1", 80, allowed=networks("127.0.0.0/8, 10.0.0.0/8"))
    assert str(address) == "127.0.0.1"


async def test_a_private_destination_gets_nothing() -> None:
    async with receiving() as receiver, Courier() as courier:
        outcome = await courier.send(receiver.url, b"{}", delivery_id=uuid4())
        assert outcome.error is not None
        assert "public Internet" in outcome.error
        assert receiver.requests == []


async def test_a_name_that_changes_its_address_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: a first answer that is public, a second that is our own network. Only one is asked for."""
    loop = asyncio.get_running_loop()
    asked: list[str] = []

    async def answers(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        address = "192.0.2.99" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    async with receiving() as receiver:
        monkeypatch.setattr(loop, "getaddrinfo", answers)
        async with Courier(allowed=networks("192.0.2.0/24")) as courier:
            outcome = await courier.send(
                f"http://rebound.example:{receiver.port}/", b"{}", delivery_id=uuid4(), within=timedelta(seconds=1)
            )
        assert outcome.error is not None
        assert [host for host in asked if host == "rebound.example"] == ["rebound.example"]
        assert receiver.requests == []


async def test_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answers(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("1.1.1.1", "10.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers)
    with pytest.raises(DestinationRefused):
        await resolve("both.example", 443)


async def test_the_families_of_addresses_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    known = ["2606:4700::1", "2606:4700::2", "2606:4700::2", "2606:4700::3", "1.1.1.1", "1.1.1.2"]

    async def answers(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_UNSPEC, socket.SOCK_STREAM, 6, "", (address, port)) for address in known]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers)
    found = [str(address) for address in await resolve("many.example", 443)]
    assert found == ["2606:4700::1", "1.1.1.1", "2606:4700::2", "1.1.1.2", "2606:4700::3"]
    known.extend(f"1.1.2.{n}" for n in range(20))
    assert len(await resolve("many.example", 443)) == ADDRESSES_MAX


@pytest.mark.parametrize("silent", [False, True], ids=["refuses", "is silent"])
async def test_an_address_that_is_away_is_no_reason_to_give_up(monkeypatch: pytest.MonkeyPatch, silent: bool) -> None:
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(courier_module, "CONNECT_S", 0.3)

    async def answers(host: str, port: int, **_: Any) -> list[Any]:
        found = ("127.0.0.9", "127.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    async with receiving() as receiver:
        with contextlib.ExitStack() as held:
            if silent:
                held.enter_context(full("127.0.0.9", receiver.port))
            monkeypatch.setattr(loop, "getaddrinfo", answers)
            async with Courier(allowed=networks("127.0.0.0/8")) as courier:
                url = f"http://two.example:{receiver.port}/"
                outcome = await courier.send(url, b"{}", delivery_id=uuid4(), within=timedelta(seconds=30))
        assert (outcome.error, len(receiver.requests)) == (None, 1)


async def test_where_no_address_answers_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def answers(host: str, port: int, **_: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("127.0.0.8", "127.0.0.9")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", answers)
    async with Courier(allowed=networks("127.0.0.0/8")) as courier:
        outcome = await courier.send("http://none.example:1/", b"{}", delivery_id=uuid4())
    assert str(outcome.error).startswith("ConnectError")


@contextlib.contextmanager
def full(host: str, port: int) -> Iterator[None]:
    """Somebody listens there and takes nobody: whoever knocks hears nothing."""
    with contextlib.ExitStack() as held:
        listening = held.enter_context(socket.socket())
        listening.bind((host, port))
        listening.listen(0)
        for _ in range(2):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect((host, port))
        yield


async def test_little_is_read_of_a_long_answer() -> None:
    async def endless(_: object, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n")
        for _ in range(100):
            writer.write(b"x" * 10_000)
            await writer.drain()

    async with receiving(endless) as receiver, Courier(allowed=networks("127.0.0.0/8")) as courier:
        outcome = await courier.send(receiver.url, b"{}", delivery_id=uuid4())
        assert outcome.delivered
        assert outcome.response_body == "x" * 2000


@pytest.mark.requirement("CED-WQ-01")
async def test_headers_are_sent_as_given_but_those_of_the_connection_and_of_a_signature() -> None:
    given = {
        "Webhook-Id": "theirs",
        "content-type": "application/cloudevents+json",
        "Host": "elsewhere",
        "X-Shop": "one",
    }
    async with receiving() as receiver, Courier(allowed=networks("127.0.0.0/8")) as courier:
        delivery, secret = uuid4(), Secret("whsec_" + base64.b64encode(b"a secret of the test").decode())
        await courier.send(receiver.url, b"{}", delivery_id=delivery, headers=given)
        await courier.send(receiver.url, b"{}", delivery_id=delivery, headers=given, secrets=[secret])
    plain, signed = (request.headers for request in receiver.requests)
    assert (plain["webhook-id"], plain["content-type"]) == ("theirs", "application/cloudevents+json")
    assert (signed["webhook-id"], signed["content-type"]) == (str(delivery), "application/json")
    for got in (plain, signed):
        assert (got["x-shop"], got["host"], got["content-length"]) == ("one", f"127.0.0.1:{receiver.port}", "2")
