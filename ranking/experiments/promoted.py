"""The end of an experiment: a small file names the variant that all visitors have from then on."""

from __future__ import annotations

import datetime

from artifacts import storage
from artifacts.manifests.experiment import PromotedManifest, Promotion
from artifacts.storage import locks
from configs.errors import UserError, nearest
from configs.settings import ExperimentSettings, Settings, of_variant

_PATIENCE_SECONDS = 60.0  # to wait for another promotion, which takes a moment


def variant_of(settings: ExperimentSettings) -> str | None:
    """Return the variant that ended the experiment of the settings, None if it runs; raise UserError, see `read`."""
    if settings.name is None:
        return None
    ended = read(settings.promoted).experiments.get(settings.name)
    if ended is None:
        return None
    if ended.variant not in settings.variants:
        raise UserError(
            f"{settings.promoted}: the variant {ended.variant} ended experiment {settings.name}, whose variants are "
            f"{', '.join(settings.variants)}; name an experiment with other variants differently"
        )
    return ended.variant


def read(path: str) -> PromotedManifest:
    """Return the experiments that have ended, none before the first promotion; raise UserError if it cannot be read."""
    try:
        text = storage.read_if_exists(path)
    except OSError as error:
        raise UserError(f"experiment.promoted {path} cannot be read: {error}") from error
    return PromotedManifest() if text is None else PromotedManifest.parse(text, path)


def in_effect(settings: Settings) -> Settings:
    """Return settings without an experiment if it has ended: those of the variant that all visitors have then."""
    variant = variant_of(settings.experiment)
    if variant is None:
        return settings
    settings = of_variant(settings, variant)
    model = settings.experiment.variants[variant].model or settings.model_dir
    ended = settings.experiment.model_copy(update={"name": None, "variants": {}})
    return settings.model_copy(update={"model_dir": model, "experiment": ended})


def end(settings: ExperimentSettings, variant: str) -> None:
    """End the experiment of the settings; raise UserError if there is none, or the variant cannot be promoted."""
    if settings.name is None:
        raise UserError("the config has no experiment; set experiment.name and its variants")
    if variant not in settings.variants:
        known = list(settings.variants)
        hint = nearest(variant, known)
        raise UserError(f"experiment {settings.name} has no variant {variant} (it has {', '.join(known)}){hint}")
    if settings.variants[variant].is_holdout:
        raise UserError(f"{variant} is the holdout, without a model; promote another variant")
    with locks.claim(settings.promoted, _PATIENCE_SECONDS):
        manifest = read(settings.promoted)
        before = manifest.experiments.get(settings.name)
        if before and before.variant != variant:
            raise UserError(f"experiment {settings.name} has ended with {before.variant}; a new one needs a new name")
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        manifest.experiments.setdefault(settings.name, Promotion(variant=variant, ended=now))
        manifest.write(settings.promoted)
