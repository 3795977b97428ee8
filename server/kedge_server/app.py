"""The composition root and the server's life: find, listen, load, serve, drain, close, in that order.

Every object is built here, by hand. The ports are bound before anything is loaded, so that a port that is taken is
known at once and probes get an answer meanwhile.
"""

import asyncio
import errno
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time

import grpc
import structlog
import uvloop

from kedge_bundle import __version__
from kedge_bundle.errors import BundleError
from kedge_bundle.stats import Limits
from kedge_server import loading
from kedge_server.http_pages import HttpPages
from kedge_server.jobs import QueueLimits
from kedge_server.loading import DeviceNotInUse, LoadFailed, Place, Prepared
from kedge_server.logs import configure_logs
from kedge_server.metrics import Metrics
from kedge_server.models import Loaded, ModelTable, ServedModel
from kedge_server.pipeline import Pipeline
from kedge_server.scheduler import Run, Scheduler, is_joinable
from kedge_server.settings import Address, Settings
from kedge_server.validation import Contract, Policy
from kedge_server.wire.registration import add_services, interceptors

DRAINED, CUT, NOTHING_TO_SERVE, DEVICE_NOT_IN_USE, CANNOT_LISTEN = 0, 1, 3, 4, 5
"""Exit codes; 2, usage, is that of `cli.py`."""

_log = structlog.get_logger("kedge")


