"""Where an ONNX file may keep a weight: beside the file, in a Constant node, in the body of a loop."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kedge_bundle.manifest import Artifact
from kedge_bundle.store import describe_file
from kedge_exporter.copies import changed_weight

WEIGHT = np.arange(1, 10, dtype=np.float32).reshape(3, 3)


def model(nodes: list[onnx.NodeProto], initializers: list[onnx.TensorProto]) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in "xy")
    graph = helper.make_graph(nodes, "tests", [x], [y], initializers)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def artifact(home: Path, *names: str) -> Artifact:
    files = tuple(describe_file(home, home / name) for name in ("model.onnx", *names))
    return Artifact(
        format="onnx", path="model.onnx", files=files, inputs={"x": "x"}, outputs={"y": "y"}, batch="dynamic",
        verdict="failed",
    )  # fmt: skip


@pytest.fixture
def homes(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "original").mkdir()
    return tmp_path / "original", tmp_path / "copy"


def test_a_weight_in_a_file_beside_the_model(homes: tuple[Path, Path]):
    home, into = homes
    offset = numpy_helper.from_array(np.full((3, 3), 7, np.float32), "offset")
    nodes = [helper.make_node("Add", ["x", "offset"], ["s"]), helper.make_node("MatMul", ["s", "w"], ["y"])]
    made = model(nodes, [offset, numpy_helper.from_array(WEIGHT, "w")])
    onnx.save(made, home / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    changed = changed_weight(home, artifact(home, "weights.bin"), into)
    assert changed.weight.name == "w"
    assert [file.path for file in changed.artifact.files] == ["model.onnx", "weights.bin"]
    assert (into / "model.onnx").read_bytes() == (home / "model.onnx").read_bytes()
    held = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(into / "model.onnx").graph.initializer}
    np.testing.assert_allclose(held["w"], WEIGHT * 1.001, rtol=1e-6)
    assert (held["offset"] == 7).all()
    assert (into / "weights.bin").stat().st_size == (home / "weights.bin").stat().st_size


def test_a_weight_in_a_node(homes: tuple[Path, Path]):
    home, into = homes
    constant = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(WEIGHT, "value"))
    onnx.save(model([constant, helper.make_node("MatMul", ["x", "w"], ["y"])], []), home / "model.onnx")
    assert changed_weight(home, artifact(home), into, factor=2.0).weight.shape == (3, 3)
    before, after = onnx.load(home / "model.onnx"), onnx.load(into / "model.onnx")
    np.testing.assert_array_equal(numpy_helper.to_array(after.graph.node[0].attribute[0].t), 2 * WEIGHT)
    after.graph.node[0].CopyFrom(before.graph.node[0])
    assert after == before


@pytest.fixture
def loop() -> tuple[onnx.GraphProto, onnx.TensorProto]:
    """The body of a loop whose state is multiplied by `w`, and how often it runs."""
    scalars = [helper.make_tensor_value_info(name, kind, []) for name, kind in (("i", TensorProto.INT64), ("c", 9))]
    state = helper.make_tensor_value_info("state", TensorProto.FLOAT, ["batch", 3])
    results = [helper.make_tensor_value_info("c2", 9, []), helper.make_tensor_value_info("s2", 1, ["batch", 3])]
    nodes = [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("MatMul", ["state", "w"], ["s2"])]
    body = helper.make_graph(nodes, "body", [*scalars, state], results)
    return body, numpy_helper.from_array(np.array(2, np.int64), "count")


Loop = tuple[onnx.GraphProto, onnx.TensorProto]


def test_a_weight_in_the_body_of_a_loop(homes: tuple[Path, Path], loop: Loop):
    home, into = homes
    body, count = loop
    body.initializer.append(numpy_helper.from_array(WEIGHT, "w"))
    onnx.save(model([helper.make_node("Loop", ["count", "", "x"], ["y"], body=body)], [count]), home / "model.onnx")
    assert changed_weight(home, artifact(home), into, factor=2.0).weight.name == "w"
    (attribute,) = onnx.load(into / "model.onnx").graph.node[0].attribute
    np.testing.assert_array_equal(numpy_helper.to_array(attribute.g.initializer[0]), 2 * WEIGHT)


def test_a_weight_that_a_loop_carries_round(homes: tuple[Path, Path], loop: Loop):
    """Recurrent layers that are no op of their own in ONNX."""
    home, into = homes
    body, count = loop
    body.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 3]))
    body.output.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 3]))
    node = helper.make_node("Loop", ["count", "", "x", "outside"], ["y", "same"], body=body)
    onnx.save(model([node], [count, numpy_helper.from_array(WEIGHT, "outside")]), home / "model.onnx")
    assert changed_weight(home, artifact(home), into).weight.name == "outside"
