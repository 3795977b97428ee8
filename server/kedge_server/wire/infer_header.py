"""What a ModelInferRequest says beside its id and its values: a caller says the same each time, so it is read once."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from kedge_bundle.signature import Tensors, Violation
from kedge_server.errors import InvalidInput, ModelNotFound
from kedge_server.labels import shown
from kedge_server.pb.open_inference_pb2 import ModelInferRequest
from kedge_server.version_policy import LABEL
from kedge_server.wire.codec.open_inference import NUMPY_DTYPES, decode_raw
from kedge_server.wire.codec.shapes import TensorInvalid, checked_shape
from kedge_server.wire.services import parsed

KEPT_HEADER_BYTES = 1024
_KEPT = 512
_LONGEST_VERSION = 18


@dataclass(frozen=True, slots=True)
class UsualHeader:
    """The usual request: one raw input of numbers, no parameters; as `Call` has it.

    `nbytes`: what the raw contents must have.
    """

    model: str
    version: int | None
    label: str | None
    outputs: tuple[str, ...]
    name: str
    datatype: str
    shape: tuple[int, ...]
    nbytes: int

    def inputs(self, raw: memoryview) -> Tensors:
        """The input of a request, read-only."""
        return {self.name: decode_raw(self.datatype, self.shape, raw)}


@lru_cache(_KEPT)
def usual_header(header: bytes) -> UsualHeader | None:
    """Read a request from which id and raw contents were cut; None where it is not of the usual kind, or wrong.

    Raises:
        InvalidInput: it cannot be parsed.
    """
    request = parsed(ModelInferRequest, header)
    if request.parameters or len(request.inputs) != 1 or any(output.parameters for output in request.outputs):
        return None
    (tensor,) = request.inputs
    dtype = NUMPY_DTYPES.get(tensor.datatype)
    if dtype is None or dtype == np.bool_ or tensor.parameters or tensor.HasField("contents"):
        return None
    try:
        shape = checked_shape(tensor.shape)
        version, label = version_choice(request.model_name, request.model_version)
        model = model_name(request.model_name)
    except (TensorInvalid, ModelNotFound, InvalidInput):
        return None
    outputs = tuple(dict.fromkeys(output.name for output in request.outputs))
    nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return UsualHeader(model, version, label, outputs, tensor.name, tensor.datatype, shape, nbytes)


def text_of(fields: list[memoryview]) -> str:
    """What the last of the fields holds, which counts; empty where there is none.

    Raises:
        InvalidInput: it is not UTF-8.
    """
    try:
        return str(fields[-1], "utf-8") if fields else ""
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
