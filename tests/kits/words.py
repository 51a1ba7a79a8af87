"""Check the project's English: banned phrases, with what to write instead, and the first word of docstrings.

    python -m tests.kits.words            all tracked files
    python -m tests.kits.words PATH ...   these files, or all files in these folders

Prints file:line, the phrase and its replacement. In Python, comments and strings are read; names of variables are not.
A line that ends in `words: ok` is left out, such as one that quotes an export.
CONTRIBUTING.md has the list of words.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
# What names the phrases, the licence, and a list of titles of articles.
LEFT_OUT = {
    Path(__file__),
    ROOT / "tests" / "test_words.py",
    ROOT / "CONTRIBUTING.md",
    ROOT / "LICENSE",
    ROOT / "pipeline" / "demo" / "sample" / "titles.py",
}
TEXT = {".md", ".py", ".yaml", ".toml", ".html", ".j2", ".js", ".css", ".sql", ".ipynb", ".json", ".in", ""}
_THINGS = (
    "batch|day|entry|file|item|line|machine|moment|night|pass|process|record|row|run|shard|step|sweep|user|visitor"
)

# Phrase (a regular expression, case ignored) -> what to write instead.
PHRASES = {
    r"contents": "item, items",
    r"strangers?": "a visitor that the model does not know",
    r"people": "user, visitor, reader",
    r"(?:is|are|was|were) no [a-z]+": "is not a ...",
    r"is none of": "must be one of ...",
    rf"(?:a|an|one) (?:{_THINGS}|event|example|kill|request|table) an? (?:{_THINGS})": "one ... per ...",
    r"not to be told": "no significant difference",
    r"to be had": "available",
    r"anew": "again",
    r"likewise": "say it, in a sentence",
    r"meanwhile": "in the meantime; or name the time",
    r"whether there (?:be|is|are)": "if there is",
    r"(?:of|to|from) whom": "whose, or who",
    r"stands?(?= (?:in|on|at|under|beside|for itself|there|next|first|last|behind|where|once))": "is",
    r"holds(?! (?:out|back|the lock|a lock|its lock|the lease|a lease))": "contains",
    r"(?:lies|lie (?:in|on|at|under|beside|there))": "is in, is on, is next to",
    r"beside": "next to",
    r"gives?(?= (?:back|the|a|an|its|what|each|how|no|it))": "returns, is",
    r"says": "reports, states",
    r"made of": "from, consists of",
    r"gone on with|go(?:es|ing)? on with": "continue, resume",
    r"begun anew|over again": "again",
    r"aloud": "with an error",
}
_PATTERNS = {re.compile(rf"\b{phrase}\b", re.IGNORECASE): instead for phrase, instead in PHRASES.items()}

# First words of a docstring that no docstring has, and of those of functions, which begin with an imperative verb.
_NEVER = {"what", "which", "how", "why", "whether", "of", "gives", "takes", "where", "whose"}
_NO_VERBS = "a an the one all each every its this that these it none true false".split()  # noqa: SIM905
_VERBS_IN_S = "access address compress cross discuss dismiss express focus guess pass press process".split()  # noqa: SIM905


class Finding(NamedTuple):
    """A phrase in a file, and what to write instead."""

    path: Path
    line: int
    phrase: str
    instead: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.phrase!r}: {self.instead}"


def findings(path: Path) -> Iterator[Finding]:
    """Yield what is wrong in one file, in the order of its lines."""
    source = path.read_text(encoding="utf-8")
    prose = _prose_of_python(source) if path.suffix == ".py" else enumerate(source.splitlines(), 1)
    lines = source.splitlines()
    for line, text in prose:
        if lines[line - 1].endswith("words: ok"):
            continue
        for pattern, instead in _PATTERNS.items():
            for match in pattern.finditer(text):
                yield Finding(path, line, match[0], instead)
    if path.suffix == ".py":
        yield from _docstrings(path, source)


def _prose_of_python(source: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of comments and strings, each with its number."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.COMMENT, tokenize.STRING):
            for offset, text in enumerate(token.string.splitlines()):
                yield token.start[0] + offset, text


def _docstrings(path: Path, source: str) -> Iterator[Finding]:
    """Yield the docstrings that begin with a wrong word."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node)
        if not text:
            continue
        first = re.match(r"\W*([\w'-]*)", text)[1]
        line = node.body[0].lineno
        if first.lower() in _NEVER:
            yield Finding(path, line, first, "begin with an imperative verb (Return, Split, Raise) or the thing's name")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _may_begin(first, node):
            yield Finding(path, line, first, "begin with an imperative verb: Return, Split, Raise, Read")


def _may_begin(first: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Return True for an imperative verb; a property, a fixture and a test may begin with any word."""
    names = [
        getattr(d, "attr", getattr(d, "id", getattr(getattr(d, "func", d), "attr", ""))) for d in node.decorator_list
    ]
    if node.name.startswith("test_") or {"property", "cached_property", "fixture"} & set(names):
        return True
    word = first.lower()
    return word not in _NO_VERBS and (not word.endswith("s") or word in _VERBS_IN_S) and not word.endswith("ing")


def sources(names: Sequence[str] = ()) -> list[Path]:
    """Return the files that are read, of some files and folders or of the project; without git, all there are."""
    command = ["git", "ls-files", "-z", "--", *names]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [path for name in names or ["."] for path in (ROOT / name).rglob("*") if not _is_output(path)]
    return [
        path
        for path in paths
        if path.suffix in TEXT and path not in LEFT_OUT and path.is_file() and path.parent.name != "results"
    ]


def _is_output(path: Path) -> bool:
    """Return True for what .gitignore leaves out."""
    first, *others = path.relative_to(ROOT).parts
    return first in ("build", "data", "dist") or (first.startswith(".") and bool(others))


def main(arguments: Sequence[str]) -> int:
    """Print the findings; return 1 where there are some."""
    found = [each for path in sources(arguments) for each in findings(path)]
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
