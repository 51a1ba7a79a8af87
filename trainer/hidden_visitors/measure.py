"""A training without a share of the visitors, and how well these are answered by their attributes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from artifacts.features import feature_rows
from artifacts.manifests import DatasetManifest, FieldFeatures, ModelManifest
from artifacts.names import USER
from artifacts.paths import Dataset
from artifacts.sparse_rows import SparseRows
from configs.errors import UserError
from configs.settings import EvaluationSettings
from ranking import popularity
from ranking.attributes import prior as priors
from ranking.attributes import segments as of_segments
from ranking.fold_in import Projection
from ranking.topk import top_k
from trainer.als.collectives import Cluster
from trainer.als.loop import fit
from trainer.attributes import ridge
from trainer.evaluation.intervals import Cells, Intervals
from trainer.evaluation.metrics import Sums, Users
from trainer.hidden_visitors import baselines
from trainer.inputs.dataset_rows import DatasetInfo, read_info
from trainer.inputs.hashing import hashes
from trainer.job import assembly

ATTRIBUTES, POPULAR, VIEWS, BOTH = "attributes", "popularity", "views alone", "attributes and views"
METRICS = ("recall", "ndcg")


@dataclass
class NewVisitorsEvaluation:
    """The result: cells are recall and NDCG at each K with their intervals."""

    share: float  # of the visitors that were hidden
    visitors: int  # hidden
    pairs: int  # of hidden visitors and items
    systems: dict[str, Cells]  # by system, of visitors without views
    over_popularity: dict[str, Cells]  # each system minus popularity, paired by visitor
    after_one_view: dict[str, Cells]  # of visitors with one known view, by system
    gain_after_one_view: Cells  # attributes and views minus views alone, paired by visitor

    def as_json(self) -> dict[str, Any]:
        """Return the content of `new_visitors` in --output_json."""
        return asdict(self)


def measure(dataset_dir: str, model: ModelManifest, settings: EvaluationSettings) -> NewVisitorsEvaluation:
    """Train as the model was trained, without the visitors that are hidden, and measure.

    Raise UserError if the dataset has no features of visitors, or too few visitors are left on either side.
    """
    info, manifest = read_info(dataset_dir), DatasetManifest.read(Dataset(dataset_dir).manifest)
    known, account = feature_rows.read_known(info.root, USER), manifest.user_features
    if known is None or account is None:
        raise UserError(
            f"evaluation.new_visitors: {dataset_dir} has no features of visitors; set user_features and make it again"
        )
    rows = SparseRows.stacked(list(info.row_files(Dataset(info.root).items_for_user)), info.users)
    numbers = np.arange(info.users)
    drawn = hashes(settings.seed, np.zeros_like(numbers), numbers) < settings.new_visitors
    hidden = drawn & known.has_some & (rows.lengths > 0)
    if not hidden.any() or not (known.has_some & ~hidden & (rows.lengths > 0)).any():
        raise UserError(f"evaluation.new_visitors: of the visitors, {hidden.sum()} are hidden; choose another share")
    categories = [field for field in account.fields if field.kind == "category"]
    return _Measurement(info, model, settings, rows, hidden).result(known, categories)


class _Measurement:
    """A training on the visitors that are not hidden, and the lists of the others."""

    def __init__(
        self,
        info: DatasetInfo,
        model: ModelManifest,
        settings: EvaluationSettings,
        rows: SparseRows,
        hidden: np.ndarray,
    ):
        self._settings, self._items, self._ks = settings, info.items, sorted(set(settings.k))
        self._penalty, self._row_weight = model.cold_start.user_attributes_penalty, model.settings.row_weights or 0
        self._train = rows.keep(~np.repeat(hidden, rows.lengths))
        self._hidden, self._truth = np.flatnonzero(hidden), rows.take(np.flatnonzero(hidden))
        blocks, sizes = [[self._train], [self._train.transpose(info.items)]], (info.users, info.items)
        self._state = assembly.assemble(model.settings, Dataset(info.root), blocks, sizes, Cluster())
        fit(self._state, model.settings.max_sweeps, model.settings.tolerance)

    def result(self, known: feature_rows.Features, categories: list[FieldFeatures]) -> NewVisitorsEvaluation:
        """Return the metrics of all systems."""
        users, items = self._state.rows.table, self._state.cols.table
        shown = known.has_some & (self._train.lengths > 0)
        matrix, nothing = known.matrix(), SparseRows.empty(len(self._hidden))
        prior = ridge.fit(matrix[shown], users[shown], self._penalty).factors(matrix[self._hidden])
        lists = {ATTRIBUTES: top_k(prior, items, nothing, self._ks[-1]).indices, POPULAR: self._popular()}
        lists |= {f"popularity by {field.name}": self._of_segments(known, field) for field in categories}
        sums = {name: self._sums(some, self._truth) for name, some in lists.items()}
        intervals = self._intervals(sums[POPULAR])
        others = {name: intervals.differences(own, sums[POPULAR]) for name, own in sums.items() if name != POPULAR}
        after, gain = self._after_one_view(prior)
        return NewVisitorsEvaluation(
            share=self._settings.new_visitors,
            visitors=len(self._hidden),
            pairs=self._truth.entries,
            systems={name: _kept(intervals.of(own)) for name, own in sums.items()},
            over_popularity={name: _kept(cells) for name, cells in others.items()},
            after_one_view=after,
            gain_after_one_view=gain,
        )

    def _popular(self) -> np.ndarray:
        return self._first(self._total.astype(np.float32), len(self._hidden))

    @property
    def _total(self) -> np.ndarray:
        return np.bincount(self._train.indices, minlength=self._items)

    def _first(self, values: np.ndarray, rows: int) -> np.ndarray:
        return popularity.first_k(popularity.order(values), values, SparseRows.empty(rows), self._ks[-1]).indices

    def _of_segments(self, known: feature_rows.Features, field: FieldFeatures) -> np.ndarray:
        """Return the lists of hidden visitors by the popularity in their segment."""
        of_visitors, visitors = baselines.segments(known, field), int((self._train.lengths > 0).sum())
        own = of_visitors[self._hidden]
        lists = np.empty((len(own), self._ks[-1]), np.int64)
        for segment in np.unique(own).tolist():
            values = of_segments.scores(self._train, of_visitors == segment, self._total, visitors)
            lists[own == segment] = self._first(values, 1)
        return lists

    def _after_one_view(self, prior: np.ndarray) -> tuple[dict[str, Cells], Cells]:
        """Return the metrics where one item of each hidden visitor is known, and what attributes add then."""
        chosen = np.flatnonzero(self._truth.lengths > 1)
        if not len(chosen):
            return {}, {}
        rows = self._truth.take(chosen)
        draws = hashes(self._settings.seed, np.repeat(rows.keys, rows.lengths), rows.indices)
        owners = np.repeat(np.arange(len(rows)), rows.lengths)
        given = np.zeros(rows.entries, bool)
        given[np.lexsort((draws, owners))[rows.indptr[:-1]]] = True
        seen, truth = rows.keep(given), rows.keep(~given)
        state = self._state
        projection = Projection(state.cols.table, state.cols.weights, state.objective)
        weights = np.full(len(seen), self._row_weight, np.float32)
        factors = {
            VIEWS: projection.solve(seen, weights),
            BOTH: priors.fold_in(prior[chosen], projection, seen, weights),
        }
        sums = {
            name: self._sums(top_k(own, state.cols.table, seen.left_out(), self._ks[-1]).indices, truth)
            for name, own in factors.items()
        }
        intervals = self._intervals(sums[VIEWS])
        cells = {name: _kept(intervals.of(own)) for name, own in sums.items()}
        return cells, _kept(intervals.differences(sums[BOTH], sums[VIEWS]))

    def _sums(self, lists: np.ndarray, truth: SparseRows) -> Sums:
        sums = Sums(self._ks, np.zeros(self._items), len(truth))
        nothing = np.zeros(len(truth), np.int64)
        sums.add(lists, truth, Users.of(truth.keys, nothing, 0, len(truth), self._settings.seed))
        return sums

    def _intervals(self, sums: Sums) -> Intervals:
        settings = self._settings
        return Intervals(len(sums.counts), settings.resamples, settings.confidence, settings.seed)


def _kept(cells: Cells) -> Cells:
    return {name: cell for name, cell in cells.items() if name.startswith(METRICS)}
