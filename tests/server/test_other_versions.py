"""A bundle that was made by other versions is served, with a warning that names both."""

from importlib.metadata import version
from pathlib import Path

import numpy as np

from kedge_bundle.manifest import read_manifest, write_manifest
from kedge_bundle.toolchain import keras_of_this_kedge
from kedge_server.client import Client
from tests.services.bundles import identity, publish
from tests.services.server_process import running_server


def made_with(directory: Path, packages: dict[str, str]) -> None:
    manifest = read_manifest(directory)
    toolchain = manifest.toolchain.model_copy(update={"packages": packages})
    write_manifest(directory, manifest.model_copy(update={"toolchain": toolchain}))


def test_a_bundle_of_other_versions_is_served_with_a_warning_that_names_both(tmp_path: Path):
    here = {"keras": keras_of_this_kedge(), "onnxruntime": version("onnxruntime")}
    publish(identity(), tmp_path, "same")
    made_with(tmp_path / "same" / "1", {name: str(number) for name, number in here.items()})
    publish(identity(), tmp_path, "older")
    made_with(tmp_path / "older" / "1", {"keras": "3.3.0", "onnxruntime-gpu": "1.20.0"})
    with running_server(tmp_path) as server, Client(server.grpc) as client:
        rows = np.ones((2, 4), np.float32)
        np.testing.assert_array_equal(client.predict("older", {"x": rows})["y"], rows)
        warnings = [event for event in server.log() if event["event"] == "made_with_another_version"]
    named = [(w["level"], w["model"], w["version"], w["package"], w["bundle"], w["here"]) for w in warnings]
    assert named == [
        ("warning", "older", 1, "keras", "3.3.0", here["keras"]),
        ("warning", "older", 1, "onnxruntime", "1.20.0", here["onnxruntime"]),
    ]
