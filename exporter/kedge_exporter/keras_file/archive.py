"""The zip around a model: which members may stand in it, under which names, and how large they may be.

Keras stores its members uncompressed and in one run; a file that was zipped again may be deflated. Everything else that
the zip format offers (encryption, links, other compressions, two members in one place, bytes before or behind) is
refused: no two readers may see two different archives.
"""

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from kedge_exporter.errors import ModelRefused, ModelUnreadable

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MOST_EXPANSION, EXPANSION_FLOOR = 100, 64 << 20
"""A member larger than the floor, in bytes, may not be more than so many times what is stored for it."""

_WEIGHTS_NPZ = "model.weights.npz"
_ASSETS = "assets"
_MOST_MEMBERS = 10_000
_MOST_NAME = 1024
_MOST_BYTES = {CONFIG: 64 << 20, METADATA: 1 << 20, WEIGHTS: 16 << 30}
_MOST_ASSET_BYTES = 1 << 30
_MOST_TOTAL_BYTES = 16 << 30
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_LOCAL_HEADER = struct.Struct("<4s5H3L2H")
_END, _END_MAGIC = struct.Struct("<4s4H2LH"), b"PK\x05\x06"
_LOCATOR = struct.Struct("<4sLQL")
_END64, _END64_MAGIC = struct.Struct("<4sQ2H2L4Q"), b"PK\x06\x06"
_MOST_COMMENT = 0xFFFF
_IN_ZIP64 = 0xFFFFFFFF
_LINK, _REGULAR, _DIRECTORY, _KIND = 0o120000, 0o100000, 0o040000, 0o170000


@dataclass(frozen=True)
class _Directory:
    """Where the archive's table of contents stands, in bytes from the beginning."""

    start: int
    size: int
    members: int


def check_frame(path: Path, file: BinaryIO) -> None:
    """Refuse an archive with bytes before or behind it, or with a table of contents out of proportion.

    Looks at the last bytes only, so that `zipfile` is not asked to read a table of any size.

    Raises:
        ModelUnreadable: there is no whole archive.
        ModelRefused: see above.
    """
    size = file.seek(0, 2)
    tail_start = max(0, size - _END.size - _MOST_COMMENT)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(_END_MAGIC)
    if at < 0 or len(tail) - at < _END.size:
        raise ModelUnreadable(f"{path}: damaged or truncated: its table of contents is missing; copy or save it again")
    end = tail_start + at
    comment = _END.unpack_from(tail, at)[7]
    if end + _END.size + comment != size:
        raise ModelRefused(f"{path}: {size - end - _END.size - comment} bytes follow the archive; save the model again")
    directory, before = _directory(path, file, tail[at:], end)
    if directory.start + directory.size != before:
        raise ModelRefused(
            f"{path}: bytes stand before the archive or inside its table of contents: the table should end at byte "
            f"{directory.start + directory.size}, it ends at {before}; save the model again"
        )
    if directory.members > _MOST_MEMBERS or directory.size > _MOST_MEMBERS * _MOST_NAME:
        raise ModelRefused(
            f"{path}: {directory.members} members in a table of {directory.size:,} bytes; a .keras file has a few, "
            f"and never more than {_MOST_MEMBERS:,}"
        )


def _directory(path: Path, file: BinaryIO, tail: bytes, end: int) -> tuple[_Directory, int]:
    """The table of contents, and the byte at which it must end."""
    _, _, _, _, members, size, start, _ = _END.unpack_from(tail)
    if _IN_ZIP64 not in (size, start) and members != _MOST_COMMENT:
        return _Directory(start, size, members), end
    file.seek(max(0, end - _LOCATOR.size - _END64.size))
    end64 = file.read(_END64.size)
    if len(end64) < _END64.size or not end64.startswith(_END64_MAGIC):
        raise ModelUnreadable(f"{path}: damaged or truncated: its zip64 record is missing; copy or save it again")
    fields = _END64.unpack(end64)
    return _Directory(start=fields[9], size=fields[8], members=fields[7]), end - _LOCATOR.size - _END64.size


def check_members(path: Path, archive: zipfile.ZipFile, size: int) -> None:
    """Refuse an archive unless Keras could have written every member of it.

    Args:
        path: named in the messages.
        archive: opened; nothing of its members is read.
        size: of the whole file, in bytes.

    Raises:
        ModelUnreadable: it is no `.keras` file: members are missing or stand there twice.
        ModelRefused: a member that Keras does not write, or not so.
    """
    members = archive.infolist()
    names = [info.filename for info in members]
    if len(set(names)) != len(names):
        raise ModelUnreadable(f"{path}: two members of the archive share a name; save the model again")
    if _WEIGHTS_NPZ in names:
        raise ModelRefused(
            f"{path}: '{_WEIGHTS_NPZ}' holds pickled objects, which run code when they are read; save the model with "
            "model.save(), which writes model.weights.h5"
        )
    missing = [name for name in (CONFIG, METADATA, WEIGHTS) if name not in names]
    if missing:
        raise ModelUnreadable(f"{path}: a zip archive, but no .keras file: {', '.join(missing)} missing inside")
    for info in members:
        _check_name(path, info)
        _check_kind(path, info)
        _check_size(path, info)
    _check_tree(path, names)
    _check_places(path, members, size)
    total = sum(info.file_size for info in members)
    assets = total - sum(info.file_size for info in members if info.filename in _MOST_BYTES)
    if total > _MOST_TOTAL_BYTES or assets > _MOST_ASSET_BYTES:
        raise ModelRefused(
            f"{path}: {total:,} bytes when unpacked, {assets:,} of them assets; allowed are {_MOST_TOTAL_BYTES:,} "
            f"and {_MOST_ASSET_BYTES:,}"
        )


