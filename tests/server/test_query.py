"""`query-model` as a user starts it: the real command, a real server."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from kedge_server.client import PROTOCOLS
from kedge_server.query import main
from tests.services.bundles import identity, publish, square_root, two_output
from tests.services.server_process import ServerProcess, running_server

TWO = '{"a": [[1, 2, 3]], "b": [[1, 2, 4]]}'


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("repository")
    publish(two_output(), made, "two")
    publish(square_root(), made, "sqrt")
    for dtype in ("string", "bool", "uint8", "int64", "float16", "float64"):
        publish(identity(dtype, (None,)), made, f"echo_{dtype}")
    return made


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[ServerProcess]:
    with running_server(repository, "--nonfinite-inputs", "observe") as running:
        yield running


class Query:
    """Runs the command in this process and keeps what it printed."""

    def __init__(self, address: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._address = address
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: object) -> int:
        try:
            code = main([self._address, *map(str, arguments)])
        except SystemExit as error:
            code = int(error.code or 0)
        self.out, self.err = self._capsys.readouterr()
        return code


@pytest.fixture
def query(server: ServerProcess, capsys: pytest.CaptureFixture[str]) -> Query:
    return Query(server.grpc, capsys)


def test_the_command_answers(server: ServerProcess):
    command = Path(sys.executable).with_name("query-model")
    done = subprocess.run([command, server.grpc, "two", "--json", TWO], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "two, version 1",
        "  output      dtype    shape   first values",
        "  total       float32  [1, 3]  4, 8, 14",
        "  difference  float32  [1, 3]  0, 0, -1",
    ]
    assert done.stderr == ""


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_inputs_it_shows_the_signature(query: Query, protocol: str):
    assert query("two", "--protocol", protocol) == 0
    assert query.out.startswith("two, version 1\n")
    assert "  input   a           float32  [batch, 3]" in query.out
    assert query("two", "--protocol", protocol, "--json-output") == 0
    assert json.loads(query.out)["inputs"]["a"] == {"dtype": "float32", "shape": [None, 3]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_json_in_and_out(query: Query, protocol: str):
    assert query("two", "--json", TWO, "--json-output", "--protocol", protocol, "--version", 1) == 0
    document = json.loads(query.out)
    assert (document["model"], document["version"], document["warnings"]) == ("two", 1, [])
    assert document["outputs"]["difference"] == {"dtype": "float32", "shape": [1, 3], "values": [[0.0, 0.0, -1.0]]}


def test_what_json_has_no_number_for_is_text(query: Query):
    assert query("echo_float64", "--json", '["NaN", Infinity, "-Infinity", 1.5]', "--json-output") == 0
    assert json.loads(query.out)["outputs"]["y"]["values"] == ["NaN", "Infinity", "-Infinity", 1.5]


@pytest.mark.parametrize(
    ("dtype", "given", "answered"),
    [
        ("string", '["a", "grüße", ""]', ["a", "grüße", ""]),
        ("bool", "[true, false, 1]", [True, False, True]),
        ("uint8", "[0, 255, 2.0]", [0, 255, 2]),
        ("int64", "[9007199254740993, -1]", [9007199254740993, -1]),
        ("float16", "[0.5, 1]", [0.5, 1.0]),
    ],
)
def test_json_is_cast_by_the_models_signature(query: Query, dtype: str, given: str, answered: list[object]):
    assert query(f"echo_{dtype}", "--json", given, "--json-output") == 0
    assert json.loads(query.out)["outputs"]["y"]["values"] == answered


@pytest.mark.parametrize(
    ("dtype", "given", "why"),
    [
        ("uint8", "[256]", "256 out of bounds for uint8"),
        ("uint8", "[1.5]", "expected uint8 values: got values that do not fit"),
        ("uint8", '["1"]', "expected uint8 values: got text"),
        ("int64", "[[1], [1, 2]]", "inhomogeneous"),
        ("int64", "[null]", "expected int64 values"),
        ("float16", "[1e6]", "overflow"),
        ("float64", '["abc"]', "could not convert string to float"),
        ("bool", "[2]", "got values that do not fit"),
        ("string", '["a", 1]', "got values of other kinds"),
        ("string", '[["a"], ["b", "c"]]', "rows of different lengths"),
        ("string", "not json", "--json: not JSON: Expecting value"),
        ("string", '{"z": []}', "--json: 'z': no input of the model; it has 'x'"),
    ],
)
def test_json_that_cannot_be_cast_is_one_sentence(query: Query, dtype: str, given: str, why: str):
    assert query(f"echo_{dtype}", "--json", given) == 2
    assert why in query.err
    assert query.err.startswith("query-model: ")
    assert len(query.err.splitlines()) == 1


def test_a_bare_array_needs_a_model_with_one_input(query: Query):
    assert query("two", "--json", "[1]") == 2
    assert query.err == "query-model: --json: expected an object with the inputs 'a', 'b'\n"


def test_npz_sends_what_is_an_input_and_says_what_is_not(query: Query, tmp_path: Path):
    ones = np.ones((2, 3), np.float32)
    np.savez(tmp_path / "samples.npz", a=ones, b=ones, label=np.zeros(2))
    assert query("two", "--data", tmp_path / "samples.npz") == 0
    assert "4, 4, 4, 4, 4, 4" in query.out
    assert query.err == f"query-model: {tmp_path}/samples.npz: 'label': no input of the model, not sent\n"


def test_the_one_array_of_an_npz_is_the_models_one_input(query: Query, tmp_path: Path):
    np.savez(tmp_path / "samples.npz", np.array([[4, 9]], np.float32))
    assert query("sqrt", "--data", tmp_path / "samples.npz") == 0
    assert "  y       float32  [1, 2]  2, 3" in query.out
    assert "its one array 'arr_0' is sent as the model's one input 'x'" in query.err


def test_golden_cases_are_chosen_by_name(query: Query, repository: Path):
    golden = repository / "two" / "1" / "golden.npz"
    assert query("two", "--data", golden) == 2
    assert query.err == f"query-model: {golden} holds golden cases, not inputs; choose one with --case: case0\n"
    assert query("two", "--data", golden, "--case", "case7") == 2
    assert "no golden case 'case7' in it; it has case0" in query.err
    assert query("two", "--data", golden, "--case", "case0") == 0
    assert "[4, 3]" in query.out


def test_npz_without_any_input_says_what_is_in_it(query: Query, tmp_path: Path):
    np.savez(tmp_path / "samples.npz", c=np.ones(1), d=np.ones(1))
    assert query("two", "--data", tmp_path / "samples.npz") == 2
    assert query.err.endswith("samples.npz holds 'c', 'd'; the model's inputs are 'a', 'b'\n")


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("flag", ["--data", "--input"])
def test_files_that_cannot_be_read_are_one_sentence(query: Query, tmp_path: Path, flag: str, content: bytes | None):
    path = tmp_path / "inputs"
    if content is not None:
        path.write_bytes(content)
    assert query("sqrt", flag, path if flag == "--data" else f"x={path}") == 2
    assert f"{path}: cannot be read as an .np" in query.err
    assert len(query.err.splitlines()) == 1


def test_npy_files_by_input_name(query: Query, tmp_path: Path):
    np.save(tmp_path / "a.npy", np.ones((1, 3), np.float32))
    pair = f"a={tmp_path}/a.npy"
    assert query("two", "--input", pair, "--input", f"b={tmp_path}/a.npy") == 0
    assert query("two", "--input", pair, "--input", pair) == 2
    assert "'a' is given twice" in query.err
    assert query("two", "--input", "a.npy") == 2
    assert "expected name=file.npy, got 'a.npy'" in query.err
    np.savez(tmp_path / "a.npz", a=np.ones(1))
    assert query("two", "--input", f"a={tmp_path}/a.npz") == 2
    assert "several arrays; give it with --data" in query.err


def test_outputs_are_written_under_their_names(query: Query, tmp_path: Path):
    target = tmp_path / "answers.npz"
    assert query("two", "--json", TWO, "--output", target) == 0
    with np.load(target) as written:
        assert {name: written[name].tolist() for name in written} == {
            "total": [[4.0, 8.0, 14.0]],
            "difference": [[0.0, 0.0, -1.0]],
        }
    assert query("echo_string", "--json", '["a", "bc"]', "--output", target) == 0
    with np.load(target) as written:
        assert written["y"].tolist() == [b"a", b"bc"]
    assert query("two", "--json", TWO, "--output", tmp_path / "no" / "where.npz") == 2
    assert "where.npz: cannot be written: No such file or directory" in query.err


def test_every_violation_is_a_line(query: Query):
    assert query("two", "--json", '{"a": [[1, 2, 3, 4]]}') == 1
    assert query.err.splitlines() == [
        "query-model: INVALID_ARGUMENT: 2 things are wrong with the request:",
        "  input 'a': expected shape [batch, 3], got [1, 4]",
        "  input 'b': missing; expected float32 of shape [batch, 3]",
    ]


def test_programs_get_refusals_as_json(query: Query):
    assert query("two", "--json", '{"a": [[1, 2, 3]]}', "--json-output") == 1
    why = "input 'b': missing; expected float32 of shape [batch, 3]"
    assert json.loads(query.out) == {
        "error": why,
        "exit_code": 1,
        "code": "INVALID_ARGUMENT",
        "violations": [{"field": "b", "description": why}],
    }
    assert query("two", "--json", "[", "--json-output") == 2
    assert json.loads(query.out)["exit_code"] == 2


def test_warnings_are_shown(query: Query):
    assert query("sqrt", "--json", "[[100, 5]]") == 0
    assert "warning: input 'x', feature 0: 100 (above-range); training saw 4 to 16" in query.out
    assert query("sqrt", "--json", "[[100, 100]]") == 0
    assert query.out.count("warning: ") == 4
    assert "warning: … and 1 more; --json-output lists them" in query.out
    assert query("sqrt", "--json", "[[NaN, 5]]", "--json-output") == 0
    assert json.loads(query.out)["warnings"][0]["value"] == "NaN"


def test_repeating_shows_the_latency(query: Query):
    assert query("two", "--json", TWO, "--repeat", 5) == 0
    assert query.out.splitlines()[-1].startswith("5 calls, one after the other: p50 ")
    assert query("two", "--json", TWO, "--repeat", 5, "--json-output") == 0
    assert len(json.loads(query.out)["seconds"]) == 5


def test_unknown_models_and_versions_are_one_sentence(query: Query):
    assert query("nobody") == 1
    assert query.err.startswith("query-model: NOT_FOUND: model 'nobody' is not here; there are ")
    assert query("two", "--version", 7) == 1
    assert query.err == "query-model: NOT_FOUND: model 'two' has no version 7; it has 1\n"


def test_no_server_is_exit_code_3(server: ServerProcess, capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        late = Query(address, capsys)
        assert late("two", "--timeout-s", 0.2) == 3
        assert late.err == f"query-model: no gRPC server can be reached at {address}: no answer within 0.2 s\n"
    # Nobody listens there now; no gRPC is spoken there.
    for other in (address, server.http.removeprefix("http://")):
        nobody = Query(other, capsys)
        assert nobody("two", "--timeout-s", 20) == 3
        assert nobody.err.startswith(f"query-model: no gRPC server can be reached at {other}: ")
        assert len(nobody.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["localhost", "two"], "ADDRESS: expected host:port, for example localhost:8500, got 'localhost'"),
        (["localhost:1", "two", "--version", "0"], "expected an integer above 0, got '0'"),
        (["localhost:1", "two", "--timeout-s", "nan"], "expected a number above 0, got 'nan'"),
        (["localhost:1", "two", "--case", "c"], "--case chooses among the golden cases of --data"),
        (["localhost:1", "two", "--json", "1", "--data", "x"], "not allowed with argument"),
        (["localhost:1", "two", "--protocol", "http"], "invalid choice: 'http'"),
        (["localhost:1"], "the following arguments are required: MODEL"),
    ],
)
def test_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str], why: str):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert why in capsys.readouterr().err
