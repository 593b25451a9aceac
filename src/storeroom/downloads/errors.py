"""What is refused about downloads."""

from typing import Literal
from uuid import UUID

from storeroom.core.errors import Conflict, Forbidden, Invalid, NotFound


class DownloadNotFound(NotFound):
    """The link is none of ours, was replaced by a newer one, or has no file behind it any more."""

    code = "downloads.not_found"

    def __init__(self) -> None:
        super().__init__("no download belongs to this link")


class DownloadOver(Forbidden):
    """The link is ours and does not work any more; the shop can send another."""

    code = "downloads.over"

    def __init__(self, *, why: Literal["expired", "used_up", "closed"]) -> None:
        words = {"expired": "its time is over", "used_up": "it was used too often", "closed": "the order has ended"}
        super().__init__(f"the link does not work any more: {words[why]}")
        self.why = why


class FileNotAccepted(Invalid):
    """Not a file that the shop hands out; nothing was kept."""

    code = "downloads.file_not_accepted"

    def __init__(self, *, reason: str) -> None:
        super().__init__(f"the file is not accepted: {reason}", field="file")
        self.reason = reason


class NotDigital(Conflict):
    """Only a digital product has a file."""

    code = "downloads.not_digital"

    def __init__(self, *, product_id: UUID) -> None:
        super().__init__(f"product {product_id} is not digital")
        self.product_id = product_id


class NothingToSend(Conflict):
    """The order has no line to download, or is not paid, or is not any more."""

    code = "downloads.nothing_to_send"

    def __init__(self, *, order_id: UUID) -> None:
        super().__init__(f"order {order_id} has nothing to download now")
        self.order_id = order_id
