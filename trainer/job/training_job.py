"""A training job: dataset directory -> model directory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from artifacts import publish
from artifacts.manifests import (
    AttributesAccount,
    HeldOutMetric,
    ModelManifest,
    NeighbourhoodAccount,
    SweepRecord,
    TrainedOn,
    VisitorsAccount,
)
from artifacts.paths import Dataset, Model
from artifacts.sparse_rows import SparseRows
from artifacts.storage import locks
from configs import cli
from configs.errors import UserError
from configs.nouns import counted
from configs.settings import ColdStartSettings, NeighbourhoodSettings, TrainingSettings
from ranking.neighbourhood import Neighbourhood
from trainer.als import regularization, tf_collectives
from trainer.als.collectives import Cluster
from trainer.als.loop import Factorization, fit
from trainer.inputs import dataset_rows
from trainer.inputs.dataset_rows import DatasetInfo
from trainer.job import assembly, attributes, model_directory, neighbourhood, visitors, warm_start
from trainer.job.checkpoints import Checkpoints
from trainer.job.early_stopping import HeldOutEntries
from trainer.job.preemption import Preemption
from trainer.job.tensorboard import Summaries


def train(
    settings: TrainingSettings,
    dataset_dir: str,
    model_dir: str,
    replace: bool,
    cold_start: ColdStartSettings = ColdStartSettings(),  # noqa: B008 - frozen
    catalogue: str | None = None,
    *,
    term: NeighbourhoodSettings = NeighbourhoodSettings(),  # noqa: B008 - frozen
    cluster: Cluster | None = None,
) -> ModelManifest:
    """Train on a dataset, write the model, its manifest last, and return the manifest.

    catalogue: a file with titles, for TensorBoard's projector. term: the item-item term of the scores. cluster: by
    default the processes that TF_CONFIG names.
    Raise UserError if the dataset, the model directory, a checkpoint or a weights file does not fit.
    """
    cluster, model_dir = cluster or tf_collectives.from_environment(), publish.target_of(model_dir)
    publish.refuse_wildcards(model_dir)
    if term.gamma == "auto" and cluster.size > 1:
        raise UserError("neighbourhood.gamma auto is chosen by one worker; choose it so, then set the number")
    with contextlib.ExitStack() as stack:
        # One run at a time; of several workers the chief has the lock.
        cluster.agree(lambda: stack.enter_context(locks.claim(model_dir)) if cluster.rank == 0 else None)
        stop = stack.enter_context(Preemption(at_once=cluster.size > 1))
        job = TrainingJob(settings, dataset_dir, Model(model_dir), cluster, term)
        job.make_ready(replace)
        with cli.progress("training", job.sweeps, "sweeps", quiet=cluster.rank > 0) as display:
            manifest = job.run(display, stop, cold_start, catalogue)
    if cluster.rank == 0:
        _print_summary(model_dir, manifest)
    return manifest


class TrainingJob:
    """One training. All processes of the cluster call the same methods in the same order."""

    def __init__(
        self,
        settings: TrainingSettings,
        dataset_dir: str,
        model: Model,
        cluster: Cluster,
        term: NeighbourhoodSettings,
    ):
        self._term = term
        self._settings, self._model, self._cluster, self._started = settings, model, cluster, time.time()
        self._info = cluster.agree(lambda: read_info(dataset_dir, cluster))
        rating, items = self._info.rating, self._info.items
        self._origin = cluster.agree(lambda: warm_start.choose(settings, model.root, rating, items))
        self._checkpoints = Checkpoints(model.checkpoints, self._identity())
        self.sweeps = warm_start.sweeps(self._origin, settings)  # unless a stop rule ends the training earlier

    def make_ready(self, replace: bool) -> None:
        """Check and clear the model's directory; see `model_directory.make_ready`."""
        self._by_chief(lambda: model_directory.make_ready(self._model, self._checkpoints, replace))

    def run(
        self, display: cli.ProgressBar, stop: Preemption, cold_start: ColdStartSettings, catalogue: str | None
    ) -> ModelManifest:
        """Train and write the model; return its manifest."""
        settings, model, info = self._settings, self._model, self._info
        state = self._assemble(display)
        held_out = self._cluster.agree(lambda: assembly.held_out_entries(settings, info, state))
        display.say(warm_start.describe(self._origin))
        start = warm_start.carry_over(self._origin, state, Dataset(info.root))
        resumed = self._resume(state, display)
        summaries = Summaries(model.logs, self._cluster.rank)
        from_attributes = attributes.start_from(cold_start, info, state)
        watch = _Watch(state, display, stop, self._checkpoints, summaries, held_out, from_attributes)
        stopped = fit(state, self.sweeps, settings.tolerance, watch.after_sweep, watch.after_pass)
        summaries.close()
        term, account = self._add_term(state, watch)
        display.say(regularization.describe(state))
        display.say(f"{stopped}; writing {model.root}")
        state.turn_back()
        learned = attributes.learn(cold_start, info, state)
        if learned:
            display.say(attributes.describe(learned.account))
        of_visitors = visitors.learn(cold_start, info, state)
        if of_visitors:
            display.say(visitors.describe(of_visitors.account))
        row_weight = float(settings.row_weights or 0)
        more = model_directory.Additions(term, learned, of_visitors)
        model_directory.write(model, info, state, cold_start, row_weight, catalogue, more=more)
        manifest = ModelManifest(
            **self._described(state),
            stopped=stopped,
            resumed_after_sweep=resumed,
            start=start,
            cold_start=cold_start,
            held_out=held_out and HeldOutMetric(metric=held_out.name, passes=held_out.values),
            neighbourhood=account,
            attributes=learned.account if learned else AttributesAccount(),
            visitors=of_visitors.account if of_visitors else VisitorsAccount(),
        )
        self._by_chief(lambda: model_directory.finish(model, manifest))
        return manifest

    def _add_term(self, state: Factorization, watch: _Watch) -> tuple[Neighbourhood | None, NeighbourhoodAccount]:
        """Make the item-item term, in the first process; return it and its part of the manifest."""
        if not self._term.gamma:
            return None, NeighbourhoodAccount(settings=self._term)

        def make() -> tuple[Neighbourhood | None, NeighbourhoodAccount]:
            if self._cluster.rank:
                return None, NeighbourhoodAccount(settings=self._term)
            info, blocks = self._info, state.row_blocks
            if self._cluster.size > 1:
                blocks = info.row_files(Dataset(info.root).items_for_user)
            rows = SparseRows.stacked(list(blocks), info.users)
            made = neighbourhood.of_dataset(self._term, self._settings, info, rows, watch.after_other_pass)
            watch.display.say(neighbourhood.describe(made[1]))
            return made

        return self._cluster.agree(make)

    def _assemble(self, display: cli.ProgressBar) -> Factorization:
        """Return the fit before its first sweep."""
        settings, info, cluster = self._settings, self._info, self._cluster
        users, items = counted(info.users, "user"), counted(info.items, "item")
        display.say(f"reading {counted(info.interactions, 'interaction')} of {users} and {items}")
        blocks = cluster.agree(lambda: assembly.read_blocks(settings, info, cluster))
        state = assembly.assemble(settings, Dataset(info.root), blocks, (info.users, info.items), cluster)
        assembly.check_complete(info, state)
        return state

    def _resume(self, state: Factorization, display: cli.ProgressBar) -> int:
        """Restore the newest checkpoint; return the number of its sweeps, 0 if there is none."""
        resumed = self._cluster.agree(lambda: self._checkpoints.restore(state, display.say))
        if resumed:
            display.say(f"continuing after sweep {resumed}, from {self._model.checkpoints}")
        devices = f", on {', '.join(state.solver.devices)}" if state.solver.devices else ""
        workers = f", {self._cluster.size} workers" if self._cluster.size > 1 else ""
        display.say(f"solver: {state.solver.describe(state.k)}{devices}{workers}")
        display.update(len(state.history))
        return resumed

    def _by_chief(self, action: Callable[[], None]) -> None:
        """Do something in the first process; a failure ends all processes."""
        self._cluster.agree(lambda: action() if self._cluster.rank == 0 else None)

    def _identity(self) -> dict[str, Any]:
        """Return what must be the same for a checkpoint to be continued."""
        info = self._info
        identity = {"dataset": info.fingerprint, "users": info.users, "items": info.items}
        return identity | self._settings.model_dump(mode="json") | {"started_from": self._origin.digest}

    def _described(self, state: Factorization) -> dict[str, Any]:
        """Return the manifest's fields on the dataset, the settings and the fit."""
        info, settings, dataset = self._info, self._settings, Dataset(self._info.root)
        return {
            "dataset": TrainedOn(
                root=info.root,
                fingerprint=info.fingerprint,
                rating=info.rating,
                median=info.manifest.median,
                last_view_ms=dataset_rows.last_view_ms(info),
            ),
            "settings": settings.model_copy(update={"regularization_coeff": state.objective.regularization_coeff}),
            "solver": state.solver.describe(state.k),
            "users": info.users,
            "items": info.items,
            "interactions": info.interactions,
            "embedding_dimension": state.k,
            "user_factor_shards": len(info.shards(dataset.items_for_user)),
            "item_factor_shards": len(info.shards(dataset.users_for_item)),
            "seconds": round(time.time() - self._started, 3),
            "history": state.history,
        }


