"""A fresh access token for schemathesis every other minute: one lasts five, and a run may take longer."""

import asyncio
import os
from typing import Any
from uuid import UUID

import schemathesis

from storeroom.core.ids import UserId
from storeroom.identity import Proof
from storeroom.room import Storeroom

DSN, SECRET, USER = (os.environ[f"SIGN_IN_{name}"] for name in ("DSN", "SECRET", "USER"))


@schemathesis.auth(refresh_interval=120, retry_on=[])
class Account:
    """Whoever the environment names. Signing in over HTTP would run into its limits, which the run uses up."""

    def get(self, case: Any, context: Any) -> str:
        return asyncio.run(self._token())

    async def _token(self) -> str:
        async with Storeroom.open(DSN, secret=SECRET) as room:
            signed_in = await room.tenant("default").sessions.start(proof=Proof(user_id=UserId(UUID(USER))))
        return signed_in.access_token

    def set(self, case: Any, data: str, context: Any) -> None:
        case.headers = {**(case.headers or {}), "Authorization": f"Bearer {data}"}
