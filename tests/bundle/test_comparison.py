import numpy as np
import pytest

from kedge_bundle.comparison import FEW_VALUES, Comparison, Limits
from kedge_bundle.stats import InputStats, stats_of_data

LIMITS = Limits(margin=0.1, z_score=8.0)
PIXELS = InputStats(
    input="image", source="normalization-layer", layer="norm", mean=(120.0, 110.0, 100.0), std=(70.0, 68.0, 72.0)
)
ROWS = InputStats(
    input="x", source="data", n=50, mean=(0.0, 170.0), std=(1.0, 10.0), min=(-3.0, 140.0), max=(3.0, 200.0)
)


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)


def kinds(stats: InputStats, array: np.ndarray) -> set[str]:
    return {violation.kind for violation in Comparison(stats, LIMITS).violations(array)}


def test_an_input_like_training_has_no_violation():
    assert kinds(PIXELS, image()) == set()
    assert kinds(ROWS, np.array([[0.5, 180.0]], np.float32)) == set()


def test_pixels_normalized_by_the_caller_too_are_noticed():
    once = (image() - 120.0) / 70.0
    found = Comparison(PIXELS, LIMITS).violations(once)
    assert {violation.kind for violation in found} == {"spread"}
    assert [violation.feature for violation in found] == [0, 1, 2]
    assert "normalized already" in found[0].describe()


def test_pixels_rescaled_by_the_caller_too_are_noticed():
    rescaling = InputStats(input="image", axis=None, source="rescaling-layer", min=(0.0,), max=(255.0,))
    assert kinds(rescaling, image()) == set()
    assert kinds(rescaling, image() / 255.0) == {"spread"}


def test_a_row_normalized_by_the_caller_too_is_far_from_its_mean():
    row = np.array([[0.5, 1.0]], np.float32)
    (violation, *_) = [v for v in Comparison(ROWS, LIMITS).violations(row) if v.kind == "z-score"]
    assert (violation.input, violation.feature, violation.value) == ("x", 1, 1.0)
    assert "training saw mean 170, std 10" in violation.describe()


def test_what_training_itself_held_is_never_too_far_from_its_mean():
    pixels = np.zeros((500, 1), np.float32)
    pixels[0] = 1.0
    stats = stats_of_data("x", pixels, n=500)
    assert stats is not None
    assert stats.mean is not None
    assert stats.std is not None
    assert (1.0 - stats.mean[0]) / stats.std[0] > LIMITS.z_score
    assert Comparison(stats, LIMITS).violations(np.ones((1, 1), np.float32)) == []
    assert {v.kind for v in Comparison(stats, LIMITS).violations(np.full((1, 1), 1.05, np.float32))} == {"z-score"}


def test_outside_the_range_names_the_worst_value_and_the_count():
    array = np.array([[3.2, 170.0], [3.9, 170.0], [5.0, 170.0]], np.float32)
    (violation,) = Comparison(ROWS, LIMITS).violations(array)
    assert (violation.kind, violation.value, violation.count) == ("above-range", 5.0, 2)
    assert "-3 to 3" in violation.expected


def test_below_the_range_is_its_own_kind():
    assert kinds(ROWS, np.array([[-4.5, 170.0]], np.float32)) == {"below-range"}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_values_are_named_and_do_not_hide_the_rest(value: float):
    found = Comparison(ROWS, LIMITS).violations(np.array([[value, 500.0]], np.float32))
    assert {violation.kind for violation in found} == {"nonfinite", "above-range", "z-score"}


def test_integers_are_compared_as_numbers():
    counts = InputStats(input="n", source="data", min=(0.0,), max=(9.0,))
    assert kinds(counts, np.array([[5]], np.uint8)) == set()
    assert kinds(counts, np.array([[200]], np.uint8)) == {"above-range"}


def test_a_feature_that_was_constant_in_training_may_keep_its_rounding():
    constant = InputStats(input="x", source="data", mean=(0.1,), std=(0.0,))
    assert kinds(constant, np.full((1, 1), 0.1, np.float32)) == set()
    assert kinds(constant, np.full((1, 1), 0.2, np.float32)) == {"z-score"}


def test_a_feature_axis_other_than_the_last_is_honoured():
    first = PIXELS.model_copy(update={"axis": 1})
    channels_first = np.moveaxis(image(), -1, 1)
    assert {v.kind for v in Comparison(first, LIMITS).violations(channels_first)} == set()
    assert [v.feature for v in Comparison(first, LIMITS).violations((channels_first - 120) / 70)] == [0, 1, 2]


EDGES = np.array(
    [0.0, -0.0, 255.0, 280.5, np.nextafter(np.float32(280.5), np.float32(999)), -1e-38, -25.5, -25.6, 1e38,
     np.finfo(np.float32).max, np.nan, -np.nan, np.inf, -np.inf, 1e-45, -1e-45],
    np.float32,
)  # fmt: skip


@pytest.mark.parametrize("least", [0.0, 10.0, 100.0, -3.0])
@pytest.mark.parametrize("largest", [255.0, 0.1, 3.4e38])
@pytest.mark.parametrize("edge", EDGES)
def test_pixels_are_judged_by_their_bits_as_by_their_values(least: float, largest: float, edge: np.float32):
    stats = InputStats(input="x", source="data", min=(min(least, largest),) * 3, max=(largest,) * 3)
    comparison = Comparison(stats, Limits())
    array = image().astype(np.float32)
    array[0, 3, 2, 1] = edge
    for scaled in (array, np.clip(array, stats.min[0], stats.max[0]), np.full_like(array, edge)):
        assert comparison.is_clean(scaled) == comparison.is_clean(scaled.astype(np.float64))


@pytest.mark.parametrize("numbers", [1, 3])
@pytest.mark.parametrize("edge", [*EDGES, 3.0, -3.6, -3.7, 3.5999, 200.0, 206.0, 206.1])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "uint8", "int64", "uint64", "bool"])
@pytest.mark.filterwarnings("ignore:(overflow|invalid value).*cast:RuntimeWarning")
def test_few_values_are_judged_as_many_are(numbers: int, edge: float, dtype: str):
    seen = InputStats(input="x", source="data", min=(-3.0, 140.0, 0.0)[:numbers], max=(3.0, 200.0, 1e39)[:numbers])
    comparison = Comparison(seen, LIMITS)
    for place in range(3):
        few = np.array([[2.0, 150.0 if numbers == 3 else 2.0, 1.0]]).astype(dtype)
        few[0, place] = np.asarray(edge, np.float64).astype(dtype)
        many = np.repeat(few, 30, axis=0)
        assert few.size <= FEW_VALUES < many.size
        assert comparison.is_clean(few) == comparison.is_clean(many) == (not comparison.violations(few))