@dataclass(frozen=True)
class _Watch:
    """The work after each sweep: lines, summaries, checkpoints, early stopping, and the end on SIGTERM."""

    state: Factorization
    display: cli.ProgressBar
    stop: Preemption
    checkpoints: Checkpoints
    summaries: Summaries
    held_out: HeldOutEntries | None
    from_attributes: Callable[[], None]  # items start from their attributes, see `attributes.start_from`

    def after_sweep(self, sweep: SweepRecord) -> None:
        """Report a sweep."""
        self.display.say(_describe(sweep))
        self.display.update(sweep.sweep)
        self.summaries.write(sweep, self.state)
        if self.stop.told and sweep.sweep % 2:  # within a pass; at its end `after_pass` saves the checkpoint
            self.checkpoints.save(self.state)
            self._leave()

    def after_pass(self, state: Factorization) -> str | None:
        """Save a checkpoint; return the reason to stop, or None."""
        reason = None
        self.from_attributes()
        if self.held_out:
            reason = self.held_out.after_pass(state)
            self.display.say(f"{self.held_out.name} on held-out entries: {self.held_out.values[-1]:.4f}")
        self.checkpoints.save(state)
        if self.stop.told:
            self._leave()
        return reason

    def after_other_pass(self, state: Factorization) -> str | None:
        """End on SIGTERM after a pass of another fit: the checkpoint of the model is complete by then."""
        if self.stop.told:
            self._leave()
        return None

    def _leave(self) -> None:
        sweeps = len(self.state.history)
        self.display.say(f"SIGTERM: stopped after sweep {sweeps}; the same command continues from there")
        self.stop.leave()


