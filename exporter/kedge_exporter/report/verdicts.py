"""What verdicts and artifacts are called on the page."""

from dataclasses import dataclass

from kedge_exporter.report.markup import Html, element

_FORMATS = {"saved_model": "SavedModel", "tflite": "TFLite", "onnx": "ONNX"}


@dataclass(frozen=True)
class Face:
    """How a verdict looks: a class of `page.css`, a sign, and what it means in one line."""

    tone: str
    sign: str
    meaning: str


FACES = {
    "bit-exact": Face("good", "✓", "every bit of every answer is as Keras answers it"),
    "rounding-equivalent": Face("good", "✓", "no further from the truth than rounding explains"),
    "within-tolerance": Face("fair", "≈", "no further from Keras' answers than the tolerance"),
    "within-fidelity": Face("fair", "≈", "smaller on purpose; as much of the answers is left as was asked for"),
    "failed": Face("bad", "✗", "does not answer as Keras does"),
}


def title_of(artifact: str) -> str:
    """`TFLite int8` of `tflite-int8`."""
    format_name, _, precision = artifact.partition("-")
    return f"{_FORMATS.get(format_name, format_name)} {precision}".rstrip()


def badge(verdict: str) -> Html:
    """The verdict as a coloured word with its sign."""
    face = FACES[verdict]
    return element("span", element("span", face.sign, aria_hidden="true"), " ", verdict, class_=f"badge {face.tone}")


def listed(names: list[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
