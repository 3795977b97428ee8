"""What a ModelInferRequest says of itself as text: its id, its model, its version."""

from kedge_bundle.signature import Violation
from kedge_server.errors import InvalidInput, ModelNotFound
from kedge_server.labels import shown
from kedge_server.version_policy import LABEL

_LONGEST_VERSION = 18


def request_id(data: bytes | memoryview) -> str:
    """The id that a request has, from its bytes.

    Raises:
        InvalidInput: it is not UTF-8.
    """
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput([Violation("id", "the request's id is not UTF-8")]) from error


def model_name(name: str) -> str:
    """The name of the model that is asked for.

    Raises:
        InvalidInput: it is empty.
    """
    if not name:
        raise InvalidInput([Violation("model_name", "the request names no model")])
    return name


def version_choice(name: str, version: str) -> tuple[int | None, str | None]:
    """A version of the Open Inference Protocol, which is text: a number, or a label; neither is the latest.

    Raises:
        ModelNotFound: it can be none of them, so no model has it.
    """
    if not version:
        return None, None
    if version.isascii() and version.isdigit() and len(version) <= _LONGEST_VERSION:
        return int(version), None
    if LABEL.fullmatch(version):
        return None, version
    raise ModelNotFound(
        f"model '{shown(name)}' has no version '{shown(version)}'; versions are 1, 2, 3 and so on, or a label"
    )
