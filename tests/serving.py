"""The application of a room, made once in a worker: to make one takes longer than most tests."""

from litestar import Litestar

from storeroom.room import Storeroom
from storeroom.server import create_app
from storeroom.settings import Settings

_made: dict[int, tuple[Storeroom, Litestar]] = {}  # with the room, so that no other one gets its id


def app_of(room: Storeroom) -> Litestar:
    """As it is served, except that one address may send any number of requests."""
    if id(room) not in _made:
        _made[id(room)] = room, create_app(room, Settings(flood_requests=0))
    return _made[id(room)][1]
