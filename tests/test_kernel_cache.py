"""A new clone gets the kernels that an earlier one compiled, if no source is another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.kernel_cache import KernelCache

SOURCES = {
    "ranking/topk.py": "import numba\nfrom ranking import heap\nfrom artifacts.names import BEST",
    "ranking/heap.py": "WORST = 0",
    "artifacts/names.py": "BEST = 1",
    "trainer/task.py": "import ranking.topk",
}
KERNEL = "ranking/__pycache__/topk.nbi"


def clone(root: Path, **changes: str) -> Path:
    for name, text in (SOURCES | changes).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def compile_kernel(root: Path, text: str, name: str = KERNEL) -> None:
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text(text)


@pytest.fixture
def kept(tmp_path):
    """A cache of what a clone compiled."""
    first = KernelCache(clone(tmp_path / "first"), tmp_path / "cache")
    first.restore()
    compile_kernel(tmp_path / "first", "code")
    first.keep()
    return tmp_path / "cache"


def test_a_new_clone_of_the_same_sources_gets_the_kernels(tmp_path, kept):
    KernelCache(clone(tmp_path / "new", **{"trainer/task.py": "import ranking"}), kept).restore()
    assert (tmp_path / "new" / KERNEL).read_text() == "code"


@pytest.mark.parametrize("changed", ["ranking/topk.py", "ranking/heap.py", "artifacts/names.py"])
def test_a_change_on_which_a_kernel_may_depend_compiles_again(tmp_path, kept, changed):
    KernelCache(clone(tmp_path / "new", **{changed: SOURCES[changed] + "\n"}), kept).restore()
    assert not (tmp_path / "new" / KERNEL).exists()


def test_a_clone_that_has_kernels_is_left_as_it_is_and_nothing_of_it_is_kept(tmp_path, kept):
    other = KernelCache(clone(tmp_path / "other"), kept)
    compile_kernel(tmp_path / "other", "of an older state")
    other.restore()
    compile_kernel(tmp_path / "other", "more", "ranking/__pycache__/more.nbi")
    other.keep()
    assert (tmp_path / "other" / KERNEL).read_text() == "of an older state"
    KernelCache(clone(tmp_path / "new"), kept).restore()
    assert [path.name for path in (tmp_path / "new").rglob("*.nbi")] == ["topk.nbi"]


def test_what_a_later_run_compiles_is_kept_too_and_old_states_go(tmp_path, kept):
    later = KernelCache(clone(tmp_path / "later"), kept)
    later.restore()
    compile_kernel(tmp_path / "later", "more", "ranking/__pycache__/more.nbi")
    later.keep()
    KernelCache(clone(tmp_path / "new"), kept).restore()
    assert len([*(tmp_path / "new").rglob("*.nbi")]) == 2
    for number in range(4):
        state = KernelCache(clone(tmp_path / f"{number}", **{"ranking/heap.py": f"WORST = {number}"}), kept)
        state.restore()
        compile_kernel(tmp_path / f"{number}", "code")
        state.keep()
    assert len([*kept.iterdir()]) == 3


def test_a_damaged_cache_is_as_none(tmp_path, kept):
    (archive,) = kept.iterdir()
    archive.write_bytes(b"damaged")
    KernelCache(clone(tmp_path / "new"), kept).restore()
    assert not (tmp_path / "new" / KERNEL).exists()
