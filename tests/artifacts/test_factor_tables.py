"""Factor tables: shards by remainder, and what is refused."""

import numpy as np
import pytest

from artifacts import checksums, factor_tables, storage
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError


@pytest.mark.parametrize(("rows", "shards"), [(7, 3), (3, 3), (2, 3), (1, 1), (20, 4)])
def test_a_table_comes_back_from_any_number_of_shards(tmp_path, rows, shards):
    table = np.random.default_rng(rows).standard_normal((rows, 5)).astype(np.float32)
    prefix = str(tmp_path / "t")
    factor_tables.write_table(prefix, table, shards)
    assert factor_tables.count_shards(prefix) == shards
    assert np.array_equal(np.load(f"{prefix}-00000-of-0000{shards}.npy"), table[::shards])
    assert np.array_equal(factor_tables.read_table(prefix), table)
    assert np.array_equal(factor_tables.read_table(prefix, shards, rows), table)
    for shard in range(shards):
        part = table[shard::shards]
        blocks = list(factor_tables.read_blocks(prefix, shard, shards, len(part), 2))
        assert [len(block) for block in blocks] == [len(part[at : at + 2]) for at in range(0, len(part), 2)]
        if len(part):
            assert np.array_equal(np.concatenate(blocks), part)
            assert np.array_equal(factor_tables.read_shard(prefix, shard, shards, len(part)), part)


def test_several_processes_write_the_shards_of_their_own_rows(tmp_path):
    table = np.arange(22, dtype=np.float32).reshape(11, 2)
    for rank in range(2):
        factor_tables.write_table(str(tmp_path / "t"), table[rank::2], 4, rank, 2)
    assert np.array_equal(factor_tables.read_table(str(tmp_path / "t")), table)


def test_what_is_not_the_table_is_refused(tmp_path):
    prefix = str(tmp_path / "t")
    with pytest.raises(UserError, match=r"no factors at .*t-\*"):
        factor_tables.read_table(prefix)
    factor_tables.write_table(prefix, np.ones((7, 2)), 3)
    with pytest.raises(UserError, match="not 4 rows of float32"):
        factor_tables.read_table(prefix, 3, 10)
    shard = tmp_path / "t-00001-of-00003.npy"
    whole = shard.read_bytes()
    for data, problem in (
        (whole[:-1], "ends early"),
        (whole[:5], "is damaged|cannot be read"),
        (whole[:-4] + np.float32(np.nan).tobytes(), "must be finite"),
    ):
        shard.write_bytes(data)
        with pytest.raises(UserError, match=problem):
            factor_tables.read_table(prefix)
    shard.unlink()
    with pytest.raises(UserError, match="some of the 3 shards are missing"):
        factor_tables.read_table(prefix)


def test_an_array_is_checked_by_its_checksum(tmp_path):
    path = str(tmp_path / "a.npy")
    for array in (np.arange(5.0), np.zeros((0, 3), np.float32), np.asfortranarray(np.eye(3))):
        checksum = factor_tables.write_array(path, array)
        assert checksum == checksums.crc32c(storage.read_bytes(path))
        assert np.array_equal(factor_tables.read_array(path, checksum), array)
    with pytest.raises(UserError, match="its checksum does not match"):
        factor_tables.read_array(path, checksum + 1)
    np.save(path, np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match="missing or damaged"):
        factor_tables.read_array(path)


def related() -> SparseRows:
    indptr, indices = np.array([0, 2, 2, 3]), np.array([1, 2, 0], np.int32)
    return SparseRows(np.arange(3), indptr, indices, np.array([0.5, 0.25, 1], np.float32))


def test_related_items_come_back(tmp_path):
    factor_tables.write_related(str(tmp_path / "r"), related())
    read = factor_tables.read_related(str(tmp_path / "r"), 3)
    for name in ("keys", "indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(read, name), getattr(related(), name))


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("indptr", [0, 2, 2]),
        ("indptr", [0, 2, 1, 3]),
        ("indptr", [1, 2, 2, 3]),
        ("indptr", [0, 2, 2, 4]),
        ("indices", [2, 1, 0]),
        ("indices", [1, 1, 0]),
        ("indices", [1, 3, 0]),
        ("indices", [-1, 2, 0]),
        ("values", [0.5, np.nan, 1]),
        ("values", [0.5, 0, 1]),
        ("values", [0.5, 1]),
    ],
)
def test_damaged_related_items_are_refused(tmp_path, name, array):
    factor_tables.write_related(str(tmp_path / "r"), related())
    kind = {"indptr": np.int64, "indices": np.int32, "values": np.float32}[name]
    np.save(tmp_path / f"r-{name}.npy", np.array(array, kind))
    with pytest.raises(UserError, match="are not the related items of 3 items; train again"):
        factor_tables.read_related(str(tmp_path / "r"), 3)
    (tmp_path / f"r-{name}.npy").unlink()
    with pytest.raises(UserError, match=f"r-{name}.npy is missing"):
        factor_tables.read_related(str(tmp_path / "r"), 3)
