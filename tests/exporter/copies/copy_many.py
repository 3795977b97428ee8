# ruff: noqa: T201
"""Converts and copies every model: `python -m tests.exporter.copies.copy_many WORK`, one JSON line an artifact.

The files stay in WORK/<model>, their copies in WORK/<model>/<format>; what each answers goes to answers.npz there.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from kedge_bundle.manifest import FORMATS, Artifact, Manifest, RuntimeOptions, Source, Toolchain
from kedge_bundle.parity import Budget
from kedge_bundle.runtimes import open_runtime
from kedge_bundle.signature import Signature, Tensors
from kedge_bundle.store import Bundle
from kedge_exporter import keras_repairs, tracing
from kedge_exporter.copies import NoWeight, changed_weight, without_heads
from kedge_exporter.errors import FormatImpossible
from kedge_exporter.formats import ConvertOptions, convert
from kedge_exporter.keras_model import LoadedModel, named
from kedge_exporter.logits import answer_logits, heads
from tests.exporter.copies.models import MODELS, example

RUNS: tuple[RuntimeOptions, ...] = (RuntimeOptions(), RuntimeOptions(graph_optimization="disabled"))


def bundle(directory: Path, artifact: Artifact, signature: Signature) -> Bundle:
    """As much of a bundle as a runtime looks at."""
    file = artifact.files[0]
    manifest = Manifest(
        name="copied",
        version=1,
        created="2026-01-01T00:00:00Z",
        signature=signature,
        budget=Budget.for_precision("float32"),
        artifacts=(artifact,),
        golden=file,
        proof=file,
        source=Source(file_name="copied.keras", sha256="0" * 64, content_sha256="0" * 64, keras_version="3"),
        toolchain=Toolchain(packages={}, python="3.11", platform="test", seed=0),
    )
    return Bundle(directory, manifest)


def inputs_of(artifact: Artifact, signature: Signature) -> Tensors:
    """The same values for every artifact that takes as many rows."""
    rng = np.random.default_rng(1)
    rows = 3 if artifact.batch == "dynamic" else artifact.batch
    return {
        spec.name: example((rows, *(4 if size is None else size for size in spec.shape[1:])), spec.dtype, rng)
        for spec in signature.inputs
    }


def answers(directory: Path, artifact: Artifact, signature: Signature, prefix: str) -> Tensors:
    """What an artifact answers, at both levels of optimization where its runtime knows them."""
    inputs = inputs_of(artifact, signature)
    found = {}
    for options in RUNS if artifact.format != "saved_model" else RUNS[:1]:
        with open_runtime(bundle(directory, artifact, signature), artifact, options) as runtime:
            for name, array in runtime.run(inputs).items():
                found[f"{prefix}:{options.graph_optimization}:{name}"] = array
    return found


def _bodies(graph_def: GraphDef) -> list[Sequence[NodeDef]]:
    """The nodes of a graph, and those of each of its functions."""
    return [graph_def.node, *(function.node_def for function in graph_def.library.function)]


def changed_nodes(before: Path, after: Path) -> list[str]:
    """Which nodes differ between two files of SavedModels, read by TensorFlow's own messages; nothing else may."""
    old, new = (SavedModel.FromString(path.read_bytes()) for path in (before, after))
    found = []
    for old_graph, new_graph in zip(old.meta_graphs, new.meta_graphs, strict=True):
        for nodes, others in zip(_bodies(old_graph.graph_def), _bodies(new_graph.graph_def), strict=True):
            for node, same in zip(nodes, others, strict=True):
                if node != same:
                    found.append(node.name)
                    same.CopyFrom(node)
    return found if old == new else [*found, "and more than nodes"]


def copied(directory: Path, artifact: Artifact, signature: Signature, loaded: LoadedModel) -> dict[str, Any]:
    """Make both copies, run everything, and say what there is to say."""
    work = directory / artifact.format
    found = answers(directory, artifact, signature, "original")
    logits = answer_logits(loaded, inputs_of(artifact, signature))
    found |= {f"keras::{name}": array for name, array in logits.items()}
    told: dict[str, Any] = {"artifact": artifact.model_dump(mode="json"), "weight": None, "outputs": None}
    try:
        changed = changed_weight(directory, artifact, work / "changed")
    except NoWeight as error:
        told["no_weight"] = str(error)
    else:
        told["changed"] = changed.artifact.model_dump(mode="json")
        told["weight"] = [changed.weight.name, changed.weight.shape, changed.weight.elements]
        found |= answers(work / "changed", changed.artifact, signature, "changed")
        if artifact.format == "saved_model":
            told["nodes"] = changed_nodes(directory / "saved_model.pb", work / "changed" / "saved_model.pb")
    headless = without_heads(directory, artifact, work / "headless")
    if headless is not None:
        told["outputs"] = headless.outputs
        told["headless"] = headless.artifact.model_dump(mode="json")
        found |= answers(work / "headless", headless.artifact, signature, "headless")
    np.savez(work / "answers.npz", allow_pickle=False, **found)
    return told


def main(work: Path) -> None:
    keras_repairs.mend()
    for build in MODELS:
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)
        loaded = named(build(), {}, None)
        frozen = tracing.trace(loaded)
        ends = heads(loaded)
        directory = work / build.__name__
        directory.mkdir()
        for name in FORMATS:
            try:
                artifact = convert(name, frozen, directory, ConvertOptions())
            except FormatImpossible as error:
                if not error.may_hold_one_row:
                    raise
                artifact = convert(name, frozen.with_batch(1), directory, ConvertOptions())
            told = copied(directory, artifact, frozen.signature, loaded)
            print(json.dumps({"model": build.__name__, "format": name, "heads": ends} | told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
