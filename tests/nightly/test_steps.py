"""The settings that repeat each step of a night: every setting of every section is accounted for here."""

from __future__ import annotations

import datetime
import types
import typing
from typing import Any

import pytest

from artifacts.manifests import InputTable, LiveVersion
from artifacts.paths import Night
from configs.settings import Settings, Signal, VariantSettings
from configs.settings.section import keys_of, section_of
from nightly import attempt
from nightly.steps.commands import NAMES, STEPS, Plan
from nightly.steps.selection import FILES
from tests.support.nights import write_output

# A setting that is not in this table fails the test: decide which steps it repeats, and add it to the right line.
REPEATED_BY: dict[tuple[str, ...], str] = {
    ("preprocess", "outcome", "refit_preprocess"): """
        source.kind source.input source.query source.start_date source.end_date source.window_days
        source.include_intraday source.item_dimension_index source.visitor_key source.item_parameter
        source.prefer_user_id source.drop_duplicate_events source.visitor_column source.item_column
        source.duration_column source.rating_column source.time_column source.time_unit source.missing_ids
        source.min_dwell_ms source.max_dwell_ms source.max_views_a_day source.max_items_a_day
        source.max_reject_fraction source.csv.delimiter source.csv.quote source.csv.escape source.csv.encoding
        source.csv.header source.preset source.signals source.attributes source.attribute_rule
        source.user_attributes source.user_attribute_rule
        source.page.same_hosts source.page.keep_host source.page.keep_parameters source.page.keep_fragment
        source.page.lower_case_path
        source.page.include source.page.exclude source.page.pattern
        source.recommended.list_name source.recommended.hours source.recommended.weight
        rating.kind rating.preset rating.scale rating.cap rating.epsilon rating.ordinal rating.weight
        rating.half_life_days
        privacy.hash_key_file privacy.hash_key_env privacy.deleted_visitors
    """,
    ("preprocess", "refit_preprocess"): """
        dataset.min_items_per_user dataset.min_users_per_item dataset.shards dataset.gzip
        dataset.popularity_half_life_days
        item_features.fields item_features.weights item_features.min_items item_features.max_values
        item_features.buckets user_features.fields user_features.weights user_features.min_visitors
        user_features.max_values user_features.buckets user_catalogue
    """,
    ("preprocess", "refit_preprocess", "predict"): "catalogue",
    ("preprocess",): """
        split.kind split.n split.time split.days split.share split.seed split.min_items split.test_input
        split.drop_shared
    """,
    ("train", "refit"): """
        training.embedding_dimension training.unobserved_weight training.regularization_coeff
        training.frequency_exponent training.row_weights training.col_weights training.row_weights_file
        training.col_weights_file training.row_weights_exponent training.col_weights_exponent training.max_sweeps
        training.solver training.cg_steps training.block_size training.devices training.table_dtype
        training.memory_limit_gb training.tolerance training.stop_metric training.patience training.seed
        training.init_stddev training.warm_start_sweeps
        neighbourhood.gamma neighbourhood.neighbours neighbourhood.power neighbourhood.item_exponent
        neighbourhood.related_exponent neighbourhood.shrinkage neighbourhood.few_items
    """,
    ("train", "refit", "predict"): """
        cold_start.min_ratings cold_start.min_site_ratings cold_start.attributes cold_start.attributes_penalty
        cold_start.user_attributes_penalty cold_start.new_visitors
        cold_start.segment cold_start.attributes_in_training cold_start.newest_items_share
        cold_start.few_views cold_start.new_items_length cold_start.new_items_share
    """,
    ("outcome",): """
        outcome.predictions outcome.datasets outcome.input outcome.days outcome.list_name outcome.version_field
        outcome.unclicked_half_life_days
        outcome.first_position outcome.click_hours outcome.attribute_to outcome.attribution_hours
        outcome.max_exposures_a_day outcome.compare
        nightly.outcome_nights
    """,
    ("evaluate",): "nightly.require nightly.beats",
    ("outcome", "evaluate"): """
        evaluation.k evaluation.headline evaluation.baselines evaluation.neighbours evaluation.resamples
        evaluation.confidence evaluation.seed evaluation.new_items evaluation.new_items_days
        evaluation.new_visitors evaluation.mmr_lambda evaluation.mmr_candidates
    """,
    ("predict",): """
        prediction.kind prediction.top_k prediction.include_seen prediction.factors prediction.metric
        prediction.unclicked prediction.unclicked_weight
        prediction.only prediction.allow prediction.block prediction.min_score prediction.max_age_days
        prediction.max_per_category prediction.mmr_lambda prediction.mmr_candidates
        prediction.explanation prediction.block_size prediction.table
        prediction.table_keeps prediction.table_days prediction.formats
        added_items
        experiment.name experiment.salt experiment.variants experiment.exclude experiment.planned_visitors
        experiment.promoted
        exploration.share exploration.items exploration.seed
        nightly.refit
    """,
    (): """
        validation.baseline validation.users validation.items validation.interactions validation.median
        training.warm_start
        serving.directory serving.name serving.host serving.port serving.poll_seconds serving.max_k
        serving.max_batch serving.max_history serving.max_id_bytes serving.max_body_bytes serving.max_waiting
        serving.threads serving.timeout_seconds serving.allowed_hosts serving.example_visitors
        serving.deleted_visitors serving.accept_items serving.allow serving.block
        serving.workers serving.drain_seconds serving.tls_certificate serving.tls_key serving.intake_keys
        serving.admin_keys serving.cors_origins serving.requests_per_second serving.trusted_proxies
        serving.access_log serving.opentelemetry
        events.accept events.store events.fsync events.keep_days events.max_per_visitor events.max_events
        events.max_items events.signals events.timeout_seconds events.redis_password_env
        report.output report.title report.previous report.evaluation report.map_items report.visitors
        report.recommendations
        outcome_dir
        bigquery.project bigquery.location bigquery.maximum_bytes_billed bigquery.labels bigquery.temp_dataset
        bigquery.retry_seconds bigquery.endpoint bigquery.storage_endpoint
        cloud.project cloud.region cloud.temp_location cloud.service_account cloud.subnetwork cloud.network
        cloud.kms_key cloud.labels
        dataflow.machine_type dataflow.workers dataflow.max_workers dataflow.disk_gb dataflow.private_ips
        dataflow.container_image
        vertex.image vertex.machine_type vertex.accelerator_type vertex.accelerator_count vertex.replicas
        vertex.disk_gb vertex.spot vertex.timeout_hours vertex.register_as vertex.serving_image vertex.poll_seconds
        vertex.endpoint
        nightly.directory nightly.warm_start nightly.validate_dataset nightly.catch_up_days nightly.keep
        nightly.keep_failed nightly.step_timeout_minutes nightly.textfile nightly.serve nightly.bigquery_view
        nightly.vertex_model
        dataset_dir model_dir predictions_dir audiences_dir similar_items_dir similar_visitors_dir beam
    """,
}
EXPECTED = {key: steps for steps, keys in REPEATED_BY.items() for key in keys.split()}


