import math

import pytest

from kedge_exporter.report.numbers import bytes_text, counted, number, scientific, share


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"), (1.0, "1"), (0.25, "0.25"), (12.345, "12.3"), (999.4, "999"), (1234.0, "1.23e3"), (0.01, "0.01"),
        (0.00999, "9.99e-3"), (1.4909e-8, "1.49e-8"), (-3e-12, "-3.00e-12"), (math.inf, "∞"), (-math.inf, "-∞"),
        (math.nan, "NaN"), (9.9999e-5, "1.00e-4"),
    ],
)  # fmt: skip
def test_three_digits_count(value: float, shown: str):
    assert scientific(value) == shown


def test_a_share_is_all_only_where_it_is_all():
    assert [share(value) for value in (1.0, 0.99999, 0.9994, 0.5, 0.0)] == [
        "100 %",
        "> 99.9 %",
        "99.9 %",
        "50.0 %",
        "0.0 %",
    ]


def test_sizes_and_counts_read_as_people_say_them():
    assert [bytes_text(size) for size in (0, 999, 1540, 9_337_607)] == ["0 bytes", "999 bytes", "1.54 kB", "9.34 MB"]
    assert [counted(count, "row") for count in (0, 1, 1234)] == ["0 rows", "1 row", "1,234 rows"]


def test_a_number_carries_all_its_digits_and_its_place():
    assert number(0.1 + 0.2, "/a/0") == '<data value="0.30000000000000004" data-at="/a/0">0.3</data>'
    assert number(1234, "n") == '<data value="1234" data-at="n">1,234</data>'
    assert number(None, "n") == '<span class="absent">–</span>'  # noqa: RUF001 (the dash that is shown)
