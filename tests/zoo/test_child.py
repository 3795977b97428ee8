"""A model that brings its process down is recorded, and the others go on in a new one."""

import json
import os
import signal
import sys
from pathlib import Path

from tests.zoo.child import Child
from tests.zoo.run import _answers


def test_the_model_that_ends_its_process_is_named_and_the_rest_are_run(tmp_path: Path) -> None:
    lines = list(_answers("tests.zoo.test_child", [], ["first", "deadly", "last"], tmp_path))
    assert [line["name"] for line in lines] == ["first", "deadly", "last"]
    assert "was killed by SIGKILL" in str(lines[1]["fault"])
    assert "last words" in str(lines[1]["fault"])
    assert "fault" not in lines[0] | lines[2]


def test_what_is_no_json_on_a_childs_output_is_passed_over(tmp_path: Path) -> None:
    with Child("tests.zoo.test_child", ["first"], tmp_path) as child:
        assert [json.loads(line)["name"] for line in child.lines()] == ["first"]
    assert child.code == 0


def _be_a_child(names: list[str]) -> None:
    """What the child of these tests does."""
    print("chatter")
    for name in names:
        if name == "deadly":
            print("last words", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        print(json.dumps({"name": name}), flush=True)


if __name__ == "__main__":
    _be_a_child(sys.argv[1:])
