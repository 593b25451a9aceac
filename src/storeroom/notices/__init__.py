"""Messages to people: the port through which mail and text messages leave, and the folder that stands in for both.

What a notice says may be a secret (a code, a link that signs somebody in). It goes to its receiver and nowhere else: no
log, no table, no repr.
"""

from storeroom.notices.folder import DATA_DIR, NOTICES_FOLDER, NoticeFolder
from storeroom.notices.model import Channel, Notice, Notices

__all__ = ["DATA_DIR", "NOTICES_FOLDER", "Channel", "Notice", "NoticeFolder", "Notices"]
