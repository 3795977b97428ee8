"""The composition root and the server's life: find, listen, load, serve, drain, close, in that order.

Every object is built here, by hand. The ports are bound before anything is loaded, so that a port that is taken is
known at once and probes get an answer meanwhile.
"""

import asyncio
import os
import sys
import threading
import time

import structlog
import uvloop

from kedge_bundle import __version__
from kedge_bundle.comparison import Limits
from kedge_bundle.errors import BundleError
from kedge_bundle.memory import give_back_large_blocks, settle
from kedge_server.addresses import Address, check_free, why_not
from kedge_server.admin import Admin
from kedge_server.aside import unless
from kedge_server.following import follow
from kedge_server.http_pages import HttpPages
from kedge_server.job_queue import QueueLimits
from kedge_server.lifecycle import Lifecycle
from kedge_server.loading import DeviceNotInUse, Place
from kedge_server.logs import configure_logs
from kedge_server.lost_devices import lose_device
from kedge_server.metrics import Metrics
from kedge_server.models import ModelTable
from kedge_server.pipeline import Pipeline
from kedge_server.quiet import until_quiet
from kedge_server.reconciler import Reconciler
from kedge_server.repository import Repository
from kedge_server.scheduler import THREAD_PREFIX
from kedge_server.session import Options
from kedge_server.settings import Settings
from kedge_server.signals import catch_signals, exit_now
from kedge_server.validation import Policy
from kedge_server.wire.registration import add_services, new_server

DRAINED, CUT, NOTHING_TO_SERVE, DEVICE_NOT_IN_USE, CANNOT_LISTEN, DEVICE_LOST = 0, 1, 3, 4, 5, 6
"""Exit codes; 2, usage, is that of `cli.py`."""

SWITCH_S = 100e-6
"""How long a thread may keep Python's lock while another one wants it. With Python's own 5 ms, an instance that is done
waits for the event loop to fall idle, and its core with it."""

_FLUSH_S = 1.0
"""How long gRPC may take to send the last answers."""

_log = structlog.get_logger("kedge")


