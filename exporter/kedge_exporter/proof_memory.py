"""What artifacts answered before anybody knew what is right, for the process that proves them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from kedge_bundle.cases import Case
from kedge_bundle.errors import RunFailed
from kedge_bundle.manifest import Artifact, File, RuntimeOptions
from kedge_bundle.runtimes.base import Runtime
from kedge_bundle.signature import Tensors

_Session = tuple[tuple[File, ...], RuntimeOptions]
"""The very files, by their hashes, and how they were run."""


class Memory:
    """Answers by session and by the bytes of the inputs."""

    def __init__(self) -> None:
        self._sessions: dict[_Session, Remembered] = {}

    def run(self, runtime: Runtime, cases: Iterable[Case]) -> None:
        """Run every case and remember what came of it."""
        remembered = Remembered(runtime.artifact, runtime.device)
        for case in cases:
            try:
                remembered.answers[_digest(case.inputs)] = runtime.run(case.inputs)
            except RunFailed as error:
                remembered.answers[_digest(case.inputs)] = error
        self._sessions[runtime.artifact.files, runtime.options] = remembered

    def of(self, artifact: Artifact, options: RuntimeOptions, cases: Iterable[Case]) -> "Remembered | None":
        """What these files answered to every one of these inputs; None where they were not asked."""
        found = self._sessions.get((artifact.files, options))
        knows_all = found is not None and all(_digest(case.inputs) in found.answers for case in cases)
        return found if knows_all else None


@dataclass(frozen=True)
class Remembered:
    """Answers as `replay` asks for them: what a `Runtime` is, less the model."""

    artifact: Artifact
    device: str
    answers: dict[str, Tensors | RunFailed] = field(default_factory=dict)

    def run(self, inputs: Tensors) -> Tensors:
        """What the runtime answered.

        Raises:
            RunFailed: as it did then.
        """
        answer = self.answers[_digest(inputs)]
        if isinstance(answer, RunFailed):
            raise answer
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held open."""


def _digest(inputs: Tensors) -> str:
    digest = sha256()
    for name in sorted(inputs):
        array = inputs[name]
        content = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
        digest.update(f"{name} {array.dtype} {array.shape} {len(content)} ".encode() + content)
    return digest.hexdigest()
