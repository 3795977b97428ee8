"""Packages that others import because they find them, and need not."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Let imports of these packages fail, and be possible again afterwards; what is imported already stays.

    Keras imports `matplotlib.pyplot` and scikit-learn wherever they are installed: more than a second, and 60 MB, for
    plots and wrappers that no export asks for.
    """
    away = [package for package in packages if package not in sys.modules]
    for package in away:
        sys.modules[package] = None  # type: ignore[assignment]  # (what the import system takes for "not there")
    try:
        yield
    finally:
        for package in away:
            del sys.modules[package]
