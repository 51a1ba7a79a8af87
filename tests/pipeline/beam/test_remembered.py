"""Functions of Beam that remember have the results of those that they replace."""

from __future__ import annotations

import inspect

import apache_beam as beam
import pytest
from apache_beam.coders import VarIntCoder
from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions, StandardOptions
from apache_beam.transforms import core, userstate
from apache_beam.typehints import decorators

from pipeline.beam import remembered

_STATE = userstate.ReadModifyWriteStateSpec("count", VarIntCoder())
_PARAMETER = beam.DoFn.StateParam(_STATE)


@pytest.fixture(autouse=True)
def installed():
    remembered.install()


class _Plain(beam.DoFn):
    def process(self, element, more=1):
        yield element


class _Stateful(beam.DoFn):
    def process(self, element, count=_PARAMETER):
        yield element


@pytest.mark.parametrize("_", range(2))
def test_state_is_found_each_time(_):
    functions = str.split, _Plain().process, _Stateful().process
    dofns = [_Plain(), _Stateful(), *map(core.CallableWrapperDoFn, functions)]
    for dofn, stateful in zip(dofns, (False, True, False, False, True), strict=True):
        specs = userstate.get_dofn_specs(dofn)
        assert specs == userstate.get_dofn_specs.__wrapped__(dofn)
        assert userstate.is_stateful_dofn(dofn) == stateful


def test_views_are_those_of_beam_and_share_their_values():
    flags = ["--runner=FnApiRunner", "--experiments=one", "--streaming"]
    for _ in range(2):
        options, expected = PipelineOptions(flags), PipelineOptions(flags)
        for cls in (StandardOptions, DebugOptions):
            view, other = options.view_as(cls), PipelineOptions.view_as.__wrapped__(expected, cls)
            assert type(view) is cls
            assert vars(view._visible_options) == vars(other._visible_options)
        assert options.get_all_options() == expected.get_all_options()
        # What one view changes, the others have, and no other options.
        options.view_as(DebugOptions).experiments.append("two")
        options.view_as(StandardOptions).streaming = False
        assert options.view_as(DebugOptions).experiments == ["one", "two"]
        assert not options.view_as(StandardOptions).streaming


def test_signatures_are_those_of_inspect():
    def of_two(default):
        return lambda value, more=default: value

    functions = [of_two(1), of_two(2), _Plain().process, _Plain.process, str.split, lambda value: value]
    for function in functions * 2:
        if function is not str.split:  # Beam describes methods of C in its own way
            assert decorators.get_signature(function) == inspect.signature(function)
        assert decorators.get_signature(function) == decorators.get_signature.__wrapped__(function)
