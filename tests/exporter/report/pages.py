"""What a report is made of, made by hand: numbers of every kind, and names that somebody hostile wrote into a file."""

from dataclasses import replace

import numpy as np

from kedge_bundle.fidelity import FidelityBudget, FidelityReport, OutputFidelity
from kedge_bundle.histogram import ErrorHistogram, OutputHistogram
from kedge_bundle.manifest import (
    Advice,
    Artifact,
    File,
    Latency,
    Manifest,
    Quantized,
    RuntimeOptions,
    Source,
    Toolchain,
)
from kedge_bundle.parity import Budget, CaseParity, OutputParity, ParityReport, worst
from kedge_bundle.rounding import Reference
from kedge_bundle.signature import Signature, TensorSpec
from kedge_bundle.stats import InputStats
from kedge_exporter.culprit.curve import LayerCurve, LayerError, UnseenLayer
from kedge_exporter.proof_file import Proof
from kedge_exporter.report.data import GraphNode, ReportData
from kedge_exporter.sensitivity import Sensitivity

HOSTILE = "<script>alert(1)</script>\"'&\u202e~/a"
BUDGET = Budget(rtol=3e-5, atol=1e-6)
KINDS = ("typical", "zeros", "large")
_RNG = np.random.default_rng(0)


def _file(path: str) -> File:
    return File(path=path, bytes=123_456, sha256="ab" * 32)


def _output(name: str, factor: float) -> OutputParity:
    own = float(_RNG.uniform(1e-8, 1e-7))
    return OutputParity(
        output=name,
        values=70,
        error=factor * own,
        keras_error=own,
        allowed=9.5e-7,
        max_abs_error=factor * own * 3,
        rms_error=factor * own,
        p999_error=factor * own * 2.5,
        max_ulps=1.25,
        cosine=0.99999999999,
        top1_agreement=1.0,
        top1_too_close=2,
        scale=3.0,
        verdict="rounding-equivalent" if factor else "bit-exact",
    )


def _report(format_name: str, names: tuple[str, ...], factor: float, session: str = "") -> ParityReport:
    outputs = {f"{kind}-7": tuple(_output(name, factor) for name in names) for kind in KINDS}
    cases = tuple(
        CaseParity(case=case, rows=7, outputs=found, verdict=worst([one.verdict for one in found]))
        for case, found in outputs.items()
    )
    errors = 10 ** _RNG.normal(-7, 0.5, (2, 200))
    histograms = tuple(
        OutputHistogram(
            format=format_name, output=name, artifact=ErrorHistogram.of(errors[0]), keras=ErrorHistogram.of(errors[1])
        )
        for name in names
    )
    verdict = worst([case.verdict for case in cases])
    return ParityReport(format=format_name, session=session, cases=cases, verdict=verdict, histograms=histograms)


def _artifact(name: str, report: ParityReport, signature: Signature, path: str) -> Artifact:
    return Artifact(
        format=name,
        path=path,
        files=(_file("saved_model.pb" if path == "." else path),),
        inputs={one: one for one in signature.input_names},
        outputs={one: one for one in signature.output_names},
        batch="dynamic",
        verdict=report.verdict,
        max_abs_error=report.max_abs_error,
        latency=Latency(p50_ms=1.25, p99_ms=2.5, runs=300, rows=1, cpu="A Processor"),
    )


def _quantized(signature: Signature) -> Artifact:
    budget = FidelityBudget(min_snr_db=10, min_agreement=0.9)
    output = OutputFidelity(
        output=signature.output_names[0], values=70, rows=7, snr_db=31.5, agreement=0.987, verdict="within-fidelity"
    )
    fidelity = FidelityReport(
        artifact="tflite-int8", source="data", budget=budget, outputs=(output,), verdict="within-fidelity"
    )
    return Artifact(
        format="tflite",
        quantization="int8",
        path="model.int8.tflite",
        files=(_file("model.int8.tflite"),),
        inputs={one: one for one in signature.input_names},
        outputs={one: one for one in signature.output_names},
        batch=4,
        verdict="within-fidelity",
        quantized=Quantized(golden=_file("golden.int8.npz"), budget=BUDGET, fidelity=fidelity),
    )


