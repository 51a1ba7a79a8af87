"""The page of errors quotes lines that the code can print."""

import ast
import re

from tests.support.documents import ROOT

PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
ROOMS = ("artifacts", "configs", "nightly", "pipeline", "ranking", "report", "serving", "trainer")
GAP = "…"  # what is filled in at run time


def _texts(tree: ast.AST):
    """Yield the string literals of a module; of an f-string each filled-in part is a gap."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _printed() -> str:
    modules = (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    return "\n".join(text for path in modules for text in _texts(ast.parse(path.read_text(encoding="utf-8"))))


def test_each_quoted_error_is_one_of_the_code():
    quoted = re.findall(r"^### `(.+)`$", PAGE, flags=re.MULTILINE)
    assert len(quoted) > 20
    printed = re.sub(rf"{GAP}+", GAP, _printed())
    parts = [(error, part.strip(" ;:")) for error in quoted for part in error.split(GAP)]
    assert not [(error, part) for error, part in parts if part not in printed]
    long = [error for error, part in parts if len(part) > 20]
    assert set(long) >= {error for error in quoted if len(error) > 40}, "each has a part that is not a common word"
