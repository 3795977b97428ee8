"""A histogram as Prometheus counts: observations by upper bound."""

from bisect import bisect_left
from typing import ClassVar


class Histogram:
    """Counts of observations by upper bound, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    LATENCY_S: ClassVar[tuple[float, ...]] = (
        *(100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3),
        *(0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    )
    BATCH_ROWS: ClassVar[tuple[float, ...]] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[str, float]]:
        """What Prometheus calls buckets: how many values were at most each bound."""
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*map(str, map(float, self.bounds)), "+Inf"), list(self.counts), strict=True):
            total += count
            buckets.append((bound, total))
        return buckets
