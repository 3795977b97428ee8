"""Copies of real artifacts in all formats: one weight is another, or the heads are gone, and nothing else."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema

from kedge_bundle.manifest import FORMATS, Artifact
from kedge_bundle.store import describe_file
from kedge_exporter.copies import NoWeight, changed_weight, without_heads
from tests.exporter.conftest import run_module

MODELS = [
    "linear", "dense", "pixels", "shared", "mixed_float16", "half", "double", "recurrent", "recurrent_head", "nested",
    "grouped", "table", "untrained",
]  # fmt: skip
LEVELS = {"saved_model": ("all",), "tflite": ("all", "disabled"), "onnx": ("all", "disabled")}
ROUNDING, HALF_ROUNDING = 2e-6, 3e-3
"""TFLite computes float64 in float32, and float16 as well."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Copied:
    """What `copy_many` did with one artifact."""

    home: Path
    told: dict[str, Any]

    @property
    def artifact(self) -> Artifact:
        return Artifact.model_validate(self.told["artifact"])

    @property
    def work(self) -> Path:
        return self.home / str(self.told["format"])

    def answers(self, kind: str, level: str) -> dict[str, Array]:
        with np.load(self.work / "answers.npz") as file:
            prefix = f"{kind}:{level}:"
            return {key.removeprefix(prefix): file[key] for key in file.files if key.startswith(prefix)}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Copied]:
    work = tmp_path_factory.mktemp("copies")
    printed = run_module("tests.exporter.copies.copy_many", work, work=tmp_path_factory.mktemp("work"))
    lines = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return {(line["model"], line["format"]): Copied(work / line["model"], line) for line in lines}


each_format = pytest.mark.parametrize("format_name", FORMATS)
each_model = pytest.mark.parametrize("model", MODELS)
Copies = dict[tuple[str, str], Copied]


def test_every_model_was_copied_in_every_format(copies: Copies):
    assert set(copies) == {(model, name) for model in (*MODELS, "preprocessing") for name in FORMATS}


@each_format
@each_model
def test_one_changed_weight_changes_the_answers_a_little(copies: Copies, model: str, format_name: str):
    copied = copies[model, format_name]
    for level in LEVELS[format_name]:
        before, after = copied.answers("original", level), copied.answers("changed", level)
        assert before.keys() == after.keys() != set()
        assert any(not np.array_equal(before[name], after[name]) for name in before) == (model != "untrained")
        for name, array in before.items():
            assert (array.dtype, array.shape) == (after[name].dtype, after[name].shape)
            np.testing.assert_allclose(after[name], array, rtol=5e-3, atol=5e-3)


@each_format
def test_answers_of_a_linear_layer_grow_by_one_part_in_a_thousand(copies: Copies, format_name: str):
    copied = copies["linear", format_name]
    before, after = (copied.answers(kind, "all")["answer"] for kind in ("original", "changed"))
    assert np.abs(before).max() > 0.1
    np.testing.assert_allclose(after, before * np.float32(1.001), rtol=1e-5, atol=1e-6)


@each_format
@pytest.mark.parametrize("model", ["pixels", "shared", "nested"])
def test_the_weight_stands_before_all_outputs_where_there_is_one(copies: Copies, model: str, format_name: str):
    copied = copies[model, format_name]
    before, after = copied.answers("original", "all"), copied.answers("changed", "all")
    assert [name for name in before if np.array_equal(before[name], after[name])] == []


@each_format
@each_model
def test_the_copies_describe_their_own_files(copies: Copies, model: str, format_name: str):
    copied = copies[model, format_name]
    for kind in ("changed", "headless"):
        if kind not in copied.told:
            assert (kind, copied.told["outputs"]) == ("headless", None)
            assert list((copied.work / kind).iterdir()) == []
            continue
        entry, home = Artifact.model_validate(copied.told[kind]), copied.work / kind
        present = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
        assert present == {file.path for file in entry.files} == {file.path for file in copied.artifact.files}
        assert all(describe_file(home, home / file.path) == file for file in entry.files)
        same = [file.path for file in entry.files if file in copied.artifact.files]
        assert set(present) - set(same) == {entry.main_path}
        assert entry.verdict == "failed"


@each_format
@each_model
def test_the_weight_is_described(copies: Copies, model: str, format_name: str):
    name, shape, elements = copies[model, format_name].told["weight"]
    assert name
    assert np.prod(shape) == elements > 1


@each_model
def test_one_node_of_a_saved_model_differs(copies: Copies, model: str):
    told = copies[model, "saved_model"].told
    assert told["nodes"] == [told["weight"][0]]


def differing(before: bytes, after: bytes) -> tuple[int, int]:
    """The first and the last byte that differ."""
    assert len(before) == len(after)
    where = np.flatnonzero(np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8))
    return int(where[0]), int(where[-1])


