"""What must always hold, and what the doctor found."""

from enum import StrEnum
from typing import Final

import msgspec

FINDINGS_SHOWN_MAX: Final = 20  # of one check; the count tells of the rest


class Gravity(StrEnum):
    """What a finding of a check means."""

    BROKEN = "broken"  # must never be: money or stock does not add up
    NOTE = "note"  # a fact that somebody should look at; not an error


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a check does not hold."""

    tenant_id: str
    subject: str  # what it is about, as in an order's number
    detail: str  # what was found, against what should be


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One check over the live database."""

    name: str
    says: str
    gravity: Gravity
    count: int  # findings; FINDINGS_SHOWN_MAX + 1 means more than that
    findings: list[Finding]

    @property
    def broken(self) -> bool:
        """Whether something is wrong that must never be."""
        return self.gravity is Gravity.BROKEN and self.count > 0
