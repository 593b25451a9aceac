"""What other systems told of their records: of each field what was said last, and when."""

from storeroom.sources.errors import InvalidSourceMessage
from storeroom.sources.model import (
    EXTERNAL_ID_LENGTH_MAX,
    RECORD_BYTES_MAX,
    Said,
    SourceKind,
    SourceRecord,
    WaitingRecord,
    merged,
    source_instant,
)
from storeroom.sources.service import Sources, note_tried, records_to_try

__all__ = [
    "EXTERNAL_ID_LENGTH_MAX",
    "RECORD_BYTES_MAX",
    "InvalidSourceMessage",
    "Said",
    "SourceKind",
    "SourceRecord",
    "Sources",
    "WaitingRecord",
    "merged",
    "note_tried",
    "records_to_try",
    "source_instant",
]
