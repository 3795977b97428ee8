"""What a row takes in a model, as its runs have shown, and so how long those that wait will wait."""

_SMOOTHING = 0.1
_RUNS_TO_KNOW = 10


class Pace:
    """Seconds a row, the latest runs counting most. Used on the event loop's thread.

    Args:
        instances: runs at once.
    """

    def __init__(self, instances: int) -> None:
        self._instances = instances
        self._seconds_per_row = 0.0
        self._runs = 0

    @property
    def is_known(self) -> bool:
        """Whether enough runs have shown it."""
        return self._runs >= _RUNS_TO_KNOW

    def note(self, rows: int, seconds: float) -> None:
        """Count a run."""
        self._runs += 1
        change = seconds / rows - self._seconds_per_row
        self._seconds_per_row += change * (_SMOOTHING if self._seconds_per_row else 1.0)

    def seconds(self, rows: int) -> float:
        """What all instances together take for so many rows."""
        return rows * self._seconds_per_row / self._instances
