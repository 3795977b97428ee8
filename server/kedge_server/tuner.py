"""How this server tunes: what its settings say, and what all models that are loaded share."""

from dataclasses import dataclass, field

from kedge_server.load_turns import LoadTurns
from kedge_server.settings import Settings
from kedge_server.tuning import Arrangement, Mode
from kedge_server.tuning_cache import TuningCache


@dataclass(frozen=True)
class Predecessor:
    """How a version is served that another one follows.

    Attributes:
        artifact: the name of what it runs.
        device: what it runs on.
        arrangement: how: what was found best, where it was measured.
    """

    artifact: str
    device: str
    arrangement: Arrangement


@dataclass(frozen=True)
class Tuner:
    """Whether and how to measure.

    Attributes:
        mode: for how long.
        latency_bound_s: of a batch; 0: none.
        cache: what was found at earlier starts.
        may_measure: whether the cores are free for that; otherwise only what was found earlier is taken.
        predecessor: of the version that is loaded; it is likely to be best served in the same way.
        turns: of those that load and those that measure.
    """

    mode: Mode
    latency_bound_s: float
    cache: TuningCache
    may_measure: bool = True
    predecessor: Predecessor | None = None
    turns: LoadTurns = field(default_factory=LoadTurns, compare=False)

    @classmethod
    def of(cls, settings: Settings) -> "Tuner | None":
        """That of a server's settings; None where nothing is to be measured."""
        if settings.tune == "off":
            return None
        return cls(settings.tune, settings.latency_bound_ms / 1000, TuningCache(settings.state_dir))
