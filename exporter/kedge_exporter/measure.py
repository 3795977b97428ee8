"""Judges and times one artifact, in a fresh process, through the runtime that will serve it.

`python -m kedge_exporter.measure JOB.json` has seen neither Keras nor the converter. Nothing of the export runs beside
it: the conversions are over.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from kedge_bundle.cases import Case, read_cases, write_cases
from kedge_bundle.cpu import cpu_name
from kedge_bundle.errors import RunnerError
from kedge_bundle.fidelity import FidelityBudget, FidelityReport, failed, judge
from kedge_bundle.manifest import Artifact, Latency, Manifest
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors, row_count
from kedge_bundle.store import Bundle
from kedge_exporter.processes import describe_exit, runtime_environment
from kedge_exporter.proof_worker import change_of

_AT_ONCE = 32
_WARM_RUNS = 5
_MOST_RUNS, _FEWEST_RUNS, _LONG_ENOUGH_S = 300, 5, 2.0


class MeasureJob(BaseModel):
    """What the fresh process is asked.

    Attributes:
        directory: the bundle that is being made.
        manifest: a draft with the one artifact.
        rows: a file with one case: the rows to judge by, and Keras' answers.
        budget: the thresholds; None for an artifact that is only timed.
        source: where the rows came from.
        golden: the golden cases; the artifact's own answers to them go to `own_answers`.
        result: where `Measured` goes.
    """

    model_config = ConfigDict(frozen=True)

    directory: Path
    manifest: Manifest
    rows: Path
    budget: FidelityBudget | None
    source: Literal["data", "drawn"]
    golden: Path
    own_answers: Path
    result: Path


class Measured(BaseModel):
    """What the fresh process found.

    Attributes:
        fidelity: how the artifact compares with Keras; None for one that was only timed.
        drift: the largest difference between its answers to the golden inputs with the kernels that serve and with
            the runtime's plain ones, as a share of the output's largest value.
        largest: the largest value of its answers to the golden inputs, in units of the output.
        latency: None where it could not be judged.
    """

    model_config = ConfigDict(frozen=True, ser_json_inf_nan="strings")

    fidelity: FidelityReport | None
    drift: float = 0.0
    largest: float = 0.0
    latency: Latency | None


def measure(job: MeasureJob, job_file: Path) -> Measured:
    """Run a job in a fresh process; whatever keeps it from a result is a failed report.

    Args:
        job: what to judge and time.
        job_file: where the process reads the job.
    """
    job.result.unlink(missing_ok=True)
    job_file.write_text(job.model_dump_json(), "utf-8")
    # -P: a file beside the user that is called like a library is not that library.
    command = [sys.executable, "-P", "-m", "kedge_exporter.measure", str(job_file)]
    finished = subprocess.run(  # noqa: S603 (our own module)
        command, env=runtime_environment(), stdin=subprocess.DEVNULL, check=False
    )
    if finished.returncode != 0:
        return _failed(job, f"the process that judges it {describe_exit(finished.returncode)}")
    try:
        found = Measured.model_validate_json(job.result.read_bytes())
    except (FileNotFoundError, ValidationError) as error:
        return _failed(job, f"the process that judges it left no result: {error}")
    wanted = {spec.name for spec in job.manifest.signature.outputs}
    if found.fidelity is not None and found.fidelity.is_faithful:
        judged = {output.output for output in found.fidelity.outputs}
        if judged != wanted or not job.own_answers.is_file():
            return _failed(job, f"of the outputs {sorted(wanted)}, {sorted(judged)} were judged")
    return found


def run_job(job_file: Path) -> None:
    """The fresh process: judge, answer the golden inputs, take the time, leave a result."""
    job = MeasureJob.model_validate_json(job_file.read_bytes())
    try:
        found = _measured(job)
    except RunnerError as error:
        found = _failed(job, str(error))
    job.result.write_text(found.model_dump_json(), "utf-8")


def _measured(job: MeasureJob) -> Measured:
    artifact = job.manifest.artifacts[0]
    if change := change_of(job.directory, artifact):
        return _failed(job, change)
    rows = read_cases(job.rows)[0]
    bundle = Bundle(job.directory, job.manifest)
    with open_runtime(bundle, artifact) as runtime:
        first = _first_run(artifact, rows.inputs)
        if job.budget is None:
            return Measured(fidelity=None, latency=_latency(runtime, first))
        answers = _answers(runtime, rows.inputs)
        fidelity = judge(artifact.name, rows.outputs, answers, job.budget, job.source)
        # What an integer kernel makes of NaN is nobody's promise: no replay can ask for it.
        golden = [case for case in read_cases(job.golden) if all(map(_is_finite, case.inputs.values()))]
        if not golden:
            return _failed(
                job, "every golden case holds NaN or infinities, so that no replay could ask for its answers"
            )
        own = [Case(case.name, {}, runtime.run(case.inputs)) for case in golden]
        latency = _latency(runtime, first)
    write_cases(job.own_answers, own)
    plain = artifact.options.model_copy(update={"graph_optimization": "disabled"})
    with open_runtime(bundle, artifact, plain) as runtime:
        others = [runtime.run(case.inputs) for case in golden]
    largest = max((_largest(array) for case in own for array in case.outputs.values()), default=0.0)
    drift = max(_drift([case.outputs[name] for case in own], [a[name] for a in others]) for name in own[0].outputs)
    return Measured(fidelity=fidelity, drift=drift, largest=largest, latency=latency)


def _first_run(artifact: Artifact, inputs: Tensors) -> Tensors:
    """One row, or as many as the artifact insists on."""
    rows = artifact.batch if isinstance(artifact.batch, int) else 1
    return {name: array[:rows] for name, array in inputs.items()}


def _answers(runtime: Runtime, inputs: Tensors) -> Tensors:
    """Run all rows, some at a time."""
    batch = runtime.artifact.batch
    step = _AT_ONCE if batch == "dynamic" else max(_AT_ONCE // batch, 1) * batch
    parts = [
        runtime.run({name: array[start : start + step] for name, array in inputs.items()})
        for start in range(0, row_count(inputs), step)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _latency(runtime: Runtime, inputs: Tensors) -> Latency:
    """Time single runs, one after the other, through the runtime as the server calls it."""
    for _ in range(_WARM_RUNS):
        runtime.run(inputs)
    times: list[float] = []
    begun = time.perf_counter()
    while len(times) < _FEWEST_RUNS or (len(times) < _MOST_RUNS and time.perf_counter() - begun < _LONG_ENOUGH_S):
        started = time.perf_counter()
        runtime.run(inputs)
        times.append((time.perf_counter() - started) * 1000)
    p50, p99 = np.percentile(times, [50, 99], method="higher")
    return Latency(
        p50_ms=round(float(p50), 4),
        p99_ms=round(float(p99), 4),
        runs=len(times),
        rows=row_count(inputs),
        cpu=cpu_name(),
    )


def _is_finite(array: NDArray[np.generic]) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _largest(array: NDArray[np.generic]) -> float:
    if array.dtype.kind != "f":
        return 0.0
    values = np.abs(array.astype(np.float64))
    return float(values[np.isfinite(values)].max(initial=0.0))


def _drift(answers: list[NDArray[np.generic]], others: list[NDArray[np.generic]]) -> float:
    """The largest difference of one output over all cases, as a share of its largest value."""
    scale = max(map(_largest, answers))
    if scale == 0:
        return 0.0
    return max(_difference(a, b) for a, b in zip(answers, others, strict=True)) / scale


def _difference(answer: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    both = np.isfinite(answer) & np.isfinite(other)
    return float(np.abs(answer[both].astype(np.float64) - other[both].astype(np.float64)).max(initial=0.0))


def _failed(job: MeasureJob, reason: str) -> Measured:
    """A failed report; of an artifact that is only timed as well, since it was proven and must run."""
    budget = job.budget or FidelityBudget(min_snr_db=0, min_agreement=0)
    return Measured(fidelity=failed(job.manifest.artifacts[0].name, budget, job.source, reason), latency=None)


if __name__ == "__main__":
    run_job(Path(sys.argv[1]))
