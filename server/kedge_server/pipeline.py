"""A request's way to its answer, told once for every protocol. No wire type here.

decode -> find the model -> check inputs -> queue -> run -> check outputs -> encode
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

from kedge_bundle.signature import Tensors, Violation
from kedge_bundle.stats import StatViolation
from kedge_server.errors import ServingError
from kedge_server.metrics import CallRecord, Metrics
from kedge_server.models import ModelTable, ServedModel
from kedge_server.scheduler import Job
from kedge_server.validation import InputReport, Policy, check_inputs, check_outputs

Protocol = Literal["tensorflow-serving", "open-inference"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, decoded.

    Attributes:
        model: the model's name.
        inputs: arrays by the caller's names, dtypes as they came; strings are object arrays of bytes.
        version: None is the latest that is ready.
        label: a version label instead of a number.
        outputs: which outputs to answer; empty is all.
        deadline: in `time.monotonic()` seconds.
        violations: found while decoding; reported together with everything that `check_inputs` finds.
    """

    model: str
    inputs: Tensors
    version: int | None = None
    label: str | None = None
    outputs: tuple[str, ...] = ()
    deadline: float | None = None
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The outputs that were asked for, in the signature's order, and where the inputs strayed from training."""

    model: str
    version: int
    outputs: Tensors
    stat_violations: tuple[StatViolation, ...] = ()


class Pipeline:
    """The only way to an answer."""

    def __init__(self, models: ModelTable, metrics: Metrics, policy: Policy) -> None:
        self.models = models
        self._metrics = metrics
        self._policy = policy

    async def predict(self, protocol: Protocol, decode: Callable[[], Call], encode: Callable[[Answer], T]) -> T:
        """Answer one request; every phase and the outcome is timed and counted, whatever becomes of it.

        Args:
            protocol: for the metrics.
            decode: gives the call; runs on the event loop. May raise InvalidInput, ModelNotFound, NotSupported.
            encode: makes the wire's answer; runs in an instance's thread, so it must touch only what it is given.

        Raises:
            ServingError: one of `errors.py`; anything else is a fault of ours.
        """
        raise NotImplementedError
