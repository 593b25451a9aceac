"""A receiver in another language, with the library of its ecosystem. Collected where Node and the library are: see conftest."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from receiver import receiving
from storeroom.core.secrets import Secret
from storeroom.integration import Courier

JAVASCRIPT = Path(__file__).parents[2] / "build" / "javascript" / "node_modules"
SECRET_TEXT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # a sample, in the form of the scheme


async def test_a_javascript_receiver_takes_ours_and_refuses_what_was_changed(courier: Courier) -> None:
    body = json.dumps({"type": "order.placed", "data": {"name": "Zoë ✓"}}).encode()
    async with receiving() as receiver:
        for now in (None, datetime.now(UTC) - timedelta(hours=1)):
            await courier.send(receiver.url, body, delivery_id=uuid4(), secrets=[Secret(SECRET_TEXT)], now=now)
    fresh, stale = ({**request.headers} for request in receiver.requests)
    text = body.decode()
    tries = [
        (SECRET_TEXT, fresh, text),
        (SECRET_TEXT, fresh, text.replace("placed", "stolen")),
        (SECRET_TEXT, {**fresh, "webhook-id": str(uuid4())}, text),
        ("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", fresh, text),
        (SECRET_TEXT, stale, text),
    ]
    lines = "".join(json.dumps({"secret": s, "headers": h, "body": b}) + "\n" for s, h, b in tries)
    node = await asyncio.create_subprocess_exec(
        "node",
        str(Path(__file__).with_name("receiver.mjs")),
        str(JAVASCRIPT),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asyncio.wait_for(node.communicate(lines.encode()), 90)
    assert said.decode().split() == ["ok", *["WebhookVerificationError"] * 4]
