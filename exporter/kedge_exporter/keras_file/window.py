"""A part of a file as a file of its own, so that a stored member is read where it lies."""

import io
from typing import BinaryIO


class Window(io.RawIOBase):
    """Bytes `start` to `start + size` of a file; read-only, and nothing around them can be reached."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """The place in the window, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place in the window; behind its end nothing is read."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: object) -> int:
        """Fill the buffer with what is left of the window, and say how many bytes that were."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        length = max(0, min(len(view), self._size - self._at))
        self._file.seek(self._start + self._at)
        read = self._file.read(length)
        view[: len(read)] = read
        self._at += len(read)
        return len(read)
