"""Freed memory goes back to the machine: edge boxes are small, and so is what CI gives an export."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager


def give_back() -> None:
    """Return freed memory to the system.

    Loaders and converters copy all weights several times; glibc keeps most of what they free, so that the peak of one
    conversion would stand on top of the rest of the one before. Does nothing where the C library has no `malloc_trim`.
    """
    gc.collect()
    trim()


def trim() -> None:
    """Return memory that is free already. Holds up no other thread, as a collection would."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def settle() -> None:
    """Let the collector never look again at what there is now: it stays, and each look would hold everybody up."""
    gc.collect()
    gc.freeze()


@contextmanager
def importing() -> Iterator[None]:
    """While entered, modules are imported: a million objects that stay, which the collector need not look at.

    Not while they come, nor ever after: each look would be a tenth of a second.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
