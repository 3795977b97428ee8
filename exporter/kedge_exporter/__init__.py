"""Makes and proves bundles. Never imports the server."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kedge_exporter.api import Exported, export_model

__all__ = ["Exported", "export_model"]


def __getattr__(name: str) -> object:
    """The Python API, imported when it is asked for: the processes that prove do without it."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module("kedge_exporter.api"), name)
