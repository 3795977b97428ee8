"""The faster half of the zoo, for real; and the page that tells of all of it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.zoo.child import ROOT
from tests.zoo.coverage import EXCEPTIONS
from tests.zoo.models import ZOO
from tests.zoo.outcomes import Results, surprises
from tests.zoo.table import PAGE

FAST = [name for name, model in ZOO.items() if model.is_fast]

pytestmark = pytest.mark.timeout(600)  # the first test runs the whole half


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What came of every model of the faster half, made as `make zoo` makes it."""
    path = tmp_path_factory.mktemp("zoo") / "results.jsonl"
    finished = subprocess.run(
        [sys.executable, "-m", "tests.zoo.run", "--fast", "--results", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert path.exists(), finished.stderr[-4000:]
    return Results.read(path)


@pytest.mark.parametrize("name", FAST)
def test_a_model_is_proven_or_refused_as_the_zoo_says(results: Results, name: str) -> None:
    found = surprises(results.outcomes[name])
    assert not found, "\n".join(found)


def test_the_page_names_every_model_of_the_zoo() -> None:
    named = re.findall(r"^\| `(\w+)` \| [^|]+ \| \d", PAGE.read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(ZOO), "run `make zoo`"


def test_the_page_tells_of_nothing_that_failed() -> None:
    assert "failed:" not in PAGE.read_text("utf-8")


def test_every_layer_of_keras_is_in_a_model_of_the_page_or_left_out_for_a_reason(results: Results) -> None:
    listed = re.findall(r"`(\w+)`", PAGE.read_text("utf-8").partition("### Layers")[2])
    assert sorted(listed) == sorted(set(results.keras.layers)), "a new Keras? add its layers to the zoo: `make zoo`"
    assert EXCEPTIONS.keys() <= set(results.keras.layers)


def test_every_activation_that_keras_names_is_in_a_model(results: Results) -> None:
    used = {name for outcome in results.outcomes.values() for name in outcome.activations}
    # `threshold` takes arguments: it stands in files as the class of its op.
    assert set(results.keras.functions) - used == {"threshold"}
    assert "Threshold" in results.outcomes["activation_arguments"].classes


def test_files_from_elsewhere_are_what_another_keras_saved(results: Results) -> None:
    versions = {name: outcome.keras_version for name, outcome in results.outcomes.items() if ZOO[name].answers}
    assert {"3.0.5", "3.15.1"} <= set(versions.values())
    assert all(Path(ZOO[name].answers or "").exists() for name in versions)
