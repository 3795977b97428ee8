"""How a bundle is arranged: as it was asked for, as an earlier start has found, or as it is measured now."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import structlog

from kedge_bundle.errors import DeviceLost, RunnerError
from kedge_bundle.machine import this_machine
from kedge_bundle.parity import ParityReport
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.store import Bundle
from kedge_bundle.toolchain import runtime_version
from kedge_server.cores import usable_cores
from kedge_server.instances import Batches, Instances, SelfTestFailed, has_known_size, seconds, warm
from kedge_server.others_use import DISTURBING, OthersUse
from kedge_server.session import Options, Session, proof_for
from kedge_server.tuner import Tuner
from kedge_server.tuning import (
    EFFORTS,
    QUICK_S,
    Arrangement,
    Effort,
    Measured,
    choose,
    measure,
    measure_all,
    still_grows,
)
from kedge_server.tuning_cache import SCHEMA, Answer, Question
from kedge_server.tuning_plan import Plan

_TIMED_RUNS = 5
_WORTH_TIMING_S = 20e-3

_log = structlog.get_logger("kedge.loading")


@dataclass(frozen=True)
class Arranged:
    """The runtimes that serve, one per instance, self-tested and warm; `proof` and `unproven` as in `Session`."""

    runtimes: tuple[Runtime, ...]
    report: ParityReport
    arrangement: Arrangement
    proof: str
    unproven: str


def arrange(bundle: Bundle, session: Session, options: Options) -> Arranged:
    """Self-test, tune if that is wanted, and warm.

    Raises:
        SelfTestFailed: the runtime does not answer the golden inputs as it was proven to.
        RunnerError: it cannot be opened once more, or cannot run.
    """
    arranging = _Arranging(bundle, session, options)
    return arranging.as_given() if options.tuner is None else arranging.tuned(options.tuner)


class _Arranging:
    """One bundle on its way, with the instances that are open so far, by the threads inside a run."""

    def __init__(self, bundle: Bundle, session: Session, options: Options) -> None:
        self._bundle = bundle
        self._session = session
        self._options = options
        self._runtime = session.runtime
        self._threads = session.runtime.options.threads
        self._open = {self._threads: Instances(bundle, session.runtime)}
        self._batches = Batches(bundle, session.runtime)
        self._warm: set[Runtime] = set()
        self._largest_s = math.inf

    def as_given(self) -> Arranged:
        """Nothing is chosen: what was asked for, else an instance for every core, or one on a GPU."""
        instances = self._options.instances or (usable_cores() if self._runtime.device == "cpu" else 1)
        return self._unmeasured(instances)

    def tuned(self, tuner: Tuner) -> Arranged:
        """What is best: as an earlier start found, else as it is measured."""
        plan = Plan.of(self._bundle, self._runtime, self._batches, self._options, tuner.mode)
        if plan.is_fixed:
            ((_, instances),) = plan.pairs
            return self._fixed(self._unmeasured(instances))
        question = self._question(tuner, plan)
        return self._kept(tuner, plan, question) or self._found(tuner, plan, question)

    def _unmeasured(self, instances: int) -> Arranged:
        arrangement = Arrangement(instances, self._threads, self._options.max_batch_rows, self._is_quick())
        return self._arranged(arrangement)

    def _fixed(self, arranged: Arranged) -> Arranged:
        self._say(arranged.arrangement, "fixed")
        return arranged

    def _is_quick(self) -> bool:
        return self._time_largest() <= QUICK_S

    def _kept(self, tuner: Tuner, plan: Plan, question: Question) -> Arranged | None:
        """As an earlier start found; None where none has, or where that cannot be had any more."""
        answer = tuner.cache.read(question)
        if answer is None:
            return None
        if not plan.allows(answer.arrangement) or (answer.arrangement.is_quick and not self._may_be_quick):
            tuner.cache.warn(question, "what it says was never to choose from")
            return None
        arranged = self._arranged_if_possible(answer.arrangement, lambda why: tuner.cache.warn(question, why))
        if arranged is not None:
            self._say(arranged.arrangement, "cache", answer.chosen)
            self._warn_of_latency(answer.chosen, tuner.latency_bound_s)
        return arranged

    def _as_predecessor(self, tuner: Tuner, plan: Plan) -> Arranged | None:
        """As the version that this one follows; None where there is none, or it is not alike."""
        before = tuner.predecessor
        own = (self._runtime.artifact.name, self._runtime.device)
        if before is None or (before.artifact, before.device) != own or not plan.allows(before.arrangement):
            return None
        if before.arrangement.is_quick != self._is_quick():
            return None
        arranged = self._arranged_if_possible(
            before.arrangement, lambda why: _log.warning("not_as_predecessor", **self._name, because=why)
        )
        if arranged is not None:
            self._say(arranged.arrangement, "predecessor")
        return arranged

    def _arranged_if_possible(self, arrangement: Arrangement, say_why_not: Callable[[str], None]) -> Arranged | None:
        """Have these instances; None where they cannot be had here, or do not answer right.

        Raises:
            DeviceLost: nothing else could be had then.
        """
        try:
            return self._arranged(arrangement)
        except DeviceLost:
            raise
        except (RunnerError, SelfTestFailed) as error:
            say_why_not(str(error))
            return None

    def _found(self, tuner: Tuner, plan: Plan, question: Question) -> Arranged:
        """As it is measured, and kept for the next start."""
        answer, disturbance = self._measured(tuner, plan, question) if tuner.may_measure else (None, "")
        if answer is None:
            return self._as_predecessor(tuner, plan) or self._fixed(self.as_given())
        arranged = self._arranged(answer.arrangement)
        if disturbance:
            effect = "it is measured again at the next start"
            _log.warning("tuned_on_a_busy_machine", **self._name, because=disturbance, effect=effect)
        else:
            tuner.cache.write(answer)
        self._say(answer.arrangement, "measured", answer.chosen)
        self._warn_of_latency(answer.chosen, tuner.latency_bound_s)
        _log.debug("tuning_table", **self._name, table=[asdict(one) for one in answer.table])
        return arranged

    def _measured(self, tuner: Tuner, plan: Plan, question: Question) -> tuple[Answer | None, str]:
        """What is best; and what made that uncertain, empty where nothing did."""
        with tuner.turns.measuring() as measurement:
            others = OthersUse()
            answer, share = self._answer(tuner, plan, question), others.share()
        if share > DISTURBING:
            return answer, f"other processes had {share:.0%} of the cores"
        return answer, "" if measurement.was_alone else "another model took too long to load to be waited for"

    def _answer(self, tuner: Tuner, plan: Plan, question: Question) -> Answer | None:
        """What is best; None where the model is too slow to be measured in the time."""
        bound_s = tuner.latency_bound_s
        largest_s = self._time_largest()
        is_quick = largest_s <= QUICK_S
        if is_quick and largest_s <= (bound_s or math.inf):
            rows, instances = self._batches.most(plan.most), plan.most_instances(self._threads)
            chosen = Measured(self._threads, 1, rows, rows / largest_s, largest_s)
            arrangement = Arrangement(instances, self._threads, plan.most, is_quick)
            return Answer(question=question, arrangement=arrangement, chosen=chosen, table=(chosen,))
        table = self._measure(plan, EFFORTS[tuner.mode])
        if not table:
            return None
        chosen = choose(table, bound_s)
        rows = self._batch_rows(chosen, table, plan, is_bound=bound_s > 0)
        arrangement = Arrangement(chosen.instances, chosen.threads, rows, is_quick)
        return Answer(question=question, arrangement=arrangement, chosen=chosen, table=tuple(table))

    def _batch_rows(self, chosen: Measured, table: list[Measured], plan: Plan, *, is_bound: bool) -> int:
        """The limit of a batch that follows from a choice: where more was not measured and might be better, all."""
        is_cut = table[-1].rows < plan.sizes[-1]
        might_grow = is_cut and chosen.rows == table[-1].rows and not is_bound and still_grows(table)
        return plan.most if might_grow or not self._batches.is_joinable else chosen.rows

    def _measure(self, plan: Plan, effort: Effort) -> list[Measured]:
        pairs = [(threads, instances) for threads, instances in plan.pairs if self._can_open(threads)]
        smallest = plan.sizes[0]
        is_largest = smallest == self._batches.most(plan.most) and self._largest_s < math.inf
        smallest_s = self._largest_s if is_largest else seconds(self._runtime, self._batches.of(smallest))

        def run(threads: int, instances: int, rows: int, limit_s: float) -> Measured | None:
            try:
                runtimes = self._open[threads].some(instances)
                return measure(runtimes, self._batches.of(rows), rows, limit_s, effort.runs)
            except DeviceLost:
                raise
            except (RunnerError, SelfTestFailed) as error:  # a device may be too small for so many at once
                _log.debug("does_not_run", **self._name, instances=instances, rows=rows, because=str(error))
                return None

        return measure_all(plan.sizes, pairs, run, effort, (smallest_s, self._largest_s))

    def _can_open(self, threads: int) -> bool:
        try:
            self._instances(threads)
        except DeviceLost:
            raise
        except (RunnerError, SelfTestFailed) as error:
            _log.warning("threads_left_out", **self._name, threads=threads, because=str(error))
            return False
        return True

    def _instances(self, threads: int) -> Instances:
        if threads not in self._open:
            self._open[threads] = Instances.open(self._bundle, self._runtime, threads)
        return self._open[threads]

    @property
    def _may_be_quick(self) -> bool:
        """Whether runs may be done on the event loop, if only they are short enough."""
        is_of_known_size = has_known_size(self._bundle.manifest.signature)
        return is_of_known_size and self._runtime.device == "cpu" and self._runtime.is_thread_safe

    def _time_largest(self) -> float:
        """Warm the first runtime; what its largest batch takes then, where that decides about the event loop.

        Infinite where it could not run there anyway.
        """
        batches, most = self._batches, self._options.max_batch_rows
        if self._runtime not in self._warm:
            self._largest_s = warm(self._runtime, batches, most, self._options.batch_sizes)
            self._warm.add(self._runtime)
        if not self._may_be_quick or self._largest_s > _WORTH_TIMING_S:
            return math.inf
        largest = batches.of(batches.most(most))
        return min(seconds(self._runtime, largest) for _ in range(_TIMED_RUNS))

    def _arranged(self, arrangement: Arrangement) -> Arranged:
        """Have these instances, and no others."""
        instances = self._instances(arrangement.threads)
        runtimes = instances.some(arrangement.instances)
        for runtime in dict.fromkeys(runtimes):
            if runtime not in self._warm:
                warm(runtime, self._batches, arrangement.max_batch_rows, self._options.batch_sizes)
        for others in self._open.values():
            others.close(but=runtimes)
        proof, unproven = self._session.proof, self._session.unproven
        if arrangement.threads != self._threads:
            artifact, wanted = self._runtime.artifact, instances.options
            proof, unproven = proof_for(self._bundle, artifact, wanted, self._options.unproven_options)
        return Arranged(runtimes, instances.report, arrangement, proof, unproven)

    def _question(self, tuner: Tuner, plan: Plan) -> Question:
        options = self._runtime.options
        return {
            "schema": SCHEMA,
            "manifest_sha256": self._bundle.manifest_sha256,
            "artifact": self._runtime.artifact.name,
            "runtime": runtime_version(self._runtime.artifact.format),
            "options": options.model_dump(mode="json"),
            "machine": this_machine(options.device).model_dump(mode="json"),
            "device": self._runtime.device,
            "cores": usable_cores(),
            "mode": tuner.mode,
            "latency_bound_s": tuner.latency_bound_s,
            "threads_and_instances": [list(pair) for pair in plan.pairs],
            "batch_rows": [*plan.sizes],
            "max_batch_rows": plan.most,
        }

    @property
    def _name(self) -> dict[str, object]:
        return {"model": self._bundle.manifest.name, "version": self._bundle.manifest.version}

    def _say(
        self,
        arrangement: Arrangement,
        source: Literal["measured", "cache", "predecessor", "fixed"],
        chosen: Measured | None = None,
    ) -> None:
        _log.info(
            "tuned",
            **self._name,
            source=source,
            instances=arrangement.instances,
            threads=arrangement.threads,
            max_batch_rows=arrangement.max_batch_rows,
            on_event_loop=arrangement.is_quick,
            rows_per_second=round(chosen.rows_per_second, 1) if chosen else None,
            latency_ms=round(chosen.latency_s * 1000, 3) if chosen else None,
            measured_rows=chosen.rows if chosen else None,
        )

    def _warn_of_latency(self, chosen: Measured, bound_s: float) -> None:
        if 0 < bound_s < chosen.latency_s:
            took_ms, bound_ms = round(chosen.latency_s * 1000, 3), bound_s * 1000
            _log.warning("latency_bound_missed", **self._name, latency_ms=took_ms, latency_bound_ms=bound_ms)
