"""The command's sentences in the words of Python: what is `--opset` in a shell is `opset=` there."""

import re

_FLAG = re.compile(r"(?<![\w/.-])--([a-z]+(?:-[a-z]+)*)(?: (?=['\d]|\S*[./]))?")
"""A flag, with the space after it where a value follows: a number, something quoted, a file."""

_HELP = ("see export-model --help", "see help(export_model)")


def in_python(text: str) -> str:
    """A sentence that the command wrote, for who called `export_model`."""
    return _FLAG.sub(lambda flag: f"{flag[1].replace('-', '_')}=", text.replace(*_HELP))
