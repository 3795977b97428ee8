"""The page as text: what is in it, what is not, and that no name gets in unescaped."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kedge_bundle.manifest import Manifest
from kedge_bundle.parity import Budget
from kedge_bundle.rounding import Reference
from kedge_exporter.proof_file import Proof
from kedge_exporter.report.data import GraphNode, ReportData
from kedge_exporter.report.page import FILE_NAME, Report, render, write_report
from kedge_exporter.report.summary import sentence
from tests.exporter.report.pages import HOSTILE, page_data, with_verdicts
from tests.exporter.report.told import pointed_at, says

Attributes = dict[str, str | None]


class Reader(HTMLParser):
    """Tags with their attributes, the text of sections, and the numbers with where they come from."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Attributes]] = []
        self.numbers: list[tuple[str, str, str | None, str]] = []
        self.text = ""
        self._row: str | None = None
        self._number: Attributes | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        if tag == "tr":
            self._row = attributes.get("data-at")
        if tag == "data":
            self._number = attributes

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._number is not None:
            value, place = self._number["value"], self._number.get("data-at")
            assert value is not None
            if place is not None:
                self.numbers.append((value, place, self._row, data))
            self._number = None

    def sections(self) -> list[str]:
        return [attributes["id"] or "" for tag, attributes in self.tags if tag == "section"]


@pytest.fixture(scope="module")
def data() -> ReportData:
    return page_data()


@pytest.fixture(scope="module")
def page(data: ReportData) -> str:
    return render(data)


def test_every_part_has_its_section_and_the_links_lead_to_them(page: str):
    reader = Reader(page)
    wanted = [
        "advice", "errors", "histograms", "logits", "layers", "sensitivity", "fidelity",
        "sizes", "method", "inputs", "graph",
        "toolchain",
    ]  # fmt: skip
    assert reader.sections() == wanted
    links = [attributes["href"] for tag, attributes in reader.tags if tag == "a"]
    assert links == [f"#{name}" for name in wanted]


def test_every_number_is_the_one_that_stands_in_the_proof(data: ReportData, page: str):
    proof = Proof.model_validate_json(data.proof.model_dump_json())
    manifest = Manifest.model_validate_json(data.manifest.model_dump_json())
    numbers = [one for one in Reader(page).numbers if "/layers/" not in (one[2] or "")]
    assert len(numbers) > 300
    for value, place, row, shown in numbers:
        found = pointed_at(place, row, proof, manifest)
        assert float(value) == float(found), (place, row)
        assert says(shown, found), (place, row, shown, found)


def test_the_numbers_of_the_layers_are_those_of_the_curve(data: ReportData, page: str):
    numbers = [one for one in Reader(page).numbers if "/layers/" in (one[2] or "")]
    assert len(numbers) == 3 * 5
    for value, name, row, _ in numbers:
        assert row is not None
        layer = data.layers[0].layers[int(row.rpartition("/")[2])]
        assert float(value) == getattr(layer, name)


def test_a_hostile_name_is_text_wherever_it_stands(page: str):
    reader = Reader(page)
    assert not [tag for tag, _ in reader.tags if tag in ("script", "img", "iframe", "object", "link", "base")]
    assert not [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    assert "<script" not in page
    assert "\u202e" not in page
    assert reader.text.count(HOSTILE.replace("\u202e", "\ufffd")) > 20


def test_nothing_leads_outside_and_nothing_may_be_loaded(page: str):
    reader = Reader(page)
    policy = [attributes["content"] for tag, attributes in reader.tags if "http-equiv" in attributes]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]
    assert not [attributes for _, attributes in reader.tags if "src" in attributes or "action" in attributes]
    assert all((attributes.get("href") or "#").startswith("#") for _, attributes in reader.tags)
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_identifiers_are_unique(page: str):
    identifiers = [attributes["id"] for _, attributes in Reader(page).tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))


def test_the_same_data_give_the_same_page_in_one_file(data: ReportData, page: str, tmp_path: Path):
    write_report(tmp_path, data)
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]
    assert (tmp_path / FILE_NAME).read_text("utf-8") == page


def test_another_version_differs_in_nothing_but_its_number(data: ReportData, page: str, tmp_path: Path):
    report = Report(data)
    assert report.html(3) == page
    report.write(tmp_path, 12)
    other = (tmp_path / FILE_NAME).read_text("utf-8")
    assert "page, version 12: parity report" in other
    assert other.replace("version 12", "version 3") == page


def test_what_is_not_known_has_no_section(data: ReportData):
    bare = replace(
        data,
        graph=(),
        parameters=None,
        layers=(),
        manifest=data.manifest.model_copy(update={"advice": (), "notes": (), "input_stats": ()}),
        proof=data.proof.model_copy(
            update={
                "reports": tuple(one.model_copy(update={"histograms": ()}) for one in data.proof.reports[:3]),
                "sensitivity": (),
                "fidelity": (),
            }
        ),
    )
    assert Reader(render(bare)).sections() == ["errors", "sizes", "method", "inputs", "toolchain"]


