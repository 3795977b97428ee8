"""The one copy of a `.keras` file that is inspected, hashed and loaded: nobody changes it in between."""

import errno
import hashlib
import os
import stat
from pathlib import Path

from kedge_exporter.errors import ModelRefused, ModelUnreadable

MOST_FILE_BYTES = 16 << 30
_CHUNK = 1 << 20
_OPEN_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL
"""For the copy: it must not be there yet, not as a link either."""
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


def take_copy(path: Path, directory: Path) -> tuple[Path, str]:
    """Copy the file to `directory/model.keras`, readable for nobody else; the copy and its SHA-256.

    Raises:
        ModelUnreadable: missing, not a regular file, or not a zip.
        ModelRefused: larger than any model that could be exported.
        OSError: the copy cannot be written; `filename` is the copy.
    """
    target = directory / "model.keras"
    try:
        source = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe of that name must not make us wait
    except FileNotFoundError as error:
        raise ModelUnreadable(f"{path}: no such file") from error
    except OSError as error:
        raise ModelUnreadable(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        _check_regular(path, os.fstat(source))
        _check_magic(path, _read(path, source, len(_HDF5_MAGIC), offset=0))
        return target, _copied(path, source, target)
    finally:
        os.close(source)


def _copied(path: Path, source: int, target: Path) -> str:
    digest = hashlib.sha256()
    offset = 0
    copy = os.open(target, _OPEN_FLAGS, 0o600)
    try:
        while chunk := _read(path, source, _CHUNK, offset):
            offset += len(chunk)
            if offset > MOST_FILE_BYTES:  # it grows while it is read
                raise _too_big(path, offset)
            digest.update(chunk)
            _write(copy, chunk, target)
    finally:
        os.close(copy)
    return digest.hexdigest()


def _check_regular(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ModelUnreadable(f"{path}: a directory; expected a .keras file, as model.save('model.keras') writes")
    if not stat.S_ISREG(status.st_mode):
        raise ModelUnreadable(f"{path}: a device, pipe or socket; expected a regular .keras file")
    if status.st_size > MOST_FILE_BYTES:
        raise _too_big(path, status.st_size)


def _too_big(path: Path, size: int) -> ModelRefused:
    return ModelRefused(
        f"{path}: at least {size:,} bytes; a model to export has weights of 2 GB at most, and no file of one passes "
        f"{MOST_FILE_BYTES:,} bytes"
    )


def _check_magic(path: Path, magic: bytes) -> None:
    if magic == _HDF5_MAGIC:
        raise ModelUnreadable(
            f"{path}: an HDF5 file of the older Keras format; load it in Keras 3 and save it again as .keras"
        )
    if not magic:
        raise ModelUnreadable(f"{path}: an empty file")
    if not magic.startswith(b"PK"):
        raise ModelUnreadable(f"{path}: not a .keras file: expected a zip archive, it begins with {magic[:4]!r}")
    if path.suffix != ".keras":
        raise ModelUnreadable(f"{path}: expected the suffix .keras; Keras itself reads no other")


def _read(path: Path, descriptor: int, size: int, offset: int) -> bytes:
    try:
        return os.pread(descriptor, size, offset)
    except OSError as error:
        raise ModelUnreadable(f"{path}: cannot be read: {error.strerror or error}") from error


def _write(descriptor: int, chunk: bytes, target: Path) -> None:
    view = memoryview(chunk)
    while view:
        try:
            written = os.write(descriptor, view)
        except OSError as error:
            raise OSError(error.errno or errno.EIO, error.strerror, str(target)) from error
        view = view[written:]
