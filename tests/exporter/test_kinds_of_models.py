"""Every kind of model comes out proven, under its own names, with what is known of its inputs."""

import json

import numpy as np
import pytest

from kedge_bundle.replay import verify
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.stats import InputStats
from tests.exporter.conftest import Exports
from tests.exporter.export_many import EXPORTED

NAMES = {
    "dicts": (["alpha", "zeta"], ["a", "z out"]),
    "sequential": (["my values-1.x"], ["1.answer"]),
    "lstm": (["steps"], ["next"]),
    "augmented": (["image"], ["label"]),
    "grouped": (["image"], ["pooled"]),
    "nested": (["values"], ["boxes_0", "boxes_1", "id"]),
    "four_rows": (["values"], ["answer"]),
    "deferred": (["input_layer"], ["answer"]),
    "one_row": (["values"], ["answer"]),
    "scorer": (["input_0"], ["score", "total"]),
    "pair": (["input_0", "input_1"], ["output_0", "output_1"]),
    "captioner": (["image", "tokens"], ["output_0"]),
    "echo": (["key"], ["key", "answer"]),
    "float16_gelu": (["values"], ["answer"]),
    "words": (["word"], ["embedding"]),
    "known_words": (["word", "code"], ["embedding"]),
    "chaotic": (["values"], ["wave"]),
}


def test_every_exported_model_is_looked_at() -> None:
    assert NAMES.keys() == EXPORTED.keys()


@pytest.mark.parametrize("name", EXPORTED)
def test_a_model_is_proven_in_every_format_that_was_asked_for(exports: Exports, name: str) -> None:
    manifest = exports.bundle(name).manifest
    assert [artifact.format for artifact in manifest.artifacts] == list(EXPORTED[name])
    assert {artifact.verdict for artifact in manifest.artifacts} <= {"bit-exact", "rounding-equivalent"}


@pytest.mark.parametrize("name", NAMES)
def test_names_are_those_of_the_keras_model(exports: Exports, name: str) -> None:
    signature = exports.bundle(name).manifest.signature
    assert (list(signature.input_names), list(signature.output_names)) == NAMES[name]


@pytest.mark.parametrize("name", [name for name, formats in EXPORTED.items() if "onnx" in formats])
def test_the_golden_answers_replay_in_this_process_from_onnx(exports: Exports, name: str) -> None:
    bundle = exports.bundle(name)
    artifact = bundle.manifest.artifact("onnx")
    assert artifact is not None
    report = verify(bundle, artifact)
    assert report.is_proven, report.first_failure()
    assert {o.output for case in report.cases for o in case.outputs} == set(bundle.manifest.signature.output_names)


def test_the_rows_of_a_first_call_are_no_promise(exports: Exports) -> None:
    manifest = exports.bundle("deferred").manifest
    assert manifest.signature.inputs[0].shape == (None, 5)
    assert [artifact.batch for artifact in manifest.artifacts] == ["dynamic"]
    assert any(note.startswith("the file records 2 rows") for note in manifest.notes)


def test_why_a_format_takes_one_row_and_which_dtypes_nobody_told_are_noted(exports: Exports) -> None:
    (row,) = exports.bundle("lstm").manifest.notes
    assert row.startswith("tflite takes one row per run, and the server runs the rows of a request one after another")
    assert "lstm" in row.partition("with any number of rows, ")[2]
    assert exports.bundle("dicts").manifest.notes == ()
    expected = "the file of a subclassed model records no dtypes: 'input_0' taken as float32; --data tells others"
    assert expected in exports.bundle("scorer").manifest.notes


def test_where_keras_itself_rounds_much_its_own_error_is_the_measure(exports: Exports) -> None:
    bundle = exports.bundle("chaotic")
    proof = json.loads((bundle.directory / "parity.json").read_text())
    assert proof["reference"]["precision"] == "float64"
    own = proof["reference"]["own"]["wave"]
    assert own["large"] > 1e-5 > own["zeros"]
    for report in proof["reports"]:
        (large,) = [case["outputs"][0] for case in report["cases"] if case["case"] == "large-8"]
        assert large["verdict"] == "rounding-equivalent"
        assert large["error"] <= large["allowed"] == pytest.approx(8 * own["large"])


def test_every_session_of_a_runtime_is_proven(exports: Exports) -> None:
    proof = json.loads((exports.bundle("dicts").directory / "parity.json").read_text())
    sessions = {(report["format"], report["session"]) for report in proof["reports"]}
    plain = "graph optimization disabled"
    assert sessions >= {("onnx", ""), ("onnx", plain), ("tflite", ""), ("tflite", plain)}
    assert ("saved_model", plain) not in sessions


@pytest.mark.parametrize("format_name", ["onnx", "tflite"])
def test_dict_outputs_come_back_in_the_right_place(exports: Exports, format_name: str) -> None:
    bundle = exports.bundle("dicts")
    artifact = bundle.manifest.artifact(format_name)
    assert artifact is not None
    inputs = {"zeta": np.ones((3, 4), np.float32), "alpha": np.full((3, 5), 19, np.int32)}
    with open_runtime(bundle, artifact) as runtime:
        answers = runtime.run(inputs)
    assert list(answers) == ["a", "z out"]
    assert (answers["a"].shape, answers["z out"].shape) == ((3, 3), (3, 2))


