import json
import math

from kedge_bundle.comparison import StatViolation
from kedge_server.wire.caller.answers import warnings_of
from kedge_server.wire.observed import COUNT_KEY, VIOLATIONS_KEY, observed_metadata


def violations(count: int, name: str = "x", value: float = 1.0) -> tuple[StatViolation, ...]:
    return tuple(StatViolation(name, i, "above-range", value, "0 to 1", 1) for i in range(count))


def test_nothing_is_sent_when_nothing_strayed():
    assert observed_metadata(()) == ()


def test_at_most_sixteen_are_sent_with_the_number_of_all():
    metadata = dict(observed_metadata(violations(40)))
    assert [each["feature"] for each in json.loads(metadata[VIOLATIONS_KEY])] == list(range(16))
    assert metadata[COUNT_KEY] == "40"


def test_metadata_is_ascii_and_small_whatever_the_names():
    metadata = dict(observed_metadata(violations(16, name="größe" * 40)))
    assert metadata[VIOLATIONS_KEY].isascii()
    assert 0 < len(metadata[VIOLATIONS_KEY]) < 4300
    assert 0 < len(json.loads(metadata[VIOLATIONS_KEY])) < 16


def test_what_json_has_no_number_for_comes_back_as_it_was():
    for value in (math.inf, -math.inf, 1.5):
        (strayed,) = warnings_of(observed_metadata(violations(1, value=value)))
        assert strayed.value == value
    (strayed,) = warnings_of(observed_metadata(violations(1, value=math.nan)))
    assert math.isnan(strayed.value)
    assert "NaN" in observed_metadata(violations(1, value=math.nan))[0][1]
