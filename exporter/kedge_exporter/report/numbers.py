"""How numbers read, and where each comes from: a page shows three digits and carries the whole number beside them."""

import math

from kedge_exporter.report.markup import Html, element

ABSENT, TIMES = "\N{EN DASH}", "\N{MULTIPLICATION SIGN}"
_DIGITS = 3
_FIXED_FROM, _FIXED_BELOW = 0.01, 1000.0
_STEP = 1000


def scientific(value: float) -> str:
    """Three digits that count: `1.23e-7`, `0.25`, `12.3`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"
    if value == 0 or _FIXED_FROM <= abs(value) < _FIXED_BELOW:
        return f"{value:.{_DIGITS}g}"
    mantissa, _, exponent = f"{value:.{_DIGITS - 1}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def share(value: float) -> str:
    """`99.9 %`; `100 %` only where it is all of it."""
    if value == 1:
        return "100 %"
    shown = f"{value:.1%}"
    return "> 99.9 %" if shown == "100.0%" else shown.replace("%", " %")


def counted(count: int, what: str) -> str:
    """`1 layer`, `1,234 layers`."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def bytes_text(size: int) -> str:
    """`9.34 MB`, decimal units."""
    value, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < _STEP:
            break
        value, unit = value / _STEP, larger
    return f"{size:,} bytes" if unit == "bytes" else f"{value:.{_DIGITS}g} {unit}"


def number(value: float | None, at: str | None = None, shown: str | None = None) -> Html:
    """A number of the proof.

    Args:
        value: as the proof has it; None is a dash.
        at: where it stands: a JSON pointer into `parity.json`, or into `manifest.json` where it begins with that
            name; behind `#` the property that is worked out from what stands there.
        shown: what people read; three digits by default.
    """
    if value is None:
        return element("span", ABSENT, class_="absent")
    if isinstance(value, bool) or (shown is None and isinstance(value, int)):
        shown = f"{value:,}" if shown is None else shown
    return element("data", scientific(value) if shown is None else shown, value=repr(value), data_at=at)
