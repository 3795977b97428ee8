import asyncio
import os
import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from kedge_bundle.manifest import RuntimeOptions, read_manifest, write_manifest
from kedge_bundle.store import describe_file
from kedge_server.cores import usable_cores
from kedge_server.load_threads import LoadThreads
from kedge_server.loading import DeviceNotInUse, LoadFailed, Place, prepare
from kedge_server.repository import Repository
from kedge_server.session import Options
from kedge_server.tuner import Tuner
from kedge_server.tuning_cache import TuningCache
from tests.server.in_process import prepared, tampered
from tests.services.bundles import TinyModel, identity, publish, slow_matmul, two_output

CPU = Options(device="cpu", instances=2)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    publish(two_output(), tmp_path, "two")
    publish(two_output(), tmp_path, "two")
    publish(identity(), tmp_path, "identity")
    return tmp_path


def refusal(place: Place, options: Options = CPU) -> str:
    with pytest.raises(LoadFailed) as caught:
        prepare(place, options)
    return str(caught.value)


def place_of(directory: Path) -> Place:
    return Place(directory.parent.name, int(directory.name), directory)


def test_a_prepared_bundle_is_self_tested_and_says_on_what_it_runs(repository: Path):
    found = prepare(place_of(repository / "two" / "1"), CPU)
    assert (found.artifact.format, found.device, found.no_gpu_because) == ("onnx", "cpu", "")
    assert found.report.is_proven
    assert len(found.runtimes) == 2
    assert found.runtimes[0] is found.runtimes[1]  # onnxruntime sessions may be shared
    assert found.runtimes[0].options == RuntimeOptions(threads=1)


def test_what_the_manifest_proves_needs_no_other_proof(repository: Path):
    found = prepare(place_of(repository / "two" / "1"), Options(device="cpu", threads=1, graph_optimization="all"))
    assert (found.proof, found.unproven) == ("manifest.json", "")


def test_without_a_number_there_is_an_instance_for_every_usable_core(repository: Path):
    found = prepare(place_of(repository / "two" / "1"), Options(device="cpu"))
    assert len(found.runtimes) == usable_cores() >= 1
    assert usable_cores() <= len(os.sched_getaffinity(0))


def test_auto_says_why_it_did_not_take_a_gpu(repository: Path):
    found = prepare(place_of(repository / "two" / "1"), Options(device="auto"))
    if found.device == "cpu":
        assert "CUDA" in found.no_gpu_because
    else:
        assert found.no_gpu_because == ""


def test_a_changed_weight_is_refused_by_its_hash(repository: Path):
    tampered(repository / "two" / "1")
    assert "'model.onnx' is not the file that was proven" in refusal(place_of(repository / "two" / "1"))


def test_a_changed_weight_with_the_hash_mended_is_refused_by_its_answers(repository: Path, tmp_path: Path):
    directory = swapped(repository / "two" / "1", two_output(scale=2.001), tmp_path / "other")
    message = refusal(place_of(directory))
    assert "the self-test failed, onnx does not answer as Keras did" in message
    assert "output 'total'" in message


@pytest.mark.parametrize("moment", ["loading.open_bundle", "loading.open_session"])
def test_files_that_vanish_before_they_are_read_are_named(
    repository: Path, moment: str, monkeypatch: pytest.MonkeyPatch
):
    directory = repository / "two" / "1"
    vanishing_after(moment, directory, monkeypatch)
    message = refusal(place_of(directory))
    assert str(directory) in message
    assert "\n" not in message


def test_files_that_vanish_once_they_are_read_change_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch):
    directory = repository / "two" / "1"
    vanishing_after("arranging.Batches", directory, monkeypatch)
    tuner = Tuner("quick", 0.0, TuningCache(None))
    found = prepare(place_of(directory), Options(device="cpu", tuner=tuner))
    assert found.report.is_proven
    assert not directory.exists()
    answers = found.runtimes[0].run(found.bundle.golden[0].inputs)
    np.testing.assert_array_equal(answers["total"], found.bundle.golden[0].outputs["total"])


