"""The sections with facts: sizes and speed, what went in, and what the bundle was made of and by."""

from collections.abc import Iterator

from kedge_bundle.manifest import Artifact, File, Latency
from kedge_bundle.parity import CaseParity
from kedge_bundle.stats import InputStats
from kedge_exporter.report.data import ReportData
from kedge_exporter.report.findings import kind_of
from kedge_exporter.report.markup import Html, element, join
from kedge_exporter.report.numbers import ABSENT, bytes_text, counted, number, scientific
from kedge_exporter.report.sections import explained, folded, row, section, table, wrapped
from kedge_exporter.report.verdicts import badge, title_of

_KINDS = {
    "data": "your own rows",
    "typical": "drawn as the model's statistics say, or standard normal",
    "normal": "standard normal, whatever the statistics say",
    "zeros": "all zero",
    "ones": "all one",
    "constant": "every row one number",
    "large": "ten times the usual spread",
    "tiny": "a thousandth of the usual spread",
    "denormal": "below the smallest normal number of the type",
}
_MANY_FEATURES = 3
_NO_NUMBERS = 99
"""A table of words: no column is aligned to the right."""


def sizes_section(data: ReportData) -> Html:
    """Every artifact with its size, its latency and its hash."""
    latencies = [one.latency for one in data.manifest.artifacts if one.latency is not None]
    return section(
        "sizes",
        "Size and latency",
        explained(*_about_latency(latencies)),
        table(
            ["format", "verdict", "file", "size", "batch", "p50", "p99", "needs", "second export"],
            [_size(one, f"manifest.json/artifacts/{place}") for place, one in enumerate(data.manifest.artifacts)],
            "Size and latency of every artifact",
            numbers_from=3,
        ),
    )


def inputs_section(data: ReportData) -> Html:
    """What goes into the model and comes out, how the inputs were drawn, and in which cases."""
    manifest, proof = data.manifest, data.proof
    tensors = [
        row(
            spec.name,
            side,
            spec.dtype,
            spec.describe_shape(),
            wrapped(proof.inputs.get(spec.name, "") if side == "in" else ""),
            numbers_from=_NO_NUMBERS,
        )
        for side, specs in (("in", manifest.signature.inputs), ("out", manifest.signature.outputs))
        for spec in specs
    ]
    cases = max((report.cases for report in proof.reports), key=len, default=())
    return section(
        "inputs",
        "What went in",
        table(
            ["name", "", "type", "shape", "how it was drawn"], tensors, "Inputs and outputs", numbers_from=_NO_NUMBERS
        ),
        _statistics(manifest.input_stats),
        element("h3", counted(len(cases), "case")),
        explained(
            "Every case of every kind went through Keras and through every format, alone and in batches, in order and "
            f"in reverse. All of it follows from the seed {proof.seed}."
        ),
        element("dl", *_kinds(cases), class_="terms"),
    )


def toolchain_section(data: ReportData) -> Html:
    """What made the bundle, enough to make it again."""
    manifest = data.manifest
    tools, recipe = manifest.toolchain, manifest.recipe
    facts = {
        "source": f"{manifest.source.file_name}, saved by Keras {manifest.source.keras_version}",
        "sha256": manifest.source.sha256,
        "content": manifest.source.content_sha256,
        "python": tools.python,
        "platform": f"{tools.platform} ({tools.machine})" if tools.machine else tools.platform,
        "seed": str(tools.seed),
        "device": f"{data.proof.options.device}, {data.proof.options.threads} thread"
        + ("s" if data.proof.options.threads > 1 else "")
        + f", graph optimization {data.proof.options.graph_optimization}",
        "command": " ".join(tools.command),
        "data": (recipe.data_sha256 or "") if recipe is not None else "",
        "custom": ", ".join(recipe.custom) if recipe is not None else "",
    }
    listed = [join([element("dt", name), element("dd", said)]) for name, said in facts.items() if said]
    packages = [join([element("dt", name), element("dd", said)]) for name, said in tools.packages.items()]
    files = [
        row(file.path, element("code", file.sha256), bytes_text(file.bytes), numbers_from=2) for file in _files(data)
    ]
    return section(
        "toolchain",
        "What made it",
        element("dl", *listed, class_="facts"),
        folded(counted(len(packages), "package"), element("dl", *packages, class_="packages")) if packages else None,
        folded("Processor features", element("p", " ".join(tools.cpu_flags))) if tools.cpu_flags else None,
        folded(
            counted(len(files), "file"), table(["file", "sha256", "size"], files, "Files of the bundle", numbers_from=2)
        ),
    )


def _files(data: ReportData) -> list[File]:
    """Those of the artifacts: parity.json and this page have no place in it, they are not written yet."""
    return [file for artifact in data.manifest.artifacts for file in artifact.files]


def _about_latency(latencies: list[Latency]) -> Iterator[str]:
    if not latencies:
        yield "No latency was measured; --measure does."
        return
    first = latencies[0]
    yield (
        f"Single runs of {counted(first.rows, 'row')}, one thread, one after another, on "
        f"{first.cpu or 'the machine that made the bundle'}: half of them took p50 or less, 99 of 100 p99 or less. "
        "Seen there, no promise."
    )


def _size(one: Artifact, at: str) -> Html:
    latency = one.latency
    return row(
        title_of(one.name),
        badge(one.verdict),
        "directory" if one.path == "." else one.path,
        number(one.bytes, f"{at}#bytes", bytes_text(one.bytes)),
        "any" if one.batch == "dynamic" else str(one.batch),
        _milliseconds(None if latency is None else latency.p50_ms, f"{at}/latency/p50_ms"),
        _milliseconds(None if latency is None else latency.p99_ms, f"{at}/latency/p99_ms"),
        _needs(one),
        _again(one),
        numbers_from=3,
    )


def _milliseconds(value: float | None, at: str) -> Html:
    return number(value, at, None if value is None else f"{scientific(value)} ms")


def _needs(one: Artifact) -> str:
    if one.opset is not None:
        return f"opset {one.opset}"
    return f"LiteRT {one.min_runtime}" if one.min_runtime else ABSENT


def _again(one: Artifact) -> str:
    if one.reproducible is None:
        return "not tried"
    return "same bytes" if one.reproducible.is_identical else "other bytes"


def _statistics(stats: tuple[InputStats, ...]) -> Html | None:
    if not stats:
        return explained("Nothing is known of the inputs' statistics; --data gives the proof real rows.")
    rows = [
        row(
            one.input,
            wrapped(f"layer '{one.layer}'") if one.layer else "data",
            "" if one.n is None else f"{one.n:,}",
            *(_features(values) for values in (one.mean, one.std, one.min, one.max)),
            numbers_from=2,
        )
        for one in stats
    ]
    head = ["input", "known from", "rows", "mean", "std", "min", "max"]
    return join([element("h3", "What training saw"), table(head, rows, "Statistics of the inputs", numbers_from=2)])


def _features(values: tuple[float, ...] | None) -> str:
    if values is None:
        return ABSENT
    if len(values) <= _MANY_FEATURES:
        return ", ".join(map(scientific, values))
    return f"{scientific(min(values))} … {scientific(max(values))}"


def _kinds(cases: tuple[CaseParity, ...]) -> Iterator[Html]:
    by_kind: dict[str, list[str]] = {}
    for case in cases:
        by_kind.setdefault(kind_of(case), []).append(case.case.partition("-")[2])
    for kind, names in by_kind.items():
        yield element("dt", kind)
        yield element("dd", _KINDS.get(kind, ""), element("small", f" rows: {', '.join(names)}"))
