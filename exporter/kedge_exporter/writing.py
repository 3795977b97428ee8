"""Which failures of other libraries are failures to write: a full disk must not read like a faulty model."""

import errno
import os

_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
_SENTENCES = tuple(os.strerror(number) for number in _NUMBERS)


def as_write_error(error: BaseException) -> OSError | None:
    """The `OSError` behind an exception, where the disk is what failed; None where something else did.

    TensorFlow and onnx report it in words only (`... No space left on device`).
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _NUMBERS:
            return cause
        for number, sentence in zip(_NUMBERS, _SENTENCES, strict=True):
            if sentence in str(cause):
                return OSError(number, sentence)
        cause = cause.__cause__ or cause.__context__
    return None
