import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from kedge_bundle.manifest import ARTIFACT_NAMES
from kedge_server.addresses import Address
from kedge_server.settings import Settings
from kedge_server.settings_reading import SettingsInvalid, add_flags, markdown_table, read_settings
from tests.services.server_process import clean_environment

DOCS = Path(__file__).parents[2] / "docs" / "serving.md"


def read(*arguments: str, **environment: str) -> Settings:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_flags(parser)
    return read_settings(arguments, environment, parser)


def refusal(*arguments: str, **environment: str) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        read(*arguments, **environment)
    return str(caught.value)


def test_the_defaults_are_those_of_the_documentation():
    settings = read("models")
    assert settings.repository == Path("models")
    assert str(settings.grpc_address) == "0.0.0.0:8500"
    assert (settings.format, settings.device, settings.input_stats) == ("auto", "auto", "observe")
    assert (settings.nonfinite_inputs, settings.nonfinite_outputs) == ("reject", "observe")
    assert settings.reflection is True


def test_a_flag_wins_over_the_environment_and_that_over_the_default():
    assert read("models").queue_rows == 1024
    assert read("models", KEDGE_QUEUE_ROWS="7").queue_rows == 7
    assert read("models", "--queue-rows", "9", KEDGE_QUEUE_ROWS="7").queue_rows == 9


def test_the_state_is_where_programs_of_this_user_keep_theirs():
    assert read("models", XDG_STATE_HOME="/xdg", HOME="/home/me").state_dir == Path("/xdg/kedge")
    assert read("models", XDG_STATE_HOME="relative", HOME="/home/me").state_dir == Path("/home/me/.local/state/kedge")
    assert read("models").state_dir is None
    assert read("models", "--state-dir", "here", HOME="/home/me").state_dir == Path("here")


def test_every_setting_can_come_from_the_environment():
    given = {
        "KEDGE_REPOSITORY": "models",
        "KEDGE_GRPC_ADDRESS": "[::1]:1",
        "KEDGE_HTTP_ADDRESS": "localhost:2",
        "KEDGE_VERSIONS": "latest:2",
        "KEDGE_LABELS": "digits:stable=3, digits:canary=4",
        "KEDGE_WATCH": "off",
        "KEDGE_ALLOW_ADMIN": "on",
        "KEDGE_FORMAT": "tflite",
        "KEDGE_DEVICE": "gpu",
        "KEDGE_INSTANCES": "3",
        "KEDGE_THREADS": "4",
        "KEDGE_GRAPH_OPTIMIZATION": "disabled",
        "KEDGE_TF32": "on",
        "KEDGE_TENSORRT": "on",
        "KEDGE_UNPROVEN_OPTIONS": "warn",
        "KEDGE_MAX_BATCH_ROWS": "5",
        "KEDGE_TUNE": "full",
        "KEDGE_LATENCY_BOUND_MS": "7.5",
        "KEDGE_STATE_DIR": "state",
        "KEDGE_COMPUTE_NICE": "3",
        "KEDGE_BATCH_WINDOW_MS": "1.5",
        "KEDGE_ALLOWED_BATCH_SIZES": "8, 1,4,4",
        "KEDGE_QUEUE_ROWS": "6",
        "KEDGE_QUEUE_MB": "12",
        "KEDGE_REQUIRED_MODELS": "a, b",
        "KEDGE_INPUT_STATS": "reject",
        "KEDGE_INPUT_STATS_MARGIN": "0.2",
        "KEDGE_INPUT_STATS_Z_SCORE": "9",
        "KEDGE_NONFINITE_INPUTS": "observe",
        "KEDGE_NONFINITE_OUTPUTS": "reject",
        "KEDGE_ON_DEVICE_ERROR": "exit",
        "KEDGE_DRAIN_TIMEOUT_S": "2.5",
        "KEDGE_MAX_MESSAGE_MB": "8",
        "KEDGE_UNREAD_MB": "9",
        "KEDGE_REFLECTION": "off",
        "KEDGE_LOG_FORMAT": "text",
        "KEDGE_LOG_LEVEL": "debug",
    }
    settings = read(**given)
    assert {f"KEDGE_{name.upper()}" for name in Settings.model_fields} == set(given)
    defaults = read("other")
    assert [name for name in Settings.model_fields if getattr(settings, name) == getattr(defaults, name)] == []
    assert settings.required_models == ("a", "b")
    assert settings.grpc_address == Address("::1", 1)


def test_an_unknown_flag_names_the_nearest_known_one():
    assert "--grpc-address" in refusal("models", "--grpc-adress", "x:1")
    assert "did you mean --queue-rows?" in refusal("models", "--queue-row=9")


def test_versions_and_labels_that_are_none_are_named_with_what_was_expected():
    assert refusal("models", "--versions", "newest") == (
        "--versions (or KEDGE_VERSIONS): expected 'all', 'latest:N' or 'specific:N,N', got 'newest'"
    )
    assert "expected 'MODEL:LABEL=VERSION', separated by commas, got 'stable=3'" in refusal(
        "models", "--labels", "stable=3"
    )
    assert [str(label) for label in read("models", "--labels", "m:stable=3").labels] == [
        "Label(model='m', label='stable', version=3)"
    ]


def test_flags_are_not_abbreviated():
    assert "unknown argument '--grpc'" in refusal("models", "--grpc", "x:1")


