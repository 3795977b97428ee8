"""Which sessions may be served: those of the manifest, and those attested for these files, this machine and runtime."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from kedge_bundle import cli
from kedge_bundle.attestation import Attestation, attest, attestations, read_attestation, write_attestation
from kedge_bundle.errors import OptionsUnproven
from kedge_bundle.machine import Gpu, Machine, first_gpu, this_machine
from kedge_bundle.manifest import RuntimeOptions, write_manifest
from kedge_bundle.proven import IN_MANIFEST, proof_of
from kedge_bundle.store import Bundle, open_bundle
from tests.services.bundles import publish, two_output
from tests.services.gpu_stand_in import GpuStandIn

TWO_THREADS = RuntimeOptions(threads=2)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return publish(two_output(), tmp_path, "two")


def attest_two_threads(bundle: Bundle) -> Attestation:
    """Attest with the command; the record."""
    assert cli.main([str(bundle.directory), "--threads", "2", "--attest"]) == 0
    (path,) = attestations(bundle.directory)
    return read_attestation(path)


def rewritten(bundle: Bundle, record: Attestation, **changes: Any) -> None:  # noqa: ANN401 (any field of the record)
    """Put a record in the place of all others: one that another machine, or this one earlier, could have written."""
    for path in attestations(bundle.directory):
        path.unlink()
    write_attestation(bundle, record.model_copy(update=changes))


def proof(bundle: Bundle, options: RuntimeOptions) -> str:
    return proof_of(bundle, bundle.manifest.artifacts[0], options)


def refusal(bundle: Bundle, options: RuntimeOptions = TWO_THREADS) -> str:
    with pytest.raises(OptionsUnproven) as caught:
        proof(bundle, options)
    return str(caught.value)


def test_the_options_of_the_manifest_are_proven_there(bundle: Bundle):
    assert proof(bundle, RuntimeOptions()) == IN_MANIFEST


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        (RuntimeOptions(threads=4), "--threads 4"),
        (RuntimeOptions(device="gpu", threads=4), "--device gpu --threads 4"),
        (RuntimeOptions(graph_optimization="disabled"), "--graph-optimization disabled"),
        (RuntimeOptions(device="gpu", tf32=True), "--device gpu --tf32 on"),
        (RuntimeOptions(device="gpu", tf32=True, tensorrt=True), "--device gpu --tf32 on --tensorrt on"),
    ],
)
def test_other_options_are_not_and_the_command_that_attests_is_named(
    bundle: Bundle, options: RuntimeOptions, flags: str
):
    message = refusal(bundle, options)
    assert "onnx is proven with cpu, 1 thread, graph optimization all" in message
    assert message.endswith(f"to prove it here: verify-model {bundle.directory} --format onnx {flags} --attest")


def test_the_command_that_is_named_attests(bundle: Bundle):
    command, *arguments = shlex.split(refusal(bundle).partition("to prove it here: ")[2])
    assert command == "verify-model"
    assert cli.main(arguments) == 0
    assert proof(bundle, TWO_THREADS).startswith("1.attestation-")
    refusal(bundle, RuntimeOptions(threads=3))


def test_a_record_of_a_gpu_from_before_tensorfloat_32_was_on_record_proves_nothing(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    GpuStandIn().install(monkeypatch.setattr)
    on_gpu = RuntimeOptions(device="gpu")
    assert cli.main([str(bundle.directory), "--device", "gpu", "--attest"]) == 0
    (path,) = attestations(bundle.directory)
    assert proof(bundle, on_gpu) == path.name
    assert "gpu, 1 thread, graph optimization all, TF32 is not" in refusal(
        bundle, RuntimeOptions(device="gpu", tf32=True)
    )
    rewritten(bundle, read_attestation(path), schema_version="1.0")
    assert "was made before it was on record whether TensorFloat-32 was on" in refusal(bundle, on_gpu)


def test_an_edited_record_proves_nothing(bundle: Bundle):
    attest_two_threads(bundle)
    (path,) = attestations(bundle.directory)
    path.write_text(path.read_text().replace('"is_proven": true', '"is_proven":  false'))
    assert "was changed after it was written" in refusal(bundle)


def test_a_record_of_another_machine_proves_nothing_and_says_of_which(bundle: Bundle):
    record = attest_two_threads(bundle)
    rewritten(bundle, record, machine=record.machine.model_copy(update={"processor": "Cortex-A72"}))
    assert "is of another machine: Cortex-A72" in refusal(bundle)
    fewer = record.machine.model_copy(update={"features": record.machine.features[1:]})
    rewritten(bundle, record, machine=fewer)
    assert f"is of another machine: no {record.machine.features[0]}" in refusal(bundle)


def test_a_record_of_another_runtime_proves_nothing_and_names_both(bundle: Bundle):
    record = attest_two_threads(bundle)
    (finding,) = record.findings
    here = finding.runtime["onnxruntime"]
    older = finding.model_copy(update={"runtime": {"onnxruntime": "1.20.0"}})
    rewritten(bundle, record, findings=(older,))
    assert f"is of onnxruntime 1.20.0; here is onnxruntime {here}" in refusal(bundle)


def test_a_record_of_a_bundle_that_was_here_before_proves_nothing(bundle: Bundle):
    attest_two_threads(bundle)
    write_manifest(bundle.directory, bundle.manifest.model_copy(update={"created": "2026-02-02T00:00:00Z"}))
    assert "nor does an attestation of this machine say so; to prove" in refusal(open_bundle(bundle.directory))


def test_the_newest_record_counts_and_one_that_failed_refuses(bundle: Bundle):
    record = attest_two_threads(bundle)
    (finding,) = record.findings
    failed = finding.model_copy(update={"is_proven": False, "verdict": "failed"})
    other = finding.model_copy(update={"artifact": "tflite"})  # another question: a file of its own
    later = record.model_copy(update={"date": "2999-01-01T00:00:00.000Z", "findings": (failed, other)})
    write_attestation(bundle, later)
    assert len(attestations(bundle.directory)) == 2
    assert "failed on this machine, says 1.attestation-" in refusal(bundle)
    write_attestation(bundle, later.model_copy(update={"date": "2000-01-01T00:00:00.000Z"}))
    assert proof(bundle, TWO_THREADS).startswith("1.attestation-")


def test_a_machine_is_told_from_another_by_what_only_it_has():
    here = this_machine()
    assert here.beyond(here) == []
    gpu = Gpu(name="H100", compute_capability="9.0", cuda="13.0")
    assert here.model_copy(update={"gpu": gpu}).beyond(here) == ["H100", "compute capability 9.0", "CUDA 13.0"]
    plain = Machine(architecture="aarch64", processor="", features=("asimd",))
    assert plain.parts() == ["aarch64"]
    assert plain.beyond(plain.model_copy(update={"processor": "Cortex-A72"})) == ["no Cortex-A72"]
    assert plain.beyond(plain.model_copy(update={"features": ()})) == ["asimd"]


def test_the_gpu_is_asked_for_only_where_it_runs_something():
    assert this_machine("cpu").gpu is None
    assert this_machine("gpu").gpu == first_gpu()


def test_a_record_of_a_run_is_json_that_another_program_reads(bundle: Bundle):
    record = attest_two_threads(bundle)
    (path,) = attestations(bundle.directory)
    assert json.loads(path.read_text())["findings"][0]["options"] == record.findings[0].options.model_dump()
    assert attest(bundle, record.machine, list(record.findings)).findings == record.findings