def _describe(sweep: SweepRecord) -> str:
    """Return one line about a sweep."""
    side = "users" if sweep.sweep % 2 else "items"
    return f"sweep {sweep.sweep} ({side}): loss {sweep.loss:.6g}, RWSE {sweep.rwse:.6g}, {sweep.seconds:.2f} s"


def _print_summary(model_dir: str, manifest: ModelManifest) -> None:
    """Print the size of the model and why the training ended; each sweep has its line already."""
    Console().print(
        f"model in {model_dir}: {counted(manifest.users, 'user')}, {counted(manifest.items, 'item')}, "
        f"{counted(manifest.interactions, 'interaction')}, {counted(manifest.embedding_dimension, 'dimension')}, "
        f"{manifest.seconds:.1f} s; stopped: {manifest.stopped}",
        highlight=False,
        soft_wrap=True,
    )


def read_info(dataset_dir: str, cluster: Cluster) -> DatasetInfo:
    """Read the dataset's manifest; raise UserError if several workers cannot share its shards evenly."""
    info = dataset_rows.read_info(dataset_dir)
    for prefix in (Dataset(info.root).items_for_user, Dataset(info.root).users_for_item):
        if (shards := len(info.shards(prefix))) % cluster.size:
            raise UserError(
                f"{info.root} has {shards} shards per side, and {cluster.size} workers cannot share them evenly; "
                f"make the dataset with dataset.shards a multiple of {cluster.size}"
            )
    return info
