"""The choice of the attributes that become features: as the settings name them, or by names and types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifacts.features.fields import Field
from artifacts.names import ITEM, USER, Side
from configs.errors import UserError
from configs.settings import FeatureField, FeatureSettings, Settings
from configs.settings.features import OF_VISITORS, OF_WORDS, Kind
from pipeline.dataset.features import kinds
from pipeline.dataset.features.kinds import Attribute, Proposal
from pipeline.dataset.features.raw import check_lengths

_HELP = {
    ITEM: "set source.attributes, or bring a catalogue with titles or categories",
    USER: "set source.user_attributes, or bring a user_catalogue",
}
_CHANGES = {
    ITEM: kinds.CHANGES,
    USER: "it changes with what a visitor does, so what is measured would not be true of new visitors",
}
_RENAME = {
    ITEM: "rename the column if its value is fixed at publication",
    USER: "rename the column if its value is fixed before the first view",
}


class Choice(NamedTuple):
    """The fields of the features, and why other attributes have none."""

    fields: tuple[Field, ...]
    left_out: dict[str, str]


def choose(settings: Settings, catalogue: pa.Table | None, side: Side = ITEM) -> Choice:
    """Return the fields of a side's features.

    catalogue: the side's table. Raise UserError if the settings name an attribute that does not exist, changes
    afterwards or is not of its kind, or if there is none.
    """
    chosen: FeatureSettings = getattr(settings, side.features)
    if not chosen.fields:
        given = {"source.user_attributes": settings.source.user_attributes, USER.catalogue: settings.user_catalogue}
        for name in (name for name, value in given.items() if value and side == USER):
            raise UserError(f"{name} is for user_features; set user_features.fields: auto, or remove it")
        return Choice((), {})
    of_data = settings.source.item_attributes if side == ITEM else settings.source.visitor_attributes
    attributes = _attributes(of_data, catalogue, side)
    if chosen.fields == "auto":
        choice = _automatic(attributes, chosen.weights, side)
    else:
        choice = Choice(tuple(_of_setting(field, attributes, side) for field in chosen.fields), {})
    if not choice.fields:
        reasons = "".join(f"; {name}: {reason}" for name, reason in choice.left_out.items())
        raise UserError(
            f"{side.features}.fields: the {side.plural} have no attributes to make features of; {_HELP[side]}{reasons}"
        )
    if side == USER and not (settings.source.has_times or settings.source.end_date):
        for field in choice.fields:
            if field.kind == "time":
                raise UserError(
                    f"{side.features}.fields, {field.name}: ages need source.time_column or source.end_date"
                )
    return choice._replace(fields=tuple(_within(field, choice.fields) for field in choice.fields))


def describe(settings: Settings, catalogue: pa.Table | None, side: Side = ITEM) -> str:
    """Return lines on the fields of a side's features and on what is left out; raises as `choose`."""
    choice, of = choose(settings, catalogue, side), "" if side == ITEM else f" of {side.plural}"
    fields = ", ".join(f"{field.name} ({field.kind})" for field in choice.fields)
    left_out = (f"no features{of} of {name}: {why}" for name, why in choice.left_out.items())
    return "\n".join([f"features{of} of {fields}", *left_out])


def _attributes(of_data: Mapping[str, str], catalogue: pa.Table | None, side: Side) -> dict[str, Attribute]:
    columns = [] if catalogue is None else [name for name in catalogue.column_names if name != side.id]
    names = dict.fromkeys([*of_data, *columns])
    return {
        name: Attribute(
            name,
            of_data.get(name),
            catalogue[name].combine_chunks() if catalogue is not None and name in columns else None,
        )
        for name in names
    }


def _automatic(attributes: Mapping[str, Attribute], weights: Mapping[str, float], side: Side) -> Choice:
    if unknown := [name for name in weights if name not in attributes]:
        raise UserError(f"{side.features}.weights: {_unknown(unknown[0], attributes, side)}")
    fields, left_out = [], {}
    for name, attribute in attributes.items():
        proposal, weight = _proposal(attribute, side), weights.get(name, 1.0)
        if weight == 0:
            left_out[name] = "its weight is 0"
        elif attribute.changes:
            left_out[name] = _CHANGES[side]
        elif proposal.kind is None:
            left_out[name] = proposal.reason
        else:
            fields.append(_field(FeatureField(name=name, weight=weight), attribute, proposal.kind))
    return Choice(tuple(fields), left_out)


def _of_setting(setting: FeatureField, attributes: Mapping[str, Attribute], side: Side) -> Field:
    where, attribute = f"{side.features}.fields, {setting.name}", attributes.get(setting.name)
    if attribute is None:
        raise UserError(f"{side.features}.fields: {_unknown(setting.name, attributes, side)}")
    if attribute.changes:
        raise UserError(f"{where}: {_CHANGES[side]}; {_RENAME[side]}")
    kind, reason = (setting.kind, "") if setting.kind else _proposal(attribute, side)
    if kind is None:
        raise UserError(f"{where}: {reason}; leave it out, or set its kind")
    return _field(setting, attribute, kind)


def _proposal(attribute: Attribute, side: Side) -> Proposal:
    """Return the kind that suits an attribute; of visitors, none that could single out one of them."""
    proposal = kinds.propose(attribute)
    if side == ITEM or proposal.kind in (None, *OF_VISITORS):
        return proposal
    if proposal.kind == "price":
        return Proposal("number")
    return Proposal(None, f"a {proposal.kind} could single out a visitor")


def _unknown(name: str, known: Iterable[str], side: Side) -> str:
    return f"{name} is not an attribute of the {side.plural} (known: {', '.join(known) or 'none'})"


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
