"""Lookup tables: a captured `LookupTableFindV2` becomes a `LabelEncoder` of the domain `ai.onnx.ml`."""

from typing import Any

from numpy.typing import NDArray
from onnx import TensorProto

from kedge_exporter.formats.onnx_handlers.rewriting import Handler, NoOnnxForm, Rewriting
from kedge_exporter.tables import Table


def find_in(tables: tuple[Table, ...]) -> Handler:
    """The handler of `LookupTableFindV2` in a graph that reads these tables."""
    by_name = {table.placeholder: table for table in tables}

    def find(new: Rewriting) -> str:
        handle = new.node.inputs[0]
        while handle.type == "Identity":
            handle = handle.inputs[0]
        table = by_name.get(handle.name)
        if table is None:
            raise NoOnnxForm("reads a table that the graph itself hands on", "look up outside of loops and branches")
        return _encode(new, table, new.value(2, "the value for unknown keys").item())

    return find


def _encode(new: Rewriting, table: Table, default: object) -> str:
    """Keys to values; the op knows strings and int64, so narrower integers are cast."""
    if table.keys.dtype.kind not in "iuO" or table.values.dtype.kind not in "iuO":
        raise NoOnnxForm("reads a table of other things than integers and strings", "look up in a table of those")
    keys, wanted = new.inputs[1], new.dtype(new.node.output[0])
    if table.keys.dtype.kind != "O":
        keys = new.cast(keys, TensorProto.INT64)
    attributes = {
        f"keys_{_suffix(table.keys)}": table.keys.tolist(),
        f"values_{_suffix(table.values)}": table.values.tolist(),
        f"default_{_suffix(table.values).removesuffix('s')}": default,
    }
    if table.values.dtype.kind == "O":
        return new.encode(keys, TensorProto.STRING, **attributes)
    return new.cast(new.encode(keys, TensorProto.INT64, **attributes), wanted)


def _suffix(entries: NDArray[Any]) -> str:
    return "strings" if entries.dtype.kind == "O" else "int64s"
