"""Plants every fault and asks for the culprit: `python -m tests.exporter.culprit.run_faults WORK`; JSON lines."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import keras
import numpy as np

from kedge_bundle.manifest import Artifact
from kedge_exporter import keras_model, tracing
from kedge_exporter.culprit.calls import Call, watched
from kedge_exporter.culprit.compare import KerasValues, layer_curve
from kedge_exporter.culprit.curve import LayerCurve, culprit, describe
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions, convert
from kedge_exporter.precision import rebuild
from tests.exporter.culprit import onnx_faults, tflite_faults
from tests.exporter.culprit.cases import FORMATS, PLANTED
from tests.exporter.culprit.models import MODELS
from tests.zoo.weights import vary

FAULTS: dict[str, ModuleType] = {"onnx": onnx_faults, "tflite": tflite_faults}


class Subject:
    """One model in both formats."""

    def __init__(self, name: str, work: Path) -> None:
        keras.utils.clear_session()
        keras.utils.set_random_seed(1)
        self.name = name
        self.loaded = keras_model.named(vary(MODELS[name]()), {}, None)
        self.exact = rebuild(self.loaded, "float64")
        self.frozen = tracing.trace(self.loaded)
        self.directory = work / name
        self.directory.mkdir()
        self.artifacts = {name: self._converted(name) for name in FORMATS}
        random = np.random.default_rng(0)
        self.inputs = {
            spec.name: random.normal(size=(2, *spec.shape[1:])).astype(spec.dtype)  # type: ignore[arg-type]
            for spec in self.loaded.signature.inputs
        }

    def _converted(self, format_name: str) -> Artifact:
        try:
            return convert(format_name, self.frozen, self.directory, ConvertOptions())  # type: ignore[arg-type]
        except FormatImpossible:
            return convert(format_name, self.frozen.with_batch(1), self.directory, ConvertOptions())  # type: ignore[arg-type]

    def answer(self) -> None:
        """Let Keras answer."""
        self.loaded.answer(self.inputs)

    def curve(self, artifact: Artifact, *, is_exact: bool = True, local: bool = True) -> LayerCurve:
        exact = self.exact if is_exact else None
        return layer_curve(
            KerasValues(self.loaded, exact), self.frozen, self.directory, artifact, self.inputs, local=local
        )

    def tell(self, key: str, curve: LayerCurve) -> None:
        found = culprit(curve)
        told = {
            "curve": curve.model_dump_json(),
            "culprit": None if found is None else found.model_dump_json(),
            "said": None if found is None else describe(found),
        }
        print(json.dumps({"key": f"{self.name} {key}", **told}))  # noqa: T201


def _tell_calls(subject: Subject) -> None:
    """What the tracing noted, and what a watcher is shown: of its own thread, and only while it watches."""
    seen: list[str] = []

    def visit(call: Call, tensors: list[Any]) -> list[Any]:
        seen.append(call.layer)
        return tensors

    counts = []
    with watched(visit):
        for answer in (subject.answer, lambda: ThreadPoolExecutor(1).submit(subject.answer).result()):
            answer()
            counts.append(len(seen))
    subject.answer()
    noted = [call.layer for call in subject.frozen.calls]
    print(json.dumps({"calls": subject.name, "noted": noted, "seen": seen, "counts": [*counts, len(seen)]}))  # noqa: T201


def main(work: Path) -> None:
    for name in MODELS:
        subject = Subject(name, work)
        _tell_calls(subject)
        for format_name, artifact in subject.artifacts.items():
            subject.tell(f"{format_name} right", subject.curve(artifact))
            if name == "convolutions":
                subject.tell(f"{format_name} inexact", subject.curve(artifact, is_exact=False))
                subject.tell(f"{format_name} cumulative", subject.curve(artifact, local=False))
            for planted in PLANTED:
                if planted.model != name:
                    continue
                path = f"{planted.fault}-{planted.layer}.{format_name}"
                source, target = subject.directory / artifact.path, subject.directory / path
                FAULTS[format_name].plant(source, target, planted.fault, planted.layer)
                faulty = artifact.model_copy(update={"path": path})
                subject.tell(f"{format_name} {planted.fault} {planted.layer}", subject.curve(faulty))
                if planted.layer == "biased":
                    key = f"{format_name} inexact {planted.fault} {planted.layer}"
                    subject.tell(key, subject.curve(faulty, is_exact=False))
        if name == "convolutions":
            _tell_refusals(subject)


def _tell_refusals(subject: Subject) -> None:
    onnx = subject.artifacts["onnx"]
    subject.tell("saved_model", subject.curve(onnx.model_copy(update={"format": "saved_model"})))
    (subject.directory / "broken.onnx").write_bytes(b"no model")
    subject.tell("broken", subject.curve(onnx.model_copy(update={"path": "broken.onnx"})))
    (subject.directory / "broken.tflite").write_bytes(b"no model")
    subject.tell("broken tflite", subject.curve(onnx.model_copy(update={"path": "broken.tflite", "format": "tflite"})))
    subject.tell("four rows", subject.curve(onnx.model_copy(update={"batch": 4})))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