def _check_name(path: Path, info: zipfile.ZipInfo) -> None:
    name = info.orig_filename  # as it stands in the file: zipfile itself cuts names at NUL
    refused = (
        "a control character" if not name.isprintable()
        else "a backslash" if "\\" in name
        else "a colon, as of a drive or a URL" if ":" in name
        else "an absolute name" if name.startswith("/")
        else "a part '..', '.' or an empty one" if {"", ".", ".."} & set(name.removesuffix("/").split("/"))
        else f"more than {_MOST_NAME} letters" if len(name) > _MOST_NAME
        else None
    )  # fmt: skip
    if refused is not None:
        raise ModelRefused(f"{path}: the member {name[:100]!r}: {refused}; names stay inside the archive")
    known = name in (CONFIG, METADATA, WEIGHTS, _WEIGHTS_NPZ) or name.startswith(f"{_ASSETS}/")
    if not known:
        raise ModelRefused(
            f"{path}: the member '{name[:100]}': a .keras file holds {CONFIG}, {METADATA}, {WEIGHTS} and {_ASSETS}/, "
            "nothing else; save the model again"
        )


def _check_kind(path: Path, info: zipfile.ZipInfo) -> None:
    kind = (info.external_attr >> 16) & _KIND
    name = info.filename
    if kind == _LINK:
        raise ModelRefused(f"{path}: the member '{name}' is a symbolic link; save the model again")
    if kind not in (0, _DIRECTORY if info.is_dir() else _REGULAR) or (info.is_dir() and info.file_size):
        raise ModelRefused(f"{path}: the member '{name}' is neither a file nor a directory; save the model again")
    if info.flag_bits & _ENCRYPTED:
        raise ModelRefused(f"{path}: the member '{name}' is encrypted; save the model again, without a password")
    if info.compress_type not in _COMPRESSIONS:
        raise ModelRefused(
            f"{path}: the member '{name}' is compressed by method {info.compress_type}; Keras stores its members, and "
            "besides that only deflate is read"
        )


def _check_size(path: Path, info: zipfile.ZipInfo) -> None:
    name, size, stored = info.filename, info.file_size, info.compress_size
    most = _MOST_BYTES.get(name, _MOST_ASSET_BYTES)
    if size > most:
        raise ModelRefused(f"{path}: the member '{name}' has {size:,} bytes; at most {most:,} are read")
    if info.compress_type == zipfile.ZIP_STORED and size != stored:
        raise ModelRefused(f"{path}: the member '{name}' claims {size:,} bytes and stores {stored:,}")
    if size > EXPANSION_FLOOR and size > MOST_EXPANSION * stored:
        raise ModelRefused(
            f"{path}: the member '{name}' unpacks {stored:,} bytes to {size:,}: a decompression bomb, not weights; "
            "Keras stores its members uncompressed"
        )


def _check_tree(path: Path, names: list[str]) -> None:
    """No member may be a file and the directory of another one."""
    files = {name for name in names if not name.endswith("/")}
    for name in names:
        above = [str(parent) for parent in PurePosixPath(name).parents]
        clash = next((parent for parent in [*above, name.removesuffix("/") if name.endswith("/") else ""]
                      if parent in files), None)  # fmt: skip
        if clash is not None:
            raise ModelRefused(f"{path}: the member '{clash}' is a file, and a directory of '{name}' as well")


def _check_places(path: Path, members: list[zipfile.ZipInfo], size: int) -> None:
    """No two members may share bytes: that is how a small file unpacks to a large one without a large ratio."""
    place = 0
    for info in sorted(members, key=lambda info: info.header_offset):
        if info.header_offset < place or info.header_offset + info.compress_size + _LOCAL_HEADER.size > size:
            raise ModelRefused(f"{path}: the member '{info.filename}' lies over another one; save the model again")
        place = info.header_offset + _LOCAL_HEADER.size + len(info.orig_filename) + info.compress_size
    first = min(info.header_offset for info in members)
    if first:
        raise ModelRefused(f"{path}: {first} bytes stand before the first member; save the model again")


def content_start(file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """The byte at which a member's content begins."""
    file.seek(info.header_offset)
    header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    return info.header_offset + _LOCAL_HEADER.size + int(header[9]) + int(header[10])
