import json
import subprocess
import sys

PROGRAM = """
import logging, sys
import structlog
from kedge_server.logs import configure_logs
configure_logs(*sys.argv[1:])
log = structlog.get_logger("kedge.test")
log.debug("quiet")
log.info("loaded", model="m", seconds=0.5, path=None)
logging.getLogger("somebody").warning("theirs: %s", 7)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed", incident="abc")
"""


def logged(log_format: str, level: str = "info") -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log_format, level], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_is_one_object_a_line_with_event_level_logger_and_time():
    loaded, theirs, failed = [json.loads(line) for line in logged("json")]
    assert (loaded["event"], loaded["level"], loaded["logger"]) == ("loaded", "info", "kedge.test")
    assert (loaded["model"], loaded["seconds"], loaded["path"]) == ("m", 0.5, None)
    assert loaded["timestamp"].endswith("Z")
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("theirs: 7", "warning", "somebody")
    assert failed["incident"] == "abc"
    assert "ZeroDivisionError" in failed["exception"]


def test_auto_is_json_where_nobody_watches():
    assert json.loads(logged("auto")[0])["event"] == "loaded"


def test_text_is_for_people():
    lines = logged("text")
    assert "loaded" in lines[0]
    assert "model=m" in lines[0]
    assert any("ZeroDivisionError" in line for line in lines)


def test_the_level_is_the_least_severe_that_is_written():
    assert [json.loads(line)["event"] for line in logged("json", "error")] == ["failed"]
    assert json.loads(logged("json", "debug")[0])["event"] == "quiet"
