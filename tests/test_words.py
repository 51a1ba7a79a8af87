"""The check of words finds what CONTRIBUTING bans, where a reader sees it, and nothing else."""

import pytest

from tests.kits import words


def found(path, text: str) -> list[tuple[int, str]]:
    """Return line and phrase of each finding in a file."""
    path.write_text(text)
    return [(finding.line, finding.phrase) for finding in words.findings(path)]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("a path that is no manifest\n", "is no manifest"),
        ("the contents of a page\n", "contents"),
        ("one row an item\n", "row an item"),
        ("The directory holds a file.\n", "holds"),
        ("it stands in the file, beside others\n", "stands"),
        ("Likewise.\n", "Likewise"),
        ("an audience whose items are there; it holds out a share and holds the lock\n", None),
        ("a Content-Type, a contentId, and one row per item\n", None),
    ],
)
def test_phrases_in_text(tmp_path, text, phrase):
    phrases = [each for _, each in found(tmp_path / "page.md", text)]
    assert phrase in " ".join(phrases) if phrase else not phrases


def test_in_python_comments_and_strings_are_read_and_names_are_not(tmp_path):
    text = "contents = 1  # the contents\nstrangers = 'two' + 'anew'\nquoted = 'contents'  # words: ok\n"
    assert found(tmp_path / "module.py", text) == [(1, "contents"), (2, "anew")]


@pytest.mark.parametrize(
    ("docstring", "wrong"),
    [
        ("Return the rows.", False),
        ("Process the rows.", False),
        ("What the rows are.", True),
        ("Returns the rows.", True),
        ("The rows.", True),
        ("Reading rows.", True),
    ],
)
def test_docstrings_of_functions_begin_with_an_imperative_verb(tmp_path, docstring, wrong):
    assert bool(found(tmp_path / "a.py", f'def rows():\n    """{docstring}"""\n')) == wrong
    if docstring.startswith("The"):  # a class, a property and a test may begin with a noun
        assert not found(tmp_path / "b.py", f'class Rows:\n    """{docstring}"""\n')
        assert not found(tmp_path / "c.py", f'@property\ndef rows(self):\n    """{docstring}"""\n')
        assert not found(tmp_path / "d.py", f'def test_rows():\n    """{docstring}"""\n')
