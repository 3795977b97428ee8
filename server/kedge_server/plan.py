"""What to do so that the versions that are served become those that are wanted. Pure: no disk, no clock, no loop.

Three rules: what is broken changes nothing; nothing is retired before what takes its place is ready; and what is gone
as a whole, a repository or a model's directory, was lost and not taken away.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from kedge_bundle.store import UNLISTED
from kedge_server.loading import Place
from kedge_server.served_model import State
from kedge_server.version_policy import VersionPolicy


@dataclass(frozen=True)
class Wish:
    """What is wanted of one model: versions by a policy, and those that labels name."""

    policy: VersionPolicy
    labels: Mapping[str, int] = field(default_factory=dict)
    is_unloaded: bool = False


@dataclass(frozen=True)
class Plan:
    """The steps for one model.

    Attributes:
        load: highest version first.
        retire: versions to drain and unload.
        forget: versions that failed and are of no interest any more.
        unwanted: versions that failed and that the policy has others for: the server is ready without them.
        kept: versions that are gone from the disk and go on answering, since nothing would be left without them.
    """

    load: tuple[Place, ...] = ()
    retire: tuple[int, ...] = ()
    forget: tuple[int, ...] = ()
    unwanted: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()


def plan(
    wish: Wish,
    found: Mapping[int, Place],
    known: Mapping[int, State],
    *,
    changed: Collection[int] = (),
    labelled: Collection[int] = (),
) -> Plan:
    """The steps for one model.

    Args:
        wish: what is wanted.
        found: the versions on disk; empty where the model's directory is gone or holds none.
        known: the versions in the table and their states.
        changed: failed versions whose files have changed since.
        labelled: versions that a label names now; until it has moved on, each is needed.
    """
    if wish.is_unloaded:
        return Plan(
            retire=tuple(version for version, state in known.items() if state == "ready"),
            forget=tuple(version for version, state in known.items() if state == "failed"),
        )
    ready = {version for version, state in known.items() if state == "ready"}
    failed = {version for version, state in known.items() if state == "failed"}
    if not found or (UNLISTED in found and ready):
        return Plan(kept=tuple(sorted(ready)))
    broken = failed - set(changed)
    wanted = wish.policy.wanted(found, broken)
    named = {version for version in wish.labels.values() if version in found}
    # Remembered where it would be wanted if it were not broken; forgotten too soon, it would be tried for ever.
    shown = {version for version in failed if version in wish.policy.wanted(found, broken - {version})} | named
    load = [v for v in sorted(wanted | named, reverse=True) if v not in known or (v in failed and v in changed)]
    spare = ready - wanted - named - set(labelled)
    if not wanted <= ready:
        spare -= set(found)  # what takes their place is not there yet
    lasting = ready - spare
    kept = set() if lasting else {max(spare)} if spare else set()
    return Plan(
        load=tuple(found[version] for version in load),
        retire=tuple(sorted(spare - kept)),
        forget=tuple(sorted(failed - shown)),
        unwanted=tuple(sorted((broken & shown) - wanted - named)),
        kept=tuple(sorted((kept | lasting) - set(found))),
    )
