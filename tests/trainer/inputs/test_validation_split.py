"""The part of train that is held out to compare settings by, against plain Python."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings.search import ValidationSettings
from tests.support.datasets import write_dataset
from trainer.inputs import dataset_rows, validation_split

USERS, ITEMS = 1000, 40


def made(seed: int = 0) -> tuple[sp.csr_matrix, np.ndarray]:
    """Return ratings, and the day of each: most visitors come on a few days in a row; item 0 is new on the last day."""
    rng = np.random.default_rng(seed)
    matrix = sp.csr_matrix((rng.random((USERS, ITEMS)) < 0.2).astype(np.float32))
    days = 19_000 + rng.integers(0, 20, (USERS, 1)) + rng.integers(0, 4, (USERS, ITEMS))
    days[:, 0] = days.max()
    return matrix, days


def triples(rows: SparseRows, days: np.ndarray | None = None) -> set[tuple]:
    """Return (user, item) of each entry, and its day if there are days."""
    owner = np.repeat(rows.keys, rows.lengths).tolist()
    columns = [owner, rows.indices.tolist()] + ([] if days is None else [days.tolist()])
    return set(zip(*columns, strict=True))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.4])
def test_the_last_days_are_held_out_and_what_no_model_could_know_is_not_ranked(share):
    matrix, table = made()
    rows = SparseRows.from_matrix(matrix)
    days = table[matrix.nonzero()]
    parts = validation_split.by_time(rows, days, ValidationSettings(share=share))
    entries = triples(rows, days)
    later = {day: sum(when >= day for *_, when in entries) for day in range(19_000, 19_030)}
    cut = min(day for day, count in later.items() if 0 < count <= share * len(entries))
    before = {(user, item) for user, item, when in entries if when < cut}
    known, items = {user for user, _ in before}, {item for _, item in before}
    after = {(user, item) for user, item, when in entries if when >= cut and user in known and item in items}
    assert parts.cut == cut and triples(parts.train) == before and triples(parts.held_out) == after
    assert len(after) > 10 and not any(item == 0 for _, item in after)
    day = datetime.date(1970, 1, 1) + datetime.timedelta(cut)
    visitors = len({user for user, _ in after})
    assert str(parts) == f"validation: {len(after):,} items of {visitors:,} visitors, held out from {day} on"


def test_a_last_day_with_more_than_the_share_is_held_out_whole_and_only_so_many_visitors_are_scored():
    rows = SparseRows.from_matrix(sp.csr_matrix(np.ones((4, 5), np.float32)))
    days = np.array([1, 1, 1, 2, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2])
    parts = validation_split.by_time(rows, days, ValidationSettings(share=0.1, users=2))
    assert parts.train.entries == 16 and np.count_nonzero(parts.held_out.lengths) == 2
    everyone = validation_split.by_time(rows, days, ValidationSettings(share=0.1))
    assert triples(parts.held_out) < triples(everyone.held_out) == {(0, 3), (0, 4), (2, 0), (3, 4)}


@pytest.mark.parametrize(
    "days",
    [
        np.full(20, 7),  # one day
        np.tile([1, 1, 2, 2, 2], 4),  # most is of the last day
        np.tile([1, 1, 1, 1, 2], 4),  # the last day has new items alone
        np.repeat([1, 1, 1, 2], 5),  # and new visitors alone
    ],
)
def test_what_cannot_be_split_by_time(days):
    rows = SparseRows.from_matrix(sp.csr_matrix(np.ones((4, 5), np.float32)))
    assert validation_split.by_time(rows, days, ValidationSettings()) is None
    with pytest.raises(UserError, match=r"^validation.split is time, but too little is older"):
        validation_split.divide(rows, days, ValidationSettings(split="time"))


def test_the_split_is_by_time_where_that_leaves_enough_visitors():
    matrix, table = made()
    rows, days = SparseRows.from_matrix(matrix), table[matrix.nonzero()]
    spread = np.random.default_rng(1).permutation(days)
    random = triples(validation_split.split(rows, ValidationSettings()).held_out)

    def held_out(days: np.ndarray | None, split: str | None) -> set[tuple]:
        return triples(validation_split.divide(rows, days, ValidationSettings(split=split)).held_out)

    assert held_out(days, None) == random  # visitors come and go, so that few are on both sides
    assert held_out(days, "time") == triples(validation_split.by_time(rows, days, ValidationSettings()).held_out)
    assert held_out(spread, None) == held_out(spread, "time") != random == held_out(spread, "random")
    assert held_out(None, None) == random
    with pytest.raises(UserError, match=r"^validation.split is time, but the dataset has no times; set it to random"):
        held_out(None, "time")


def test_days_are_those_of_the_rows_of_all_files(tmp_path):
    matrix, table = made()
    root = write_dataset(tmp_path / "dataset", matrix, days=table, shards=3)
    info = dataset_rows.read_info(root)
    blocks = info.row_files(Dataset(root).items_for_user).load()
    days = dataset_rows.view_days(info, blocks)
    assert triples(SparseRows.stacked(blocks, USERS), days) == {
        (user, item, int(table[user, item])) for user, item in zip(*matrix.nonzero(), strict=True)
    }
    np.save(f"{Dataset(root).view_days}-00001-of-00003.npy", np.zeros(3, np.uint16))
    with pytest.raises(UserError, match=r"view_days-00001-of-00003.npy does not have a day for each entry"):
        dataset_rows.view_days(info, blocks)
    without = dataset_rows.read_info(write_dataset(tmp_path / "without", matrix, shards=3))
    assert dataset_rows.view_days(without, blocks) is None


def test_one_entry_of_each_visitors_last_day_is_held_out():
    matrix, days = made()
    matrix = sp.csr_matrix(np.where(np.arange(USERS)[:, None] % 50 == 0, np.eye(1, ITEMS), matrix.toarray()))
    rows = SparseRows.from_matrix(matrix)
    of_entries = days[np.repeat(np.arange(USERS), rows.lengths), rows.indices]
    found = validation_split.last_of_each(rows, of_entries, ValidationSettings(users=300))
    last = triples(rows) - triples(found.train)
    users = [user for user, _ in last]
    assert sorted(users) == [user for user in range(USERS) if matrix[[user]].nnz > 1]
    on_their_day = [(days[user, matrix[[user]].indices] == days[user, item]).sum() for user, item in last]
    assert all(days[user, item] == days[user, matrix[[user]].indices].max() for user, item in last)
    assert max(on_their_day) > 1, "some choose among items of a day"
    held = triples(found.held_out)
    assert held <= last and len(held) == 300
    everybody = validation_split.last_of_each(rows, of_entries, ValidationSettings(users=USERS)).held_out
    assert triples(everybody) == {(user, item) for user, item in last if item in set(found.train.indices.tolist())}
