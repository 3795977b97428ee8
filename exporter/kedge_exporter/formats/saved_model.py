"""SavedModel: the frozen graph itself, `serving_default` naming its inputs and outputs, in one file.

`tf.saved_model.save` would wrap the graph in functions, whose constants TensorFlow copies again at every step of
loading them: written flat, a ResNet50 loads in a quarter of the time and takes a third less memory. It would also draw
a fingerprint by chance; this file is the same every time.
https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/saved_model.proto
"""

from hashlib import sha256
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, TensorInfo
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from kedge_bundle.manifest import Artifact
from kedge_bundle.signature import TensorSpec
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions
from kedge_exporter.keras_model import describe
from kedge_exporter.tables import Table
from kedge_exporter.tracing import Frozen
from kedge_exporter.writing import as_write_error

FORMAT = "saved_model"
SIGNATURE = "serving_default"
_FILE = "saved_model.pb"
_INITIALIZE = "__saved_model_init_op"
"""The signature of what loaders run first, and the name of its output."""


def convert(frozen: Frozen, directory: Path, _: ConvertOptions) -> Artifact:
    """Write a SavedModel into `directory` itself, so that `models/<name>` is a TensorFlow Serving repository."""
    write(frozen, directory)
    names = frozen.signature.output_names
    return Artifact(
        format=FORMAT,
        path=".",
        files=(describe_file(directory, directory / _FILE),),
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
    try:
        saved = SavedModel(saved_model_schema_version=1)
        meta = saved.meta_graphs.add()
        meta.graph_def.CopyFrom(frozen.function.graph.as_graph_def())
        _describe(meta, frozen)
        content = saved.SerializeToString(deterministic=True)
    except Exception as error:  # TensorFlow's own types, ValueError, protobuf's own
        raise as_write_error(error) or FormatImpossible(FORMAT, describe(error)) from error
    directory.mkdir(exist_ok=True)
    (directory / _FILE).write_bytes(content)


def _describe(meta: MetaGraphDef, frozen: Frozen) -> None:
    """Say what goes in and comes out, and make the graph stand on its own."""
    meta.meta_info_def.tags.append(tf.saved_model.SERVING)
    meta.meta_info_def.tensorflow_version = tf.version.VERSION
    for nodes in (meta.graph_def.node, *(function.node_def for function in meta.graph_def.library.function)):
        for node in nodes:
            node.device = ""  # it was traced on the CPU; where it runs is for whoever loads it
    _add_tables(meta, frozen.tables)
    signature = meta.signature_def[SIGNATURE]
    signature.method_name = tf.saved_model.PREDICT_METHOD_NAME
    for spec in frozen.signature.inputs:
        name = frozen.arguments[spec.name]
        signature.inputs[name].CopyFrom(_tensor_info(f"{name}:0", spec))
    specs = {spec.name: spec for spec in frozen.signature.outputs}
    # The frozen function answers in the order of the sorted names, not in the model's.
    for name, tensor in zip(frozen.output_order, frozen.function.outputs, strict=True):
        # Freezing forgets shapes behind functions that were not inlined; the signature knows them.
        signature.outputs[name].CopyFrom(_tensor_info(tensor.name, specs[name]))


def _tensor_info(tensor: str, spec: TensorSpec) -> TensorInfo:
    return TensorInfo(
        name=tensor,
        dtype=tf.as_dtype(spec.dtype).as_datatype_enum,
        tensor_shape=tf.TensorShape(spec.shape).as_proto(),
    )


def _add_tables(meta: MetaGraphDef, tables: tuple[Table, ...]) -> None:
    """Put a table, and what fills it, in the place of every handle that the graph asks for."""
    if not tables:
        return
    with tf.Graph().as_default() as made, tf.control_dependencies([_filled(table) for table in tables]):
        initialized = tf.no_op(name="initialize_tables")
    graph = meta.graph_def
    handles = {table.placeholder for table in tables}
    for index in reversed([index for index, node in enumerate(graph.node) if node.name in handles]):
        del graph.node[index]
    graph.node.extend(made.as_graph_def().node)
    meta.signature_def[_INITIALIZE].outputs[_INITIALIZE].name = initialized.name


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