def _layer(name: str, error: float, allowed: float) -> LayerError:
    return LayerError(
        layer=name,
        class_name="Dense",
        covers=(name,),
        tensor="t",
        shape=(2, 3),
        cumulative_error=error * 2,
        cumulative_keras_error=error,
        local_error=error,
        local_keras_error=error / 2,
        local_allowed=allowed,
    )


def page_data(*names: str) -> ReportData:
    """Three artifacts, one of them quantized; the outputs have these names, by default a usual and a hostile one."""
    outputs = names or ("digit", HOSTILE)
    signature = Signature(
        inputs=(TensorSpec(name=HOSTILE, dtype="float32", shape=(None, 4)),),
        outputs=tuple(TensorSpec(name=name, dtype="float32", shape=(None, 3)) for name in outputs),
    )
    reports = (
        _report("saved_model", outputs, 0.0),
        _report("onnx", outputs, 1.5),
        _report("onnx", outputs, 2.5, "graph optimization disabled"),
        _report("onnx", outputs, 1.25, "logits"),
    )
    artifacts = (
        _artifact("saved_model", reports[0], signature, "."),
        _artifact("onnx", reports[1], signature, "model.onnx"),
        _quantized(signature),
    )
    reference = Reference(precision="float64", own={name: dict.fromkeys(KINDS, 9e-8) for name in outputs})
    curve = LayerCurve(
        format="onnx",
        rows=2,
        layers=(_layer("first", 1e-8, 1e-7), _layer(HOSTILE, 1e-3, 1e-7), _layer("last", 0.0, 1e-7)),
        unseen=(UnseenLayer(layer=HOSTILE, class_name="ReLU", why="the file computes it together with another"),),
    )
    proof = Proof(
        reference=reference,
        budget=BUDGET,
        seed=7,
        options=RuntimeOptions(),
        inputs={HOSTILE: f"standard normal, {HOSTILE}"},
        reports=reports,
        sensitivity=(
            Sensitivity(
                format="onnx", weight=HOSTILE, shape=(4, 3), factor=1.001, noticed=True, error=2e-4, allowed=9e-7
            ),
            Sensitivity(format="saved_model", factor=1.001, noticed=False, reason=HOSTILE),
        ),
        fidelity=tuple(one.quantized.fidelity for one in artifacts if one.quantized is not None),
    )
    manifest = Manifest(
        name="page",
        version=3,
        created="2026-01-31T12:00:00Z",
        signature=signature,
        input_stats=(InputStats(input=HOSTILE, source="normalization-layer", layer=HOSTILE, mean=(1,), std=(2,)),),
        budget=BUDGET,
        reference=reference,
        artifacts=artifacts,
        golden=_file("golden.npz"),
        proof=_file("parity.json"),
        source=Source(file_name=f"{HOSTILE}.keras", sha256="cd" * 32, content_sha256="ef" * 32, keras_version="3.15.1"),
        toolchain=Toolchain(
            packages={"keras": "3.15.1"}, python="3.11.7", platform="Linux", seed=7, command=("export-model", HOSTILE)
        ),
        advice=(Advice(code="untrained", message=HOSTILE, layer=HOSTILE),),
        notes=(HOSTILE,),
    )
    graph = (
        GraphNode(HOSTILE, "InputLayer", shape="[batch, 4]"),
        GraphNode("block/dense", "Dense", (HOSTILE,), "[batch, 3]", 15),
        GraphNode("add", HOSTILE, (HOSTILE, "block/dense"), "[batch, 3]"),
    )
    return ReportData(manifest=manifest, proof=proof, graph=graph, parameters=15, layers=(curve,))


def with_verdicts(**verdicts: str) -> ReportData:
    """The page's data with other verdicts: of no proof, for its words."""
    data = page_data()
    artifacts = tuple(
        one.model_copy(update={"verdict": verdicts[one.name.replace("-", "_")]})
        for one in data.manifest.artifacts
        if one.name.replace("-", "_") in verdicts
    )
    return replace(data, manifest=data.manifest.model_copy(update={"artifacts": artifacts}))
