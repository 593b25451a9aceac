"""Messages to people: what they are, and how they get into the queue in the transaction of what they are about.

What a notice says may be a secret (a code, a link that signs somebody in). It goes to its receiver and nowhere else: in
the queue it is sealed, and no log and no repr holds it. `messaging` is who renders and sends.
"""

from storeroom.notices.errors import NoticeUnknown
from storeroom.notices.folder import DATA_DIR, NOTICES_FOLDER, NoticeFolder
from storeroom.notices.kinds import KINDS, public_facts
from storeroom.notices.model import Channel, Fact, Kind, Notice, Notices, Variable
from storeroom.notices.post import Post
from storeroom.notices.queueing import Sealing, opened, queue
from storeroom.notices.sealed import NOTICE_SEALS

__all__ = [
    "DATA_DIR",
    "KINDS",
    "NOTICES_FOLDER",
    "NOTICE_SEALS",
    "Channel",
    "Fact",
    "Kind",
    "Notice",
    "NoticeFolder",
    "NoticeUnknown",
    "Notices",
    "Post",
    "Sealing",
    "Variable",
    "opened",
    "public_facts",
    "queue",
]