class StartFailed(Exception):
    """This server cannot start; one sentence for people, and the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def serve(settings: Settings) -> int:
    """Serve until a signal comes, and return the exit code."""
    configure_logs(settings.log_format, settings.log_level)
    _log.info("starting", kedge=__version__, pid=os.getpid(), repository=str(settings.repository))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        app = runner.run(_make(settings))
        try:
            code = runner.run(app.live())
        except StartFailed as error:
            _log.error("cannot_serve", error=str(error), exit_code=error.code)
            code = error.code
        if app.is_still_busy:
            _exit_now(code)  # a load or a run that cannot be interrupted must not keep the process
    return code


async def _make(settings: Settings) -> "App":
    return App(settings)


class App:
    """The server: what there is of it, and its life."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models = ModelTable(settings.required_models)
        self._metrics = Metrics(self._models, __version__)
        self._pipeline = Pipeline(self._models, self._metrics, _policy(settings))
        self._stop = asyncio.Event()
        self._loads: asyncio.Queue[tuple[ServedModel, Prepared | LoadFailed]] = asyncio.Queue()
        self._threads: list[threading.Thread] = []
        size = settings.max_message_mb << 20
        self._server = grpc.aio.server(
            interceptors=interceptors(),
            options=[
                ("grpc.so_reuseport", 0),  # two servers on one port would each answer a part of the calls
                ("grpc.max_receive_message_length", size),
                ("grpc.max_send_message_length", size),
            ],
        )
        add_services(
            self._server,
            self._pipeline,
            self._metrics,
            reflection=settings.reflection,
            server_version=__version__,
            max_rows=settings.queue_rows,
        )

    @property
    def is_still_busy(self) -> bool:
        """Whether a thread is inside something that cannot be interrupted."""
        return any(thread.is_alive() for thread in self._threads)

    async def live(self) -> int:
        """From the first look at the repository to the last answer.

        Raises:
            StartFailed: nothing can be served, the device is not in use, or an address cannot be listened on.
        """
        models = self._find()
        pages = self._listen()
        try:
            await self._server.start()
            self._catch_signals()
            self._start_loading(models)
            if await self._finish_loading(len(models)):
                self._say_whether_ready()
                await self._stop.wait()
            return await self._drain()
        finally:
            await self._server.stop(None)
            pages.close()

    def _find(self) -> list[ServedModel]:
        try:
            places = loading.find_bundles(self._settings.repository)
        except BundleError as error:
            raise StartFailed(str(error), NOTHING_TO_SERVE) from error
        models = [ServedModel(place.name, place.version, place.directory) for place in places]
        for model in models:
            self._models.add(model)
        return models

    def _listen(self) -> HttpPages:
        """Bind both ports, or say which one is taken."""
        settings = self._settings
        try:
            grpc_port = self._server.add_insecure_port(str(settings.grpc_address))
        except RuntimeError as error:
            raise _cannot_listen(
                "--grpc-address", settings.grpc_address, _probe(settings.grpc_address, error)
            ) from error
        try:
            pages = HttpPages(settings.http_address, self._models, self._metrics)
        except OSError as error:
            raise _cannot_listen("--http-address", settings.http_address, error) from error
        _log.info(
            "serving",
            grpc_address=str(Address(settings.grpc_address.host, grpc_port)),
            http_address=str(Address(settings.http_address.host, pages.port)),
            grpc_port=grpc_port,
            http_port=pages.port,
        )
        return pages

    def _catch_signals(self) -> None:
        """The first SIGTERM or SIGINT drains, the second ends the process at once."""
        loop = asyncio.get_running_loop()

        def on_signal(number: signal.Signals) -> None:
            if self._stop.is_set():
                _log.warning("stopped_at_once", signal=number.name, in_flight=self._metrics.inflight)
                _exit_now(CUT)
            _log.info("stopping", signal=number.name)
            self._stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal, number)

    def _start_loading(self, models: list[ServedModel]) -> None:
        """Load in threads of their own: several bundles at once, and never on the event loop."""
        waiting: queue.SimpleQueue[ServedModel] = queue.SimpleQueue()
        for model in models:
            waiting.put(model)
        loop = asyncio.get_running_loop()
        settings = self._settings
        options = loading.Options(
            settings.format, settings.device, settings.instances, settings.threads, settings.max_batch_rows
        )

        def load() -> None:
            while not self._stop.is_set():
                try:
                    model = waiting.get_nowait()
                except queue.Empty:
                    return
                outcome = _prepare(model, options)
                if not loop.is_closed():
                    loop.call_soon_threadsafe(self._loads.put_nowait, (model, outcome))

        for i in range(min(len(models), loading.usable_cores())):
            # Daemons: a load cannot be interrupted, and a server that is told to stop must not wait for it.
            thread = threading.Thread(target=load, name=f"kedge load #{i}", daemon=True)
            self._threads.append(thread)
            thread.start()

    async def _finish_loading(self, count: int) -> bool:
        """Let each version answer as soon as it is loaded; False when a signal came before all were.

        Raises:
            StartFailed: no version can be served, or the GPU that was asked for is not in use.
        """
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            for _ in range(count):
                load = asyncio.ensure_future(self._loads.get())
                await asyncio.wait({load, stop}, return_when=asyncio.FIRST_COMPLETED)
                if not load.done():
                    load.cancel()
                    return False
                self._take_over(*load.result())
        finally:
            stop.cancel()
        if not any(model.state == "ready" for model in self._models.entries()):
            reasons = "; ".join(model.reason for model in self._models.entries())
            raise StartFailed(f"no bundle can be served: {reasons}", NOTHING_TO_SERVE)
        return True

    def _take_over(self, model: ServedModel, outcome: Prepared | LoadFailed) -> None:
        """Let a loaded version answer, or note why it cannot."""
        if isinstance(outcome, DeviceNotInUse):
            raise StartFailed(f"model '{model.name}' version {model.version}: {outcome}", DEVICE_NOT_IN_USE)
        if isinstance(outcome, LoadFailed):
            _log.error("model_failed", model=model.name, version=model.version, error=str(outcome))
            self._models.set_failed(model, str(outcome))
            return
        manifest = outcome.bundle.manifest

        def count_run(run: Run) -> None:
            self._metrics.count_run(model, run.rows, is_ok=run.is_ok)

        scheduler = Scheduler(f"{model.name}/{model.version}", outcome.runtimes, self._queue_limits(outcome), count_run)
        contract = Contract(manifest.signature, manifest.input_stats, outcome.artifact.batch)
        self._models.set_ready(model, Loaded(outcome.bundle, outcome.artifact, outcome.device, contract, scheduler))
        self._metrics.add_model(model)
        _log.info(
            "model_loaded",
            model=model.name,
            version=model.version,
            format=outcome.artifact.format,
            device=outcome.device,
            device_note=outcome.device_note,
            instances=scheduler.instances,
            threads=outcome.runtimes[0].options.threads,
            seconds=round(outcome.seconds, 3),
            self_test=outcome.report.verdict,
            self_test_error=outcome.report.max_abs_error,
        )

    def _queue_limits(self, prepared: Prepared) -> QueueLimits:
        settings = self._settings
        return QueueLimits(
            queue_rows=settings.queue_rows,
            max_batch_rows=settings.max_batch_rows,
            window_s=settings.batch_window_ms / 1000,
            is_joinable=is_joinable(prepared.bundle.manifest.signature),
        )

    def _say_whether_ready(self) -> None:
        reasons = self._models.not_ready_reasons()
        if reasons:
            _log.warning("not_ready", reasons=reasons)
        else:
            _log.info("ready", models=[f"{model.name}/{model.version}" for model in self._models.entries()])

    async def _drain(self) -> int:
        """Be not ready at once, accept nothing new, let what is in flight end, then close."""
        self._models.set_draining()
        limit_s = self._settings.drain_timeout_s
        _log.info("draining", in_flight=self._metrics.inflight, timeout_s=limit_s)
        started = time.monotonic()
        # gRPC refuses new calls from here on, and lets go of those that it has accepted one by one.
        stopping = asyncio.ensure_future(self._server.stop(limit_s))
        await asyncio.wait({stopping}, timeout=limit_s)
        cut = self._metrics.inflight
        await self._server.stop(None)
        await stopping
        if not cut:
            for model in self._models.entries():
                if model.parts is not None:
                    await model.parts.scheduler.close()
        _log.info("stopped", seconds=round(time.monotonic() - started, 3), cut=cut)
        return CUT if cut else DRAINED


