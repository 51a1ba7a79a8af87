"""Vocabularies: ids byte for byte, read whole or a part at a time."""

import random

import pytest

from artifacts.vocabulary import Vocabulary, iterate_ids
from configs.errors import UserError

IDS = [b"c ", b" c", b"\xff\xfe", b"tab\t", b"a\rb", b"last"]


def test_ids_come_back_byte_for_byte(tmp_path):
    path = str(tmp_path / "vocab")
    (tmp_path / "vocab").write_bytes(b"".join(name + b"\n" for name in IDS))
    read = Vocabulary.read(path, size=len(IDS))
    assert read.ids == list(read) == IDS and len(read) == 6 and read[2] == b"\xff\xfe"
    assert [read.index(name) for name in (b"last", b"c", b"c ")] == [5, None, 0]
    assert read.indices_of([b"c", b"tab\t"]).tolist() == [-1, 3]
    assert read.texts()[2] == "\ufffd\ufffd"
    with pytest.raises(UserError, match=r"vocab has 6 ids where the dataset has 7"):
        Vocabulary.read(path, size=7)
    with pytest.raises(UserError, match=r"none does not exist"):
        Vocabulary.read(str(tmp_path / "none"))


@pytest.mark.parametrize("seed", range(20))
def test_every_part_is_a_slice_of_the_whole(tmp_path, seed):
    rng = random.Random(seed)
    ids = [rng.randbytes(rng.randrange(1, 9)).replace(b"\n", b"x") for _ in range(rng.randrange(0, 50))]
    (tmp_path / "vocab").write_bytes(b"\n".join(ids) + (b"\n" if ids and rng.random() < 0.5 else b""))
    first, step, block = rng.randrange(0, 9), rng.randrange(1, 9), rng.randrange(1, 40)
    read = iterate_ids(str(tmp_path / "vocab"), first, step, block_bytes=block)
    assert list(read) == ids[first::step]
