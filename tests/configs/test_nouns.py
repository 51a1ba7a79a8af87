"""Numbers of things in messages."""

import pytest

from configs.nouns import counted


@pytest.mark.parametrize(("number", "expected"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")])
def test_only_one_is_singular(number, expected):
    assert counted(number, "file") == expected
