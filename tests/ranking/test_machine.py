"""The memory of the machine, or of a container that has less."""

import io
import os

import pytest

from ranking import machine

ALL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
NEW, OLD = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, ALL),
        ({NEW: "max\n"}, ALL),
        ({NEW: "1000000\n"}, 1_000_000),
        ({OLD: "2000000\n"}, 2_000_000),
        ({NEW: "3000000\n", OLD: "2000000\n"}, 2_000_000),
        ({OLD: f"{1 << 62}\n"}, ALL),  # no limit, by the older system
    ],
)
def test_the_memory_is_the_least_of_the_machine_s_and_its_container_s(monkeypatch, files, expected):
    def open_one(path, **_):
        if path not in files:
            raise FileNotFoundError(path)
        return io.StringIO(files[path])

    monkeypatch.setattr(machine, "open", open_one, raising=False)
    assert machine.memory() == expected
