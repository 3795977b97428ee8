"""An ONNX model that keeps values in other files names them, wherever in the model the tensor hides."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from kedge_bundle.errors import ArtifactUnloadable
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.runtimes.onnx_external import external_files
from kedge_bundle.store import Bundle
from tests.services import bundles


def tensor(location: str, name: str = "w") -> TensorProto:
    """A tensor of 2 x 2 whose values lie in another file."""
    found = numpy_helper.from_array(np.ones((2, 2), np.float32), name)
    found.ClearField("raw_data")
    found.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        found.external_data.add(key=key, value=value)
    return found


def model(*nodes: onnx.NodeProto, weights: tuple[TensorProto, ...] = ()) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 2])
    return helper.make_model(helper.make_graph(nodes or [helper.make_node("Identity", ["x"], ["y"])], "g", [value], [],
                                               list(weights)))  # fmt: skip


def in_a_weight() -> onnx.ModelProto:
    return model(weights=(tensor("side.bin"),))


def in_a_constant() -> onnx.ModelProto:
    return model(helper.make_node("Constant", [], ["y"], value=tensor("side.bin")))


def in_a_branch() -> onnx.ModelProto:
    branch = helper.make_graph([helper.make_node("Identity", ["w"], ["y"])], "b", [], [], [tensor("side.bin")])
    return model(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))


def in_a_function() -> onnx.ModelProto:
    found = model()
    constant = helper.make_node("Constant", [], ["y"], value=tensor("side.bin"))
    found.functions.append(helper.make_function("d", "f", [], ["y"], [constant], []))
    return found


def in_a_sparse_weight() -> onnx.ModelProto:
    found = model()
    found.graph.sparse_initializer.add(values=tensor("side.bin"), dims=[2, 2])
    return found


def in_training() -> onnx.ModelProto:
    found = model()
    found.training_info.add().algorithm.initializer.append(tensor("side.bin"))
    return found


@pytest.mark.parametrize(
    "build", [in_a_weight, in_a_constant, in_a_branch, in_a_function, in_a_sparse_weight, in_training]
)
def test_the_other_file_is_named_wherever_the_tensor_hides(
    tmp_path: Path, build: Callable[[], onnx.ModelProto]
) -> None:
    (tmp_path / "model.onnx").write_bytes(build().SerializeToString())
    assert external_files(tmp_path / "model.onnx") == ["side.bin"]


def test_a_model_in_one_piece_names_no_other_file(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.frombuffer(b"location" * 1000, np.float32), "location")
    found = model(weights=(weight,))
    found.metadata_props.add(key="location", value="here")
    (tmp_path / "model.onnx").write_bytes(found.SerializeToString())
    assert external_files(tmp_path / "model.onnx") == []


@pytest.mark.parametrize("content", [b"not a model", b"\x3a\xff\xff\xff\x7f", b"\xff" * 12, b"\x0b", b"\x3a"])
def test_what_is_no_protobuf_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"a field|a number"):
        external_files(tmp_path / "model.onnx")


def test_an_empty_file_is_left_to_the_runtime(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    assert external_files(tmp_path / "model.onnx") == []


def test_weights_are_stepped_over_not_read(tmp_path: Path) -> None:
    weights = tuple(numpy_helper.from_array(np.zeros(1 << 20, np.float32), f"w{index}") for index in range(32))
    (tmp_path / "model.onnx").write_bytes(model(weights=weights).SerializeToString())
    start = time.monotonic()
    assert external_files(tmp_path / "model.onnx") == []
    assert time.monotonic() - start < 0.5


def test_a_bundle_with_values_beside_its_model_is_refused(tmp_path: Path) -> None:
    """onnxruntime reads them without a word, and no hash of the manifest answers for them."""
    bundle = bundles.publish(bundles.two_output(), tmp_path / "models", "two")
    (tmp_path / "other").mkdir()
    found = onnx.load(bundle.directory / "model.onnx")
    found.graph.initializer.append(tensor("side.bin", "unused"))
    (tmp_path / "other" / "model.onnx").write_bytes(found.SerializeToString())
    (tmp_path / "other" / "side.bin").write_bytes(os.urandom(16))
    artifact = next(artifact for artifact in bundle.manifest.artifacts if artifact.format == "onnx")
    with pytest.raises(ArtifactUnloadable, match=r"keeps values in 'side\.bin', which the manifest does not list"):
        open_runtime(Bundle(tmp_path / "other", bundle.manifest), artifact)
    side = artifact.files[0].model_copy(update={"path": "side.bin"})
    listed = artifact.model_copy(update={"files": (*artifact.files, side)})
    with open_runtime(Bundle(tmp_path / "other", bundle.manifest), listed) as runtime:
        assert runtime.device == "cpu"
