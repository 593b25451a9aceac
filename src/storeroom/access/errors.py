"""What is refused about keys and origins. None of these carries a key."""

from collections.abc import Sequence
from uuid import UUID

from storeroom.core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated


class ApiKeyRefused(Unauthenticated):
    """The key is none of ours, was revoked, or its time is over."""

    code = "access.key_refused"

    def __init__(self) -> None:
        super().__init__("this key is not valid, or no longer")


class ApiKeyNotFound(NotFound):
    """The shop has no such key."""

    code = "access.key_not_found"

    def __init__(self, *, key_id: UUID) -> None:
        super().__init__(f"no key {key_id}")
        self.key_id = key_id


class InvalidApiKey(Invalid):
    """A key cannot be made like that; nothing was written."""

    code = "access.invalid_key"

    def __init__(self, *, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}", field=field)
        self.reason = reason


class PermissionNotYours(Forbidden):
    """Nobody gives a key what they may not do themselves, and some things are for people only."""

    code = "access.permission_not_yours"

    def __init__(self, *, permissions: Sequence[str]) -> None:
        super().__init__(f"you cannot give a key {', '.join(permissions)}")
        self.permissions = list(permissions)


class PeopleOnly(Forbidden):
    """Keys are made and revoked by a member of staff, not by another key, a customer or a message."""

    code = "access.people_only"

    def __init__(self) -> None:
        super().__init__("this is done by a person with an account")


class TooManyApiKeys(Conflict):
    """The shop has as many keys as one may."""

    code = "access.too_many_keys"

    def __init__(self, *, keys_max: int) -> None:
        super().__init__(f"a shop has at most {keys_max} keys; revoke one first")
        self.keys_max = keys_max


class InvalidOrigin(Invalid):
    """Not a web origin."""

    code = "access.invalid_origin"

    def __init__(self, *, field: str = "origins") -> None:
        super().__init__("write scheme, host and port as in https://shop.example, or fewer of them", field=field)
