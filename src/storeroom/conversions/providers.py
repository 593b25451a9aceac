"""How each kind of provider is called: in which portions, under which address, and what its answers mean.

A provider more is a class here, a member of ProviderKind and its words in `shapes`.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol
from urllib.parse import quote, urlencode

import msgspec

from storeroom.conversions.model import Ask, ClaimedConversion, ProviderKind
from storeroom.core.secrets import Secret
from storeroom.integration import Outcome

_log: Final = logging.getLogger(__name__)


class Verdict(StrEnum):
    """What an answer means for the events that were sent."""

    TAKEN = "taken"
    REFUSED = "refused"  # something in them is wrong; apart, the others may be taken
    TROUBLE = "trouble"  # nothing is said about them: the network, the provider, or our rights there


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One account at a provider, its secret opened."""

    base: str
    account_id: str
    secret: Secret
    test_event_code: str | None = None


class Interface(Protocol):
    """A kind of provider."""

    base: str
    age_max: timedelta  # of an event; older ones are not taken
    at_once: int  # calls of one worker at a time

    def asks(self, target: Target, rows: Sequence[ClaimedConversion]) -> Iterable[Ask[ClaimedConversion]]:
        """The requests that bring these events; those that it has no words for are in none."""
        ...

    def verdict(self, outcome: Outcome, events: int) -> Verdict:
        """What an answer means."""
        ...


# --- Meta -------------------------------------------------------------------------------------------------------------

META_VERSION: Final = "v21.0"  # of the Graph API; each is there for two years and more
META_EVENTS_MAX: Final = 1_000
META_BYTES_MAX: Final = 1_000_000
_META_TRANSIENT: Final = frozenset({1, 2, 4, 17, 32, 341, 368, 613})  # out of order, or asked too much
_META_RIGHTS: Final = frozenset({3, 10, 102, 190, 803}) | frozenset(range(200, 300))  # token, permission, pixel
_META_NO_PIXEL: Final = (100, 33)  # it is not there, or not for us; any other 100 is a wrong event


_NOTHING: Final = msgspec.Raw()


class _MetaEvent(msgspec.Struct, frozen=True):
    meta: msgspec.Raw = _NOTHING


class _MetaAnswer(msgspec.Struct, frozen=True):
    events_received: int | None = None
    error: msgspec.Raw = _NOTHING


class _MetaFault(msgspec.Struct, frozen=True):
    code: int = 0
    error_subcode: int | None = None


class _MetaError(msgspec.Struct, frozen=True):
    error: _MetaFault = _MetaFault()


def _meta_event(row: ClaimedConversion) -> bytes:
    event = bytes(msgspec.json.decode(row.payload, type=_MetaEvent).meta)
    return event if event.startswith(b"{") else b""


class Meta:
    """The Conversions API: up to 1,000 events a call. One that is wrong has all of its call refused."""

    base = "https://graph.facebook.com"
    age_max = timedelta(days=7)
    at_once = 1

    def asks(self, target: Target, rows: Sequence[ClaimedConversion]) -> Iterator[Ask[ClaimedConversion]]:
        """The token goes in the body: addresses are what proxies write down."""
        url = f"{target.base}/{META_VERSION}/{quote(target.account_id, safe='')}/events"
        rest = {"access_token": target.secret.reveal()}
        if target.test_event_code:
            rest["test_event_code"] = target.test_event_code
        end = b"]," + msgspec.json.encode(rest)[1:]
        spoken = ((row, event) for row in rows if (event := _meta_event(row)))
        for portion in _portions(spoken, META_EVENTS_MAX, META_BYTES_MAX):
            body = b'{"data":[' + b",".join(event for _, event in portion) + end
            yield Ask(rows=[row for row, _ in portion], url=url, body=body)

    def verdict(self, outcome: Outcome, events: int) -> Verdict:
        """Of an answer of 2xx it is asked how many events it counts: where fewer, they are told apart to find which."""
        said = (outcome.response_body or "").encode()
        if outcome.delivered:
            return _taken(said, events)
        if outcome.response_status != 400:
            return Verdict.TROUBLE
        try:
            fault = msgspec.json.decode(said, type=_MetaError).error
        except (msgspec.MsgspecError, RecursionError):
            return Verdict.TROUBLE
        ours = fault.code in _META_TRANSIENT or fault.code in _META_RIGHTS
        return Verdict.TROUBLE if ours or (fault.code, fault.error_subcode) == _META_NO_PIXEL else Verdict.REFUSED


