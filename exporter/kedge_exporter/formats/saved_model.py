"""SavedModel: the frozen graph itself, `serving_default` naming its inputs and outputs, in one file.

`tf.saved_model.save` would wrap the graph in functions, whose constants TensorFlow copies again at every step of
loading them: written flat, a ResNet50 loads in a quarter of the time and takes a third less memory. It would also draw
a fingerprint by chance; this file is the same every time.
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

import tensorflow as tf

from kedge_bundle.manifest import Artifact
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions, flat_saved_model
from kedge_exporter.keras_model import describe
from kedge_exporter.tables import Table
from kedge_exporter.tracing import Frozen
from kedge_exporter.writing import as_write_error

FORMAT = "saved_model"


def convert(frozen: Frozen, directory: Path, _: ConvertOptions) -> Artifact:
    """Write a SavedModel into `directory` itself, so that `models/<name>` is a TensorFlow Serving repository."""
    write(frozen, directory)
    names = frozen.signature.output_names
    return Artifact(
        format=FORMAT,
        path=".",
        files=(describe_file(directory, directory / flat_saved_model.FILE),),
        inputs=frozen.arguments,
        outputs={name: name for name in names},
        batch=frozen.batch or "dynamic",
        ops=tuple(sorted(frozen.ops)),
        verdict="failed",
    )


def write(frozen: Frozen, directory: Path) -> None:
    """Write `saved_model.pb`.

    Raises:
        FormatImpossible: TensorFlow cannot write the graph.
        OSError: the disk is full or cannot be written.
    """
    directory.mkdir(exist_ok=True)
    try:
        graph_def = frozen.function.graph.as_graph_def()
        for nodes in (graph_def.node, *(function.node_def for function in graph_def.library.function)):
            for node in nodes:
                node.device = ""  # it was traced on the CPU; where it runs is for whoever loads it
        initializer = _with_tables(graph_def, frozen.tables) if frozen.tables else ""
        flat_saved_model.write(frozen, graph_def, directory, initializer)
    except OSError:
        raise
    except Exception as error:  # TensorFlow's own types, ValueError, protobuf's own
        raise as_write_error(error) or FormatImpossible(FORMAT, describe(error)) from error


def _with_tables(graph_def: Any, tables: tuple[Table, ...]) -> str:  # noqa: ANN401 (TensorFlow ships no types)
    """Put a table in the place of every handle that the graph asks for; the name of the operation that fills them."""
    with tf.Graph().as_default() as made, tf.control_dependencies([_filled(table) for table in tables]):
        filled = tf.no_op(name="initialize_tables")
    handles = {table.placeholder for table in tables}
    for index in reversed([index for index, node in enumerate(graph_def.node) if node.name in handles]):
        del graph_def.node[index]
    graph_def.node.extend(made.as_graph_def().node)
    return str(filled.name)


def _filled(table: Table) -> Any:  # noqa: ANN401 (TensorFlow ships no types)
    """The op that fills a table of the handle's name."""
    dtypes = {"key_dtype": table.resource.key_dtype, "value_dtype": table.resource.value_dtype}
    handle = tf.raw_ops.HashTableV2(shared_name=_shared_name(table), name=table.placeholder, **dtypes)
    keys, values = tf.constant(table.keys, dtypes["key_dtype"]), tf.constant(table.values, dtypes["value_dtype"])
    return tf.raw_ops.LookupTableImportV2(table_handle=handle, keys=keys, values=values)


def _shared_name(table: Table) -> str:
    """TensorFlow may keep one table of a name for all models of a process: those of other content have other names."""
    digest = sha256(repr((table.keys.tolist(), table.values.tolist())).encode())
    return f"{table.placeholder}_{digest.hexdigest()}"
