"""How much each test of this folder does: little in `make test`, much in `make soak`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """Numbers that only time limits.

    Attributes:
        identity_rows: rows that go through an identity model and come back to their senders.
        requests: asked of one server while its memory is watched.
        refusals: of a full queue, while memory is watched.
        cancellations: at moments of chance.
        mixed: requests of every kind, whose outcomes are counted on both sides.
        swaps: versions that come and go under load.
        reloads: versions that come and go while memory is watched.
    """

    identity_rows: int
    requests: int
    refusals: int
    cancellations: int
    mixed: int
    swaps: int
    reloads: int


SHORT = Lengths(
    identity_rows=5_000, requests=4_000, refusals=600, cancellations=30, mixed=1_500, swaps=3, reloads=8
)  # fmt: skip
LONG = Lengths(
    identity_rows=100_000, requests=200_000, refusals=15_000, cancellations=500, mixed=50_000, swaps=20, reloads=200
)
