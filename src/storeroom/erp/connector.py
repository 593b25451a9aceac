"""The port to an ERP, and the one that speaks HTTP."""

import base64
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, Protocol
from urllib.parse import quote

import msgspec

from storeroom.core.secrets import Secret
from storeroom.erp.model import (
    ANSWER_BYTES_MAX,
    ERP_ID_LENGTH_MAX,
    ERROR_LENGTH_MAX,
    ConnectionRow,
    ErpAnswer,
    ErpAuth,
    ErpMessage,
)
from storeroom.integration import Courier, DestinationRefused, InvalidWebhook, NoAnswer, Outcome

NOT_AGAIN: Final = frozenset({400, 404, 405, 410, 413, 415, 422})  # the same message would be refused again


class ErpRefused(Exception):  # what a carrier turns into an outcome; nobody else sees it
    """The ERP did not take the message, or its answer is not one."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.error)
        self.outcome = outcome


class Connector(Protocol):
    """Brings messages to one ERP."""

    async def push(self, message: ErpMessage) -> ErpAnswer:
        """Make it there, or change it where `erp_id` is known. The same key twice makes one record.

        Raises:
            ErpRefused: it was not taken.
        """
        ...

    async def check(self) -> Outcome:
        """Whether anybody answers there, and lets us in. Changes nothing."""
        ...


class HttpConnector:
    """`POST {base}/{path}` makes, `PUT {base}/{path}/{erp_id}` changes; `Idempotency-Key` names the entity.

    The answer is `{"id": "…", "lines": ["…", …]}`, the lines in the order in which they were sent.
    """

    def __init__(self, courier: Courier, connection: ConnectionRow, credential: Secret | None) -> None:
        """Nothing is sent yet.

        Args:
            courier: carries the requests, to addresses that may be sent to.
            connection: where to.
            credential: opened; None where there is none.
        """
        self._courier, self._connection = courier, connection
        self._headers = _headers(connection, credential)

    async def push(self, message: ErpMessage) -> ErpAnswer:
        """See Connector."""
        known = message.erp_id
        url = f"{self._connection.base_url}/{message.path}" + (f"/{quote(known, safe='')}" if known is not None else "")
        body = _body(message)
        outcome = await self._ask("POST" if known is None else "PUT", url, body, {"idempotency-key": message.key})
        if not outcome.delivered:
            again = outcome.response_status not in NOT_AGAIN
            raise ErpRefused(outcome if again else msgspec.structs.replace(outcome, final=True))
        answer = _answer(outcome, message)
        if isinstance(answer, str):
            raise ErpRefused(msgspec.structs.replace(outcome, error=answer))
        return answer

    async def check(self) -> Outcome:
        """See Connector: `GET {base}`, answered by 2xx."""
        return await self._ask("GET", self._connection.base_url, b"", {})

    async def _ask(self, method: str, url: str, body: bytes, more: Mapping[str, str]) -> Outcome:
        began = time.monotonic()
        try:
            said = await self._courier.ask(
                method,
                url,
                body=body,
                headers={**self._headers, "content-type": "application/json", **more},
                within=timedelta(seconds=self._connection.timeout_seconds),
                bytes_max=ANSWER_BYTES_MAX,
            )
        except (NoAnswer, DestinationRefused, InvalidWebhook) as error:
            return Outcome(duration_ms=int((time.monotonic() - began) * 1000), error=str(error)[:ERROR_LENGTH_MAX])
        text = said.body.decode("utf-8", "replace").replace("\x00", "")
        told = "redirects are not followed" if 300 <= said.status < 400 else "not taken"
        refused = None if 200 <= said.status < 300 else f"answered {said.status}: {told}"
        return Outcome(duration_ms=said.duration_ms, error=refused, response_status=said.status, response_body=text)


class _Answer(msgspec.Struct, frozen=True):
    id: str | int  # many number their records, and write numbers as such
    lines: list[str | int] = []


def _answer(outcome: Outcome, message: ErpMessage) -> ErpAnswer | str:
    """What it says, or what is wrong with it."""
    try:
        said = msgspec.json.decode((outcome.response_body or "").encode(), type=_Answer)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return 'answered without {"id": …}'
    own_id, *line_ids = map(str, (said.id, *said.lines))
    for erp_id in (own_id, *line_ids):
        if not (1 <= len(erp_id) <= ERP_ID_LENGTH_MAX and erp_id.isprintable() and erp_id.strip() == erp_id):
            return f"answered with an id that is not 1 to {ERP_ID_LENGTH_MAX} printable characters"
    if message.erp_id not in {None, own_id}:
        return f"answered with the id {own_id} for {message.erp_id}"
    if len(line_ids) != message.lines and not (message.erp_id is not None and not line_ids):
        return f"answered with ids of {len(line_ids)} lines; {message.lines} were sent"
    return ErpAnswer(id=own_id, line_ids=line_ids)


def _body(message: ErpMessage) -> bytes:
    return msgspec.json.encode(
        {
            "entity": message.entity,
            "id": message.id,
            "erp_id": message.erp_id,
            "currency": None if message.currency is None else {"code": message.currency, "digits": message.digits},
            "data": message.data,
        }
    )


def _headers(connection: ConnectionRow, credential: Secret | None) -> dict[str, str]:
    if credential is None:
        return {}
    secret = credential.reveal()
    if connection.auth is ErpAuth.BEARER:
        return {"authorization": f"Bearer {secret}"}
    if connection.auth is ErpAuth.BASIC:
        pair = f"{connection.auth_name}:{secret}".encode()
        return {"authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {str(connection.auth_name): secret}
