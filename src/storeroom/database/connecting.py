"""What connections have in common, whoever makes one: how long it is waited for, and how jsonb goes over it."""

from typing import Any, Final

import asyncpg
import msgspec

CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 60.0


def encode_json(value: object) -> bytes:
    """To the binary form of jsonb: its version, then the text. UUIDs, instants and structs encode by themselves."""
    return b"\x01" + msgspec.json.encode(value)


def decode_json(value: bytes) -> Any:
    """From the binary form of jsonb."""
    return msgspec.json.decode(value[1:])


async def prepare_connection(connection: "asyncpg.Connection[Any]") -> None:
    """Teach a new connection our codecs."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=encode_json, decoder=decode_json
    )
