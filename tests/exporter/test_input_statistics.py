"""What layers and data tell of the inputs, as the manifest records it."""

import numpy as np
import pytest
from numpy.typing import ArrayLike

from kedge_bundle.signature import Signature, Tensors, TensorSpec
from kedge_bundle.stats import InputStats
from kedge_exporter.input_statistics import input_statistics
from kedge_exporter.readings import Kind, Reading


def signature(*shape: int | None, dtype: str = "float32") -> Signature:
    spec = TensorSpec.model_validate({"name": "x", "dtype": dtype, "shape": (None, *shape)})
    return Signature(inputs=(spec,), outputs=(TensorSpec(name="y", dtype="float32", shape=(None, 1)),))


def reading(kind: Kind, axes: tuple[int, ...] = (), *, is_direct: bool = True, **numbers: ArrayLike) -> Reading:
    return Reading(
        layer="layer",
        kind=kind,
        is_direct=is_direct,
        numbers={name: np.asarray(value, np.float64) for name, value in numbers.items()},
        axes=axes,
    )


def stats_of(shape: tuple[int | None, ...], *readings: Reading, data: Tensors | None = None) -> InputStats | None:
    found, _ = input_statistics(signature(*shape), {"x": list(readings)}, data)
    return found[0] if found else None


def test_an_adapted_normalization_gives_mean_and_deviation_per_feature() -> None:
    stats = stats_of((3,), reading("normalization", (1,), mean=[1, 2, 3], std=[4, 5, 6]))
    assert stats == InputStats(input="x", source="normalization-layer", layer="layer", mean=(1, 2, 3), std=(4, 5, 6))


def test_a_normalization_of_all_values_has_no_feature_axis() -> None:
    stats = stats_of((8, 8, 1), reading("normalization", (), mean=7.5, std=2.0))
    assert stats is not None
    assert (stats.axis, stats.mean, stats.std) == (None, (7.5,), (2.0,))


def test_channels_first_keeps_its_axis() -> None:
    stats = stats_of((3, 8, 8), reading("normalization", (1,), mean=[1, 2, 3], std=[1, 1, 1]))
    assert stats is not None
    assert stats.axis == 1


def test_a_normalization_of_each_pixel_is_pooled_over_the_positions() -> None:
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(4, 5, 2)), rng.uniform(1, 2, (4, 5, 2))
    stats = stats_of((4, 5, 2), reading("normalization", (1, 2, 3), mean=mean, std=std))
    drawn = rng.normal(mean, std, (20_000, 4, 5, 2)).reshape(-1, 2)
    assert stats is not None
    np.testing.assert_allclose(stats.mean or (), drawn.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(stats.std or (), drawn.std(axis=0), rtol=0.01)


@pytest.mark.parametrize(
    ("scale", "offset", "low", "high"),
    [
        (1 / 255, 0, (0.0,), (255.0,)),
        (np.float32(1 / 127.5), -1, (0.0,), (255.0,)),
        ([1 / 255, 1 / 100], 0, (0.0, 0.0), (255.0, 100.0)),
        (-1 / 255, 1, (0.0,), (510.0,)),
    ],
)
def test_a_rescaling_implies_the_raw_range(
    scale: ArrayLike, offset: float, low: tuple[float, ...], high: tuple[float, ...]
) -> None:
    numbers = {"scale": np.ravel(scale), "offset": np.ravel(offset)}
    stats = stats_of((4, 4, len(low)), reading("rescaling", **numbers))
    assert stats is not None
    assert (stats.source, stats.min, stats.max, stats.mean) == ("rescaling-layer", low, high, None)


def test_the_most_telling_layer_speaks() -> None:
    stats = stats_of(
        (1,),
        reading("rescaling", scale=[1 / 255], offset=[0]),
        reading("batch-normalization", (1,), mean=[2], std=[1]),
        reading("normalization", (1,), mean=[3], std=[1]),
    )
    assert stats is not None
    assert (stats.source, stats.mean) == ("normalization-layer", (3,))


def test_a_layer_behind_another_says_nothing_of_the_input() -> None:
    assert stats_of((1,), reading("normalization", (1,), is_direct=False, mean=[3], std=[1])) is None


@pytest.mark.parametrize("mean", [[np.nan], [np.inf]])
def test_numbers_that_are_none_are_no_statistics(mean: list[float]) -> None:
    assert stats_of((1,), reading("normalization", (1,), mean=mean, std=[1])) is None


def test_a_scale_of_zero_implies_no_range() -> None:
    assert stats_of((1,), reading("rescaling", scale=[0], offset=[0])) is None


def test_data_alone_gives_everything() -> None:
    rows = np.random.default_rng(0).normal(5, 2, (50, 3)).astype(np.float32)
    stats = stats_of((3,), data={"x": rows})
    assert stats is not None
    assert (stats.source, stats.layer, stats.n) == ("data", None, 50)
    np.testing.assert_allclose(stats.mean or (), rows.mean(axis=0), rtol=1e-6)
    assert stats.max == tuple(rows.max(axis=0).astype(float))


def test_data_fills_range_and_count_beside_a_layer() -> None:
    rows = np.random.default_rng(0).normal(5, 2, (50, 1)).astype(np.float32)
    stats = stats_of((1,), reading("normalization", (1,), mean=[5.5], std=[2.5]), data={"x": rows})
    assert stats is not None
    assert (stats.source, stats.layer, stats.n) == ("data", "layer", 50)
    assert (stats.mean, stats.std) == ((5.5,), (2.5,))
    assert stats.min == (float(rows.min()),)


def test_data_that_is_far_from_what_the_layer_saw_is_noted() -> None:
    normalized = np.random.default_rng(0).normal(size=(50, 1)).astype(np.float32)
    readings = {"x": [reading("normalization", (1,), mean=[127], std=[20])]}
    _, notes = input_statistics(signature(1), readings, {"x": normalized})
    assert len(notes) == 1
    assert "is the data raw?" in notes[0]


def test_positions_of_variable_length_are_no_features() -> None:
    stats = stats_of((None,), data={"x": np.arange(20, dtype=np.float32).reshape(2, 10)})
    assert stats is not None
    assert (stats.axis, stats.min, stats.max, stats.n) == (None, (0.0,), (19.0,), 2)


def test_strings_have_no_statistics() -> None:
    words: Tensors = {"x": np.array([[b"a"], [b"b"]], object)}
    found, _ = input_statistics(signature(1, dtype="string"), {"x": []}, words)
    assert found == ()


def test_data_that_is_not_all_finite_is_noted() -> None:
    data = {"x": np.array([[1.0], [np.nan], [np.inf], [3.0]], np.float32)}
    (stats,), notes = input_statistics(signature(1), {}, data)
    assert stats.mean == (2.0,)
    assert notes == ("--data: input 'x': 2 of 4 values are NaN or infinite; statistics leave them out",)
