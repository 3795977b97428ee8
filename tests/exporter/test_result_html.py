"""What a notebook shows of a result: escaped, self-contained, and nothing but well-formed HTML."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from kedge_bundle.manifest import Advice
from kedge_bundle.signature import Signature, TensorSpec
from kedge_exporter.request import Exported, FormatResult

NASTY = "<script>alert('x')</script> & \"co\""
_VOID = {"br", "hr", "img"}


class Page(HTMLParser):
    """Collects tags and text; raises on a tag that is closed out of turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert {name for name, _ in attrs} <= {"class"}
        self.tags.append(tag)
        if tag not in _VOID:
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data
        if "td" in self.open:
            self.cells[-1] += data


@pytest.fixture
def exported() -> Exported:
    one, other = (TensorSpec(name=name, dtype="float32", shape=(None, 3)) for name in (NASTY, "species"))
    proven = {"bytes": 1234567, "batch": "dynamic", "max_abs_error": 1.25e-7, "cases": 8}
    return Exported(
        name="iris",
        version=3,
        bundle=Path("models/iris/3"),
        formats=(
            FormatResult(format="saved_model", path=".", verdict="within-tolerance", **proven),
            FormatResult(format="onnx", path="model.onnx", verdict="bit-exact", **proven),
        ),
        signature=Signature(inputs=(one,), outputs=(other,)),
        warnings=(Advice(code="untrained", message=f"the layer '{NASTY}'"),),
        notes=(f"{NASTY} was not used; give --data samples.npz",),
    )


def test_the_html_shows_every_artifact_with_its_verdict(exported: Exported) -> None:
    page = Page(exported._repr_html_())
    assert page.cells == [
        *("saved_model", "1,234,567", "dynamic", "within-tolerance", "1.2e-07"),
        *("onnx", "1,234,567", "dynamic", "bit-exact", "1.2e-07"),
    ]
    assert page.text.startswith("iris, version 3")
    assert page.text.endswith("proven and published: models/iris/3")


def test_what_comes_from_the_model_is_text_and_never_markup(exported: Exported) -> None:
    page = Page(exported._repr_html_())
    assert page.text.count(NASTY) == 3
    assert set(page.tags) <= {"div", "style", "strong", "span", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}


def test_nothing_is_fetched_and_the_page_keeps_its_own_colours(exported: Exported) -> None:
    html = exported._repr_html_()
    assert not re.search(r"https?:|url\(|@import|src=|href=", html)
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "color: inherit" in style
    assert all(line.startswith(".kedge") for line in style.splitlines() if "{" in line)


def test_the_report_is_linked_where_there_is_one(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bundle = Path("my models/iris/3")
    bundle.mkdir(parents=True)
    (bundle / "report.html").touch()
    assert "<a href=" not in exported._repr_html_()
    here = exported.model_copy(update={"bundle": bundle})
    assert '<a href="my%20models/iris/3/report.html">report</a>' in here._repr_html_()
    elsewhere = exported.model_copy(update={"bundle": tmp_path / bundle})
    assert f'<a href="file://{tmp_path}/my%20models/iris/3/report.html">report</a>' in elsewhere._repr_html_()


def test_the_result_prints_the_table_of_the_command_in_words_of_python(exported: Exported) -> None:
    assert repr(exported) == str(exported)
    assert str(exported).splitlines() == [
        "format           bytes  batch    verdict           largest error",
        "saved_model  1,234,567  dynamic  within-tolerance  1.2e-07",
        "onnx         1,234,567  dynamic  bit-exact         1.2e-07",
        f"warning: untrained: the layer '{NASTY}'",
        f"note: {NASTY} was not used; give data=samples.npz",
        "proven and published: models/iris/3",
    ]


def test_the_result_knows_where_its_artifacts_are(exported: Exported) -> None:
    assert exported.path == Path("models/iris/3")
    assert exported.artifact("onnx") == Path("models/iris/3/model.onnx")
    assert exported.artifact("saved_model") == Path("models/iris/3")
    with pytest.raises(KeyError, match=r"'tflite' is not in models/iris/3, which has saved_model, onnx"):
        exported.artifact("tflite")
