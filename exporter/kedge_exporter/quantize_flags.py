"""What `--quantize` may say, which artifacts it asks for, and what they must reach."""

import argparse
import math
from typing import Literal

from kedge_bundle.fidelity import FidelityBudget
from kedge_bundle.manifest import ARTIFACT_NAMES, ArtifactName, FormatName, Quantization
from kedge_exporter.errors import UsageError

THRESHOLDS: dict[Quantization, FidelityBudget] = {
    "float16": FidelityBudget(min_snr_db=40, min_agreement=0.99),
    "dynamic": FidelityBudget(min_snr_db=20, min_agreement=0.97),
    "int8": FidelityBudget(min_snr_db=15, min_agreement=0.95),
}
"""What is asked unless the user says otherwise; docs/quantization.md has what was measured."""

_QUANTIZED: tuple[ArtifactName, ...] = tuple(name for name in ARTIFACT_NAMES if "-" in name)

QUANTIZE_CHOICES: tuple[str, ...] = (*THRESHOLDS, *_QUANTIZED)
"""A kind stands for that kind in every format which has it; a name for one artifact."""


def default_thresholds(name: Literal["min_snr_db", "min_agreement"]) -> str:
    """One threshold of every kind, for the help."""
    return ", ".join(f"{kind} {getattr(budget, name):g}" for kind, budget in THRESHOLDS.items())


def wanted_artifacts(flags: argparse.Namespace, formats: tuple[FormatName, ...]) -> tuple[ArtifactName, ...]:
    """The quantized artifacts that the flags ask for, in the order of `ARTIFACT_NAMES`.

    Raises:
        UsageError: a kind that none of the formats has, int8 without data, or a threshold that nothing could be.
    """
    _check_thresholds(flags)
    wanted: set[ArtifactName] = set()
    for choice in flags.quantize:
        meant = [name for name in _QUANTIZED if choice in (name, name.partition("-")[2])]
        possible = [name for name in meant if name.partition("-")[0] in formats]
        if not possible:
            needed = " or ".join(sorted({name.partition("-")[0] for name in meant}))
            raise UsageError(
                f"--quantize {choice}: it is made from {needed}, which is not among --formats {','.join(formats)}"
            )
        wanted.update(possible)
    if flags.data is None and any(name.endswith("-int8") for name in wanted):
        raise UsageError(
            "--quantize int8: it needs --data SAMPLES.npz, some hundred real rows: the ranges that int8 activations "
            "cover come from them, and other rows judge the outcome; without data, float16 and dynamic can be had"
        )
    return tuple(name for name in ARTIFACT_NAMES if name in wanted)


def _check_thresholds(flags: argparse.Namespace) -> None:
    if not flags.quantize and (flags.min_snr_db is not None or flags.min_agreement is not None):
        raise UsageError("--min-snr-db and --min-agreement judge quantized artifacts; say which with --quantize")
    if flags.min_snr_db is not None and not math.isfinite(flags.min_snr_db):
        raise UsageError(f"--min-snr-db {flags.min_snr_db}: expected a number of decibels")
    if flags.min_agreement is not None and not 0 <= flags.min_agreement <= 1:
        raise UsageError(f"--min-agreement {flags.min_agreement:g}: expected a share, 0 to 1")
