"""Freed memory goes back to the machine: edge boxes are small, and so is what CI gives an export."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""From glibc's malloc.h."""
_LARGE_BYTES, _KEPT_BYTES = 1 << 20, 8 << 20


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


def give_back_large_blocks() -> None:
    """Have blocks of a megabyte or more go back to the system whenever they are freed. For a process that stays.

    By itself glibc begins to keep them once the first is freed, up to 32 MB each, in a heap for every thread: a server
    would hold the largest messages that each of its threads ever saw. Does nothing where the C library has no such
    option.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)  # else the one above makes it 128 kB, which each request would pass


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
