"""Requests that differ in their values and their id alone: a caller says the rest each time, so it is read once.

What a field holds does not tell a parser where the next one begins. So two messages of one length, which have the same
bytes in all places but those of values and id, say the same everywhere else. Knows the fields of no protocol.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kedge_server.pipeline import Call
from kedge_server.wire.codec.open_inference import viewed

if TYPE_CHECKING:
    import numpy as np

_KEPT = 512
_LONGEST = 1024
"""Bytes beside values and id that are remembered: names, a shape."""

_NO_PLACE = (0, 0)
_Places = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Told:
    """What such a request says, as `Call` has it; `places`: where its id and its values begin and end."""

    places: _Places
    model: str
    version: int | None
    label: str | None
    outputs: tuple[str, ...]
    name: str
    dtype: "np.dtype[Any]"
    shape: tuple[int, ...]


class UsualRequests:
    """What requests of one input of numbers have said lately. Used by all threads that decode.

    It forgets everything where there is too much of it: callers choose what they say.
    """

    def __init__(self) -> None:
        self._places: dict[int, _Places] = {}
        self._told: dict[bytes, _Told] = {}

    def __len__(self) -> int:
        return len(self._told)

    def find(self, message: bytes, deadline: float | None) -> tuple[Call, bytes] | None:
        """The call of a request that says what another one has said, and its id; None where none has.

        Args:
            message: on the wire.
            deadline: of the call.
        """
        places = self._places.get(len(message))
        if places is None:
            return None
        told = self._told.get(_without(message, places))
        if told is None or told.places != places:
            return None
        id_begin, id_end, begin, end = places
        inputs = {told.name: viewed(memoryview(message)[begin:end], told.dtype, told.shape)}
        call = Call(told.model, inputs, told.version, told.label, told.outputs, deadline)
        return call, message[id_begin:id_end]

    def keep(
        self, message: bytes, call: Call, values: tuple[int, int] | None, id_place: tuple[int, int] | None = None
    ) -> None:
        """Remember what a request says, if it is of the usual kind.

        Args:
            message: on the wire.
            call: what it was decoded to; of its deadline the message must say nothing.
            values: where those of its input lie, and nothing else of it; None where they do not lie together.
            id_place: where its id lies; None where it has none.
        """
        if values is None or len(call.inputs) != 1 or call.violations:
            return
        ((name, array),) = call.inputs.items()
        places = (*(id_place or _NO_PLACE), *values)
        # Not every byte is a bool.
        is_plain = array.dtype.kind in "iuf" and array.nbytes == values[1] - values[0] and places[1] <= places[2]
        rest = _without(message, places) if is_plain else b""
        if not rest or len(rest) > _LONGEST:
            return
        if len(self._told) >= _KEPT:
            self._told.clear()
            self._places.clear()
        told = _Told(places, call.model, call.version, call.label, call.outputs, name, array.dtype, array.shape)
        self._told[rest] = told
        self._places[len(message)] = places


def _without(message: bytes, places: _Places) -> bytes:
    """All of a message but its id and its values, which lie behind it."""
    id_begin, id_end, begin, end = places
    return message[:id_begin] + message[id_end:begin] + message[end:]
