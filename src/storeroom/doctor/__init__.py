"""Whether what must always hold does hold, on the live database."""

from storeroom.doctor.model import Finding, Gravity, Result
from storeroom.doctor.service import examine

__all__ = ["Finding", "Gravity", "Result", "examine"]
