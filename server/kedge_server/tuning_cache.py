"""What tuning found on this machine, kept in the server's state directory: one JSON file for each question.

Nothing depends on it: what cannot be read is measured again, and what cannot be written is measured at every start.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from kedge_server.tuning import Arrangement, Measured

SCHEMA = 4
"""Part of every question: another version of this file, or of what is measured, asks anew."""

Question = dict[str, JsonValue]
"""Everything that decides the answer: bundle, artifact, machine, runtime, cores, device, settings."""

_FOLDER = "tuning"

_log = structlog.get_logger("kedge.loading")


class Answer(BaseModel):
    """What a file holds.

    Attributes:
        question: as it was asked; its hash is the file's name.
        arrangement: what serves.
        chosen: what it follows from.
        table: what was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: dict[str, JsonValue]
    arrangement: Arrangement
    chosen: Measured
    table: tuple[Measured, ...]


class TuningCache:
    """The files. May be used from several threads.

    Args:
        directory: the state directory; None where there is none.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = None if directory is None else directory / _FOLDER
        self._is_told = False

    def read(self, question: Question) -> Answer | None:
        """The answer of an earlier start; None, with a warning, where its file is damaged."""
        if self._directory is None:
            return None
        path = self._directory / _file_name(question)
        try:
            answer = Answer.model_validate_json(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.warn(question, error.strerror or str(error))
            return None
        except ValidationError as error:
            self.warn(question, str(error.errors()[0]["msg"]))
            return None
        if answer.question != question:
            self.warn(question, "it answers another question than its name says")
            return None
        return answer

    def warn(self, question: Question, because: str) -> None:
        """Say that the file of a question is of no use and is written anew."""
        _log.warning(
            "tuning_cache_ignored", path=str((self._directory or Path()) / _file_name(question)), because=because
        )

    def write(self, answer: Answer) -> None:
        """Keep an answer, whole or not at all; say once where that is not possible."""
        because = self._why_not_written(answer)
        if because and not self._is_told:
            self._is_told = True
            _log.warning("tuning_not_kept", directory=str(self._directory or ""), because=because)

    def _why_not_written(self, answer: Answer) -> str:
        if self._directory is None:
            return "there is no home directory; --state-dir names another"
        try:
            _write(self._directory, _file_name(answer.question), answer.model_dump_json(indent=1).encode())
        except OSError as error:
            return error.strerror or str(error)
        return ""


def _file_name(question: Question) -> str:
    text = json.dumps(question, sort_keys=True, separators=(",", ":"))
    return f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _write(directory: Path, name: str, content: bytes) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    descriptor, staged = tempfile.mkstemp(prefix=f".{name}.", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(staged).replace(directory / name)
    except BaseException:
        Path(staged).unlink(missing_ok=True)
        raise
