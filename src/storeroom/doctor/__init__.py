"""Whether what must always hold does hold, on the live database."""

from storeroom.doctor.model import Finding, Gravity, Result
from storeroom.doctor.service import examine, seals_open

__all__ = ["Finding", "Gravity", "Result", "examine", "seals_open"]
