"""A published bundle in words: what `export-model` prints at the end, and what a result says of itself."""

from kedge_exporter.request import Exported
from kedge_exporter.result_table import table_lines
from kedge_exporter.wording import in_python


def result_text(exported: Exported) -> str:
    """What a result says of itself in Python: what the command prints, in Python's words."""
    return in_python("\n".join(result_lines(exported)))


def result_lines(exported: Exported) -> list[str]:
    """The table, what there is to say of the model, and where the bundle is."""
    return [
        *table_lines(exported.formats),
        *reproduced(exported),
        *(f"warning: {advice.code}: {advice.message}" for advice in exported.warnings),
        *(f"note: {note}" for note in exported.notes),
        outcome_line(exported),
    ]


def outcome_line(exported: Exported) -> str:
    """Whether the bundle is new, and where it is."""
    if exported.unchanged:
        return (
            f"unchanged: {exported.bundle} is the export of this file with these options and this toolchain; --force "
            "exports it again"
        )
    return f"proven and published: {exported.bundle}"


def reproduced(exported: Exported) -> list[str]:
    """What came out byte for byte as it did before, a line for each thing that it was compared with."""
    identical: dict[str, list[str]] = {}
    for result in exported.formats:
        if result.reproducible is not None and result.reproducible.is_identical:
            identical.setdefault(result.reproducible.against, []).append(result.format)
    return [f"reproducible: {', '.join(names)}: the same bytes as {against}" for against, names in identical.items()]
