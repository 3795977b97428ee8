"""ONNX: tf2onnx on the frozen graph, then Keras' names, then three gates, since tf2onnx reports success too easily."""

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
from onnx import ModelProto

from kedge_bundle.manifest import Artifact
from kedge_bundle.signature import Signature, TensorSpec
from kedge_bundle.store import describe_file
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions
from kedge_exporter.formats.float32 import without
from kedge_exporter.formats.onnx_conversion import Source, to_onnx
from kedge_exporter.formats.onnx_names import rename_tensors
from kedge_exporter.formats.onnx_pools import keep_zeros
from kedge_exporter.formats.onnx_refusals import Troubles
from kedge_exporter.keras_model import describe
from kedge_exporter.naming import unique
from kedge_exporter.tracing import Frozen
from kedge_exporter.writing import as_write_error

FORMAT = "onnx"
_FILE = "model.onnx"
_KNOWN_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}


def convert(frozen: Frozen, directory: Path, options: ConvertOptions) -> Artifact:
    """Write `model.onnx` under Keras' names, with a symbolic batch axis called `batch`."""
    frozen = without({"bfloat16"}, frozen, FORMAT)  # onnxruntime has hardly a kernel for it
    if frozen.calls_functions:
        # Keras compiles grouped convolutions apart; ONNX has them as an attribute of Conv.
        frozen = frozen.inlined()
    model = _converted(frozen, options.opset)
    outputs = _output_names(frozen.signature)
    _take_keras_names(model, frozen, outputs)
    _clean(model)
    keep_zeros(model.graph)
    _check(model)
    path = directory / _FILE
    settings = onnxruntime.SessionOptions()
    # Whether it knows every op in these dtypes; the proof opens the file as it will be served, optimised.
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        onnx.save(model, path)
        onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exception types share no public base
        raise as_write_error(error) or FormatImpossible(FORMAT, f"onnxruntime refuses it: {describe(error)}") from error
    return Artifact(
        format=FORMAT,
        path=_FILE,
        files=(describe_file(directory, path),),
        inputs={name: name for name in frozen.signature.input_names},
        outputs=outputs,
        batch=frozen.batch or "dynamic",
        opset=options.opset,
        ops=tuple(sorted(_ops(model))),
        verdict="failed",
    )


def _converted(frozen: Frozen, opset: int) -> ModelProto:
    """Run tf2onnx, and take its logged errors seriously: it writes a file even for ops that it does not know."""
    inputs = [f"{frozen.arguments[name]}:0" for name in frozen.signature.input_names]
    outputs = [tensor.name for tensor in frozen.function.outputs]
    source = Source(frozen.function.graph.as_graph_def(add_shapes=True), inputs, outputs, frozen.tables)
    ops = {node.name: node.op for node in source.graph_def.node}
    with Troubles(ops, frozen.layers) as troubles:
        try:
            model = to_onnx(source, opset)
        except Exception as error:  # tf2onnx raises KeyError, IndexError, AssertionError and its own
            raise FormatImpossible(FORMAT, troubles.reason() or f"tf2onnx: {describe(error)}") from error
    if troubles:
        raise FormatImpossible(FORMAT, troubles.reason())
    return model


def _output_names(signature: Signature) -> dict[str, str]:
    """Keras output name -> ONNX name: the same, but where an input has it, since ONNX names every tensor once."""
    names = (*signature.input_names, *signature.output_names)
    return dict(zip(signature.output_names, unique(names)[len(signature.inputs) :], strict=True))


def _take_keras_names(model: ModelProto, frozen: Frozen, outputs: dict[str, str]) -> None:
    """Rename inputs and outputs, put them in Keras' order, and write their shapes as the signature has them."""
    signature = frozen.signature
    inputs = {name: name for name in signature.input_names}
    renamed = {f"{frozen.arguments[name]}:0": name for name in signature.input_names}
    tensors = zip(frozen.output_order, frozen.function.outputs, strict=True)
    renamed |= {tensor.name: outputs[name] for name, tensor in tensors}
    rename_tensors(model.graph, renamed)
    for values, specs, names in (
        (model.graph.input, signature.inputs, inputs),
        (model.graph.output, signature.outputs, outputs),
    ):
        by_name = {value.name: value for value in values}
        if by_name.keys() != set(names.values()):
            expected = list(names.values())
            raise FormatImpossible(FORMAT, f"tf2onnx gave the tensors {sorted(by_name)}, expected {expected}")
        ordered = [by_name[names[spec.name]] for spec in specs]
        for value, spec in zip(ordered, specs, strict=True):
            _write_shape(value, spec)
        del values[:]
        values.extend(ordered)


def _write_shape(value: onnx.ValueInfoProto, spec: TensorSpec) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for axis, size in enumerate(spec.shape):
        if size is not None:
            shape.dim.add().dim_value = size
        else:
            shape.dim.add().dim_param = "batch" if axis == 0 else f"{spec.name}_{axis}"


def _clean(model: ModelProto) -> None:
    """Drop what only repeats how the file was made: documentation strings and shapes of tensors between."""
    model.doc_string = ""
    model.graph.doc_string = ""
    model.graph.name = "kedge"
    del model.graph.value_info[:]
    for node in model.graph.node:
        node.doc_string = ""


def _check(model: ModelProto) -> None:
    """Refuse ops of unknown domains, and what onnx itself finds wrong."""
    domains = {node.domain for node in model.graph.node} | {entry.domain for entry in model.opset_import}
    if unknown := domains - _KNOWN_DOMAINS:
        ops = sorted({node.op_type for node in model.graph.node if node.domain in unknown})
        raise FormatImpossible(FORMAT, f"ops {ops} belong to {sorted(unknown)}, which onnxruntime does not run")
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise FormatImpossible(FORMAT, f"the ONNX checker refuses it: {describe(error)}") from error


def _ops(model: ModelProto) -> Counter[str]:
    """How often each op stands in the graph and in the bodies of its loops."""
    counts: Counter[str] = Counter()
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        for node in graph.node:
            counts[node.op_type] += 1
            graphs.extend(attribute.g for attribute in node.attribute if attribute.HasField("g"))
    return counts
