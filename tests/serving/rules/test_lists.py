"""Files of ids that change while the server runs: what is half-written is not taken, and the log states so."""

from __future__ import annotations

import pytest

from configs.errors import UserError
from configs.settings import ServingSettings
from serving.rules.lists import ListFile, Lists


def test_a_change_is_taken_once_it_rests(tmp_path, caplog):
    path = tmp_path / "block.txt"
    path.write_text("a\nb\n")
    file = ListFile(str(path), "serving.block")
    assert file.ids == {b"a", b"b"} and file.refresh()
    path.write_text("a\nb\nc\n")
    assert not file.refresh() and file.ids == {b"a", b"b"}, "it may still be written"
    assert file.refresh() and file.ids == {b"a", b"b", b"c"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a\nb\nhalf", "its last line has no end"), ("", "has no ids"), (b"\xff\n", "is not UTF-8"), (None, "not exist")],
)
def test_a_half_written_file_leaves_the_list_as_it_is_and_states_so_once(tmp_path, caplog, text, reason):
    path = tmp_path / "block.txt"
    path.write_text("a\n")
    lists = Lists(ServingSettings(block=str(path)))
    if text is None:
        path.unlink()
    else:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert [lists.refresh() for _ in range(4)] == [1] * 4
    assert lists.ids == (None, frozenset({b"a"}))
    assert caplog.text.count(reason) == 1 and caplog.text.count("the list read before stays in use") == 1
    path.write_text("a\nb\nhalf-no-more\n")
    assert [lists.refresh() for _ in range(3)] == [1, 0, 0]
    assert lists.ids == (None, frozenset({b"a", b"b", b"half-no-more"}))


def test_a_list_that_is_half_written_at_the_start_stops_the_server(tmp_path):
    path = tmp_path / "allow.txt"
    path.write_text("a\nha")
    with pytest.raises(UserError, match=r"allow\.txt: its last line has no end, so it may be half-written"):
        Lists(ServingSettings(allow=str(path)))
    path.write_bytes("a\nb\n".encode("utf-16"))
    assert Lists(ServingSettings(allow=str(path))).ids == (frozenset({b"a", b"b"}), frozenset[bytes]())
