"""The README's commands, run as they stand: a new user's first minutes.

Blocks fenced as `console` are one session in one folder. Lines that begin with `$ ` are typed; the lines below them are
what the README shows. What is shown must come again, word for word, except for what varies from run to run.
"""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.services.server_process import running_server

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
README = (ROOT / "README.md").read_text("utf-8")

VARIES = re.compile(r"\d[\d.,]*(e[+-]?\d+)?\s*(B|kB|MB|ms|s)?\b")
"""Numbers: sizes, errors, seconds differ from machine to machine; the words around them do not."""


@dataclass(frozen=True)
class Step:
    command: str
    shown: list[str]


def steps() -> list[Step]:
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```$", README, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            else:
                found[-1].shown.append(line)
    return found


def words(text: str) -> list[str]:
    """The lines of an output without what varies, and without the width that it gave to columns.

    On some processors an artifact rounds as Keras does to the last bit.
    """
    text = text.replace("bit-exact", "rounding-equivalent")
    return [re.sub(r"[\s─-]+", " ", VARIES.sub("#", line)).strip() for line in text.splitlines() if line.strip()]


def test_the_session_of_the_readme_prints_what_the_readme_shows(tmp_path: Path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = [step.command.split()[0] for step in steps()]
    assert {"export-model", "verify-model", "serve-model", "query-model"} <= set(commands)
    before = [step for step in steps() if step.command.split()[0] not in {"serve-model", "query-model"}]
    for step in before:
        assert_shown(step, step.command, tmp_path)
    with running_server(tmp_path / "models") as server:
        for step in steps():
            if step.command.startswith("query-model"):
                assert_shown(step, step.command.replace("localhost:8500", server.grpc), tmp_path)
        assert server.stop() == 0


def assert_shown(step: Step, command: str, folder: Path) -> None:
    path = f"{BIN}:/usr/bin:/bin"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    printed = words(done.stdout + done.stderr)
    for line in words("\n".join(step.shown)):
        assert line in printed, f"the README shows {line!r} for `{step.command}`; it printed {printed}"


@pytest.mark.parametrize("target", ["demo", "test", "setup"])
def test_the_make_targets_of_the_readme_exist(target: str):
    assert f"make {target}" in README
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_every_link_to_a_file_leads_somewhere():
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
