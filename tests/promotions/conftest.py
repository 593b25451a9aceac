"""Random tests without a stopwatch: a busy machine is not a fault. A failure prints what reproduces it."""

from hypothesis import settings

settings.register_profile("storeroom", deadline=None, print_blob=True)
settings.load_profile("storeroom")