def changed(settings: Settings, dotted: str) -> Settings:
    """Return the settings with another value of one of them, of its own type."""
    name, _, rest = dotted.partition(".")
    if section_of(type(settings).model_fields[name].annotation):
        return settings.model_copy(update={name: changed(getattr(settings, name), rest)})
    return settings.model_copy(
        update={name: another(type(settings).model_fields[name].annotation, getattr(settings, name))}
    )


def another(annotation: Any, value: Any) -> Any:
    kind = typing.get_origin(annotation)
    if kind in (types.UnionType, typing.Union):
        return another(next(arg for arg in typing.get_args(annotation) if arg is not types.NoneType), value)
    if kind is typing.Annotated:
        return another(typing.get_args(annotation)[0], value)
    if kind is typing.Literal:
        return next(choice for choice in typing.get_args(annotation) if choice != value)
    if kind is tuple:
        return (*(value or ()), another(typing.get_args(annotation)[0], None))
    if kind is dict and typing.get_args(annotation)[1] is VariantSettings:
        return {"x": VariantSettings(share=0.5)}
    if kind is dict:
        return (value or {}) | {"x": 1.5 if typing.get_args(annotation)[1] is float else "y"}
    if annotation in (datetime.date, datetime.datetime):
        return annotation(2024, 1, 7)
    if annotation is Signal:
        return Signal(event=("page",), item="page")
    if annotation is bool:
        return not value
    return f"{value}x" if annotation is str else annotation((0 if isinstance(value, str) else value or 0) + 1)


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Night:
    night = Night(str(tmp_path_factory.mktemp("night")))
    for root in (night.dataset, night.whole_dataset):
        write_output(root, "dataset", root)
    for root in (night.model, night.refit_model):
        write_output(root, "model", root)
    return night


