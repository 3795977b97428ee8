"""Run cases through a runtime and compare with what Keras answered: the proof, the self-test and `verify-model`."""

from collections.abc import Iterable
from typing import Protocol

from kedge_bundle.cases import Case
from kedge_bundle.errors import DeviceLost, RunFailed
from kedge_bundle.histogram import OutputHistogram
from kedge_bundle.judge import Judge
from kedge_bundle.manifest import Artifact, RuntimeOptions
from kedge_bundle.parity import CaseParity, ParityReport, report
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.signature import Tensors, row_count
from kedge_bundle.store import Bundle


class Answering(Protocol):
    """What can be replayed: a `Runtime`, or what one has answered."""

    @property
    def artifact(self) -> Artifact:
        """What answers."""

    @property
    def device(self) -> str:
        """Where."""

    def run(self, inputs: Tensors) -> Tensors:
        """See `Runtime.run`."""


def replay(runtime: Answering, cases: Iterable[Case], judge: Judge) -> ParityReport:
    """Run every case and compare every output by name. A run that fails is a failed case, not an exception.

    Raises:
        DeviceLost: that is nothing that the artifact answers.
    """
    name = runtime.artifact.name
    compared: list[CaseParity] = []
    histograms: dict[str, OutputHistogram] = {}
    for case in cases:
        try:
            answers = runtime.run(case.inputs)
        except DeviceLost:
            raise
        except RunFailed as error:
            compared.append(_not_run(case, str(error)))
            continue
        compared.append(judge.compare(case, answers))
        for output, (artifact, keras) in judge.histograms(case, answers).items():
            found = OutputHistogram(format=name, output=output, artifact=artifact, keras=keras)
            histograms[output] = histograms[output] + found if output in histograms else found
    found_report = report(name, runtime.device, compared)
    return found_report.model_copy(update={"histograms": tuple(histograms.values())})


def verify(bundle: Bundle, artifact: Artifact, options: RuntimeOptions | None = None) -> ParityReport:
    """Replay a bundle's golden answers on this machine: Keras', or a quantized artifact's own.

    Raises:
        RuntimeMissing, ArtifactUnloadable, DeviceUnavailable: as `open_runtime`.
        DeviceLost: as `replay`.
    """
    with open_runtime(bundle, artifact, options) as runtime:
        return replay(runtime, *bundle.golden_of(artifact))


def _not_run(case: Case, reason: str) -> CaseParity:
    return CaseParity(case=case.name, rows=row_count(case.inputs), outputs=(), verdict="failed", reason=reason)
