"""Answers that their callers have not read yet: gRPC keeps them in memory for as long as they like.

What fits into a window of HTTP/2 is not counted: of such answers, gRPC's limit of calls on one connection bounds the
number.
"""

from collections.abc import Callable

from kedge_server.errors import AnswersUnread
from kedge_server.pipeline import Answer
from kedge_server.wire.observed import Metadata
from kedge_server.wire.status import Context

SMALL_BYTES = 65_535
"""HTTP/2's default window: what gRPC may send before the caller has read anything."""

Encode = Callable[[Answer], tuple[bytes, Metadata]]


class Unread:
    """Counts, for each connection, the bytes of large answers on their way. Changed on the event loop's thread.

    Args:
        most_bytes: of one connection; a single answer may be larger.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._bytes: dict[str, int] = {}
        self._are_some_large = False

    def limited(self, encode: Encode, context: Context) -> Encode:
        """Encode an answer, or say that the caller shall read those before it.

        Raises:
            AnswersUnread: from the encoder that is returned.
        """
        # Asked here: the encoder runs in an instance's thread, and servers whose instances asked a call that had ended
        # meanwhile died. And not before there was a large answer, since it costs gRPC 10 µs to tell.
        connection = context.peer() if self._are_some_large else ""

        def limited(answer: Answer) -> tuple[bytes, Metadata]:
            data, metadata = encode(answer)
            # What other instances answer at this moment is not counted yet, so it may be some answers more.
            unread = self._bytes.get(connection, 0) if len(data) > SMALL_BYTES else 0
            if unread and unread + len(data) > self.most_bytes:
                raise AnswersUnread(
                    f"{unread} bytes of answers wait on this connection to be read, and this server keeps "
                    f"{self.most_bytes} at most (--unread-mb): read them, then ask again"
                )
            return data, metadata

        return limited

    def add(self, data: bytes, context: Context) -> None:
        """Count an answer, where it is large, until its call has ended: it was read, or the connection is gone."""
        if len(data) <= SMALL_BYTES:
            return
        self._are_some_large = True
        connection, size = context.peer(), len(data)
        self._bytes[connection] = self._bytes.get(connection, 0) + size

        def forget(_: object) -> None:
            left = self._bytes[connection] - size
            if left:
                self._bytes[connection] = left
            else:
                del self._bytes[connection]

        context.add_done_callback(forget)  # type: ignore[arg-type]  # the stubs know no function that is one
