"""The failures a caller can see, hung on the data path. No wire type lives here.

    client -> decode -> find the model -> validate -> queue -> run -> check -> encode -> client
                |             |              |          |       |       |
           InvalidInput  ModelNotFound  InvalidInput    |   ModelFailed ModelFailed AnswerTooLarge
           NotSupported  NotReady                   QueueFull                     AnswersUnread
                                                    DeadlinePassed
                                                    NotReady (draining, device lost)

    operator -> may they? -> find the model -> load
                    |              |             |
               NotAllowed    ModelNotFound   NotLoaded

Each class names its canonical code (google.rpc.Code); `wire/status.py` turns it into the wire's own type.
"""

from typing import ClassVar

from kedge_bundle.signature import Violation


class ServingError(Exception):
    """A request that gets no answer. The message is written for the caller."""

    code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "internal"
    """A short word for the label of `kedge_rejections_total`."""


class InvalidInput(ServingError):
    """The request breaks the model's contract; every violation is named."""

    code = "INVALID_ARGUMENT"
    reason = "invalid_input"

    def __init__(self, violations: list[Violation]) -> None:
        self.violations = violations
        super().__init__("; ".join(violation.description for violation in violations))


class ModelNotFound(ServingError):
    """No such model, version, label or signature."""

    code = "NOT_FOUND"
    reason = "not_found"


class NotSupported(ServingError):
    """A call of the protocol that Kedge does not answer; the message says what to use instead."""

    code = "UNIMPLEMENTED"
    reason = "not_supported"


class QueueFull(ServingError):
    """More rows wait than the model's queue holds."""

    code = "RESOURCE_EXHAUSTED"
    reason = "queue_full"

    def __init__(self, message: str, retry_after_s: float) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class DeadlinePassed(ServingError):
    """The caller's deadline passed at admission, in the queue or before the run."""

    code = "DEADLINE_EXCEEDED"
    reason = "deadline"


class NotReady(ServingError):
    """Loading, failed to load, draining, or on a device that is lost."""

    code = "UNAVAILABLE"
    reason = "not_ready"


class AnswerTooLarge(ServingError):
    """The answer is larger than this server sends; asking again would give the same."""

    code = "RESOURCE_EXHAUSTED"
    reason = "answer_too_large"


class AnswersUnread(ServingError):
    """The caller leaves earlier answers unread; asking again helps once they are."""

    code = "RESOURCE_EXHAUSTED"
    reason = "answers_unread"


class ModelFailed(ServingError):
    """The model failed; the caller gets an id, the log gets the details."""

    code = "INTERNAL"
    reason = "model_failed"

    def __init__(self, message: str, incident: str) -> None:
        self.incident = incident
        super().__init__(f"{message} (incident {incident}; the server's log has the details)")


class NotAllowed(ServingError):
    """A call for operators on a server that takes none."""

    code = "PERMISSION_DENIED"
    reason = "not_allowed"


class NotLoaded(ServingError):
    """What an operator wants served cannot be: the message says why. Asking again helps once that is mended."""

    code = "FAILED_PRECONDITION"
    reason = "not_loaded"
