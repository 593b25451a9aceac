"""What goes wrong in one shop while a job goes through all of them."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from storeroom.core.errors import StoreroomError, Unavailable


class Faults:
    """The trouble of single shops: kept until all had their turn, and raised then, so that the job has failed."""

    def __init__(self, log: logging.Logger, doing: str) -> None:
        self._log, self._doing = log, doing
        self._first: Exception | None = None

    @contextmanager
    def of(self, tenant_id: str) -> Iterator[None]:
        """One shop's turn. A database that is away is everybody's trouble, and ends it for all."""
        try:
            yield
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is: the next shop is not to blame
            if isinstance(error, StoreroomError):
                self._log.error("%s in %s: %s (%s)", self._doing, tenant_id, error, error.code)
            else:
                self._log.exception("%s in %s failed", self._doing, tenant_id)
            self._first = self._first or error

    def raise_first(self) -> None:
        """When all had their turn."""
        if self._first is not None:
            raise self._first
