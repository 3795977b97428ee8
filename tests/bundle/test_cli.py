import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kedge_bundle import cli
from kedge_bundle.manifest import FILE_NAME
from kedge_bundle.store import describe_file
from tests.services import bundles

DOCS = Path(__file__).parents[2] / "docs" / "verifying.md"
VERIFY = Path(sys.executable).with_name("verify-model")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return bundles.publish(bundles.two_output(), tmp_path, "two").directory


def change_one_weight(directory: Path, *, mend_hash: bool) -> None:
    """Put the model with another weight into the bundle, and its hash into the manifest if asked."""
    other = bundles.publish(bundles.two_output(scale=2.01), directory.parents[1], "other").directory
    (directory / "model.onnx").write_bytes((other / "model.onnx").read_bytes())
    if mend_hash:
        document = json.loads((directory / FILE_NAME).read_text())
        document["artifacts"][0]["files"] = [describe_file(directory, directory / "model.onnx").model_dump()]
        (directory / FILE_NAME).write_text(json.dumps(document))


def test_the_command_proves_a_good_bundle(directory: Path):
    done = subprocess.run([VERIFY, directory], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "onnx" in done.stdout
    assert "two version 1 answers as Keras did here." in done.stdout


def test_a_changed_weight_is_refused_by_its_hash(directory: Path, capsys: pytest.CaptureFixture[str]):
    change_one_weight(directory, mend_hash=False)
    assert cli.main([str(directory)]) == 3
    assert "'model.onnx' is not the file that was proven" in capsys.readouterr().err


def test_a_changed_weight_with_a_mended_hash_is_refused_by_its_answers(
    directory: Path, capsys: pytest.CaptureFixture[str]
):
    change_one_weight(directory, mend_hash=True)
    assert cli.main([str(directory)]) == 1
    out = capsys.readouterr().out
    assert "output 'total': largest error" in out
    assert "does NOT answer as Keras did" in out


def test_json_is_one_document(directory: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main([str(directory), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 0
    assert document["formats"][0]["report"]["verdict"] == "bit-exact"


def test_a_refusal_is_json_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main([str(tmp_path / "none"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["exit_code"] == 3


def test_the_directory_of_a_model_gets_a_hint(directory: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main([str(directory.parent)]) == 3
    assert f"name one: {directory}" in capsys.readouterr().err


def test_a_format_that_is_not_in_the_bundle_is_exit_4(directory: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main([str(directory), "--format", "tflite"]) == 4
    assert "no tflite in this bundle; it has onnx" in capsys.readouterr().err


def test_usage_is_exit_2(directory: Path):
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(directory), "--format", "pickle"])
    assert stopped.value.code == 2


def test_without_its_runtime_nothing_counts_as_proven(directory: Path):
    # A child process in which onnxruntime cannot be imported: the edge box where it was forgotten.
    program = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from kedge_bundle.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    for arguments in ([], ["--format", "onnx"]):
        done = subprocess.run(
            [sys.executable, "-c", program, directory, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 4
        assert "install kedge[onnx] or kedge[onnx-gpu]" in done.stdout


def test_other_options_are_run_and_noted(directory: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--threads", "2", "--graph-optimization", "disabled", "--device", "cpu", "--tf32", "on"]
    arguments += ["--tensorrt", "on"]
    assert cli.main([str(directory), *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    # A CPU has no TensorFloat-32: asking for it there changes nothing, and is not on record.
    options = {"device": "cpu", "threads": 2, "graph_optimization": "disabled", "tf32": False, "tensorrt": False}
    assert document["formats"][0]["options"] == options
    assert document["attestation"] is None
    assert cli.main([str(directory), *arguments]) == 0
    out = capsys.readouterr().out
    assert "run with cpu, 2 threads, graph optimization disabled; the manifest's proof is of cpu, 1 thread" in out


@pytest.mark.parametrize("number", ["0", "-1", "many"])
def test_threads_are_a_positive_number(directory: Path, number: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(directory), "--threads", number])
    assert stopped.value.code == 2
    assert "--threads" in capsys.readouterr().err


def test_an_attestation_is_written_beside_the_bundle_and_named(directory: Path):
    done = subprocess.run([VERIFY, directory, "--attest"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (path,) = directory.parent.glob("1.attestation-*.json")
    assert done.stdout.endswith(f"attested: {path}\n")


def test_a_relative_bundle_is_attested_beside_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(directory)
    assert cli.main([".", "--attest", "--json"]) == 0
    (path,) = directory.parent.glob("1.attestation-*.json")
    assert json.loads(capsys.readouterr().out)["attestation"] == str(path)


def test_an_attestation_that_cannot_be_written_is_exit_5(directory: Path, capsys: pytest.CaptureFixture[str]):
    # A name that is too long with what is put behind it: the one refusal that root meets, too.
    directory = directory.rename(directory.with_name("v" * 240))
    assert cli.main([str(directory), "--attest"]) == 5
    out, err = capsys.readouterr()
    assert "answers as Keras did here." in out
    assert "cannot be written beside" in err
    assert cli.main([str(directory), "--attest", "--json"]) == 5
    assert "cannot be written" in json.loads(capsys.readouterr().out)["error"]


def test_what_answers_differently_is_attested_as_failed_with_exit_1(
    directory: Path, capsys: pytest.CaptureFixture[str]
):
    change_one_weight(directory, mend_hash=True)
    assert cli.main([str(directory), "--attest", "--json"]) == 1
    record = json.loads(Path(json.loads(capsys.readouterr().out)["attestation"]).read_text())
    assert (record["findings"][0]["is_proven"], record["findings"][0]["verdict"]) == (False, "failed")


def test_a_gpu_that_is_not_there_is_exit_4_and_nothing_is_attested(directory: Path, capsys: pytest.CaptureFixture[str]):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is built with CUDA: a GPU may really be in use here")
    assert cli.main([str(directory), "--device", "gpu", "--attest"]) == 4
    out, err = capsys.readouterr()
    assert "kedge[onnx-gpu]" in out
    assert "nothing is attested" in err
    assert list(directory.parent.glob("*.json")) == []


def test_the_exit_codes_of_the_documentation_are_those_of_the_help(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = re.findall(r"^  (\d)  (.+)$", capsys.readouterr().out, re.MULTILINE)
    assert len(listed) == 6
    assert re.findall(r"^\| (\d) \| (.+) \|$", DOCS.read_text("utf-8"), re.MULTILINE) == listed
