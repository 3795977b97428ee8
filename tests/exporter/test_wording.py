"""The command's sentences in Python's words."""

import pytest

from kedge_exporter.wording import in_python


@pytest.mark.parametrize(
    ("said", "in_words_of_python"),
    [
        ("--opset 99: expected 13 to 18", "opset=99: expected 13 to 18"),
        ("--name 'a b': expected letters", "name='a b': expected letters"),
        ("give it with --custom module.py, if you trust it", "give it with custom=module.py, if you trust it"),
        ("give the module with --custom", "give the module with custom="),
        ("--memory-limit-mb sets another limit", "memory_limit_mb= sets another limit"),
        ("--min-snr-db and --min-agreement judge", "min_snr_db= and min_agreement= judge"),
        ("--strict: untrained: it looks untrained", "strict: untrained: it looks untrained"),
        ("argument --seed: invalid int; see export-model --help", "argument seed: invalid int; see help(export_model)"),
        ("/a/my--model.keras: damaged -- or cut", "/a/my--model.keras: damaged -- or cut"),
    ],
)  # fmt: skip
def test_flags_become_arguments_and_files_stay(said: str, in_words_of_python: str) -> None:
    assert in_python(said) == in_words_of_python
