"""What is made once and stays until the process ends, such as modules and routes."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """Nothing that is made inside is garbage: the collector does not look for any now, nor at any of it later.

    Looking took half of the time that the application needs to be made.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.collect()  # the little that is garbage would stay as well
        gc.freeze()
        gc.enable()
