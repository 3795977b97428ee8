"""Kedge beside other servers, in one run and by turns: throughput, latencies, server CPU time per request, ratios.

    python -m benchmarks.serving [--figures mlp,stream] [--peers kserve,triton] [--cache build/serving] [--json FILE]

Each side is started as its users start it, asked once by a real client, and driven with `h2load`. docs/performance.md
says how to read the figures. Ends with 1 where a figure is missed, with 2 where h2load is missing.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from benchmarks.load import LoadFailed, why_no_h2load
from benchmarks.peers.sides import PEERS
from benchmarks.serving_figures import FIGURES, Lane, Result, as_document, figures_table, lanes_table
from benchmarks.serving_networks import measure_mobilenet, measure_two_models
from benchmarks.serving_runs import FIGURE, Measured, Wanted
from benchmarks.serving_sides import WrongAnswer
from benchmarks.serving_small import measure_small, measure_start

_CORES = 2
_MEASUREMENTS: dict[Callable[[Wanted], Measured], frozenset[str]] = {
    measure_small: frozenset({"mlp", "mlp-kserve", "mlp-mlserver", "stream", "predict"}),
    measure_start: frozenset({"start", "memory"}),
    measure_mobilenet: frozenset({"triton", "bare", "open-loop"}),
    measure_two_models: frozenset({"two-models"}),
}
"""Each way to measure, and the figures that come of it."""
_QUIET = 0.5
_SHORT_FIGURES = frozenset({"mlp", "stream", "predict"})
_SHORT_REQUESTS = 200


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for and print it; 1 where a figure is missed."""
    flags = _parser().parse_args(arguments)
    if (why := why_no_h2load()) is not None:
        print(why, file=sys.stderr)
        return 2
    figures = flags.figures & _SHORT_FIGURES if flags.short else flags.figures
    if (others := os.getloadavg()[0]) > _QUIET:
        print(f"{others:.1f} processes want to run here already: read the ratios of CPU time, not the others\n")
    lanes: list[Lane] = []
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="kedge-serving-") as scratch:
        rounds, requests = (1, _SHORT_REQUESTS) if flags.short else (flags.rounds, 0)
        cache = (flags.cache or Path(scratch, "cache")).resolve()  # peers are started in directories of their own
        for number, (measure, names) in enumerate(_MEASUREMENTS.items()):
            if not (chosen := figures & names):
                continue
            own = Path(scratch, str(number))
            own.mkdir()
            measured = _tried(
                measure, Wanted(own, cache, chosen, flags.peers, rounds, flags.seconds, requests, flags.starts)
            )
            lanes += measured.lanes
            results += [each for each in measured.results if each.figure.name in chosen]
            if measured.lanes:
                print(lanes_table(measured.lanes), end="\n\n", flush=True)
    print(figures_table(results))
    if flags.json:
        flags.json.write_text(json.dumps(as_document(lanes, results), indent=1) + "\n", "utf-8")
    return int(any(each.verdict in {"missed", "failed"} for each in results))


def _tried(measure: Callable[[Wanted], Measured], wanted: Wanted) -> Measured:
    """What a measurement finds out; where a side does not answer as it should, the figures have failed."""
    try:
        return measure(wanted)
    except (LoadFailed, WrongAnswer, grpc.RpcError) as error:
        why = " ".join(str(error).split())
        return Measured((), tuple(Result(FIGURE[name], None, why, has_failed=True) for name in sorted(wanted.figures)))


def _parser() -> argparse.ArgumentParser:
    names = ",".join(figure.name for figure in FIGURES)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", type=_figures, default=names, help="which (default: all: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each turn (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=1, help="of MobileNet's servers (default: %(default)s)")
    parser.add_argument("--peers", type=_peers, default="", help=f"of {','.join(PEERS)} (default: none)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keeps exported networks and the peers' environments")
    parser.add_argument("--short", action="store_true", help="only whether it works: the MLP, 200 requests a side")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where the same goes for programs")
    return parser


def _figures(text: str) -> frozenset[str]:
    known, wanted = {figure.name for figure in FIGURES}, frozenset(text.split(","))
    if unknown := sorted(wanted - known):
        raise argparse.ArgumentTypeError(f"unknown figure '{unknown[0]}'; known: {', '.join(sorted(known))}")
    return wanted


def _peers(text: str) -> frozenset[str]:
    wanted = frozenset(text.split(",")) if text else frozenset()
    if unknown := sorted(wanted - PEERS.keys()):
        raise argparse.ArgumentTypeError(f"unknown peer '{unknown[0]}'; known: {', '.join(PEERS)}")
    return wanted


if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])  # what is started from here inherits it
    sys.exit(main())
