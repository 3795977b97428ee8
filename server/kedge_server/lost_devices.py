"""What becomes of a device that is dead: every version that runs on it answers no more. Knows no runtime and no wire.

A process has one CUDA context for each device, so what one model has broken is broken for all of them.
"""

import structlog

from kedge_server.models import ModelTable

_log = structlog.get_logger("kedge")


def lose_device(models: ModelTable, device: str, error: str) -> None:
    """Make every version on the device `failed`, for good; on the event loop's thread. Nothing happens twice.

    Requests that wait for it are answered UNAVAILABLE: another server may answer them.
    """
    lost = [model for model in models.entries() if model.state == "ready" and model.device == device]
    for model in lost:
        models.set_failed(model, f"the device {device} is lost until this process is started again: {error}")
        model.is_needed = True  # a new version may fail and leave a server ready; one that has answered may not
        model.loaded.scheduler.give_up()
    if lost:
        names = [f"{model.name}/{model.version}" for model in lost]
        _log.error("device_lost", device=device, models=names, error=error)
