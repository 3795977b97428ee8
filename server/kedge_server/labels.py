"""The labels of models: names such as `stable` that move from version to version, each in one step."""

from collections.abc import Collection, Mapping

from kedge_server.errors import ModelNotFound, NotReady


class Labels:
    """Which version each label names, and which one it is to name.

    A label names a version only once that is ready, and what it named before until then. Changed on the event loop's
    thread only.
    """

    def __init__(self) -> None:
        self._now: dict[str, dict[str, int]] = {}
        self._wanted: dict[str, dict[str, int]] = {}

    def version(self, model: str, label: str) -> int:
        """The version that a label names now.

        Raises:
            ModelNotFound: the model has no such label.
            NotReady: it is to name a version that is not ready yet, and named none before.
        """
        version = self._now.get(model, {}).get(label)
        if version is not None:
            return version
        wanted = self._wanted.get(model, {})
        if label in wanted:
            raise NotReady(f"label '{label}' of model '{model}' is for version {wanted[label]}, which is not ready")
        there = f"it has {', '.join(sorted(wanted))}" if wanted else "ask for a version by its number"
        raise ModelNotFound(f"model '{model}' has no label '{shown(label)}'; {there}")

    def of(self, model: str) -> dict[str, int]:
        """The labels that name a version of this model now."""
        return dict(self._now.get(model, {}))

    def waiting(self, model: str) -> dict[str, int]:
        """The labels of this model whose version is not ready yet."""
        now = self._now.get(model, {})
        return {label: version for label, version in self._wanted.get(model, {}).items() if now.get(label) != version}

    def set(self, model: str, labels: Mapping[str, int], ready: Collection[int]) -> bool:
        """Say what the labels of a model are to name; True where that changes what any of them names now."""
        self._wanted[model] = dict(labels)
        return self.move(model, ready)

    def move(self, model: str, ready: Collection[int]) -> bool:
        """Let every label whose version is ready name it; the others keep theirs while that is ready."""
        before = self._now.get(model, {})
        now = {
            label: version if version in ready else before[label]
            for label, version in self._wanted.get(model, {}).items()
            if version in ready or before.get(label) in ready
        }
        self._now[model] = now
        return now != before


def shown(text: str) -> str:
    """A caller's text for a message: printable, and not longer than a line."""
    limit = 80
    printable = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return printable if len(text) <= limit else printable[:limit] + "…"
