"""Where a request's inputs strayed from training and were only observed: told in trailing metadata, both protocols."""

import json
import math

from kedge_bundle.comparison import StatViolation

Metadata = tuple[tuple[str, str], ...]

VIOLATIONS_KEY, COUNT_KEY = "kedge-input-violations", "kedge-input-violation-count"

_MOST = 16
_MOST_BYTES = 4096
"""Peers accept 8 KB of trailing metadata by default."""


def observed_metadata(violations: tuple[StatViolation, ...]) -> Metadata:
    """At most 16 violations as an ASCII JSON list of objects (input, feature, kind, value, expected), and their number.

    Nothing when there is none. A value that JSON has no number for is a string: "NaN", "Infinity", "-Infinity".
    """
    if not violations:
        return ()
    objects = [
        json.dumps(
            {"input": v.input, "feature": v.feature, "kind": v.kind, "value": _number(v.value), "expected": v.expected}
        )
        for v in violations[:_MOST]
    ]
    while sum(map(len, objects)) > _MOST_BYTES:
        objects.pop()
    return ((VIOLATIONS_KEY, f"[{', '.join(objects)}]"), (COUNT_KEY, str(len(violations))))


def _number(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
