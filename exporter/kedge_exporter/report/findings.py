"""Where in a proof a number stands, and which of many says most."""

from collections.abc import Iterator
from dataclasses import dataclass

from kedge_bundle.parity import CaseParity, OutputParity, ParityReport


@dataclass(frozen=True)
class Finding:
    """One output of one case of one report.

    Attributes:
        at: where it stands in `parity.json`, as a JSON pointer.
    """

    report: ParityReport
    case: CaseParity
    output: OutputParity
    at: str

    @property
    def used(self) -> float:
        """How much of what is allowed was used: 1 is all of it, infinite a failure."""
        one = self.output
        if one.verdict == "failed":
            return float("inf")
        if one.error is not None and one.allowed:
            return one.error / one.allowed
        if one.max_abs_error is not None and one.tolerance:
            return one.max_abs_error / one.tolerance
        return 0.0


def findings(report: ParityReport, at: str) -> Iterator[Finding]:
    """Every output of every case of the report that stands at this place."""
    for case_place, case in enumerate(report.cases):
        for output_place, output in enumerate(case.outputs):
            yield Finding(report, case, output, f"{at}/cases/{case_place}/outputs/{output_place}")


def worst_by_output(report: ParityReport, at: str) -> list[Finding]:
    """Of every output the finding that used most of what is allowed: not a bit-exact one where another is not."""
    found: dict[str, Finding] = {}
    for one in findings(report, at):
        other = found.get(one.output.output)
        if other is None or _badness(one) > _badness(other):
            found[one.output.output] = one
    return list(found.values())


def _badness(one: Finding) -> tuple[bool, float, float]:
    return one.output.verdict != "bit-exact", one.used, one.output.max_abs_error or 0.0


def kind_of(case: CaseParity) -> str:
    """What the inputs of a case are like: its name up to the first hyphen, as `kedge_bundle.cases` makes them."""
    return case.case.partition("-")[0]
