"""Builds, saves, reloads, exports and proves the zoo: `python -m tests.zoo.run [--fast] [--only NAME ...]`.

Many models share a process, since TensorFlow takes seconds to start; one that brings its process down is recorded, and
the others go on in a new one. Ends with code 1 if anything came out other than the zoo says it should.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from kedge_exporter.processes import describe_exit
from tests.zoo.child import Child
from tests.zoo.coverage import missing
from tests.zoo.models import ZOO
from tests.zoo.outcomes import KerasNames, Outcome, Results, surprises
from tests.zoo.table import PAGE, lines_of, write_page

_TOGETHER = 80
"""How much shares a process, in small models: what TensorFlow keeps of each adds up."""
_IMAGE_NETWORK = 20
"""An image network, in small models."""


def run(names: list[str], directory: Path) -> Results:
    """Build and export these models in a scratch directory; prints a line for each."""
    (directory / "keras").mkdir()
    (directory / "bundles").mkdir()
    keras_names: KerasNames | None = None
    outcomes: dict[str, Outcome] = {}
    for group in _groups(names):
        told: dict[str, dict[str, object]] = {name: {"name": name} for name in group}
        for line in _answers("tests.zoo.build", [directory / "keras"], group, directory):
            if "layers" in line:
                keras_names = KerasNames.model_validate(line)
            else:
                told[str(line["name"])] |= line
        built = [name for name in group if "fault" not in told[name]]
        places = [directory / "keras", directory / "bundles"]
        for line in _answers("tests.zoo.export", places, built, directory):
            told[str(line["name"])] |= line
            outcome = outcomes[str(line["name"])] = Outcome.model_validate(told[str(line["name"])])
            _say("\n".join(lines_of(outcome)))
        for name in set(group) - set(built):
            outcomes[name] = Outcome.model_validate(told[name])
            _say(f"{name}: {outcomes[name].fault}")
    if keras_names is None:
        raise SystemExit("no process of the zoo could import Keras")
    return Results(keras=keras_names, outcomes={name: outcomes[name] for name in names})


def _groups(names: list[str]) -> Iterator[list[str]]:
    """Names that share a process, in the order that they come."""
    group: list[str] = []
    weight = 0
    for name in names:
        group.append(name)
        weight += _IMAGE_NETWORK if ZOO[name].family == "Image networks" else 1
        if weight >= _TOGETHER:
            yield group
            group, weight = [], 0
    if group:
        yield group


def _answers(module: str, places: list[Path], names: list[str], directory: Path) -> Iterator[dict[str, object]]:
    """What a child says of each model; a model that ends the child is at fault, and the rest get a new child."""
    left = list(names)
    while left:
        with Child(module, [*map(str, places), *left], directory) as child:
            for text in child.lines():
                line = json.loads(text)
                if line.get("name") in left:
                    left.remove(line["name"])
                yield line
        if left:
            yield {"name": left[0], "fault": f"its process {describe_exit(child.code)}; {child.last_words()}"}
            left.pop(0)


def _say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fast", action="store_true", help="only the half that `make test` runs")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=sorted(ZOO), help="only these models")
    parser.add_argument("--results", type=Path, help="keep what came out in this file, as JSON lines")
    parser.add_argument("--page", action="store_true", help=f"rewrite the tables of {PAGE.name}; needs the whole zoo")
    flags = parser.parse_args()
    names = flags.only or [name for name, model in ZOO.items() if model.is_fast or not flags.fast]
    is_whole = len(names) == len(ZOO)
    if flags.page and not is_whole:
        parser.error("--page: the tables hold the whole zoo; leave --fast and --only out")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kedge-zoo-") as directory:
        results = run(names, Path(directory))
    if flags.results is not None:
        results.write(flags.results)
    if flags.page:
        write_page(results)
    found = [f"{name}: {sentence}" for name, outcome in results.outcomes.items() for sentence in surprises(outcome)]
    if is_whole:
        found += missing(results.outcomes.values(), results.keras)
    _say("\n".join([f"{len(names)} models in {time.monotonic() - begun:.0f} s, {len(found)} surprises", *found]))
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
