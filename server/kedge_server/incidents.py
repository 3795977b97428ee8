"""What the caller is told by a number alone: the log has the rest under it.

A fault that every request meets would fill a disk with its traceback; it is written once a minute.
"""

import secrets
import time
import traceback
from typing import Any

from kedge_server.errors import ModelFailed

_TRACEBACK_EVERY_S = 60.0

_Fault = tuple[str, type[BaseException], str, int | None]
_told: dict[_Fault, tuple[float, str]] = {}
"""Where in the code it was raised -> when it was told, in `time.monotonic()` seconds, and under which number."""


def incident(
    log: Any,  # noqa: ANN401 (structlog's loggers share no type)
    event: str,
    message: str,
    error: str | Exception,
    **details: object,
) -> ModelFailed:
    """Log a failure, and make the error that the caller gets. From any thread.

    Args:
        log: of the room in which it happened.
        event: the line's name.
        message: for the caller, without the number.
        error: what happened. An exception is one that nobody expected there: its traceback is logged, or, where that
            of its like was within the last minute, the number under which it stands (`traceback_under`).
        details: more of the line.
    """
    number = secrets.token_hex(6)
    if isinstance(error, Exception):
        details |= _traceback(error, event, number)
        error = f"{type(error).__name__}: {error}"
    log.error(event, incident=number, error=error, **details)
    return ModelFailed(message, number)


def _traceback(error: Exception, event: str, number: str) -> dict[str, object]:
    frames = traceback.extract_tb(error.__traceback__, limit=-1)
    fault: _Fault = (event, type(error), *((frames[0].filename, frames[0].lineno) if frames else ("", None)))
    now = time.monotonic()
    since, first = _told.get(fault, (float("-inf"), ""))
    if now - since < _TRACEBACK_EVERY_S:
        return {"traceback_under": first}
    _told[fault] = (now, number)
    return {"exc_info": error}
