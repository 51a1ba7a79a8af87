"""Functions of Beam that remember what a run asks again and again: a fifth of the time of a small one.

Beam inspects the signatures of a DoFn's methods eight times for each step, to find state and timers, and parses all its
options each time that it looks at one of them. The results are the same. Workers in other processes do not do this.
"""

from __future__ import annotations

import argparse
import copy
import functools
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms import core, userstate
from apache_beam.typehints import decorators


def install() -> None:
    """Replace functions of Beam by ones that remember; a second call changes nothing."""
    if not hasattr(PipelineOptions.view_as, "__wrapped__"):
        PipelineOptions.view_as = _remember_options(PipelineOptions.view_as)
        userstate.get_dofn_specs = _remember_specs(userstate.get_dofn_specs)
        decorators.get_signature = _remember_by_function(decorators.get_signature)


def _remember_options(view_as: Callable[..., PipelineOptions]) -> Callable[..., PipelineOptions]:
    """Wrap `PipelineOptions.view_as`, which parses the flags again for each view."""
    known: dict[tuple[Any, ...], dict[str, Any]] = {}

    @functools.wraps(view_as)
    def remembering(self: PipelineOptions, cls: type[PipelineOptions]) -> PipelineOptions:
        flags = self._flags if self._flags is not None else sys.argv[1:]
        key = (cls, *flags)
        if key not in known:
            first = view_as(self, cls)
            known[key] = copy.deepcopy(vars(cls(self._flags)._visible_options))
            return first
        view: PipelineOptions = object.__new__(cls)
        values = {name: list(value) if isinstance(value, list) else value for name, value in known[key].items()}
        visible = argparse.Namespace(**values)
        vars(view).update(_flags=self._flags, _visible_options=visible, _all_options=self._all_options)
        for name, value in vars(visible).items():
            self._all_options.setdefault(name, value)
        return view

    return remembering


def _remember_specs(inspect_dofn: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap `userstate.get_dofn_specs`, which looks for arguments of state and timers among the methods' defaults."""
    stateless: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()

    @functools.wraps(inspect_dofn)
    def get_dofn_specs(dofn: core.DoFn) -> tuple[set[Any], set[Any]]:
        if any(isinstance(value, types.MethodType) for value in vars(dofn).values()):  # as its `process`
            return inspect_dofn(dofn)
        kind = type(dofn)
        if not stateless.get(kind):
            specs = inspect_dofn(dofn)
            stateless[kind] = not any(specs)
            return specs
        return set(), set()

    return get_dofn_specs


def _remember_by_function(inspect_function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function of a function or a method; of a bare one, such as a lambda, only the code matters."""
    known: dict[tuple[types.CodeType, bool], Any] = {}
    known_of: weakref.WeakKeyDictionary[Any, dict[tuple[types.CodeType, bool], Any]] = weakref.WeakKeyDictionary()

    @functools.wraps(inspect_function)
    def remembering(function: Callable[..., Any]) -> Any:
        bound = isinstance(function, types.MethodType)
        plain = function.__func__ if isinstance(function, types.MethodType) else function
        if not isinstance(plain, types.FunctionType):
            return inspect_function(function)
        more = plain.__defaults__ or plain.__kwdefaults__ or plain.__annotations__ or vars(plain)
        results, key = known_of.setdefault(plain, {}) if more else known, (plain.__code__, bound)
        if key not in results:
            results[key] = inspect_function(function)
        return results[key]

    return remembering
