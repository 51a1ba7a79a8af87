"""A warm start: factors carried over by id, new ids projected, and what makes a start cold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from artifacts import factor_tables
from artifacts.checksums import digest_of
from artifacts.manifests import CarriedOver, StartAccount
from artifacts.paths import Model
from configs import cli
from configs.settings import ColdStartSettings, RatingSettings, TrainingSettings
from tests.support.datasets import write_dataset
from tests.support.oracles import DenseWals
from trainer import task
from trainer.als.collectives import Cluster
from trainer.inputs import dataset_rows
from trainer.job import assembly, training_job, warm_start

N, M, K, LAMBDA = 60, 40, 5, 0.3
SETTINGS = {"embedding_dimension": K, "max_sweeps": 18, "regularization_coeff": LAMBDA, "unobserved_weight": 0.1}
SETTINGS |= {"frequency_exponent": 0.0, "col_weights_exponent": 0.0}

pytestmark = pytest.mark.usefixtures("without_graphs")


def window(first_user: int, first_item: int, seed: int = 0) -> tuple[sp.csr_matrix, list[bytes], list[bytes]]:
    """Return the users and items first .. first + N (M) of an endless site of four tastes, with their ids."""
    rng = np.random.default_rng(7)
    everyone, everything = 2 * N, 2 * M
    likes = (np.arange(everyone)[:, None] % 4) == (np.arange(everything)[None] % 4)
    seen = rng.random((everyone, everything)) < np.where(likes, 0.6, 0.08)
    whole = np.where(seen, 0.3 + rng.random((everyone, everything)), 0).astype(np.float32)
    part = whole[first_user : first_user + N, first_item : first_item + M]
    order = np.random.default_rng(seed).permutation(N), np.random.default_rng(seed + 1).permutation(M)
    users = [b"v%d" % (first_user + index) for index in order[0]]
    items = [b"c%d" % (first_item + index) for index in order[1]]
    return sp.csr_matrix(part[order[0]][:, order[1]]), users, items


@pytest.fixture(scope="module")
def yesterday(tmp_path_factory) -> tuple[Path, list[bytes], list[bytes]]:
    root = tmp_path_factory.mktemp("yesterday")
    matrix, users, items = window(0, 0)
    dataset = write_dataset(root / "dataset", matrix, users, items)
    training_job.train(TrainingSettings(**SETTINGS), dataset, str(root / "model"), replace=False)
    return root / "model", users, items


@pytest.fixture(scope="module")
def today(tmp_path_factory) -> tuple[str, sp.csr_matrix, list[bytes], list[bytes]]:
    matrix, users, items = window(4, 3, seed=5)
    return write_dataset(tmp_path_factory.mktemp("today") / "dataset", matrix, users, items), matrix, users, items


def settings(model: Path | str, **more) -> TrainingSettings:
    return TrainingSettings(**SETTINGS | {"warm_start": str(model)} | more)


def test_factors_stay_with_their_ids_and_new_ids_are_projected(yesterday, today):
    model, old_users, old_items = yesterday
    root, matrix, users, items = today
    chosen = settings(model)
    info = dataset_rows.read_info(root)
    blocks = assembly.read_blocks(chosen, info, Cluster())
    state = assembly.assemble(chosen, warm_start.Dataset(root), blocks, (info.users, info.items), Cluster())
    account = warm_start.carry_over(
        warm_start.choose(chosen, "elsewhere", info.rating, info.items), state, warm_start.Dataset(root)
    )
    assert account.users == CarriedOver(carried_over=N - 4, projected=4)
    assert account.items == CarriedOver(carried_over=M - 3, projected=3)
    before = (
        factor_tables.read_table(Model(str(model)).user_factors),
        factor_tables.read_table(Model(str(model)).item_factors),
    )
    old = window(0, 0)[0]
    few = np.diff(old.indptr) <= ColdStartSettings().min_ratings  # the model answers these by their projections
    assert 0 < few.sum() < N
    was = DenseWals(old.toarray() != 0, old.toarray(), np.ones(N), np.ones(M), 0.1, LAMBDA)
    before[0][few] = was.solve_rows(before[1])[few]
    for table, ids, old_ids, old_table in (
        (state.rows.table, users, old_users, before[0]),
        (state.cols.table, items, old_items, before[1]),
    ):
        for index, own in enumerate(ids):
            if own in old_ids:
                np.testing.assert_allclose(table[index], old_table[old_ids.index(own)], rtol=1e-3, atol=1e-5)
    # A new item: the solution for the users that remain; a new user: for all items, new ones included.
    dense = matrix.toarray()
    oracle = DenseWals(dense != 0, dense, np.ones(N), np.ones(M), 0.1, LAMBDA)
    known = np.where(np.isin(users, old_users)[:, None], state.rows.table, 0)
    new_items, new_users = ~np.isin(items, old_items), ~np.isin(users, old_users)
    np.testing.assert_allclose(state.cols.table[new_items], oracle.solve_cols(known)[new_items], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        state.rows.table[new_users], oracle.solve_rows(state.cols.table)[new_users], rtol=1e-3, atol=1e-5
    )


def test_a_third_of_the_passes_reaches_the_loss_of_a_cold_start(yesterday, today, tmp_path):
    root = today[0]
    cold = training_job.train(TrainingSettings(**SETTINGS), root, str(tmp_path / "cold"), replace=False)
    warmed = training_job.train(settings(yesterday[0]), root, str(tmp_path / "warm"), replace=False)
    assert len(cold.history) == 18 and len(warmed.history) == 6
    assert warmed.history[-1].loss <= cold.history[-1].loss
    content = json.loads((yesterday[0] / "manifest.json").read_text())
    assert warmed.start.digest == digest_of(content)
    assert cold.start == StartAccount()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"embedding_dimension": 4}, "was trained with embedding_dimension 5, now 4"),
        ({"regularization_coeff": 0.5}, "was trained with regularization_coeff 0.3, now 0.5"),
        ({"warm_start": "nowhere"}, "nowhere is not a finished model"),
    ],
)
def test_another_objective_or_no_model_is_a_cold_start_and_says_so(yesterday, today, tmp_path, capsys, change, said):
    manifest = training_job.train(
        settings(yesterday[0], **{"max_sweeps": 2} | change), today[0], str(tmp_path / "m"), False
    )
    assert said in manifest.start.cold and len(manifest.history) == 2
    assert f"cold start: {manifest.start.cold}" in capsys.readouterr().out


def test_ratings_made_by_another_rule_are_a_cold_start(yesterday, tmp_path):
    content = json.loads((yesterday[0] / "manifest.json").read_text())
    content["dataset"]["rating"] = RatingSettings(kind="median", cap=1.0).model_dump(mode="json")
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    same, kind, cap = (
        warm_start.choose(settings(tmp_path), "elsewhere", RatingSettings(**rating), M)
        for rating in ({"kind": "median", "cap": 1.0}, {"kind": "log", "cap": 1.0}, {"kind": "median", "cap": 2.0})
    )
    assert same.digest and kind.cold.endswith("was trained with rating.kind median, now log")
    assert cap.cold.endswith("was trained with rating.cap 1.0, now 2.0")


@pytest.mark.parametrize(
    ("k", "items", "said"), [(128, 10_000, ""), (128, 10_001, "128, now 256"), (256, 9, "256, now 128")]
)
def test_an_automatic_k_that_grew_is_a_cold_start(yesterday, tmp_path, k, items, said):
    content = json.loads((yesterday[0] / "manifest.json").read_text()) | {"embedding_dimension": k}
    content["settings"]["embedding_dimension"] = "auto"
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    rating = RatingSettings(**content["dataset"]["rating"])
    start = warm_start.choose(settings(tmp_path, embedding_dimension="auto"), "elsewhere", rating, items)
    assert (start.cold or "").endswith(said) and bool(start.digest) == (not said)


def test_the_new_model_does_not_take_the_place_it_starts_from(yesterday, today, tmp_path, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(json.dumps({"training": SETTINGS}))
    flags = ["--config", str(config), "--dataset_dir", today[0], "--replace"]
    places = ["--model_dir", str(yesterday[0]), "--warm_start", f"{yesterday[0]}/"]
    assert cli.run(task.main, [*flags, *places]) == 2
    assert "the directory of the new model; name another model_dir" in capsys.readouterr().err


def test_a_damaged_model_is_named(yesterday, today, tmp_path):
    root = tmp_path / "model"
    (root / "saved_model" / "assets").mkdir(parents=True)
    (root / "manifest.json").write_bytes((yesterday[0] / "manifest.json").read_bytes())
    (root / "saved_model" / "assets" / "vocab_users").write_bytes(b"a\n")
    with pytest.raises(cli.UserError, match=r"saved_model is damaged .* leave training.warm_start out"):
        training_job.train(settings(root), today[0], str(tmp_path / "new"), False)
