"""Takes model versions into service and out of it: announced, loaded, answering, drained, gone.

Which ones is the business of `reconciler.py`.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog

from kedge_bundle.errors import DeviceLost
from kedge_bundle.memory import trim
from kedge_server.core_shares import CoreShares
from kedge_server.cores import usable_cores
from kedge_server.job_queue import QueueLimits
from kedge_server.load_threads import LoadThreads, Outcome
from kedge_server.loading import DeviceNotInUse, LoadFailed, Place
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from kedge_server.scheduler import Run
from kedge_server.served_model import Loaded, ServedModel
from kedge_server.session import Options
from kedge_server.tuner import Predecessor

_CLOSE_S = 2.0
"""How long a run goes on being waited for that nobody waits for: its callers are gone."""

_DRAIN_LOOK_S = 0.01

_log = structlog.get_logger("kedge")


class Lifecycle:
    """The steps of a version's life. Used on the event loop's thread.

    Args:
        models: the table that the versions stand in.
        metrics: which begin with a version and end with it.
        options: how to load.
        limits: of each version's queue.
        on_device_lost: is told of a device on which nothing can run again, and why.
    """

    def __init__(
        self,
        models: ModelTable,
        metrics: Metrics,
        options: Options,
        limits: QueueLimits,
        on_device_lost: Callable[[str, str], None],
    ) -> None:
        self._models = models
        self._metrics = metrics
        self._options = options
        self._limits = limits
        self._on_device_lost = on_device_lost
        self._cores = CoreShares(usable_cores())
        self._drains: dict[ServedModel, asyncio.Task[None]] = {}

    def announce(self, place: Place, *, is_needed: bool) -> None:
        """Make a version known; it is loading. One that failed before is replaced."""
        self._models.add(ServedModel(place.name, place.version, place.directory, is_needed=is_needed))

    async def load_all(self, places: Sequence[Place], stop: asyncio.Event) -> bool:
        """Let announced versions answer as each is loaded, several at once; False when `stop` was set before all were.

        Raises:
            DeviceNotInUse: the GPU that was asked for is not in use.
        """
        threads = LoadThreads(places, self._options)
        stopped = asyncio.ensure_future(stop.wait())
        try:
            for _ in places:
                loaded = asyncio.ensure_future(threads.next())
                await asyncio.wait({loaded, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not loaded.done():
                    loaded.cancel()
                    return False
                place, outcome = loaded.result()
                if isinstance(outcome, DeviceNotInUse):
                    raise DeviceNotInUse(f"model '{place.name}' version {place.version}: {outcome}")
                self._take_over(place, outcome)
        finally:
            stopped.cancel()
            threads.stop()
        return True

    async def load(self, place: Place, *, is_needed: bool) -> None:
        """Load one version, in one thread: the others keep the cores that they answer with."""
        self.announce(place, is_needed=is_needed)
        threads = LoadThreads([place], self._options.beside_traffic(self._predecessor(place.name)))
        try:
            self._take_over(*await threads.next())
        finally:
            threads.stop()

    def retire(self, model: ServedModel) -> None:
        """Begin to unload a version: no further request finds it, those that have are answered first."""
        _log.info("model_unloading", model=model.name, version=model.version, in_flight=model.in_flight)
        self._models.set_unloading(model)
        self._drains[model] = asyncio.create_task(self._drain(model))

    async def drained(self, name: str) -> None:
        """Wait until no version of a model is on its way out."""
        drains = [drain for model, drain in self._drains.items() if model.name == name]
        if drains:
            await asyncio.wait(drains)

    async def close(self) -> None:
        """End every instance of every version, whatever they are doing."""
        for drain in self._drains.values():
            drain.cancel()
        for model in self._models.entries():
            if model.parts is not None:
                await model.parts.scheduler.close(_CLOSE_S)

    async def _drain(self, model: ServedModel) -> None:
        while model.in_flight:  # noqa: ASYNC110 (every request counts down; only a drain, once in a while, looks)
            await asyncio.sleep(_DRAIN_LOOK_S)
        try:
            if model.parts is not None:
                await model.parts.scheduler.close(_CLOSE_S)
        except Exception:  # noqa: BLE001 (a runtime that cannot be freed is no reason to keep the rest)
            _log.exception("close_failed", model=model.name, version=model.version)
        self._models.remove(model)
        self._metrics.remove_model(model)
        model.parts = None  # whoever still holds the model holds neither weights nor runtimes
        del self._drains[model]
        await asyncio.to_thread(trim)
        _log.info("model_unloaded", model=model.name, version=model.version)

    def _predecessor(self, name: str) -> Predecessor | None:
        """How the latest version of a model that answers is served."""
        answering = [model for model in self._models.versions(name) if model.state == "ready"]
        if not answering:
            return None
        loaded = max(answering, key=lambda model: model.version).loaded
        return Predecessor(loaded.artifact.name, loaded.device, loaded.arrangement)

    def _take_over(self, place: Place, outcome: Outcome) -> None:
        """Let a loaded version answer, or note why it cannot."""
        model = next(m for m in self._models.versions(place.name) if m.version == place.version)
        if isinstance(outcome, LoadFailed):
            _log.error("model_failed", model=model.name, version=model.version, error=str(outcome))
            self._models.set_failed(model, str(outcome))
            if isinstance(outcome.__cause__, DeviceLost):
                self._on_device_lost(outcome.__cause__.device, str(outcome))
            return

        def count_run(run: Run) -> None:
            if model.parts is not None:  # a run that nobody waited for may end after its version
                self._metrics.count_run(model, run.rows, is_ok=run.is_ok)
            if run.device_error:
                self._on_device_lost(outcome.device, run.device_error)

        loaded = Loaded.start(
            f"{model.name}/{model.version}",
            outcome,
            self._limits,
            count_run,
            nice=self._options.compute_nice,
            cores=self._cores,
        )
        self._models.set_ready(model, loaded)
        self._metrics.add_model(model)
        _log.info(
            "model_loaded",
            model=model.name,
            version=model.version,
            format=outcome.artifact.name,
            device=outcome.device,
            no_gpu_because=outcome.no_gpu_because,
            instances=loaded.scheduler.instances,
            on_event_loop=loaded.scheduler.is_quick,
            threads=outcome.runtimes[0].options.threads,
            seconds=round(outcome.seconds, 3),
            graph_optimization=outcome.runtimes[0].options.graph_optimization,
            proven_by=outcome.proof,
            self_test=outcome.report.verdict,
            self_test_error=outcome.report.max_abs_error,
        )
