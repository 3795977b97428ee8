"""Kedge beside other servers, in one run and by turns: throughput, latencies, server CPU time per request, ratios.

    python -m benchmarks.serving [--figures mlp,predict] [--rounds 3] [--seconds 5] [--json FILE]

Each side is started as its users start it, asked once by a real client, and driven with `h2load`. docs/performance.md
says how to read the figures. Ends with 1 where a figure is missed, with 2 where h2load is missing.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.load import why_no_h2load
from benchmarks.serving_figures import FIGURES, Lane, Result, as_document, figures_table, lanes_table
from benchmarks.serving_runs import GROUPS, Wanted

_CORES = 2
_SHORT_FIGURES = frozenset({"mlp", "predict"})
_SHORT_REQUESTS = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and print it; 1 where a figure is missed."""
    flags = _parser().parse_args(arguments)
    if (why := why_no_h2load()) is not None:
        print(why, file=sys.stderr)
        return 2
    figures = flags.figures & _SHORT_FIGURES if flags.short else flags.figures
    lanes: list[Lane] = []
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="kedge-serving-") as scratch:
        rounds, requests = (1, _SHORT_REQUESTS) if flags.short else (flags.rounds, 0)
        wanted = Wanted(Path(scratch), figures, rounds, flags.seconds, requests)
        for measure, names in GROUPS.items():
            if figures.isdisjoint(names):
                continue
            measured = measure(wanted)
            lanes += measured.lanes
            results += [each for each in measured.results if each.figure.name in figures]
            if measured.lanes:
                print(lanes_table(measured.lanes), end="\n\n", flush=True)
    print(figures_table(results))
    if flags.json:
        flags.json.write_text(json.dumps(as_document(lanes, results), indent=1) + "\n", "utf-8")
    return int(any(each.verdict == "missed" for each in results))


def _parser() -> argparse.ArgumentParser:
    names = ",".join(figure.name for figure in FIGURES)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=_figures, default=names, help="which (default: all: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn (default: %(default)s)")
    parser.add_argument("--short", action="store_true", help="only whether it works: the MLP, 200 requests a side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the same goes for programs")
    return parser


def _figures(text: str) -> frozenset[str]:
    known, wanted = {figure.name for figure in FIGURES}, frozenset(text.split(","))
    if unknown := sorted(wanted - known):
        raise argparse.ArgumentTypeError(f"unknown figure '{unknown[0]}'; known: {', '.join(sorted(known))}")
    return wanted


if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])  # what is started from here inherits it
    sys.exit(main())
