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

_PLACES_KEPT = 4
"""Of messages of one length: callers that say other things may send as many bytes."""

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
        self._places: dict[int, tuple[_Places, ...]] = {}
        self._told: dict[bytes, _Told] = {}

    def __len__(self) -> int:
        return len(self._told)

    def find(self, message: bytes, deadline: float | None) -> tuple[Call, bytes] | None:
        """The call of a request that says what another one has said, and its id; None where none has.

        Args:
            message: on the wire.
            deadline: of the call.
        """
        for places in self._places.get(len(message), ()):
            told = self._told.get(_without(message, places))
            if told is not None and told.places == places:
                id_begin, id_end, begin, end = places
                inputs = {told.name: viewed(memoryview(message)[begin:end], told.dtype, told.shape)}
                call = Call(told.model, inputs, told.version, told.label, told.outputs, deadline)
                return call, message[id_begin:id_end]
        return None

    def takes(self, message: bytes, call: Call) -> bool:
        """Whether a request may be of the usual kind, as far as can be told at once: one input of numbers, little else.

        Args:
            message: on the wire.
            call: what it was decoded to.
        """
        if len(call.inputs) != 1 or call.violations:
            return False
        (array,) = call.inputs.values()
        # Not every byte is a bool.
        return array.dtype.kind in "iuf" and 0 < len(message) - array.nbytes <= 2 * _LONGEST

    def keep(
        self, message: bytes, call: Call, values: tuple[int, int] | None, id_place: tuple[int, int] | None = None
    ) -> None:
        """Remember what a request says.

        Args:
            message: on the wire.
            call: what it was decoded to, one that this takes; of its deadline the message must say nothing.
            values: where those of its input lie, and nothing else of it; None where they do not lie together.
            id_place: where its id lies; None where it has none.
        """
        if values is None:
            return
        ((name, array),) = call.inputs.items()
        places = (*(id_place or _NO_PLACE), *values)
        id_begin, id_end, begin, end = places
        is_plain = array.nbytes == end - begin and id_end <= begin
        if not is_plain or len(message) - (end - begin) - (id_end - id_begin) > _LONGEST:
            return
        if len(self._told) >= _KEPT:
            self._told.clear()
            self._places.clear()
        told = _Told(places, call.model, call.version, call.label, call.outputs, name, array.dtype, array.shape)
        self._told[_without(message, places)] = told
        others = [other for other in self._places.get(len(message), ()) if other != places]
        self._places[len(message)] = (places, *others[: _PLACES_KEPT - 1])


def _without(message: bytes, places: _Places) -> bytes:
    """All of a message but its id and its values, which lie behind it."""
    id_begin, id_end, begin, end = places
    return message[:id_begin] + message[id_end:begin] + message[end:]