@each_model
def test_one_initializer_of_an_onnx_file_differs(copies: Copies, model: str):
    copied = copies[model, "onnx"]
    paths = [home / "model.onnx" for home in (copied.home, copied.work / "changed")]
    sides = [onnx.load(path) for path in paths]
    pairs = zip(*(side.graph.initializer for side in sides), strict=True)
    changed = [before for before, after in pairs if before != after]
    assert [tensor.name for tensor in changed] == [copied.told["weight"][0]]
    first, last = differing(*(path.read_bytes() for path in paths))
    assert last - first < len(changed[0].raw_data)


@each_model
def test_one_buffer_of_a_tflite_file_differs(copies: Copies, model: str):
    copied = copies[model, "tflite"]
    files = [(home / "model.tflite").read_bytes() for home in (copied.home, copied.work / "changed")]
    buffers = [schema.ModelT.InitFromPackedBuf(content, 0).buffers for content in files]
    pairs = zip(*buffers, strict=True)
    changed = [before.data for before, after in pairs if before.data is not None and any(before.data != after.data)]
    assert len(changed) == 1
    first, last = differing(*files)
    assert last - first < len(changed[0])


@each_format
def test_preprocessing_has_no_weight(copies: Copies, format_name: str):
    copied = copies["preprocessing", format_name]
    assert "has no weight" in copied.told["no_weight"]
    assert list((copied.work / "changed").iterdir()) == []


def probabilities(kind: str, logits: Array, axis: int) -> Array:
    wide = logits.astype(np.float64)
    if kind == "sigmoid":
        return np.asarray(1 / (1 + np.exp(-wide)))
    powers = np.exp(wide - wide.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def ends(copied: Copied) -> dict[str, str]:
    """What the copies find that Keras does not: probabilities that were moved before they were answered."""
    more = {"folded": "folded"} if (copied.told["model"], copied.told["format"] != "tflite") == ("shared", True) else {}
    return copied.told["heads"] | more


@each_format
@each_model
def test_heads_are_found_where_keras_has_them(copies: Copies, model: str, format_name: str):
    copied = copies[model, format_name]
    assert set(copied.told["outputs"] or ()) == set(ends(copied))
    has_none = {"linear", "recurrent", "grouped", "table", "untrained"}
    assert (not copied.told["heads"]) == (model in has_none)


@each_format
@each_model
def test_logits_give_the_probabilities_back(copies: Copies, model: str, format_name: str):
    copied = copies[model, format_name]
    for level in LEVELS[format_name]:
        before, logits = copied.answers("original", level), copied.answers("headless", level)
        keras = copied.answers("keras", "")
        tolerance = HALF_ROUNDING if model in {"half", "mixed_float16"} else ROUNDING
        for name, kind in copied.told["heads"].items():
            assert (logits[name].dtype, logits[name].shape) == (before[name].dtype, before[name].shape)
            back = probabilities(kind, logits[name], 1 if name == "columns" else -1)
            np.testing.assert_allclose(back, before[name], atol=tolerance)
            assert np.abs(logits[name]).max() > 0.01
            np.testing.assert_allclose(logits[name], keras[name], rtol=tolerance, atol=2 * tolerance)


@each_format
@each_model
def test_outputs_without_a_head_answer_as_before(copies: Copies, model: str, format_name: str):
    """Those that read probabilities of a head that is gone from another output, too."""
    copied = copies[model, format_name]
    before, after = copied.answers("original", "all"), copied.answers("headless", "all")
    for name in after.keys() - set(ends(copied)):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-6, atol=1e-7)


def test_only_the_outputs_that_were_asked_for_lose_their_heads(copies: Copies, tmp_path: Path):
    for format_name in ("onnx", "tflite"):
        copied = copies["pixels", format_name]
        headless = without_heads(copied.home, copied.artifact, tmp_path / format_name, ("plain", "segments"))
        assert headless is not None
        assert headless.outputs == ("segments",)
        assert without_heads(copied.home, copied.artifact, tmp_path / "none", ("plain",)) is None


def test_a_copy_overwrites_nothing(copies: Copies):
    copied = copies["dense", "onnx"]
    for make in (changed_weight, without_heads):
        with pytest.raises(FileExistsError, match=r"model\.onnx"):
            make(copied.home, copied.artifact, copied.home)


def test_no_weight_is_an_error_of_its_own(copies: Copies, tmp_path: Path):
    copied = copies["preprocessing", "tflite"]
    with pytest.raises(NoWeight, match=r"'model\.tflite' has no weight"):
        changed_weight(copied.home, copied.artifact, tmp_path)


def test_the_front_imports_no_format():
    program = "import sys, kedge_exporter.copies; print({'onnx', 'tensorflow', 'ai_edge_litert'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
