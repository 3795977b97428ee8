"""How large an answer may be, and what of earlier ones their callers may leave unread: gRPC keeps it in memory.

What fits into a window of HTTP/2 is not counted: of such answers, gRPC's limit of calls on one connection bounds the
number.
"""

from collections.abc import Callable

from kedge_server.errors import AnswersUnread, AnswerTooLarge
from kedge_server.pipeline import Answer
from kedge_server.wire.observed import Metadata
from kedge_server.wire.status import Context

SMALL_BYTES = 65_535
"""HTTP/2's default window: what gRPC may send before the caller has read anything."""

Encode = Callable[[Answer], tuple[bytes, Metadata]]


class AnswerLimits:
    """Counts, for each connection, the bytes of large answers on their way. Changed on the event loop's thread.

    Args:
        message_bytes: of one answer; gRPC itself would say so only after it was counted.
        unread_bytes: of all answers to one connection; a single one may be larger.
    """

    def __init__(self, message_bytes: int, unread_bytes: int) -> None:
        self.unread_bytes = unread_bytes
        self._message_bytes = message_bytes
        self._bytes: dict[str, int] = {}
        self._are_some_large = False

    def limited(self, encode: Encode, context: Context | None) -> Encode:
        """Encode an answer, or say that it is too large, or that the caller shall read those before it.

        Args:
            encode: makes the answer.
            context: of its call; None for one of a stream, which is not read further instead.

        Raises:
            AnswerTooLarge: from the encoder that is returned.
            AnswersUnread: from it, too.
        """
        # Asked here: the encoder runs in an instance's thread, and servers whose instances asked a call that had ended
        # meanwhile died. And not before there was a large answer, since it costs gRPC 10 µs to tell.
        connection = context.peer() if self._are_some_large and context is not None else ""

        def limited(answer: Answer) -> tuple[bytes, Metadata]:
            encoded = encode(answer)
            size = len(encoded[0])
            if size > SMALL_BYTES:
                self._check_fits(size, answer.model)
                self._check_unread(size, connection)
            return encoded

        return limited

    def _check_fits(self, size: int, model: str) -> None:
        if size > self._message_bytes:
            raise AnswerTooLarge(
                f"the answer of '{model}' has {size} bytes; this server sends {self._message_bytes} at most "
                "(--max-message-mb): ask for fewer rows or outputs at a time"
            )

    def _check_unread(self, size: int, connection: str) -> None:
        # What other instances answer at this moment is not counted yet, so it may be some answers more.
        unread = self._bytes.get(connection, 0)
        if unread and unread + size > self.unread_bytes:
            raise AnswersUnread(
                f"{unread} bytes of answers wait on this connection to be read, and this server keeps "
                f"{self.unread_bytes} at most (--unread-mb): read them, then ask again"
            )

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
