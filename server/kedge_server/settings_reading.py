"""The settings from the command line and the environment, and their table for the documentation.

A flag wins over the environment, the environment over the default. What is unknown is an error.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from kedge_server.addresses import Address
from kedge_server.settings import Rows, Settings
from kedge_server.version_policy import Label, VersionPolicy

PREFIX = "KEDGE_"

_KUBERNETES = re.compile(
    r"KEDGE_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
"""Kubernetes puts these into every pod where a service is called `kedge` or `kedge-…`; they are not ours."""

_LINK = re.compile(r"(tcp|udp|sctp)://")


class SettingsInvalid(Exception):
    """A setting that is unknown, missing or out of bounds; the message names it and what is expected."""


_POSITIONAL = "repository"


def read_settings(
    arguments: Sequence[str], environment: Mapping[str, str], parser: argparse.ArgumentParser
) -> Settings:
    """The settings of this process.

    Args:
        arguments: the command line, without the command's name.
        environment: the process's environment.
        parser: one that `add_flags` has filled.

    Raises:
        SettingsInvalid: unknown, missing or out of bounds.
    """
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        word = unknown[0].partition("=")[0]
        raise SettingsInvalid(f"unknown argument '{word}'{_nearest(word, _flags())}; see serve-model --help")
    values: dict[str, Any] = {"state_dir": _state_directory(environment), **_from_environment(environment)}
    values.update({name: value for name, value in vars(given).items() if value is not None})
    if _POSITIONAL not in values:
        raise SettingsInvalid("say what to serve: serve-model REPOSITORY_OR_BUNDLE (or KEDGE_REPOSITORY)")
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsInvalid("; ".join(_sentence(problem) for problem in error.errors())) from error


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Declare every setting to argparse. Values stay text: pydantic reads those of the environment, too."""
    parser.add_argument(
        _POSITIONAL,
        nargs="?",
        metavar="REPOSITORY_OR_BUNDLE",
        help=_plain(Settings.model_fields[_POSITIONAL].description),
    )
    for name, field in Settings.model_fields.items():
        if name != _POSITIONAL:
            parser.add_argument(
                _flag(name),
                metavar=_expected(name),
                help=f"{_plain(field.description)} Default: {_shown(field.default)}.".replace("%", "%%"),
            )


def markdown_table() -> str:
    """The table of docs/serving.md."""
    lines = ["| flag | environment | values | default | what it does |", "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        flag = "`REPOSITORY_OR_BUNDLE`" if name == _POSITIONAL else f"`{_flag(name)}`"
        default = "" if field.is_required() else f"`{_shown(field.default)}`"
        expected = _expected(name).replace("|", r"\|")
        lines.append(f"| {flag} | `{_variable(name)}` | {expected} | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    variables = {_variable(name): name for name in Settings.model_fields}
    found: dict[str, Any] = {}
    for variable, value in environment.items():
        if variable in variables:
            found[variables[variable]] = value
        elif variable.startswith(PREFIX) and not _is_kubernetes(variable, value):
            raise SettingsInvalid(f"unknown environment variable {variable}{_nearest(variable, list(variables))}")
    return found


def _state_directory(environment: Mapping[str, str]) -> Path | None:
    """Where a program of this user keeps what it can do without; None where the environment names no home.

    https://specifications.freedesktop.org/basedir-spec/latest/: a relative path is to be ignored.
    """
    state, home = environment.get("XDG_STATE_HOME", ""), environment.get("HOME", "")
    if Path(state).is_absolute():
        return Path(state, "kedge")
    return Path(home, ".local", "state", "kedge") if Path(home).is_absolute() else None


def _is_kubernetes(variable: str, value: str) -> bool:
    is_link = variable.endswith("_PORT") and _LINK.match(value) is not None
    return is_link or _KUBERNETES.fullmatch(variable) is not None


def _nearest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def _sentence(problem: Any) -> str:  # noqa: ANN401 (pydantic's ErrorDetails, which it does not export)
    name = str(problem["loc"][0])
    message = str(problem["msg"]).removeprefix("Value error, ")
    if name in Settings.model_fields and Settings.model_fields[name].annotation is bool:
        message = "expected on or off"  # pydantic's own words are about its parser
    own = "REPOSITORY_OR_BUNDLE" if name == _POSITIONAL else _flag(name)
    got = "" if "got" in message else f", got '{problem['input']}'"
    return f"{own} (or {_variable(name)}): {message[0].lower()}{message[1:]}{got}"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _flags() -> list[str]:
    return [_flag(name) for name in Settings.model_fields if name != _POSITIONAL]


def _variable(name: str) -> str:
    return PREFIX + name.upper()


def _expected(name: str) -> str:
    """The values of a setting, in a word or two."""
    annotation = Settings.model_fields[name].annotation
    words: dict[Any, str] = {
        Address: "host:port", Path: "directory", Path | None: "directory",
        bool: "on|off", int: "integer", float: "number",
        tuple[str, ...]: "names", tuple[Rows, ...]: "rows",
        VersionPolicy: "all|latest:N|specific:N,N", tuple[Label, ...]: "model:label=N,…",
    }  # fmt: skip
    return words.get(annotation) or "|".join(get_args(annotation))


def _shown(default: object) -> str:
    if default is None:
        return "(see there)"
    if isinstance(default, bool):
        return "on" if default else "off"
    if isinstance(default, tuple) and not isinstance(default, Address):
        return ",".join(map(str, default)) or "(empty)"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _plain(text: str | None) -> str:
    return (text or "").replace("`", "")


if __name__ == "__main__":
    sys.stdout.write(markdown_table())
