"""The pieces that every part of the page is made of: sections, explanations, folded parts, tables."""

from collections.abc import Sequence

from kedge_exporter.report.markup import Html, element, join


def section(identifier: str, title: str, *content: str | None) -> Html:
    """A part of the page, reached from the top by its identifier."""
    heading = element("h2", title, id=f"{identifier}-title")
    return element("section", heading, *content, id=identifier, aria_labelledby=f"{identifier}-title")


def explained(*sentences: str | None) -> Html:
    """What a reader needs to know first, in few words."""
    return element("p", *sentences, class_="explained")


def folded(summary: str, *content: str | None, is_open: bool = False) -> Html:
    """What most readers skip; on paper it is unfolded (see `page.css`)."""
    return element("details", element("summary", summary), element("div", *content, class_="inside"), open=is_open)


def table(head: Sequence[str], rows: Sequence[Html], caption: str, *, numbers_from: int = 1) -> Html:
    """A table in a box that scrolls sideways on small screens.

    Args:
        head: the columns.
        rows: from `row`.
        caption: what the table is, for those who do not see it.
        numbers_from: the first column that is aligned to the right.
    """
    columns = join(
        element("th", name, scope="col", class_="n" if place >= numbers_from else None)
        for place, name in enumerate(head)
    )
    inner = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", columns)),
        element("tbody", *rows),
    )
    return element("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)


def row(title: str, *cells: str | None, numbers_from: int = 1, at: str | None = None) -> Html:
    """A row whose first cell names it; `at` is where the numbers of the row stand in the proof."""
    rest = join(
        element("td", cell, class_="n" if place >= numbers_from else None) for place, cell in enumerate(cells, 1)
    )
    return element("tr", element("th", title, scope="row"), rest, data_at=at)


def wrapped(words: str) -> Html:
    """Words in a cell that may be many, or a name that may be long: they go on in the next line."""
    return element("span", words, class_="wrapped")
