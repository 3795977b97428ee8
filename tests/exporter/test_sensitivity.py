"""What the proof of a changed copy says of the proof."""

import numpy as np
import pytest

from kedge_bundle.cases import Case
from kedge_bundle.judge import Judge
from kedge_bundle.manifest import Artifact
from kedge_bundle.parity import Budget, CaseParity, ParityReport, report
from kedge_exporter.copies import Weight
from kedge_exporter.proof_job import Findings
from kedge_exporter.proven import Proven
from kedge_exporter.sensitivity import CHANGED, LOGITS, sensitivity
from tests.services.bundles import two_output

WEIGHT = Weight("kernel", (3, 2))


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    from tests.services.bundles import publish  # noqa: PLC0415 (onnx; only where it is needed)

    return publish(two_output(), tmp_path_factory.mktemp("models"), "two").manifest.artifacts[0]


def answered(error: float, keras_error: float = 1e-6, tolerance: Budget | None = None) -> ParityReport:
    """A report on answers that err by `error`."""
    exact = np.linspace(1, 2, 64).reshape(32, 2)
    case = Case("typical-32", {}, {"y": (exact * (1 + keras_error)).astype(np.float32)}, {"y": exact})
    judge = Judge.of([case], Budget.for_precision("float32"), tolerance)
    actual = case.outputs["y"] if error == 0 else (exact * (1 + error)).astype(np.float32)
    return report("onnx", "cpu", [judge.compare(case, {"y": actual})])


def findings(copy: ParityReport | None, **others: ParityReport) -> Findings:
    probes = {} if copy is None else {CHANGED: copy}
    return Findings(reports=(answered(1e-6),), probes=probes | others)


def test_a_copy_that_fails_the_proof_was_noticed(artifact: Artifact) -> None:
    found = sensitivity(artifact, WEIGHT, findings(answered(1e-3)))
    assert (found.noticed, found.weight, found.shape, found.reason) == (True, "kernel", (3, 2), "")
    assert found.error == pytest.approx(1e-3, rel=0.01)
    assert found.allowed == pytest.approx(8e-6, rel=0.1)


@pytest.mark.parametrize(
    ("copy", "words"),
    [
        (answered(5e-6), "it moves the answers by 5e-06 of their size, and 7.9e-06 is rounding here"),
        (answered(0.0), "the same to the last bit"),
        (answered(1e-3, tolerance=Budget(rtol=0.01, atol=0.0)), "the tolerance allows it"),
        (report("onnx", "cpu", []), "the copy did not run: no case was compared"),
        (
            report(
                "onnx", "cpu", [CaseParity(case="c", rows=1, outputs=(), verdict="failed", reason="it does not load")]
            ),
            "the copy did not run: case 'c': it does not load",
        ),
        (None, "the copy did not run: it was not asked"),
    ],
)
def test_a_proof_that_does_not_notice_is_blind_and_says_why(
    artifact: Artifact, copy: ParityReport | None, words: str
) -> None:
    found = sensitivity(artifact, WEIGHT, findings(copy))
    assert not found.noticed
    assert words in found.reason


def test_without_a_weight_there_is_nothing_to_notice(artifact: Artifact) -> None:
    found = sensitivity(artifact, None, findings(None))
    assert (found.noticed, found.weight) == (False, "")
    assert found.reason


def test_logits_that_differ_fail_a_format_whose_probabilities_do_not(artifact: Artifact) -> None:
    proven = Proven.of(artifact, WEIGHT, findings(answered(1e-3), **{LOGITS: answered(1e-2)}))
    assert proven.artifact.verdict == "failed"
    assert proven.first_failure.endswith("(logits)")
    assert [one.session for one in proven.reports] == ["", "logits"]
    assert Proven.of(artifact, WEIGHT, findings(answered(1e-3))).artifact.verdict == "bit-exact"