TABLES = [InputTable(path="events_20240107", bytes=1, changed="1")]
PARENT = LiveVersion(
    date="2024-01-06", attempt=1, dataset_dir="d", model_dir="m", predictions_dir="p", model_digest="1"
)


def repeated(night: Night, before: Settings, after: Settings) -> tuple[str, ...]:
    """Return the steps that are repeated after a change of settings."""
    plans = [Plan(settings, night, "config.yaml", TABLES, PARENT) for settings in (before, after)]
    steps = [step.name for step in STEPS if len({step.identity(plan) for plan in plans}) == 2]
    went_live = len({attempt._identity(settings, TABLES) for settings in (before, after)}) == 2
    changes_it = set(steps) - {"outcome"}  # which only measures
    assert went_live == bool(changes_it), "a version that went live counts as done if no step would be repeated"
    return tuple(steps)


def test_every_setting_is_accounted_for():
    assert set(EXPECTED) == set(keys_of(Settings))
    assert sum(len(keys.split()) for keys in REPEATED_BY.values()) == len(EXPECTED), "each once"


@pytest.mark.parametrize("key", list(keys_of(Settings)))
def test_a_setting_repeats_the_steps_that_depend_on_it(night, key):
    settings = Settings()
    assert repeated(night, settings, changed(settings, key)) == EXPECTED[key]


@pytest.mark.parametrize("key", FILES)
def test_the_bytes_of_a_file_repeat_the_steps_that_depend_on_it(night, tmp_path, key):
    section, _, name = key.partition(".")
    path = str(tmp_path / "ids.txt")
    settings = Settings.model_validate({section: {name: path} if name else path})

    def identities() -> list[str]:
        return [step.identity(Plan(settings, night, "config.yaml", TABLES, PARENT)) for step in STEPS]

    found = []
    for text in (None, b"a\n", b"a\n", b"a\nb\n"):
        if text is not None:
            (tmp_path / "ids.txt").write_bytes(text)
        found.append(identities())
    missing, one, same, other = found
    assert one == same
    for before, after in ((missing, one), (one, other)):
        changed_steps = [step.name for step, a, b in zip(STEPS, before, after, strict=True) if a != b]
        assert tuple(changed_steps) == EXPECTED[key]


def test_every_setting_that_names_a_file_of_ids_or_weights_is_known():
    words = (
        "file with one",
        "csv file with the columns visitorid",
        "csv file with the columns contentid,",
        "table of items with",
        "file of the items",
        "file of the experiments",
        "table of visitors with",
    )
    named = set()
    for key in keys_of(Settings):
        *sections, name = key.split(".")
        model = Settings
        for section in sections:
            model = section_of(model.model_fields[section].annotation)
        if str(model.model_fields[name].description).lower().startswith(words):
            named.add(key)
    of_server = {f"serving.{name}" for name in ("allow", "block", "deleted_visitors", "intake_keys")}
    assert named == {*FILES, *of_server}, "these change no step"


def test_inputs_repeat_the_steps_that_depend_on_them(night, tmp_path):
    def steps(*changes: dict[str, Any]) -> list[str]:
        plans = [Plan(**{**plan, **change}) for change in ({}, *changes)]
        return [step.name for step in STEPS if len({step.identity(plan) for plan in plans}) == 2]

    plan = {"settings": Settings(), "night": night, "config": "c", "tables": TABLES, "parent": PARENT}
    written_again = [InputTable(path="events_20240107", bytes=1, changed="2")]
    assert steps({"config": "elsewhere"}) == []
    assert steps({"tables": written_again}) == ["preprocess", "outcome", "refit_preprocess"]
    assert steps({"measured": (PARENT,)}) == ["outcome"]
    assert steps({"parent": None}) == steps({"parent": PARENT.model_copy(update={"model_digest": "2"})}) == ["train"]
    others = {"dataset": "dataset", "whole_dataset": "dataset", "model": "model", "refit_model": "model"}
    for part, dependents in (
        ("dataset", ["train"]),
        ("whole_dataset", ["refit"]),
        ("model", ["evaluate", "refit", "predict"]),
        ("refit_model", []),  # without nightly.refit nothing reads it
    ):
        other = Night(str(tmp_path / part))
        for name, kind in others.items():
            write_output(getattr(other, name), kind, "new" if name == part else getattr(night, name))
        assert steps({"night": other}) == dependents, part


def test_names_are_those_of_the_steps_in_their_order():
    assert NAMES == ("preprocess", "outcome", "train", "evaluate", "refit_preprocess", "refit", "predict", "promote")
