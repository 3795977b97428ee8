"""Smaller ONNX files, from the proven float32 one: float16, and int8 by onnxruntime's static quantization (QDQ).

What goes in and comes out stays as it was: the same names, dtypes and shapes in every artifact of a bundle.
"""

import tempfile
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from onnxruntime.transformers.float16 import convert_float_to_float16

from kedge_bundle.manifest import Artifact
from kedge_bundle.signature import Tensors
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats.quantized import QuantizedFile, Task
from kedge_exporter.keras_model import describe
from kedge_exporter.writing import as_write_error

_CALIBRATED_AT_ONCE = 16
_SMALL = {TensorProto.INT8, TensorProto.UINT8, TensorProto.FLOAT16}
_FLOAT = {TensorProto.FLOAT, TensorProto.DOUBLE}


def quantize(task: Task) -> QuantizedFile:
    """Write `model.<quantization>.onnx`: float16, or int8 by calibration rows. See `quantized.quantize`."""
    origin = task.directory / task.origin.path
    try:
        model = _float16(origin) if task.quantization == "float16" else _int8(origin, _Reader(task.origin, task.rows))
        _tidy(model)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, task.path)
        onnxruntime.InferenceSession(task.path, _quiet(), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's quantizer raises what its passes raise
        raise as_write_error(error) or FormatImpossible(task.name, describe(error)) from error
    share = _small_share(model)
    if not share:
        raise FormatImpossible(task.name, "none of this model's weights has a smaller form in it")
    changes = {
        "quantization": task.quantization,
        "path": task.path.name,
        "files": (describe_file(task.directory, task.path),),
        "ops": tuple(sorted({node.op_type for node in _nodes(model)})),
        "verdict": "failed",
        "max_abs_error": None,
        "reproducible": None,
    }
    return QuantizedFile(task.origin.model_copy(update=changes), share)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """The calibration rows, a few at a time, under the names of the ONNX file."""

    def __init__(self, artifact: Artifact, rows: Tensors) -> None:
        count = len(next(iter(rows.values()))) if rows else 0
        step = artifact.batch if isinstance(artifact.batch, int) else _CALIBRATED_AT_ONCE
        self._batches = iter(
            [
                {artifact.inputs[name]: array[start : start + step] for name, array in rows.items()}
                for start in range(0, count, step)
            ]
        )

    def get_next(self) -> dict[str, Any] | None:
        """The next batch, None after the last."""
        return next(self._batches, None)


def _float16(path: Path) -> ModelProto:
    """Weights and arithmetic in float16; inputs and outputs are cast at the border."""
    model: ModelProto = convert_float_to_float16(onnx.load(path), keep_io_types=True)
    _sort(model.graph)  # it puts the casts behind everything else
    return model


def _sort(graph: GraphProto) -> None:
    """Put every node behind those whose outputs it reads; apart from that, they stay in their order."""
    makers = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    waits_for = [{makers[name] for name in _names_read(node) if name in makers} for node in graph.node]
    readers: dict[int, list[int]] = {}
    for index, needed in enumerate(waits_for):
        for maker in needed:
            readers.setdefault(maker, []).append(index)
    ready = [index for index, needed in enumerate(waits_for) if not needed]
    heapify(ready)
    order = []
    while ready:
        index = heappop(ready)
        order.append(index)
        for reader in readers.get(index, ()):
            waits_for[reader].discard(index)
            if not waits_for[reader]:
                heappush(ready, reader)
    nodes = [NodeProto.FromString(graph.node[index].SerializeToString()) for index in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _names_read(node: NodeProto) -> Iterator[str]:
    """The tensors that a node reads, also from within the bodies of its loops and branches."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from (name for inner in attribute.g.node for name in _names_read(inner))
            yield from (value.name for value in attribute.g.output)


def _int8(path: Path, reader: _Reader) -> ModelProto:
    """QDQ: int8 activations, weights of 7 bits for each channel.

    Processors without VNNI add pairs of int8 products in 16 bits, which overflow when weights use all of their 8 bits
    (onnxruntime's documentation of `quantize_static`). 7 bits cost about a decibel and are right everywhere.
    """
    with tempfile.TemporaryDirectory(prefix="kedge-") as scratch:
        prepared, quantized = Path(scratch) / "prepared.onnx", Path(scratch) / "quantized.onnx"
        # Folds batch normalizations into the convolutions before them. Symbolic shapes would take another package.
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantized),
            reader,
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(quantized)


def _tidy(model: ModelProto) -> None:
    """Make the file say the same thing every time, and only what it needs.

    onnxruntime's optimizer lists domains that no op is of, and initializers in the order of a hash table whose seed is
    the process's.
    """
    used = {node.domain for node in _nodes(model)} | {""}
    opsets = sorted((entry for entry in model.opset_import if entry.domain in used), key=lambda entry: entry.domain)
    kept = [onnx.helper.make_opsetid(entry.domain, entry.version) for entry in opsets]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    tensors = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
    del model.graph.initializer[:]
    model.graph.initializer.extend(copies)
    del model.graph.value_info[:]
    del model.metadata_props[:]
    model.graph.name = "kedge"
    model.doc_string = model.graph.doc_string = ""


def _nodes(model: ModelProto) -> Iterator[NodeProto]:
    for graph in _graphs(model):
        yield from graph.node


def _graphs(model: ModelProto) -> Iterator[GraphProto]:
    """The graph and those inside it: bodies of loops, branches."""
    waiting = [model.graph]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            waiting.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    for graph in _graphs(model):
        yield from graph.initializer
        yield from (a.t for node in graph.node for a in node.attribute if node.op_type == "Constant")


def _small_share(model: ModelProto) -> float:
    """The share of the values of weights that stand in 8 or 16 bits; a vector is a scale, a zero point or a bias."""
    small = sum(_size(tensor) for tensor in _tensors(model) if tensor.data_type in _SMALL and len(tensor.dims) > 1)
    wide = sum(_size(tensor) for tensor in _tensors(model) if tensor.data_type in _FLOAT)
    return small / (small + wide) if small else 0.0


def _size(tensor: TensorProto) -> int:
    size = 1
    for dim in tensor.dims:
        size *= dim
    return size


def _quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return options
