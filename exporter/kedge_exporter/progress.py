"""How a running export says where it is: phases with a name, a detail and their wall time."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict


class PhaseEvent(BaseModel):
    """A phase that began (`seconds` is None) or ended."""

    model_config = ConfigDict(frozen=True)

    event: Literal["phase"] = "phase"
    name: str
    detail: str = ""
    seconds: float | None = None


@dataclass
class Phase:
    """A phase under way; set `detail` to what a person may want to know of it."""

    detail: str = ""


@dataclass
class Progress:
    """Emits an event when a phase begins and when it ends, and remembers how long each took."""

    emit: Callable[[PhaseEvent], None]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[Phase]:
        """Run one phase; it ends without an event when it raises."""
        self.emit(PhaseEvent(name=name))
        phase, start = Phase(), time.monotonic()
        yield phase
        self.seconds[name] = round(time.monotonic() - start, 3)
        self.emit(PhaseEvent(name=name, detail=phase.detail, seconds=self.seconds[name]))