def test_without_a_reference_the_page_says_so_and_draws_nothing(data: ReportData):
    reports = tuple(
        one.model_copy(
            update={
                "histograms": (),
                "cases": tuple(
                    case.model_copy(
                        update={
                            "outputs": tuple(
                                output.model_copy(
                                    update={"error": None, "keras_error": None, "allowed": None, "tolerance": 1e-4}
                                )
                                for output in case.outputs
                            )
                        }
                    )
                    for case in one.cases
                ),
            }
        )
        for one in data.proof.reports
    )
    reference = Reference(precision="float32", reason="the layer 'odd' refuses float64")
    proof = data.proof.model_copy(update={"reports": reports, "reference": reference})
    reader = Reader(render(replace(data, proof=proof, layers=())))
    assert "There is no reference in float64: the layer 'odd' refuses float64." in reader.text
    assert "svg" not in {tag for tag, attributes in reader.tags if attributes.get("class") == "plot"}
    assert "tolerance" in reader.text


def test_the_tolerance_is_told_or_that_there_is_none(data: ReportData, page: str):
    assert "No tolerance was asked for" in page
    tolerant = data.proof.model_copy(update={"tolerance": Budget(rtol=1e-3, atol=2e-4)})
    reader = Reader(render(replace(data, proof=tolerant)))
    assert "An explicit tolerance was asked for: an absolute error of 2.00e-4 and 1.00e-3 of" in reader.text


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({"saved_model": "bit-exact"}, "SavedModel answers as the Keras model does, bit for bit."),
        (
            {"saved_model": "bit-exact", "onnx": "rounding-equivalent"},
            "SavedModel and ONNX answer as the Keras model does: what differs is rounding.",
        ),
        (
            {"saved_model": "rounding-equivalent", "onnx": "within-tolerance", "tflite_int8": "within-fidelity"},
            (
                "SavedModel answers as the Keras model does: what differs is rounding; ONNX answers within the "
                "tolerance; TFLite int8 keeps as much of the answers as was asked for."
            ),
        ),
        ({"saved_model": "bit-exact", "onnx": "failed"}, "ONNX does not answer as the Keras model does."),
        (
            {"saved_model": "failed", "onnx": "failed"},
            "SavedModel and ONNX do not answer as the Keras model does.",
        ),
    ],
)
def test_the_first_sentence_says_what_came_out(verdicts: dict[str, str], said: str):
    assert sentence(with_verdicts(**verdicts)) == said


def test_a_verdict_is_a_word_beside_its_colour(page: str):
    badges = re.findall(r'<span class="badge (\w+)"><span aria-hidden="true">(.)</span> ([\w-]+)', page)
    assert {("good", "✓", "bit-exact"), ("good", "✓", "rounding-equivalent"), ("fair", "≈", "within-fidelity")} <= set(
        badges
    )
    assert {("good", "✓", "noticed"), ("bad", "✗", "not")} <= set(badges)


def test_a_large_model_gives_a_page_that_is_not_large():
    names = tuple(f"output_{place}" for place in range(60))
    nodes = [GraphNode("in", "InputLayer", shape="[batch, 8]")]
    for place in range(3000):
        nodes.append(
            GraphNode(f"layer_{place}", "Dense", (nodes[-1].name, nodes[max(0, place - 5)].name), "[batch, 8]")
        )
    page = render(replace(page_data(*names), graph=tuple(nodes)))
    assert len(page.encode()) < 3_000_000
    assert "3,001 calls" in page
    assert "The first 2,000 are shown." in page
    assert "54 more outputs have no plot" in page
    assert "more rows are in parity.json" in page


def test_a_subclassed_model_is_a_list_of_its_layers(data: ReportData):
    nodes = (GraphNode("first", "Dense", parameters=3), GraphNode("second", "Dense"))
    reader = Reader(render(replace(data, graph=nodes)))
    assert "2 layers, 15 weights" in reader.text
    assert "what reads what is decided by its code" in reader.text
    assert not [1 for tag, attributes in reader.tags if tag == "svg" and "rails" in (attributes["class"] or "")]


def test_a_curve_without_layers_says_why_and_one_of_sums_does_not_speak_of_layers_alone(data: ReportData):
    (curve,) = data.layers
    sums = tuple(
        one.model_copy(update={"local_error": None, "local_keras_error": None, "local_allowed": None})
        for one in curve.layers
    )
    alone, summed, missing = (
        Reader(render(replace(data, layers=(one,)))).text
        for one in (
            curve.model_copy(update={"layers": (curve.layers[0],)}),
            curve.model_copy(update={"layers": sums}),
            curve.model_copy(update={"layers": (), "reason": "the file has no names"}),
        )
    )
    assert "Every layer, alone, rounds as Keras does." in alone
    assert "Every layer, alone" not in summed
    assert "The marks" not in summed
    assert "The file has no names." in missing
