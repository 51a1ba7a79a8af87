"""Machine code of the Numba kernels, kept between runs of the tests: in a new clone it takes minutes to compile.

Numba keeps it in `__pycache__`, next to a source that it knows by a hash. So the files of another clone are valid if
every source that a kernel may depend on is the same: those that use Numba, and the modules that they import. A clone in
which kernels were compiled already is left as it is, and nothing of it is kept: Numba does not notice a change in
another module than the kernel's own.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROOMS = ("artifacts", "pipeline", "ranking", "trainer")
_KEPT = 3  # states of the sources


class KernelCache:
    """The kernels of a clone: `restore` before a run, `keep` after it."""

    def __init__(self, root: Path = ROOT, cache: Path | None = None):
        self._root = root
        self._cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wals-kernels"
        self._restored = -1  # how many files; of a clone that has its own, none are kept

    def restore(self) -> None:
        """Copy into a new clone what an earlier run compiled from the same sources."""
        if self._compiled():
            return
        with contextlib.suppress(OSError, tarfile.TarError), tarfile.open(self._archive()) as archive:
            archive.extractall(self._root, filter="data")
        self._restored = len(self._compiled())

    def keep(self) -> None:
        """Keep what a new clone has compiled; if the disk has no room, the next run compiles."""
        compiled = self._compiled()
        if not 0 <= self._restored < len(compiled):
            return
        archive = self._archive()
        partial = archive.with_name(f"{archive.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            archive.parent.mkdir(parents=True, exist_ok=True)
            with tarfile.open(partial, "w") as kept:
                for path in compiled:
                    kept.add(path, str(path.relative_to(self._root)))
            partial.replace(archive)
            for old in sorted(archive.parent.glob("*.tar"), key=os.path.getmtime)[:-_KEPT]:
                old.unlink()
        partial.unlink(missing_ok=True)

    def _compiled(self) -> list[Path]:
        return sorted(path for room in _ROOMS for path in (self._root / room).rglob("__pycache__/*.nb[ic]"))

    def _archive(self) -> Path:
        digest = hashlib.sha256()
        for path in sorted(self._sources()):
            digest.update(f"{path.relative_to(self._root)}\n".encode() + path.read_bytes())
        return self._cache / f"{digest.hexdigest()[:16]}.tar"

    def _sources(self) -> set[Path]:
        texts = {
            path: path.read_text(encoding="utf-8") for room in _ROOMS for path in (self._root / room).rglob("*.py")
        }
        users = {path for path, text in texts.items() if "numba" in text or "kernels" in path.parts}
        return users | {path for user in users for path in self._imported(texts[user]) if path in texts}

    def _imported(self, text: str) -> Iterator[Path]:
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                module = self._root / node.module.replace(".", "/")
                yield from (module.with_suffix(".py"), module / "__init__.py")
                yield from (module / f"{alias.name}.py" for alias in node.names)
