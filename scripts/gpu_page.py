"""The page of `gpu_check.py`: its tables, and where they stand in the documentation."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

BEGIN, END = "<!-- gpu_check: begin -->", "<!-- gpu_check: end -->"


@dataclass
class Table:
    """What one check found.

    Attributes:
        title: what was looked at.
        head: names of the columns.
        rows: as many cells each.
        problems: what is not as it must be, in sentences.
    """

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """The table as Markdown, with its title and its problems."""
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        cells = ["| " + " | ".join(_one_line(cell).replace("|", r"\|") for cell in line) + " |" for line in lines]
        problems = [f"\n**{_one_line(problem)}**" for problem in self.problems]
        return "\n".join([f"### {self.title}", "", *cells, *problems])

    @contextmanager
    def naming(self, what: str) -> Iterator[None]:
        """Whatever breaks off inside becomes a problem: the rows before it and after it are worth having."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 (named, whatever it is)
            self.problems.append(f"{what} broke off: {type(error).__name__}: {error}")


def write_page(path: Path, page: str) -> None:
    """Put the tables between the markers of a page.

    Raises:
        ValueError: the page has no markers.
    """
    text = path.read_text("utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{path}: expected the markers {BEGIN} and {END}")
    path.write_text(pattern.sub(lambda _: f"{BEGIN}\n{page}\n{END}", text), "utf-8")


def _one_line(text: str) -> str:
    """The text without the breaks that would end a cell or a sentence: a runtime's message, a server's log."""
    return " ".join(text.split())