def test_an_unknown_variable_names_the_nearest_known_one():
    message = refusal("models", KEDGE_QUEUE_ROW="9")
    assert "KEDGE_QUEUE_ROW;" in message
    assert "did you mean KEDGE_QUEUE_ROWS?" in message


def test_the_variables_of_a_kubernetes_service_called_kedge_are_not_ours():
    settings = read(
        "models",
        KEDGE_PORT="tcp://10.0.0.1:8500",
        KEDGE_SERVICE_HOST="10.0.0.1",
        KEDGE_SERVICE_PORT="8500",
        KEDGE_SERVICE_PORT_GRPC="8500",
        KEDGE_PORT_8500_TCP="tcp://10.0.0.1:8500",
        KEDGE_PORT_8500_TCP_PROTO="tcp",
        KEDGE_PORT_8500_TCP_ADDR="10.0.0.1",
        KEDGE_DIGITS_SERVICE_HOST="10.0.0.2",
        KEDGE_DIGITS_PORT="tcp://10.0.0.2:8500",
    )
    assert settings == read("models")
    assert "KEDGE_GRPC_PORT" in refusal("models", KEDGE_GRPC_PORT="8500")


@pytest.mark.parametrize("word", ["off", "false", "no", "0"])
def test_a_boolean_that_says_no_is_no(word: str):
    assert read("models", "--reflection", word).reflection is False


@pytest.mark.parametrize("word", ["on", "true", "yes", "1"])
def test_a_boolean_that_says_yes_is_yes(word: str):
    assert read("models", KEDGE_REFLECTION=word).reflection is True


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--reflection", "maybe", "expected on or off"),
        ("--reflection", "", "expected on or off"),
        ("--queue-rows", "0", "greater than or equal to 1"),
        ("--queue-rows", "many", "integer"),
        ("--queue-rows", "1.5", "integer"),
        ("--instances", "-1", "greater than or equal to 0"),
        ("--format", "pytorch", "'auto', 'onnx', 'tflite', 'saved_model', 'onnx-float16'"),
        ("--grpc-address", "8500", "host:port"),
        ("--grpc-address", "0.0.0.0:99999", "host:port"),
        ("--grpc-address", "::1:8500", "host:port"),
        ("--input-stats-z-score", "nan", "finite"),
        ("--input-stats-margin", "inf", "finite"),
        ("--max-batch-rows", "1000000000", "less than or equal to 65536"),
        ("--queue-rows", "3000000000", "less than or equal to 2147483647"),
        ("--allowed-batch-sizes", "x", "integer"),
        ("--allowed-batch-sizes", "0", "greater than or equal to 1"),
    ],
)
def test_an_impossible_value_is_refused_with_its_names_and_what_is_expected(flag: str, value: str, expected: str):
    message = refusal("models", f"{flag}={value}")
    variable = "KEDGE_" + flag.removeprefix("--").replace("-", "_").upper()
    assert message.startswith(f"{flag} (or {variable}): ")
    assert expected in message
    assert f"got '{value}'" in message


def test_every_wrong_setting_is_named_at_once():
    message = refusal("models", "--queue-rows", "0", "--instances", "x")
    assert "--queue-rows" in message
    assert "--instances" in message


def test_something_to_serve_must_be_named():
    assert "KEDGE_REPOSITORY" in refusal()


def test_the_table_of_the_documentation_is_the_generated_one():
    assert markdown_table() in DOCS.read_text("utf-8"), (
        "run: python -m kedge_server.settings_reading, and put what it prints into docs/serving.md"
    )


def test_the_exit_codes_of_the_documentation_are_those_of_the_help():
    help_text = serve_model("--help").stdout
    listed = re.findall(r"^  (\d)  (.+)$", help_text, re.MULTILINE)
    documented = re.findall(r"^\| (\d) \| (.+) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    assert listed
    assert documented == listed


def serve_model(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kedge_server.cli", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=clean_environment() | environment,
    )


HELP_AND_LIST_IMPORTS = """
import sys
from kedge_server.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert not end.code
heavy = {"grpc", "google.protobuf", "onnxruntime", "ai_edge_litert", "tensorflow", "numpy"}
print("imported:", sorted(heavy & set(sys.modules)))
"""


def test_help_names_every_flag_and_imports_neither_grpc_nor_a_runtime():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            HELP_AND_LIST_IMPORTS,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        env=clean_environment(),
    )
    assert done.stdout.endswith("imported: []\n")
    for name in Settings.model_fields:
        if name != "repository":
            assert f"--{name.replace('_', '-')} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (["models", "--grpc-adress", "x:1"], {}, "did you mean --grpc-address?"),
        (["models"], {"KEDGE_LOG_LEVL": "debug"}, "did you mean KEDGE_LOG_LEVEL?"),
        (["models", "--queue-rows", "-3"], {}, "got '-3'"),
        ([], {}, "serve-model REPOSITORY_OR_BUNDLE"),
        (["models", "more"], {}, "unknown argument 'more'"),
        (["models", "--queue-rows"], {}, "expected one argument"),
    ],
)
def test_usage_errors_end_with_2_and_one_sentence(arguments: list[str], environment: dict[str, str], sentence: str):
    done = serve_model(*arguments, **environment)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_every_artifact_that_a_manifest_knows_can_be_asked_for():
    assert set(get_args(Settings.model_fields["format"].annotation)) == {"auto", *ARTIFACT_NAMES}
