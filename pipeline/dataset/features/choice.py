"""The choice of the attributes that become features: as the settings name them, or by names and types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.features.fields import Field
from artifacts.names import CONTENT_ID
from configs.errors import UserError
from configs.settings import FeatureField, Settings
from configs.settings.features import OF_WORDS, Kind
from pipeline.dataset.features import kinds
from pipeline.dataset.features.kinds import Attribute
from pipeline.dataset.features.raw import check_lengths


class Choice(NamedTuple):
    """The fields of the features, and why other attributes have none."""

    fields: tuple[Field, ...]
    left_out: dict[str, str]


def choose(settings: Settings, catalogue: pa.Table | None) -> Choice:
    """Return the fields of the items' features.

    Raise UserError if the settings name an attribute that does not exist, changes after publication or is not of its
    kind, or if there is none.
    """
    chosen = settings.item_features
    if not chosen.fields:
        return Choice((), {})
    attributes = _attributes(settings.source.item_attributes, catalogue)
    if chosen.fields == "auto":
        choice = _automatic(attributes, chosen.weights)
    else:
        choice = Choice(tuple(_of_setting(field, attributes) for field in chosen.fields), {})
    if not choice.fields:
        reasons = "".join(f"; {name}: {reason}" for name, reason in choice.left_out.items())
        raise UserError(
            "item_features.fields: the items have no attributes to make features of; "
            f"set source.attributes, or bring a catalogue with titles or categories{reasons}"
        )
    return choice._replace(fields=tuple(_within(field, choice.fields) for field in choice.fields))


def describe(settings: Settings, catalogue: pa.Table | None) -> str:
    """Return lines on the fields of the items' features and on what is left out; raises as `choose`."""
    choice = choose(settings, catalogue)
    fields = ", ".join(f"{field.name} ({field.kind})" for field in choice.fields)
    return "\n".join([f"features of {fields}", *(f"no features of {n}: {why}" for n, why in choice.left_out.items())])


def _attributes(of_data: Mapping[str, str], catalogue: pa.Table | None) -> dict[str, Attribute]:
    columns = [] if catalogue is None else [name for name in catalogue.column_names if name != CONTENT_ID]
    names = dict.fromkeys([*of_data, *columns])
    return {
        name: Attribute(
            name,
            of_data.get(name),
            catalogue[name].combine_chunks() if catalogue is not None and name in columns else None,
        )
        for name in names
    }


def _automatic(attributes: Mapping[str, Attribute], weights: Mapping[str, float]) -> Choice:
    if unknown := [name for name in weights if name not in attributes]:
        raise UserError(f"item_features.weights: {_unknown(unknown[0], attributes)}")
    fields, left_out = [], {}
    for name, attribute in attributes.items():
        proposal, weight = kinds.propose(attribute), weights.get(name, 1.0)
        if weight == 0:
            left_out[name] = "its weight is 0"
        elif attribute.changes:
            left_out[name] = kinds.CHANGES
        elif proposal.kind is None:
            left_out[name] = proposal.reason
        else:
            fields.append(_field(FeatureField(name=name, weight=weight), attribute, proposal.kind))
    return Choice(tuple(fields), left_out)


def _of_setting(setting: FeatureField, attributes: Mapping[str, Attribute]) -> Field:
    where, attribute = f"item_features.fields, {setting.name}", attributes.get(setting.name)
    if attribute is None:
        raise UserError(f"item_features.fields: {_unknown(setting.name, attributes)}")
    if attribute.changes:
        raise UserError(f"{where}: {kinds.CHANGES}; rename the column if its value is fixed at publication")
    kind, reason = (setting.kind, "") if setting.kind else kinds.propose(attribute)
    if kind is None:
        raise UserError(f"{where}: {reason}; leave it out, or set its kind")
    return _field(setting, attribute, kind)


def _unknown(name: str, known: Iterable[str]) -> str:
    return f"{name} is not an attribute of the items (known: {', '.join(known) or 'none'})"


def _field(setting: FeatureField, attribute: Attribute, kind: Kind) -> Field:
    separator = setting.separator or kinds.separator(attribute, kind)
    dimension = _dimension(attribute) if kind == "embedding" else 0
    return Field(setting.name, kind, setting.weight, separator, setting.within, dimension)


def _dimension(attribute: Attribute) -> int:
    """Return the length of embeddings; raise UserError if they have several or none."""
    column, where = attribute.column, f"catalogue, column {attribute.name}"
    if column is None or not pa.types.is_nested(column.type) or attribute.field is not None:
        raise UserError(f"item_features.fields, {attribute.name}: an embedding is a list of numbers in the catalogue")
    dimension = check_lengths(np.unique(pc.list_value_length(column).fill_null(0).to_numpy(False)), where)
    if not dimension:
        raise UserError(f"{where} has no embedding; leave the field out")
    return dimension


def _within(field: Field, fields: tuple[Field, ...]) -> Field:
    """Return a price with the field of its category: the named one, or the first one of that kind."""
    if field.kind != "price":
        return field
    if field.within is None:
        names = [other.name for other in fields if other.kind == "category"]
        named = [name for name in names if "category" in kinds.words(name)]
        return field._replace(within=next(iter([*named, *names]), None))
    if not any(other.name == field.within and other.kind in OF_WORDS for other in fields):
        raise UserError(f"item_features.fields, {field.name}: within {field.within} is not a field of kind category")
    return field
