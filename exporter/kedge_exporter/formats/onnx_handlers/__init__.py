"""How to write, in ONNX, the TensorFlow ops that tf2onnx lacks or writes wrongly: one module for each family of ops."""

from kedge_exporter.formats.onnx_handlers.erfc import erfc
from kedge_exporter.formats.onnx_handlers.lookup import find_in
from kedge_exporter.formats.onnx_handlers.rewriting import Handler
from kedge_exporter.formats.onnx_handlers.strings import equal, not_equal
from kedge_exporter.tables import Table


def handlers(tables: tuple[Table, ...]) -> dict[str, Handler]:
    """TensorFlow op -> its handler, in a graph that reads these tables."""
    return {
        "Equal": equal,
        "Erfc": erfc,
        "LookupTableFindV2": find_in(tables),
        "NotEqual": not_equal,
    }
