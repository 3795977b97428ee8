import pytest

from kedge_server.errors import ModelNotFound, NotReady
from kedge_server.labels import Labels


def test_a_label_names_its_version_once_that_is_ready_and_the_one_before_until_then():
    labels = Labels()
    assert labels.set("m", {"stable": 1}, ready={1})
    assert labels.version("m", "stable") == 1
    assert not labels.set("m", {"stable": 2}, ready={1})
    assert (labels.version("m", "stable"), labels.waiting("m")) == (1, {"stable": 2})
    assert labels.move("m", ready={1, 2})
    assert (labels.version("m", "stable"), labels.waiting("m")) == (2, {})


def test_two_labels_change_places_in_one_step():
    labels = Labels()
    labels.set("m", {"stable": 1, "canary": 2}, ready={1, 2})
    assert labels.set("m", {"stable": 2, "canary": 1}, ready={1, 2})
    assert labels.of("m") == {"stable": 2, "canary": 1}


def test_a_label_without_a_version_that_is_ready_says_which_it_waits_for():
    labels = Labels()
    labels.set("m", {"canary": 4}, ready={3})
    with pytest.raises(NotReady, match="label 'canary' of model 'm' is for version 4, which is not ready"):
        labels.version("m", "canary")


def test_a_label_whose_version_goes_names_none():
    labels = Labels()
    labels.set("m", {"stable": 1, "old": 2}, ready={1, 2})
    labels.move("m", ready={2})
    assert labels.of("m") == {"old": 2}


def test_an_unknown_label_is_told_which_there_are():
    labels = Labels()
    with pytest.raises(ModelNotFound, match="model 'm' has no label 'stable'; ask for a version by its number"):
        labels.version("m", "stable")
    labels.set("m", {"b": 1, "a": 1}, ready={1})
    with pytest.raises(ModelNotFound, match=r"has no label 'x\?'; it has a, b"):
        labels.version("m", "x\n")
    labels.set("m", {}, ready={1})
    with pytest.raises(ModelNotFound):
        labels.version("m", "a")
