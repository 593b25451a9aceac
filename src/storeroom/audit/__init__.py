"""Who did what: an entry for every action of staff and of the system, in the transaction of the change, sealed."""

from storeroom.audit.errors import InvalidAuditQuery
from storeroom.audit.model import Entry, changed
from storeroom.audit.recording import AUDITED, audited, record, record_refusal, refusals
from storeroom.audit.service import Audit

__all__ = [
    "AUDITED",
    "Audit",
    "Entry",
    "InvalidAuditQuery",
    "audited",
    "changed",
    "record",
    "record_refusal",
    "refusals",
]
