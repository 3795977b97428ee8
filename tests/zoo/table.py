"""The tables of docs/models.md, and the line of the terminal, from what came of each model. No Keras here."""

import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from kedge_bundle.manifest import FORMATS, FormatName
from tests.zoo.coverage import EXCEPTIONS, covered_layers
from tests.zoo.models import ZOO
from tests.zoo.outcomes import FormatOutcome, Outcome, Results

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
_BEGIN, _END = "<!-- make zoo: begin -->", "<!-- make zoo: end -->"
_PACKAGES = ("keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "ai-edge-litert", "numpy")
_TITLES: dict[FormatName, str] = {"saved_model": "SavedModel", "tflite": "TFLite", "onnx": "ONNX"}


def write_page(results: Results) -> None:
    """Rewrite what stands between the markers of the page."""
    text = PAGE.read_text("utf-8")
    tables = "\n".join(_tables(results))
    pattern = re.compile(f"{re.escape(_BEGIN)}.*{re.escape(_END)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{PAGE}: expected the markers {_BEGIN} and {_END}")
    PAGE.write_text(pattern.sub(lambda _: f"{_BEGIN}\n{tables}\n{_END}", text), "utf-8")


def lines_of(outcome: Outcome) -> list[str]:
    """One model for the terminal: a line, and one for each refusal."""
    if outcome.fault:
        return [f"{outcome.name}: {outcome.fault}"]
    cells = "  ".join(f"{_TITLES[entry.format]} {_cell(entry)}" for entry in outcome.formats)
    refusals = [f"    {entry.sentence}" for entry in outcome.formats if entry.exit_code]
    return [f"{outcome.name:32} {outcome.seconds:6.1f} s  {cells}", *refusals]


def _tables(results: Results) -> Iterator[str]:
    outcomes = list(results.outcomes.values())
    refused = [(outcome, entry) for outcome in outcomes for entry in outcome.formats if entry.exit_code]
    faults = [outcome for outcome in outcomes if outcome.fault]
    everywhere = sum(not outcome.fault and all(not e.exit_code for e in outcome.formats) for outcome in outcomes)
    yield (
        f"{len(outcomes)} models: {everywhere} proven in all three formats, "
        f"{len({outcome.name for outcome, _ in refused})} refused in some format, with the reason below."
    )
    yield ""
    yield "Made with " + ", ".join(f"{name} {version(name)}" for name in _PACKAGES) + "."
    for family in dict.fromkeys(model.family for model in ZOO.values()):
        yield ""
        yield f"### {family}"
        yield ""
        yield "| model | what it is | .keras | " + " | ".join(_TITLES.values()) + " |"
        yield "|---|---|---|" + "---|" * len(_TITLES)
        for outcome in outcomes:
            if ZOO[outcome.name].family == family:
                cells = " | ".join(_cell(outcome.of(name)) for name in FORMATS)
                size = _size(outcome.keras_bytes)
                yield f"| `{outcome.name}` | {_escaped(ZOO[outcome.name].about)} | {size} | {cells} |"
    yield from _refusals(refused)
    yield from (f"`{outcome.name}` failed: {_escaped(outcome.fault)}" for outcome in faults)
    yield ""
    yield "### Layers"
    yield ""
    yield "Every class of `keras.layers` is in some model above: "
    yield ", ".join(f"`{name}`" for name in sorted(covered_layers(outcomes, results.keras))) + "."
    yield ""
    yield "Left out: " + "; ".join(f"`{name}` ({reason})" for name, reason in EXCEPTIONS.items()) + "."


def _refusals(refused: list[tuple[Outcome, FormatOutcome]]) -> Iterator[str]:
    if refused:
        yield ""
        yield "### Refused"
        yield ""
        yield "| model | format | what `export-model` says | exit code |"
        yield "|---|---|---|---|"
        for outcome, entry in refused:
            sentence = _escaped(entry.sentence)
            yield f"| `{outcome.name}` | {_TITLES[entry.format]} | {sentence} | {entry.exit_code} |"


def _cell(entry: FormatOutcome | None) -> str:
    """The largest error as a share of the output's largest value, the size, and a batch that is fixed."""
    if entry is None:
        return "not tried"
    if entry.exit_code:
        return f"refused ({entry.exit_code})"
    error = "exact" if not entry.error else f"{entry.error:.0e}".replace("e-0", "e-")
    rows = {"dynamic": "", 1: ", one row"}.get(entry.batch or "dynamic", f", {entry.batch} rows")
    return f"{error}, {_size(entry.bytes)}{rows}"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{max(1, round(count / 1e3))} kB"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
