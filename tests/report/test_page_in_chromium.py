"""`report.html` in a real browser, as people open it."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.exporter.report.told import pointed_at, says
from tests.report.chromium import Page
from tests.report.conftest import Report

PAGES = ("real", "hostile")
PHONE, WIDE = 360, 1280
ENOUGH_CONTRAST = 4.5
"""For text, https://www.w3.org/TR/WCAG22/#contrast-minimum."""

Reports = Callable[[str], Report]

NUMBERS = """[...document.querySelectorAll('data[data-at]')].map(one => [
    one.value, one.dataset.at, one.closest('tr[data-at]')?.dataset.at ?? null, one.textContent])"""
CONTRASTS = """(() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const luminance = colour => {
        canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(value => value / 255)
            .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = one => {
        const colour = getComputedStyle(one).backgroundColor;
        return colour === 'rgba(0, 0, 0, 0)' ? behind(one.parentElement) : colour;
    };
    const shown = 'h1, h2, h3, p, a, td, th, dt, dd, small, .badge, summary, .kind, .shape, figcaption, li';
    return [...document.querySelectorAll(shown)].filter(one => one.textContent.trim()).map(one => {
        const [low, high] = [luminance(getComputedStyle(one).color), luminance(behind(one))].sort((a, b) => a - b);
        return [(high + 0.05) / (low + 0.05), one.tagName, one.className, one.textContent.slice(0, 40)];
    });
})()"""
UNFOLDED = """[...document.querySelectorAll('details > .inside')].map(
    one => [one.checkVisibility({contentVisibilityAuto: true}), one.getBoundingClientRect().height])"""


def complaints(tab: Page) -> list[object]:
    return tab.of(
        "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening"
    )


def requests(tab: Page) -> list[str]:
    return [str(event["request"]["url"]) for event in tab.of("Network.requestWillBeSent")]


@pytest.mark.parametrize("name", PAGES)
def test_it_opens_without_a_complaint_and_asks_for_nothing(tab: Page, reports: Reports, name: str):
    path = reports(name).path
    tab.look(WIDE)
    tab.open(path)
    tab.value("document.querySelectorAll('details').forEach(one => one.open = true)")
    tab.look(PHONE, scheme="dark")
    assert tab.value("document.readyState") == "complete"
    assert tab.value("document.querySelectorAll('section').length") >= 5
    assert tab.value("document.scripts.length") == 0
    assert complaints(tab) == []
    assert requests(tab) == [path.as_uri()]


def test_a_page_that_complains_and_asks_is_noticed(tab: Page, tmp_path: Path):
    page = tmp_path / "asks.html"
    page.write_text("<!DOCTYPE html><img src='http://example.invalid/a.png'><script>console.error('x'); y()</script>")
    tab.open(page)
    assert "http://example.invalid/a.png" in requests(tab)
    assert len(complaints(tab)) >= 2


@pytest.mark.parametrize("name", PAGES)
def test_the_numbers_are_those_of_parity_json(tab: Page, reports: Reports, name: str):
    report = reports(name)
    tab.open(report.path)
    numbers = [one for one in tab.value(NUMBERS) if not (one[2] or "").startswith("/layers")]
    assert len(numbers) > 200
    for value, place, row, shown in numbers:
        found = pointed_at(place, row, report.proof, report.manifest)
        assert float(value) == float(found), (place, row)
        assert says(shown, found), (place, row, shown, found)


@pytest.mark.parametrize("name", PAGES)
def test_every_output_of_every_session_has_its_row(tab: Page, reports: Reports, name: str):
    report = reports(name)
    tab.open(report.path)
    rows = set(tab.value("[...document.querySelectorAll('#errors tr[data-at]')].map(one => one.dataset.at)"))
    wanted = {
        f"/reports/{place}/cases/{case}/outputs/{output}"
        for place, found in enumerate(report.proof.reports)
        if found.session != "logits"
        for case, parity in enumerate(found.cases)
        for output, _ in enumerate(parity.outputs)
    }
    assert rows == wanted


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [PHONE, WIDE])
def test_it_fits_its_width_and_is_seen_in_light_and_dark(tab: Page, reports: Reports, name: str, width: int):
    brightness = []
    for scheme in ("light", "dark"):
        tab.look(width, scheme=scheme)
        tab.open(reports(name).path)
        assert tab.value("document.documentElement.scrollWidth") == width
        picture = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
        assert picture.width == width
        assert picture.height == tab.value("document.documentElement.scrollHeight")
        assert len(picture.getcolors(1 << 24) or ()) > 50
        brightness.append(sum(picture.getpixel((2, picture.height // 2))))  # type: ignore[arg-type]
    light, dark = brightness
    assert light > 700
    assert dark < 120


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(tab: Page, reports: Reports, scheme: str):
    tab.look(WIDE, scheme=scheme)
    tab.open(reports("hostile").path)
    found = tab.value(CONTRASTS)
    assert len(found) > 200
    assert [one for one in found if one[0] < ENOUGH_CONTRAST] == []


@pytest.mark.parametrize("name", PAGES)
def test_on_paper_nothing_is_folded_away(tab: Page, reports: Reports, name: str):
    tab.look(WIDE)
    tab.open(reports(name).path)
    on_screen = tab.value(UNFOLDED)
    assert not all(is_seen for is_seen, _ in on_screen)
    tab.look(WIDE, media="print")
    on_paper = tab.value(UNFOLDED)
    assert len(on_paper) == len(on_screen)
    assert all(is_seen and height > 10 for is_seen, height in on_paper)
    assert tab.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert tab.pdf().startswith(b"%PDF-")


def test_a_plot_takes_its_colours_from_the_page(tab: Page, reports: Reports):
    colours = set()
    for scheme in ("light", "dark"):
        tab.look(WIDE, scheme=scheme)
        tab.open(reports("hostile").path)
        colours.add(tab.value("getComputedStyle(document.querySelector('.plot text')).fill"))
    assert len(colours) == 2


def test_a_hostile_name_is_shown_and_does_nothing(tab: Page, reports: Reports):
    tab.open(reports("hostile").path)
    assert "<script>alert(1)</script>" in tab.value("document.body.textContent")
    assert tab.of("Page.javascriptDialogOpening") == []
    assert tab.value("document.querySelectorAll('script, img, iframe, object, link, [onload], [onerror]').length") == 0
