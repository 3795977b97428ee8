"""A pipeline over one real bundle inside the test's own process: everything but the wire."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from kedge_bundle.signature import Signature, Tensors, TensorSpec
from kedge_bundle.store import Bundle
from kedge_server.job_queue import QueueLimits
from kedge_server.loading import Place, Prepared, prepare
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from kedge_server.pipeline import Answer, Call, Pipeline
from kedge_server.scheduler import Run
from kedge_server.served_model import Loaded, ServedModel
from kedge_server.session import Options
from kedge_server.validation import Policy
from tests.services.bundles import TinyModel

LIMITS = QueueLimits(queue_rows=1024, max_batch_rows=32)


def prepared(bundle: Bundle, **options: Any) -> Prepared:  # noqa: ANN401 (the fields of Options)
    manifest = bundle.manifest
    return prepare(Place(manifest.name, manifest.version, bundle.directory), Options(**{"device": "cpu", **options}))


@dataclass
class Serving:
    """One model, served in this process."""

    pipeline: Pipeline
    metrics: Metrics
    model: ServedModel
    runs: list[Run]

    async def ask(self, inputs: Tensors, **call: Any) -> Answer:  # noqa: ANN401 (the fields of Call)
        def decode() -> Call:
            return Call(**{"model": self.model.name, "inputs": inputs, **call})

        return await self.pipeline.predict("open-inference", decode, lambda answer: answer)

    def sample(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """One number of the metrics page."""
        value = self.metrics.registry.get_sample_value(name, dict(labels or {}))
        assert value is not None, f"no sample {name}{labels}"
        return value

    def counted(self, code: str) -> float:
        """Requests with this outcome; 0 when there was none."""
        labels = {
            "model": self.model.name,
            "version": str(self.model.version),
            "protocol": "open-inference",
            "code": code,
        }
        return self.metrics.registry.get_sample_value("kedge_requests_total", labels) or 0.0


@contextlib.asynccontextmanager
async def serving(
    bundle: Bundle, *, policy: Policy | None = None, limits: QueueLimits = LIMITS, instances: int = 1
) -> AsyncIterator[Serving]:
    """Load a bundle and serve it; every instance has ended when this ends."""
    table = ModelTable()
    metrics = Metrics(table, "test")
    model = ServedModel(bundle.manifest.name, bundle.manifest.version, bundle.directory)
    table.add(model)
    runs: list[Run] = []

    def on_run(run: Run) -> None:
        runs.append(run)
        metrics.count_run(model, run.rows, is_ok=run.is_ok)

    loaded = Loaded.start("tiny/1", prepared(bundle, instances=instances), limits, on_run)
    table.set_ready(model, loaded)
    metrics.add_model(model)
    try:
        yield Serving(Pipeline(table, metrics, policy or Policy()), metrics, model, runs)
    finally:
        await loaded.scheduler.close(10)


def lookup() -> TinyModel:
    """`y = table[x]`, (batch, 1) int64 -> (batch, 1) float32; an x outside of 0…9 makes the runtime itself fail."""
    table = np.arange(10, dtype=np.float32) * 10
    return TinyModel(
        signature=Signature(
            inputs=(TensorSpec(name="x", dtype="int64", shape=(None, 1)),),
            outputs=(TensorSpec(name="y", dtype="float32", shape=(None, 1)),),
        ),
        nodes=[helper.make_node("Gather", ["table", "x"], ["y"], axis=0)],
        initializers=(helper.make_tensor("table", TensorProto.FLOAT, table.shape, table.tobytes(), raw=True),),
        answer=lambda inputs: {"y": table[inputs["x"]]},
        golden_inputs={"x": np.array([[1], [2], [9]])},
    )


def tampered(directory: Path, file: str = "model.onnx") -> None:
    """Change one byte in the middle of a bundle's file."""
    path = directory / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
