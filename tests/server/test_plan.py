"""What happens to the versions of one model, as tables: what is wanted, what is on disk, what is known."""

from pathlib import Path
from typing import Any

import pytest

from kedge_server.loading import Place
from kedge_server.plan import Plan, Wish, plan
from kedge_server.served_model import State
from kedge_server.version_policy import ALL, VersionPolicy

LATEST = VersionPolicy(latest=1)


def steps(policy: VersionPolicy, found: list[int], known: dict[int, State], **more: Any) -> dict[str, Any]:  # noqa: ANN401 (arguments of plan)
    """The steps that are not empty, places as version numbers."""
    wish = Wish(policy, more.pop("labels", {}), more.pop("is_unloaded", False))
    made = plan(wish, {version: Place("m", version, Path(str(version))) for version in found}, known, **more)
    as_numbers = {**vars(made), "load": tuple(place.version for place in made.load)}
    return {name: value for name, value in as_numbers.items() if value}


def test_new_versions_are_loaded_the_highest_first():
    assert steps(ALL, [1, 2, 3], {1: "ready"}) == {"load": (3, 2)}
    assert steps(LATEST, [1, 2, 3], {}) == {"load": (3,)}


def test_nothing_happens_where_all_is_as_wanted():
    assert steps(ALL, [1, 2], {1: "ready", 2: "ready"}) == {}
    assert Plan() == plan(Wish(ALL), {}, {})


def test_the_old_version_is_retired_only_once_the_new_one_is_ready():
    assert steps(LATEST, [3, 4], {3: "ready"}) == {"load": (4,)}
    assert steps(LATEST, [3, 4], {3: "ready", 4: "loading"}) == {}
    assert steps(LATEST, [3, 4], {3: "ready", 4: "ready"}) == {"retire": (3,)}


def test_a_broken_new_version_changes_nothing_and_is_tried_again_when_its_files_change():
    broken: dict[int, State] = {3: "ready", 4: "failed"}
    assert steps(LATEST, [3, 4], broken) == {"unwanted": (4,)}
    assert steps(LATEST, [3, 4], broken, changed={4}) == {"load": (4,)}
    assert steps(ALL, [3, 4], broken) == {}
    assert steps(VersionPolicy(specific=(4,)), [3, 4], broken) == {}


def test_the_next_best_is_loaded_where_the_latest_is_broken():
    assert steps(LATEST, [2, 3], {3: "failed"}) == {"load": (2,), "unwanted": (3,)}


def test_broken_versions_are_remembered_until_they_would_not_be_wanted():
    assert steps(LATEST, [2, 3, 4], {2: "ready", 3: "failed", 4: "failed"}) == {"unwanted": (3, 4)}
    assert steps(LATEST, [2, 3, 5], {2: "ready", 3: "failed", 5: "ready"}) == {"retire": (2,), "forget": (3,)}
    assert steps(ALL, [2], {2: "ready", 3: "failed"}) == {"forget": (3,)}


def test_a_version_that_is_taken_away_is_retired_while_another_is_ready():
    assert steps(ALL, [2], {1: "ready", 2: "ready"}) == {"retire": (1,)}
    assert steps(ALL, [2], {1: "ready"}) == {"load": (2,), "kept": (1,)}
    assert steps(ALL, [2], {1: "ready", 2: "failed"}) == {"kept": (1,)}
    assert steps(ALL, [2], {1: "ready", 2: "ready"}, labelled={1}) == {"kept": (1,)}


def test_the_highest_of_those_that_are_taken_away_stays_where_no_other_is_ready():
    assert steps(ALL, [5], {1: "ready", 2: "ready", 5: "failed"}) == {"retire": (1,), "kept": (2,)}


@pytest.mark.parametrize("found", [[], [0]], ids=["gone", "cannot be listed"])
def test_a_directory_that_is_gone_or_cannot_be_listed_retires_nothing(found: list[int]):
    assert steps(ALL, found, {1: "ready", 2: "ready"}) == {"kept": (1, 2)}


def test_a_new_model_that_cannot_be_listed_is_tried_so_that_somebody_hears_of_it():
    assert steps(ALL, [0], {}) == {"load": (0,)}
    assert steps(ALL, [1], {0: "failed"}) == {"load": (1,), "forget": (0,)}


def test_a_version_that_a_label_is_for_is_wanted_whatever_the_policy():
    assert steps(LATEST, [2, 3], {3: "ready"}, labels={"stable": 2}) == {"load": (2,)}
    assert steps(LATEST, [2, 3], {2: "ready", 3: "ready"}, labels={"stable": 2}) == {}
    assert steps(LATEST, [3], {3: "ready"}, labels={"stable": 2}) == {}
    assert steps(LATEST, [2, 3], {2: "failed", 3: "ready"}, labels={"stable": 2}) == {}


def test_a_version_that_a_label_still_names_is_kept_until_the_label_has_moved():
    assert steps(LATEST, [2, 3], {2: "ready", 3: "ready"}, labels={"stable": 3}, labelled={2}) == {}
    assert steps(LATEST, [2, 3], {2: "ready", 3: "ready"}, labels={"stable": 3}, labelled={3}) == {"retire": (2,)}


def test_versions_that_are_not_wanted_stay_where_nothing_that_is_wanted_is_there():
    assert steps(VersionPolicy(specific=(7,)), [1, 2], {1: "ready", 2: "ready"}) == {"retire": (1,)}


def test_an_unloaded_model_goes_with_everything_that_is_known_of_it():
    known: dict[int, State] = {1: "unloading", 2: "ready", 3: "failed"}
    assert steps(ALL, [1, 2, 3], known, is_unloaded=True) == {"retire": (2,), "forget": (3,)}