class StartFailed(Exception):
    """This server cannot start; one sentence for people, and the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def serve(settings: Settings) -> int:
    """Serve until a signal comes, and return the exit code."""
    configure_logs(settings.log_format, settings.log_level)
    sys.setswitchinterval(SWITCH_S)
    give_back_large_blocks()
    _log.info("starting", kedge=__version__, pid=os.getpid(), repository=str(settings.repository))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            code = runner.run(_live(settings))
        except StartFailed as error:
            _log.error("cannot_serve", error=str(error), exit_code=error.code)
            code = error.code
    if any(thread.name.startswith(THREAD_PREFIX) for thread in threading.enumerate()):
        exit_now(code)  # a load or a run that cannot be interrupted must not keep the process
    return code


async def _live(settings: Settings) -> int:
    """From the first look at the repository to the last answer.

    Raises:
        StartFailed: nothing can be served, the device is not in use, or an address cannot be listened on.
    """
    stop = asyncio.Event()
    app = App(settings, stop)
    catch_signals(stop, lambda: app.in_flight, CUT)
    try:
        places = await unless(stop, app.find())
        if places is None:
            return DRAINED
        app.listen()
        await app.answer(places)
        if await app.load(places, stop):
            app.say_whether_ready()
            app.follow()
            await stop.wait()
        code = await app.drain()
    finally:
        await app.close()
    if app.has_lost_device:  # what runtimes hold on a dead device cannot be freed: trying may abort the process
        exit_now(DEVICE_LOST if settings.on_device_error == "exit" else code)
    return code


class App:
    """The objects of one server, and the steps of its life.

    Args:
        settings: as they were read.
        stop: what tells the server to drain; it sets it itself where a lost device shall end it.

    Attributes:
        has_lost_device: whether a device cannot be used in this process any more.
    """

    def __init__(self, settings: Settings, stop: asyncio.Event) -> None:
        self.has_lost_device = False
        self._settings = settings
        self._stop = stop
        self._models = ModelTable(settings.required_models)
        self._metrics = Metrics(self._models, __version__)
        self._lifecycle = Lifecycle(
            self._models,
            self._metrics,
            Options.of(settings),
            _limits(settings),
            self._lose_device,
        )
        self._reconciler = Reconciler(
            Repository(settings.repository), self._lifecycle, self._models, settings.versions, settings.labels
        )
        self._following: asyncio.Task[None] | None = None
        self._pages: HttpPages | None = None
        message_bytes = settings.max_message_mb << 20
        self._server = new_server(message_bytes, settings.queue_rows)
        add_services(
            self._server,
            Pipeline(self._models, self._metrics, _policy(settings)),
            self._metrics,
            Admin(self._reconciler, self._lifecycle, self._models, is_allowed=settings.allow_admin),
            reflection=settings.reflection,
            server_version=__version__,
            max_rows=settings.queue_rows,
            message_bytes=message_bytes,
            unread_bytes=settings.unread_mb << 20,
        )

    @property
    def in_flight(self) -> int:
        """Requests that have no answer yet."""
        return self._metrics.inflight

    async def find(self) -> list[Place]:
        """What to load before this server is ready.

        Raises:
            StartFailed: there is nothing.
        """
        try:
            places = await self._reconciler.first_places()
        except BundleError as error:
            raise StartFailed(str(error), NOTHING_TO_SERVE) from error
        if not places:
            wanted = self._settings
            raise StartFailed(
                f"{wanted.repository}: no version in here is among those wanted; see --versions {wanted.versions}",
                NOTHING_TO_SERVE,
            )
        return places

    def listen(self) -> None:
        """Bind both ports, or say which one cannot be had."""
        wanted = self._settings
        try:
            check_free(wanted.grpc_address)
            grpc_port = self._server.add_insecure_port(str(wanted.grpc_address))
        except (OSError, RuntimeError) as error:
            raise _cannot_listen("--grpc-address", wanted.grpc_address, error) from error
        try:
            self._pages = HttpPages(wanted.http_address, self._models, self._metrics)
        except OSError as error:
            raise _cannot_listen("--http-address", wanted.http_address, error) from error
        _log.info(
            "serving",
            grpc_address=str(Address(wanted.grpc_address.host, grpc_port)),
            http_address=str(Address(wanted.http_address.host, self._pages.port)),
            grpc_port=grpc_port,
            http_port=self._pages.port,
        )

    async def answer(self, places: list[Place]) -> None:
        """Begin to answer; every model is known and loading."""
        for place in places:
            self._lifecycle.announce(place, is_needed=True)
        await self._server.start()

    async def load(self, places: list[Place], stop: asyncio.Event) -> bool:
        """Let each version answer as soon as it is loaded; False when `stop` was set before all were.

        Raises:
            StartFailed: no version can be served, or the GPU that was asked for is not in use.
        """
        try:
            if not await self._lifecycle.load_all(places, stop):
                return False
        except DeviceNotInUse as error:
            raise StartFailed(str(error), DEVICE_NOT_IN_USE) from error
        await unless(stop, self._reconciler.finish_start())
        if stop.is_set():
            return False
        models = self._models.entries()
        if not any(model.state == "ready" for model in models):
            reasons = "; ".join(model.reason for model in models)
            raise StartFailed(f"no bundle can be served: {reasons}", NOTHING_TO_SERVE)
        return True

    def follow(self) -> None:
        """From now on, let the repository say what is served."""
        if self._settings.watch:
            self._following = asyncio.create_task(follow(self._reconciler))

    def say_whether_ready(self) -> None:
        """Log what /readyz answers now that everything is loaded."""
        settle()
        reasons = self._models.not_ready_reasons()
        if reasons:
            _log.warning("not_ready", reasons=reasons)
        else:
            _log.info("ready", models=[f"{model.name}/{model.version}" for model in self._models.entries()])

    async def drain(self) -> int:
        """Be not ready and refuse new calls at once, let those that were accepted end, then stop gRPC."""
        self._models.set_draining()
        if self._following is not None:
            self._following.cancel()
        limit_s = self._settings.drain_timeout_s
        _log.info("draining", in_flight=self.in_flight, timeout_s=limit_s)
        began = time.monotonic()
        await until_quiet(self._metrics, began + limit_s)
        cut = self.in_flight
        # Once only: grpc.aio's stop is not safe to call while another one waits.
        await self._server.stop(None if cut else _FLUSH_S)
        _log.info("stopped", seconds=round(time.monotonic() - began, 3), cut=cut)
        return CUT if cut else DRAINED

    async def close(self) -> None:
        """End everything that was begun."""
        await self._server.stop(None)
        await self._lifecycle.close()
        if self._pages is not None:
            self._pages.close()

    def _lose_device(self, device: str, error: str) -> None:
        self.has_lost_device = True
        lose_device(self._models, device, error)
        if self._settings.on_device_error == "exit":
            self._stop.set()


def _limits(settings: Settings) -> QueueLimits:
    return QueueLimits(
        queue_rows=settings.queue_rows,
        max_batch_rows=settings.largest_batch_rows,
        window_s=settings.batch_window_ms / 1000,
        queue_bytes=settings.queue_mb << 20,
        batch_sizes=settings.allowed_batch_sizes,
    )


def _policy(settings: Settings) -> Policy:
    return Policy(
        nonfinite_inputs=settings.nonfinite_inputs,
        nonfinite_outputs=settings.nonfinite_outputs,
        input_stats=settings.input_stats,
        limits=Limits(margin=settings.input_stats_margin, z_score=settings.input_stats_z_score),
        max_rows=settings.queue_rows,
    )


def _cannot_listen(flag: str, address: Address, error: Exception) -> StartFailed:
    return StartFailed(f"cannot listen on {address}: {why_not(error)}; see {flag}", CANNOT_LISTEN)