def vanishing_after(step: str, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a directory vanish as soon as a step of loading is done."""
    module, _, name = step.partition(".")
    do = getattr(import_module(f"kedge_server.{module}"), name)

    def and_vanish(*args: object) -> object:
        done = do(*args)
        shutil.rmtree(directory)
        return done

    monkeypatch.setattr(f"kedge_server.{step}", and_vanish)


def swapped(directory: Path, other: TinyModel, elsewhere: Path) -> Path:
    """Put another model's weights into a bundle and mend the manifest, as somebody would who knows how."""
    shutil.copy(publish(other, elsewhere, "other").directory / "model.onnx", directory / "model.onnx")
    manifest = read_manifest(directory)
    (artifact,) = manifest.artifacts
    mended = artifact.model_copy(update={"files": (describe_file(directory, directory / "model.onnx"),)})
    write_manifest(directory, manifest.model_copy(update={"artifacts": (mended,)}))
    return directory


def test_golden_answers_that_cannot_be_read_are_refused(repository: Path):
    directory = repository / "two" / "1"
    (directory / "golden.npz").write_bytes(b"PK nothing")
    manifest = read_manifest(directory)
    golden = describe_file(directory, directory / "golden.npz")
    write_manifest(directory, manifest.model_copy(update={"golden": golden}))
    assert "cannot be read as an .npz" in refusal(place_of(directory))


def test_an_artifact_that_the_runtime_refuses_is_told_in_its_words(repository: Path):
    directory = repository / "two" / "1"
    (directory / "model.onnx").write_bytes(b"no model")
    manifest = read_manifest(directory)
    (artifact,) = manifest.artifacts
    mended = artifact.model_copy(update={"files": (describe_file(directory, directory / "model.onnx"),)})
    write_manifest(directory, manifest.model_copy(update={"artifacts": (mended,)}))
    assert "refuses model.onnx" in refusal(place_of(directory))


def test_a_missing_file_a_missing_bundle_and_a_link_are_refused(repository: Path):
    directory = repository / "two" / "1"
    (directory / "golden.npz").unlink()
    assert "'golden.npz' is missing" in refusal(place_of(directory))
    assert "no manifest.json here" in refusal(Place("identity", 1, repository / "identity"))
    linked = repository / "identity" / "1" / "model.onnx"
    linked.rename(repository / "elsewhere.onnx")
    linked.symlink_to(repository / "elsewhere.onnx")
    assert "symbolic link" in refusal(place_of(repository / "identity" / "1"))


def test_a_bundle_under_another_name_or_version_is_refused(repository: Path):
    (repository / "two" / "2").rename(repository / "two" / "7")
    message = refusal(place_of(repository / "two" / "7"))
    assert "the manifest says 'two' version 2" in message
    assert "move it to two/2" in message


def test_a_format_that_is_not_in_the_bundle_is_refused(repository: Path):
    message = refusal(place_of(repository / "two" / "1"), Options(format="tflite", device="cpu"))
    assert "no tflite in this bundle; it has onnx" in message


def test_a_gpu_that_was_asked_for_and_is_not_in_use_is_its_own_failure(repository: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime is built with CUDA: a GPU may really be in use here")
    with pytest.raises(DeviceNotInUse, match=r"kedge\[onnx-gpu\]"):
        prepare(place_of(repository / "two" / "1"), Options(device="gpu"))


def test_a_fixed_batch_is_warmed_with_what_it_takes(tmp_path: Path):
    bundle = publish(identity(shape=(2, 4)), tmp_path, "fixed")
    (runtime,) = prepared(bundle, instances=1).runtimes
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(runtime.run({"x": x})["y"], x)


def test_a_model_is_quick_where_every_run_is_known_to_be_short(tmp_path: Path):
    def is_quick(model: TinyModel, name: str) -> bool:
        return prepared(publish(model, tmp_path, name)).arrangement.is_quick

    assert is_quick(identity(), "small")
    assert not is_quick(slow_matmul(), "slow")
    assert not is_quick(identity(shape=(None, None)), "of-any-length")
    assert not is_quick(identity(shape=(2, 4)), "fixed")


def test_many_places_are_loaded_and_each_outcome_arrives_once(repository: Path):
    tampered(repository / "two" / "1")

    async def story() -> dict[tuple[str, int], str]:
        found = [place for versions in Repository(repository).look().places.values() for place in versions.values()]
        threads = LoadThreads(found, CPU)
        outcomes = [await asyncio.wait_for(threads.next(), 30) for _ in found]
        return {(place.name, place.version): type(outcome).__name__ for place, outcome in outcomes}

    assert asyncio.run(story()) == {("two", 1): "LoadFailed", ("two", 2): "Prepared", ("identity", 1): "Prepared"}


def test_a_load_that_raises_what_nobody_has_foreseen_fails_alone(repository: Path):
    async def story() -> list[str]:
        places = [Place("two", 1, None), place_of(repository / "two" / "2")]  # type: ignore[arg-type]
        threads = LoadThreads(places, CPU)
        outcomes = dict([await asyncio.wait_for(threads.next(), 30) for _ in places])
        return [str(outcomes[places[0]]), type(outcomes[places[1]]).__name__]

    message, good = asyncio.run(story())
    assert "AttributeError" in message
    assert good == "Prepared"


def test_each_instance_has_a_runtime_of_its_own_where_it_cannot_be_shared(
    repository: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kedge_bundle.runtimes.onnx.OnnxRuntime.is_thread_safe", False)
    found = prepare(place_of(repository / "two" / "1"), Options(device="cpu", instances=3))
    assert len({id(runtime) for runtime in found.runtimes}) == 3
    assert not found.arrangement.is_quick  # the event loop and an instance would be inside it at once


def test_a_bundle_for_which_no_runtime_is_installed_says_what_to_install(
    repository: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kedge_server.loading.is_installed", lambda _: False)
    assert "pip install kedge[onnx]" in refusal(place_of(repository / "two" / "1"))