def _policy(settings: Settings) -> Policy:
    return Policy(
        nonfinite_inputs=settings.nonfinite_inputs,
        nonfinite_outputs=settings.nonfinite_outputs,
        input_stats=settings.input_stats,
        limits=Limits(margin=settings.input_stats_margin, z_score=settings.input_stats_z_score),
        max_rows=settings.queue_rows,
    )


def _prepare(model: ServedModel, options: loading.Options) -> Prepared | LoadFailed:
    """Load one version, in a thread: what goes wrong is an outcome, also what nobody has foreseen."""
    try:
        return loading.prepare(Place(model.name, model.version, model.directory), options)
    except LoadFailed as error:
        return error
    except Exception as error:  # noqa: BLE001 (a broken bundle must not keep the good ones from serving)
        _log.exception("load_raised", model=model.name, version=model.version)
        return LoadFailed(f"{model.directory}: {type(error).__name__}: {error}")


def _probe(address: Address, error: Exception) -> Exception:
    """Why gRPC could not bind: it does not say, so ask the system the same."""
    try:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        with socket.create_server((address.host, address.port), family=family):
            return error
    except OSError as reason:
        return reason


def _cannot_listen(flag: str, address: Address, reason: Exception) -> StartFailed:
    if isinstance(reason, OSError) and reason.errno == errno.EADDRINUSE:
        why = f"another process listens there already; stop it, or choose another port with {flag}"
    else:
        why = f"{(reason.strerror if isinstance(reason, OSError) else None) or reason}; see {flag}"
    return StartFailed(f"cannot listen on {address}: {why}", CANNOT_LISTEN)


def _exit_now(code: int) -> None:
    """End the process without waiting for any thread."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
