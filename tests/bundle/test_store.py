import json
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kedge_bundle import store
from kedge_bundle.errors import BundleTampered, BundleUnreadable, VersionTaken
from kedge_bundle.manifest import FILE_NAME
from tests.services import bundles


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return bundles.publish(bundles.two_output(), tmp_path, "two").directory


def test_a_published_bundle_opens_with_its_golden_answers(directory: Path):
    bundle = store.open_bundle(directory)
    assert bundle.manifest.name == "two"
    assert list(bundle.golden[0].outputs) == ["total", "difference"]


def test_a_changed_byte_is_noticed(directory: Path):
    path = directory / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(BundleTampered, match=r"'model\.onnx' is not the file that was proven"):
        store.open_bundle(directory)


def test_a_truncated_file_is_noticed(directory: Path):
    path = directory / "golden.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BundleTampered, match=r"'golden\.npz' has \d+ bytes, the manifest says"):
        store.open_bundle(directory)


def test_a_missing_file_is_noticed(directory: Path):
    (directory / "parity.json").unlink()
    with pytest.raises(BundleUnreadable, match=r"'parity\.json' is missing"):
        store.open_bundle(directory)


@pytest.mark.parametrize("name", ["model.onnx", FILE_NAME])
def test_a_symbolic_link_is_refused_even_to_the_right_bytes(directory: Path, name: str):
    moved = directory.parent / "elsewhere"
    (directory / name).rename(moved)
    (directory / name).symlink_to(moved)
    with pytest.raises(BundleTampered, match="is a symbolic link"):
        store.open_bundle(directory)


@pytest.mark.parametrize("place", ["nowhere", "two"])
def test_what_is_no_bundle_is_refused(tmp_path: Path, place: str):
    bundles.publish(bundles.two_output(), tmp_path, "two")
    with pytest.raises(BundleUnreadable):
        store.open_bundle(tmp_path / place)


def test_versions_count_up_and_gaps_are_not_filled(tmp_path: Path):
    assert [bundles.publish(bundles.two_output(), tmp_path, "two").manifest.version for _ in range(2)] == [1, 2]
    assert bundles.publish(bundles.two_output(), tmp_path, "two", version=7).manifest.version == 7
    assert bundles.publish(bundles.two_output(), tmp_path, "two").manifest.version == 8


@pytest.mark.parametrize("make", [Path.touch, lambda path: path.symlink_to("nowhere")], ids=["file", "dangling link"])
def test_what_stands_where_a_version_would_go_is_stepped_over(tmp_path: Path, make: Callable[[Path], None]):
    (tmp_path / "two").mkdir()
    make(tmp_path / "two" / "1")
    assert bundles.publish(bundles.two_output(), tmp_path, "two").manifest.version == 2


def test_a_directory_beyond_what_the_protocols_can_name_is_no_version(tmp_path: Path):
    (tmp_path / "two" / str(2**63)).mkdir(parents=True)
    assert store.versions(tmp_path / "two") == []
    assert bundles.publish(bundles.two_output(), tmp_path, "two").manifest.version == 1


def test_a_version_that_exists_is_never_replaced(tmp_path: Path):
    first = bundles.publish(bundles.two_output(), tmp_path, "two", version=3)
    before = (first.directory / FILE_NAME).read_bytes()
    with pytest.raises(VersionTaken, match="published versions never change"):
        bundles.publish(bundles.two_output(scale=5), tmp_path, "two", version=3)
    assert (first.directory / FILE_NAME).read_bytes() == before
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["3"]


def test_many_exports_at_once_each_get_their_own_version(tmp_path: Path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: bundles.publish(bundles.two_output(), tmp_path, "two"), range(16)))
    assert sorted(bundle.manifest.version for bundle in made) == list(range(1, 17))
    for bundle in made:
        assert store.open_bundle(bundle.directory).manifest.version == int(bundle.directory.name)


def test_a_failure_while_building_leaves_nothing_behind(tmp_path: Path):
    def build() -> None:
        with store.staging(tmp_path / "deep" / "models", "two") as staged:
            (staged / "model.onnx").write_bytes(b"half")
            raise RuntimeError("converter died")

    with pytest.raises(RuntimeError, match="converter died"):
        build()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_publishing_leaves_nothing_behind(tmp_path: Path):
    # A file-size limit fails writes exactly as a full disk does: in the middle of a file.
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from tests.services import bundles\n"
        "model = bundles.slow_matmul(size=512, repeats=2)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "bundles.publish(model, Path(sys.argv[1]), 'big')\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "models")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_what_is_published_can_be_read_by_another_user(directory: Path):
    assert directory.stat().st_mode & 0o777 == 0o755


def test_a_repository_lists_models_and_versions_and_passes_over_the_rest(tmp_path: Path):
    bundles.publish(bundles.two_output(), tmp_path, "two")
    bundles.publish(bundles.two_output(), tmp_path, "two", version=10)
    for other in ("two/notes", "two/007", "two/.staging-x", ".git/1", "empty"):
        (tmp_path / other).mkdir(parents=True)
    (tmp_path / "two" / "3").write_text("a file, not a version")
    found = store.models(tmp_path)
    assert {name: [number for number, _ in listed] for name, listed in found.items()} == {"two": [1, 10]}


def test_a_repository_that_cannot_be_listed_is_named(tmp_path: Path):
    with pytest.raises(BundleUnreadable, match="cannot be listed"):
        store.models(tmp_path / "none")


def test_the_hash_is_that_of_the_bytes(tmp_path: Path):
    (tmp_path / "a").write_bytes(b"kedge")
    described = store.describe_file(tmp_path, tmp_path / "a")
    assert described.sha256 == "8df37d9ffa266019129991fdaf07b1dd3f3bd99199361e46cb3f14539ef0cea2"
    assert described.bytes == 5


def test_the_manifest_on_disk_is_plain_json(directory: Path):
    document = json.loads((directory / FILE_NAME).read_text())
    assert document["schema_version"] == "1.2"
    assert [output["name"] for output in document["signature"]["outputs"]] == ["total", "difference"]