def test_a_recurrent_model_says_that_its_tflite_batch_is_fixed(exports: Exports) -> None:
    manifest = exports.bundle("lstm").manifest
    batches = {artifact.format: artifact.batch for artifact in manifest.artifacts}
    assert batches == {"tflite": 1, "onnx": "dynamic"}


def test_a_fixed_batch_still_answers_any_number_of_rows_and_any_length(exports: Exports) -> None:
    bundle = exports.bundle("lstm")
    steps = {"steps": np.random.default_rng(0).normal(size=(5, 9, 3)).astype(np.float32)}
    answers = {}
    for artifact in bundle.manifest.artifacts:
        with open_runtime(bundle, artifact) as runtime:
            answers[artifact.format] = runtime.run(steps)["next"]
    assert answers["tflite"].shape == (5, 2)
    np.testing.assert_allclose(answers["tflite"], answers["onnx"], atol=1e-6)


def test_a_batch_that_the_model_fixes_is_in_signature_and_artifacts(exports: Exports) -> None:
    manifest = exports.bundle("four_rows").manifest
    assert manifest.signature.fixed_batch == 4
    assert {artifact.batch for artifact in manifest.artifacts} == {4}


def test_what_runs_with_one_row_only_is_fixed_to_one_row(exports: Exports) -> None:
    manifest = exports.bundle("one_row").manifest
    assert {artifact.format: artifact.batch for artifact in manifest.artifacts} == {"tflite": 1, "onnx": 1}
    listed = {file.path for file in manifest.files} | {"manifest.json"}
    directory = exports.repository / "one_row" / "1"
    assert {path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file()} == listed


def test_an_output_named_like_an_input_is_mapped_in_onnx(exports: Exports) -> None:
    artifact = exports.bundle("echo").manifest.artifact("onnx")
    assert artifact is not None
    assert artifact.inputs == {"key": "key"}
    assert artifact.outputs == {"key": "key_1", "answer": "answer"}


def test_names_that_tensorflow_does_not_take_are_mapped(exports: Exports) -> None:
    manifest = exports.bundle("sequential").manifest
    used = {artifact.format: artifact.inputs["my values-1.x"] for artifact in manifest.artifacts}
    assert used == {"saved_model": "my_values_1_x", "tflite": "my_values_1_x", "onnx": "my values-1.x"}


def test_proofs_cover_many_batches_and_several_kinds(exports: Exports) -> None:
    cases = {case.name for case in exports.bundle("sequential").golden}
    assert cases == {"typical-7", "zeros-2", "constant-8"}
    proof = (exports.repository / "sequential" / "1" / "parity.json").read_text()
    for case in (
        "typical-1",
        "typical-2",
        "typical-7",
        "typical-32",
        "typical-7-reversed",
        "typical-7-first-3",
        "zeros-2",
        "ones-2",
        "large-8",
        "tiny-2",
        "constant-8",
        "denormal-1",
    ):
        assert f'"case": "{case}"' in proof


STATISTICS = {
    "augmented": InputStats(
        input="image", axis=None, source="rescaling-layer", layer="rescale", min=(0.0,), max=(255.0,)
    ),
    "four_rows": InputStats(
        input="values", source="batch-normalization-layer", layer="moving", mean=(1, 2, 3), std=(1, 2, 3)
    ),
    "nested": InputStats(
        input="values", source="normalization-layer", layer="inner", mean=(1, 2, 3, 4), std=(1, 2, 3, 4)
    ),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_are_read_from_the_layers_behind_the_input(exports: Exports, name: str) -> None:
    assert exports.bundle(name).manifest.input_stats == (STATISTICS[name],)


def test_indices_of_an_embedding_use_its_whole_table_and_no_more(exports: Exports) -> None:
    golden = {case.name: case.inputs["alpha"] for case in exports.bundle("dicts").golden}
    assert golden["constant-8"].max() <= 19
    assert golden["typical-7"].min() >= 0
    assert golden["typical-7"].max() <= 19


def test_a_model_without_such_layers_has_no_statistics(exports: Exports) -> None:
    assert exports.bundle("sequential").manifest.input_stats == ()


@pytest.mark.parametrize(
    ("name", "exit_code", "words"),
    [
        ("half", 3, ["output 'half' is bfloat16"]),
        ("stateful", 3, ["'memory' (LSTM) is stateful"]),
        ("bytecode", 3, ["Lambda", "bytecode"]),
        ("too_big", 4, ["no format can be produced: the weights take 80 bytes"]),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    exports: Exports, name: str, exit_code: int, words: list[str]
) -> None:
    outcome = exports.outcomes[name]
    assert outcome["exit_code"] == exit_code
    assert all(word in outcome["error"] for word in words), outcome["error"]
    assert not (exports.repository / name).exists()
