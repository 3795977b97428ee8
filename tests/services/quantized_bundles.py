"""A tiny bundle with a second artifact that passes for a quantized one: another scale, so that it answers otherwise."""

import shutil
import tempfile
from pathlib import Path

from kedge_bundle.cases import Case, write_cases
from kedge_bundle.fidelity import FidelityBudget, judge
from kedge_bundle.manifest import Quantized, write_manifest
from kedge_bundle.parity import Budget
from kedge_bundle.store import Bundle, describe_file
from tests.services.bundles import publish, two_output


def two_with_int8(repository: Path, scale: float = 2.1, answers_scale: float | None = None) -> Bundle:
    """The bundle `two`, version 1, whose `onnx-int8` computes with `scale` where Keras has 2.

    `answers_scale` is what its recorded answers were computed with; the same when None.
    """
    bundle = publish(two_output(), repository, "two")
    model = two_output(scale if answers_scale is None else answers_scale)
    with tempfile.TemporaryDirectory() as scratch:
        other = publish(two_output(scale), Path(scratch), "two").directory / "model.onnx"
        own = Path(scratch) / "own.npz"
        write_cases(own, [Case(case.name, {}, model.answer(case.inputs)) for case in bundle.golden])
        return add_quantized(bundle, other, own)


def add_quantized(bundle: Bundle, model: Path, own_answers: Path) -> Bundle:
    """The bundle with `model` as its `onnx-int8`, in place."""
    directory, origin = bundle.directory, bundle.manifest.artifacts[0]
    shutil.copyfile(model, directory / "model.int8.onnx")
    shutil.copyfile(own_answers, directory / "golden.onnx-int8.npz")
    case = bundle.golden[0]
    budget = FidelityBudget(min_snr_db=15, min_agreement=0)
    quantized = Quantized(
        golden=describe_file(directory, directory / "golden.onnx-int8.npz"),
        budget=Budget(rtol=0.02, atol=0.02),
        calibration_rows=100,
        fidelity=judge("onnx-int8", case.outputs, case.outputs, budget),
    )
    artifact = origin.model_copy(
        update={
            "quantization": "int8",
            "path": "model.int8.onnx",
            "files": (describe_file(directory, directory / "model.int8.onnx"),),
            "verdict": "within-fidelity",
            "max_abs_error": None,
            "quantized": quantized,
        }
    )
    manifest = bundle.manifest.model_copy(update={"artifacts": (origin, artifact)})
    write_manifest(directory, manifest)
    return Bundle(directory, manifest)
