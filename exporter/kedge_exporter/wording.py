"""The command's sentences in the words of Python: what is `--opset` in a shell is `opset=` there."""

import re

_FLAG = re.compile(r"(?<![\w/.'-])--([a-z]+(?:-[a-z]+)*)(?: (?='|-?\d|\S*[./]))?")
"""A flag, with the space after it where a value follows: a number, something quoted, a file."""

_HELP = ("see export-model --help", "see help(export_model)")


def in_python(text: str) -> str:
    """A sentence that the command wrote, for who called `export_model`."""
    return _FLAG.sub(_argument, text.replace(*_HELP))


def _argument(flag: re.Match[str]) -> str:
    name = flag[1].replace("-", "_")
    return name if flag.string[flag.end() : flag.end() + 1] == ":" else f"{name}="
