"""Freed memory goes back to the machine: edge boxes are small, and so is what CI gives an export."""

import ctypes
import gc


def give_back() -> None:
    """Return freed memory to the system.

    Loaders and converters copy all weights several times; glibc keeps most of what they free, so that the peak of one
    conversion would stand on top of the rest of the one before. Does nothing where the C library has no `malloc_trim`.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
