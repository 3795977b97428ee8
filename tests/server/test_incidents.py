"""Incidents: a number for the caller, the rest for the log, and no flood of tracebacks."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from kedge_server import incidents
from kedge_server.logs import configure_logs
configure_logs("json", "info")
log = structlog.get_logger("kedge.test")

def fail(divisor, value):
    try:
        value / divisor if divisor < 2 else {}[value]
    except Exception as error:
        print(incidents.incident(log, "failed", "it failed", error, model="m"))

for value in (1, 2):
    fail(0, value)
fail(2, 3)
print(incidents.incident(log, "failed", "it failed", "as foreseen", model="m"))
incidents._TRACEBACK_EVERY_S = 0.0
fail(0, 4)
"""


@pytest.fixture(scope="module")
def run() -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)


@pytest.fixture
def lines(run: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in run.stderr.splitlines()]


def test_the_caller_reads_the_number_of_each_line_and_nothing_else(
    run: subprocess.CompletedProcess[str], lines: list[dict[str, object]]
):
    assert run.stdout.splitlines() == [
        f"it failed (incident {line['incident']}; the server's log has the details)" for line in lines
    ]
    assert len({line["incident"] for line in lines}) == 5
    assert {line["model"] for line in lines} == {"m"}


def test_what_happened_is_in_every_line_and_the_traceback_once_for_each_kind(lines: list[dict[str, object]]):
    assert [line["error"] for line in lines] == [
        "ZeroDivisionError: division by zero",
        "ZeroDivisionError: division by zero",
        "KeyError: 3",
        "as foreseen",
        "ZeroDivisionError: division by zero",
    ]
    assert ["exception" in line for line in lines] == [True, False, True, False, True]
    assert lines[1]["traceback_under"] == lines[0]["incident"]
    assert "in fail" in str(lines[0]["exception"])
