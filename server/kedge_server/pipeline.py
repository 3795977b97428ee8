"""A request's way to its answer, told once for every protocol. No wire type here.

decode -> find the model -> check inputs -> queue -> run -> check outputs -> encode
"""

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import structlog

from kedge_bundle.comparison import StatViolation
from kedge_bundle.signature import Tensors, Violation
from kedge_server.errors import ModelFailed, ServingError
from kedge_server.gathering import Gathering
from kedge_server.incidents import incident
from kedge_server.jobs import USUAL_PRIORITY, Job
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from kedge_server.series import CallRecord
from kedge_server.served_model import ServedModel
from kedge_server.validation import InputReport, Policy, check_inputs, check_outputs, nonfinite_outputs

Protocol = Literal["tensorflow-serving", "open-inference"]
T = TypeVar("T")
_log = structlog.get_logger("kedge.pipeline")

_ON_THE_LOOP_BYTES = 1 << 20
"""Larger requests are decoded and checked in a thread: at a millisecond for a megabyte of numbers, and a hundred for
one of short strings, others would wait for them."""

_EMPTY_BYTES = sys.getsizeof(b"")

_TRANSIT_S = 0.05
"""A caller's deadline begins when it sends the call, ours when the call has come: its end may be so much earlier."""


@dataclass(slots=True)
class Call:
    """One request, decoded.

    Attributes:
        model: the model's name.
        inputs: arrays by the caller's names, dtypes as they came; strings are object arrays of bytes.
        version: None is the latest that is ready.
        label: a version label instead of a number.
        outputs: which outputs to answer; empty is all.
        deadline: in `time.monotonic()` seconds.
        priority: lower goes first.
        violations: found while decoding; reported together with everything that `check_inputs` finds.
    """

    model: str
    inputs: Tensors
    version: int | None = None
    label: str | None = None
    outputs: tuple[str, ...] = ()
    deadline: float | None = None
    priority: int = USUAL_PRIORITY
    violations: tuple[Violation, ...] = ()


@dataclass(slots=True)
class Answer:
    """The outputs that were asked for, in the signature's order, and where the inputs strayed from training.

    `is_immediate`: the model runs on the event loop, and nobody waits for an instance.
    """

    model: str
    version: int
    outputs: Tensors
    stat_violations: tuple[StatViolation, ...] = ()
    is_immediate: bool = False


class Pipeline:
    """The only way to an answer."""

    def __init__(self, models: ModelTable, metrics: Metrics, policy: Policy) -> None:
        self.models = models
        self._metrics = metrics
        self._policy = policy
        self._gathering = Gathering()

    def turn(self) -> asyncio.Future[None] | None:
        """To be awaited, where there is one, before each call that came by itself; see `gathering.py`."""
        return self._gathering.turn()

    async def predict(
        self, protocol: Protocol, decode: Callable[[], Call], encode: Callable[[Answer], T], request_bytes: int = 0
    ) -> T:
        """Answer one request; every phase and the outcome is timed and counted, whatever becomes of it.

        Args:
            protocol: for the metrics.
            decode: gives the call; runs in a thread where the request is large. May raise InvalidInput,
                ModelNotFound, NotSupported.
            encode: makes the wire's answer; runs in an instance's thread, so it must touch only what it is given.
            request_bytes: how large the request is that `decode` reads.

        Raises:
            ServingError: one of `errors.py`; anything else is a fault of ours.
        """
        record = self._metrics.start(protocol)
        deadline: float | None = None
        try:
            call = decode() if request_bytes <= _ON_THE_LOOP_BYTES else await asyncio.to_thread(decode)
            decoded_at = time.perf_counter()
            record.decode = decoded_at - record.started_at
            deadline = call.deadline
            model = record.model = self.models.find(call.model, call.version, call.label)
            model.in_flight += 1
            loaded = model.loaded
            check = (call.inputs, loaded.contract, self._policy, call.violations, call.outputs)
            nbytes = sum([array.nbytes for array in call.inputs.values()])
            if nbytes <= _ON_THE_LOOP_BYTES and request_bytes <= _ON_THE_LOOP_BYTES:  # arrays only point to strings
                report = record.inputs = check_inputs(*check)
            else:
                report = record.inputs = await asyncio.to_thread(check_inputs, *check)
            record.validate = time.perf_counter() - decoded_at
            report.raise_if_refused()
            job = self._job(call, model, report, record, encode)
            job.text_bytes = _text_bytes(call.inputs, request_bytes)
            self._gathering.is_useful = loaded.scheduler.is_quick
            try:
                return await loaded.scheduler.run(job)
            finally:
                _note_phases(job, record)
        except ServingError as error:
            record.code, record.reason = error.code, error.reason
            raise
        except asyncio.CancelledError:
            # gRPC cancels at the caller's deadline, too; the metrics tell the two apart.
            is_late = deadline is not None and time.monotonic() >= deadline - _TRANSIT_S
            record.code, record.reason = ("DEADLINE_EXCEEDED", "deadline") if is_late else ("CANCELLED", "cancelled")
            raise
        except BaseException:
            record.code, record.reason = "INTERNAL", "internal"
            raise
        finally:
            if record.model is not None:
                record.model.in_flight -= 1
            self._metrics.finish(record)

    def _job(
        self, call: Call, model: ServedModel, report: InputReport, record: CallRecord, encode: Callable[[Answer], T]
    ) -> Job[T]:
        scheduler = model.loaded.scheduler

        def complete(outputs: Tensors) -> T:
            """In the instance's thread: keep what was asked for, check it, put it into the wire's form."""
            wanted = outputs
            if call.outputs:
                wanted = {name: array for name, array in outputs.items() if name in call.outputs}
            record.outputs = check_outputs(wanted)
            if self._policy.nonfinite_outputs == "reject" and (found := nonfinite_outputs(record.outputs)):
                raise _refused_answer(model, found)
            is_immediate = scheduler.is_quick
            return encode(Answer(model.name, model.version, wanted, report.stat_violations, is_immediate))

        inputs = call.inputs
        if len(inputs) > 1:  # in one order: jobs meet whose shapes are the same, one after the other
            inputs = {name: inputs[name] for name in model.signature.input_names}
        return Job(inputs, report.rows, complete, None, call.deadline, call.priority)


def _text_bytes(inputs: Tensors, request_bytes: int) -> int:
    """What strings hold beside the arrays that point to them, at most: all of the request may be theirs.

    Counted without looking at them: there may be millions.
    """
    strings = [array.size for array in inputs.values() if array.dtype.kind == "O"]
    return request_bytes + sum(strings) * _EMPTY_BYTES if strings else 0


def _note_phases(job: Job[T], record: CallRecord) -> None:
    """How long the job waited, ran and was encoded; a phase that it did not leave lasts until now."""
    if not job.queued_at:
        return
    now = time.perf_counter()
    record.queue = (job.started_at or now) - job.queued_at
    if job.started_at:
        record.run = (job.ran_at or now) - job.started_at
    if job.ran_at:
        record.encode = (job.completed_at or now) - job.ran_at


def _refused_answer(model: ServedModel, found: str) -> ModelFailed:
    sentence = f"the model '{model.name}' answered values that are not finite"
    return incident(_log, "nonfinite_outputs", sentence, found, model=model.name, version=model.version)