def _taken(said: bytes, events: int) -> Verdict:
    """A page is of whoever stands between, and an error is one whatever the status says; else 2xx is what it means."""
    if said.lstrip().startswith(b"<"):
        return Verdict.TROUBLE
    try:
        answer = msgspec.json.decode(said, type=_MetaAnswer)
    except (msgspec.MsgspecError, RecursionError):
        return Verdict.TAKEN
    if bytes(answer.error) not in {b"", b"null"}:
        return Verdict.TROUBLE
    return Verdict.TAKEN if answer.events_received is None or answer.events_received >= events else Verdict.REFUSED


# --- Google Analytics -------------------------------------------------------------------------------------------------

GA4_EVENTS_MAX: Final = 25
GA4_BYTES_MAX: Final = 120_000  # of 130 kB


class _Ga4Part(msgspec.Struct, frozen=True):
    client_id: str
    events: list[msgspec.Raw]
    user_id: msgspec.Raw = _NOTHING
    user_data: msgspec.Raw = _NOTHING
    consent: msgspec.Raw = _NOTHING

    def envelope(self) -> bytes:
        """All of a request but its events; those of one visitor share it."""
        given = {name: getattr(self, name) for name in ("user_id", "user_data", "consent")}
        return msgspec.json.encode(
            {"client_id": self.client_id, **{name: raw for name, raw in given.items() if bytes(raw)}}
        )


class _Ga4Event(msgspec.Struct, frozen=True):
    ga4: _Ga4Part | None = None


def _ga4_part(row: ClaimedConversion) -> _Ga4Part | None:
    """None where there is none, or what somebody wrote into the table is none: it must not hold up the others."""
    try:
        return msgspec.json.decode(row.payload, type=_Ga4Event).ga4
    except (msgspec.MsgspecError, RecursionError) as error:
        _log.warning("event %s has nothing that Google could be told: %s", row.id, error)
        return None


class Ga4:
    """The Measurement Protocol: up to 25 events of one client a call. What it cannot read it drops in silence."""

    base = "https://www.google-analytics.com"
    age_max = timedelta(hours=72)
    at_once = 8

    def asks(self, target: Target, rows: Sequence[ClaimedConversion]) -> Iterator[Ask[ClaimedConversion]]:
        """The secret stands in the address, as Google asks for it; nothing here writes an address down."""
        url = f"{target.base}/mp/collect?" + urlencode(
            {"measurement_id": target.account_id, "api_secret": target.secret.reveal()}
        )
        of_client: dict[bytes, list[tuple[ClaimedConversion, bytes]]] = {}
        for row in rows:
            part = _ga4_part(row)
            if part is not None:
                of_client.setdefault(part.envelope(), []).append((row, b",".join(map(bytes, part.events))))
        for envelope, spoken in of_client.items():
            for portion in _portions(iter(spoken), GA4_EVENTS_MAX, GA4_BYTES_MAX):
                body = envelope[:-1] + b',"events":[' + b",".join(event for _, event in portion) + b"]}"
                yield Ask(rows=[row for row, _ in portion], url=url, body=body)

    def verdict(self, outcome: Outcome, events: int) -> Verdict:
        """It answers 2xx to whatever it could read."""
        del events
        if outcome.delivered:
            return Verdict.TAKEN
        return Verdict.REFUSED if outcome.response_status in {400, 413, 422} else Verdict.TROUBLE


INTERFACES: Final[Mapping[ProviderKind, Interface]] = MappingProxyType(
    {ProviderKind.META: Meta(), ProviderKind.GA4: Ga4()}
)


def halves(interface: Interface, target: Target, ask: Ask[ClaimedConversion]) -> Sequence[Ask[ClaimedConversion]]:
    """The same events in two requests, so that the one that is wrong is found."""
    middle = len(ask.rows) // 2
    return [*interface.asks(target, ask.rows[:middle]), *interface.asks(target, ask.rows[middle:])]


def _portions(
    spoken: Iterator[tuple[ClaimedConversion, bytes]], events_max: int, bytes_max: int
) -> Iterator[list[tuple[ClaimedConversion, bytes]]]:
    portion: list[tuple[ClaimedConversion, bytes]] = []
    size = 0
    for row, event in spoken:
        if portion and (len(portion) == events_max or size + len(event) > bytes_max):
            yield portion
            portion, size = [], 0
        portion.append((row, event))
        size += len(event) + 1
    if portion:
        yield portion
