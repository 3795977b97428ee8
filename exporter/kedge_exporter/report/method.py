"""The sections in words: how it was judged, whether a fault would have been noticed, what else there is to say."""

from collections.abc import Iterator
from urllib.parse import quote

from kedge_bundle.parity import Budget
from kedge_exporter.report.data import ReportData
from kedge_exporter.report.markup import Html, element, join, text
from kedge_exporter.report.numbers import TIMES, number
from kedge_exporter.report.sections import explained, row, section, table, wrapped
from kedge_exporter.report.verdicts import FACES, badge, title_of
from kedge_exporter.sensitivity import Sensitivity


def method_section(data: ReportData) -> Html:
    """The rules, the reference, and the tolerance or that there is none."""
    used = list(dict.fromkeys(artifact.verdict for artifact in data.manifest.artifacts))
    meanings = join([join([element("dt", badge(one)), element("dd", FACES[one].meaning)]) for one in used])
    return section(
        "method",
        "How it was judged",
        element("dl", meanings, class_="terms"),
        element("ul", *(element("li", said) for said in _rules(data))),
        *_own_errors(data),
    )


def sensitivity_section(data: ReportData) -> Html | None:
    """Whether the proof would have noticed a changed weight."""
    found = data.proof.sensitivity
    if not found:
        return None
    rows = [_sensitivity(one, f"/sensitivity/{place}") for place, one in enumerate(found)]
    return section(
        "sensitivity",
        "Would a changed weight have been noticed?",
        explained(
            "The proof was repeated on a copy with one weight changed a little. It must fail there; where it does "
            "not, it is blind to a fault of that size."
        ),
        table(
            ["format", "noticed", "weight", "changed by", "its error", "allowed"],
            rows,
            "Was the changed copy noticed?",
            numbers_from=3,
        ),
        *(explained(f"{title_of(one.format)}: {one.reason}") for one in found if one.reason),
    )


def advice_section(data: ReportData) -> Html | None:
    """What the author of the model should know."""
    manifest = data.manifest
    if not manifest.advice and not manifest.notes:
        return None
    advice = [
        element(
            "li",
            element("b", one.code),
            element("span", f" at '{one.layer}'", class_="kind") if one.layer else None,
            f": {one.message}",
        )
        for one in manifest.advice
    ]
    return section(
        "advice",
        "Worth knowing",
        element("ul", *advice, class_="advice") if advice else None,
        element("ul", *(element("li", note) for note in manifest.notes), class_="notes") if manifest.notes else None,
    )


def _rules(data: ReportData) -> Iterator[Html]:
    proof, method = data.proof, data.proof.method
    if proof.reference.precision == "float64":
        yield text(
            "The truth is the same model with the same weights in float64. An error is the largest distance from it, "
            "by the size of its channel: a probability beside a price in millions counts as much."
        )
        yield join(
            [
                "Rounding-equivalent is at most ",
                number(method.factor, "/method/factor", f"{method.factor:g} times"),
                " Keras' own rounding error; ",
                number(method.floor_ulps, "/method/floor_ulps", f"{method.floor_ulps:g} units"),
                " in the last place are always allowed, ",
                number(method.most, "/method/most", f"{method.most:.0%}"),
                " of a channel's size never is.",
            ]
        )
    else:
        yield text(f"There is no reference in float64: {proof.reference.reason or 'none was asked for'}.")
        yield join(["What was compared are Keras' own answers, by ", *_tolerance(proof.budget, "/budget"), "."])
    if proof.tolerance is None:
        yield text("No tolerance was asked for: what is more than rounding fails.")
    else:
        yield join(["An explicit tolerance was asked for: ", *_tolerance(proof.tolerance, "/tolerance"), "."])
    yield text("NaN and infinity must stand in the same places. Integers, booleans and strings must be equal.")


def _tolerance(budget: Budget, at: str) -> Iterator[str]:
    yield "an absolute error of "
    yield number(budget.atol, f"{at}/atol")
    yield " and "
    yield number(budget.rtol, f"{at}/rtol")
    yield " of the output's largest value"


def _own_errors(data: ReportData) -> Iterator[Html]:
    """Keras' own errors as a table: what everything is measured by."""
    own = data.proof.reference.own
    kinds = list(dict.fromkeys(kind for by_kind in own.values() for kind in by_kind))
    if not kinds:
        return
    rows = [
        row(output, *(number(by_kind.get(kind), f"/reference/own/{_token(output)}/{_token(kind)}") for kind in kinds))
        for output, by_kind in own.items()
    ]
    yield element("h3", "Keras' own rounding error")
    yield explained("By the size of the channel, for every kind of input.")
    yield table(["output", *kinds], rows, "Keras' own rounding error by output and kind of input")


def _sensitivity(one: Sensitivity, at: str) -> Html:
    face = ("good", "✓", "noticed") if one.noticed else ("bad", "✗", "not noticed")
    word = element("span", element("span", face[1], aria_hidden="true"), " ", face[2], class_=f"badge {face[0]}")
    size = TIMES.join(map(str, one.shape))
    weight = join([wrapped(one.weight), " ", element("small", f"[{size}]") if size else None])
    factor = number(one.factor, f"{at}/factor", f"{TIMES} {one.factor:g}")
    cells = (word, weight, factor, number(one.error, f"{at}/error"), number(one.allowed, f"{at}/allowed"))
    return row(title_of(one.format), *cells, numbers_from=3)


def _token(name: str) -> str:
    """A name as a part of a JSON pointer in a URI's fragment (RFC 6901, 6): whatever it holds, it stays itself."""
    return quote(name.replace("~", "~0").replace("/", "~1"), safe="")
