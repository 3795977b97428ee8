import json
import os
import shutil
from pathlib import Path

import pytest

from kedge_bundle.errors import BundleUnreadable, ManifestInvalid
from kedge_server.loading import Place
from kedge_server.repository import Repository, Sight, files_print
from tests.services.bundles import identity, publish, two_output


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    models = tmp_path / "models"
    publish(identity(), models, "identity")
    publish(two_output(scale=2), models, "two")
    publish(two_output(scale=3), models, "two")
    return models


def listed(sight: Sight) -> list[tuple[str, int]]:
    return [(place.name, place.version) for found in sight.places.values() for place in found.values()]


def places(path: Path) -> list[tuple[str, int]]:
    return listed(Repository(path).look())


def test_a_repository_a_model_and_a_bundle_are_told_apart(repository: Path):
    assert places(repository) == [("identity", 1), ("two", 1), ("two", 2)]
    assert places(repository / "two") == [("two", 1), ("two", 2)]
    assert places(repository / "two" / "2") == [("two", 2)]


def test_links_that_lead_in_a_circle_are_a_sentence(tmp_path: Path):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(BundleUnreadable, match="links lead in a circle"):
        places(tmp_path / "a")


def test_a_name_that_is_no_text_is_no_model(repository: Path):
    Path(os.fsdecode(os.fsencode(repository) + b"/caf\xe9/1")).mkdir(parents=True)
    assert places(repository) == [("identity", 1), ("two", 1), ("two", 2)]


def test_the_place_may_be_named_from_inside_of_it(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(repository / "two")
    assert places(Path()) == [("two", 1), ("two", 2)]
    assert places(Path("..")) == [("identity", 1), ("two", 1), ("two", 2)]


def test_a_bundle_may_lie_anywhere(repository: Path, tmp_path: Path):
    moved = shutil.move(repository / "two" / "2", tmp_path / "unpacked")
    assert places(moved) == [("two", 2)]


def test_what_holds_no_bundle_is_refused_with_what_was_expected(tmp_path: Path):
    with pytest.raises(BundleUnreadable, match="no such directory"):
        Repository(tmp_path / "absent").look()
    (tmp_path / "file").write_text("x")
    with pytest.raises(BundleUnreadable, match="no such directory; expected a repository"):
        Repository(tmp_path / "file").look()
    with pytest.raises(BundleUnreadable, match=r"expected <name>/<version>/manifest\.json"):
        Repository(tmp_path).look()
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{")
    with pytest.raises(ManifestInvalid):
        Repository(tmp_path / "bundle").look()


def test_what_a_repository_is_does_not_change_with_what_is_in_it(repository: Path):
    looked_at = Repository(repository)
    looked_at.look()
    publish(identity(), repository.parent, "models")  # models/1: now it looks like a model, too
    assert listed(looked_at.look()) == [("identity", 1), ("two", 1), ("two", 2)]


def test_another_directory_in_its_place_has_another_identity(repository: Path):
    looked_at = Repository(repository)
    first = looked_at.look().identity
    assert looked_at.look().identity == first
    old = repository.rename(repository.with_name("old"))
    with pytest.raises(BundleUnreadable):
        looked_at.look()
    shutil.copytree(old, repository)
    assert looked_at.look().identity not in (None, first)


def test_a_link_is_followed_anew_at_each_look(repository: Path, tmp_path: Path):
    link = tmp_path / "current"
    link.symlink_to(repository)
    looked_at = Repository(link)
    first = looked_at.look()
    link.unlink()
    publish(identity(), tmp_path / "next", "identity", version=7)
    link.symlink_to(tmp_path / "next")
    assert listed(looked_at.look()) == [("identity", 7)]
    assert looked_at.look().identity != first.identity


def test_labels_are_read_from_the_models_directory(repository: Path):
    assert Repository(repository).look().labels == {}
    (repository / "two" / "labels.json").write_text(json.dumps({"stable": 1, "canary": 2}))
    for path in (repository, repository / "two"):
        (labels,) = Repository(path).look().labels.values()
        assert (labels.versions, labels.invalid) == ({"stable": 1, "canary": 2}, "")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting property name"),
        ("[1]", 'expected {"label": version, …}'),
        ('{"1": 1}', "'1' is no label"),
        ('{"stable": "1"}', "label 'stable': expected the number of a version"),
        (" " * 70_000, "more than 65536 bytes"),
        ("[" * 50_000, ""),
        ("\xff", ""),
    ],
)
def test_labels_that_cannot_be_read_say_why(repository: Path, text: str, why: str):
    path = repository / "two" / "labels.json"
    path.write_bytes(text.encode("latin-1") if text == "\xff" else text.encode())
    labels = Repository(repository).look().labels["two"]
    assert labels.versions == {}
    assert labels.invalid.startswith(f"{path}: ")
    assert why in labels.invalid


def test_a_labels_file_that_is_none_says_so(repository: Path):
    (repository / "two" / "labels.json").mkdir()
    assert "cannot be read: Is a directory" in Repository(repository).look().labels["two"].invalid


def test_the_directory_of_a_model_is_known_by_any_of_its_paths(repository: Path, tmp_path: Path):
    link = tmp_path / "current"
    link.symlink_to(repository)
    for path, model in ((link, "two"), (repository / "two", "two"), (repository / "two" / "1", "two")):
        looked_at = Repository(path)
        looked_at.look()
        assert looked_at.is_directory_of(model, f"{repository}/two")
        assert looked_at.is_directory_of(model, f"{repository}//two/")
        assert not looked_at.is_directory_of(model, f"{repository}/identity")
        assert not looked_at.is_directory_of(model, "/")
    looked_at = Repository(link)
    looked_at.look()
    assert looked_at.is_directory_of("two", str(looked_at.directory_of("two")))
    assert looked_at.directory_of("two") == link / "two"


def test_the_print_of_a_version_changes_with_any_of_its_files(repository: Path):
    place = Place("two", 1, repository / "two" / "1")
    prints = [files_print(place)]
    assert files_print(place) == prints[0] != ()
    (place.directory / "new").write_text("x")
    prints.append(files_print(place))
    (place.directory / "new").chmod(0)
    prints.append(files_print(place))
    (place.directory / "new").unlink()
    prints.append(files_print(place))
    assert len(set(prints)) == 4
    assert files_print(Place("two", 9, repository / "absent")) == ()
    assert files_print(Place("two", 0, repository / "two")) == ()
