"""TF-Transform without its repeated work: a graph is traced, saved and loaded once for what it depends on.

A run writes two SavedModels: one that computes what the analyzers read, and the transform_fn. The first depends on the
settings of the preprocessing_fn, so the runs of a pytest process share it, and the graph that names the analyzers. The
second depends on the median and the vocabularies too, so a run that learns what an earlier one did gets a copy. The
results are the same.

Within `without_graphs`, a run traces both graphs and calls them, but neither saves nor loads them: that is two thirds
of the time. The directory of the transform_fn has its assets, a file in place of the graph, and the metadata of an
earlier run with the same columns, which name other sizes of vocabularies.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.trackable import resource as tracking
from tensorflow_transform import annotators, graph_context, impl_helper, schema_inference
from tensorflow_transform.beam import common, impl

_APART = ("store",)  # what a preprocessing_fn has in its closure and no graph depends on
_without_graphs = False
_analyses: dict[str, Any] = {}  # what the analyzers read, by settings
_traced: dict[str, Any] = {}  # the transform_fns of the current run, by the paths of their directories


@contextlib.contextmanager
def without_graphs() -> Iterator[None]:
    """Leave out the graphs of all datasets that this process writes in the meantime, but the first of its columns."""
    global _without_graphs
    _without_graphs = True
    try:
        yield
    finally:
        _without_graphs = False
        _traced.clear()


def install() -> None:
    """Replace functions of TF-Transform by ones that remember; a second call changes nothing."""
    if not hasattr(impl._create_v2_saved_model, "__wrapped__"):
        folder = tempfile.mkdtemp(prefix="analysis-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        models: dict[str, str] = {}
        copies: dict[str, str] = {}
        schema_inference.get_traced_metadata_fn = _remember_metadata(schema_inference.get_traced_metadata_fn)
        impl_helper.trace_preprocessing_function = _remember_analyzers(impl_helper.trace_preprocessing_function)
        impl._create_v2_saved_model = _remember_models(impl._create_v2_saved_model, models, copies, folder)
        load = impl._RunMetaGraphDoFn._make_graph_state
        impl._RunMetaGraphDoFn._make_graph_state = _remember_states(load, models, copies)


def _remember_models(
    create: Callable[..., str], models: dict[str, str], copies: dict[str, str], folder: str
) -> Callable[..., str]:
    """Wrap the function that writes a SavedModel: each is written once, below `folder`.

    Args:
        models, copies: filled with the paths of what is written, and of whose copy a path is.
    """
    first: dict[str, str] = {}  # the path of the first by its columns

    @functools.wraps(create)
    def create_v2_saved_model(
        tensor_replacement_map: dict[str, Any] | None,
        base_temp_dir: str,
        preprocessing_fn: Callable,
        input_signature: Mapping[str, Any],
        baseline_analyzers_fingerprint: Mapping[str, Any],
        output_keys_to_name_map: dict[str, str] | None,
        save_options: Any,
    ) -> str:
        def write(base_temp_dir: str) -> str:
            return create(
                tensor_replacement_map,
                base_temp_dir,
                preprocessing_fn,
                input_signature,
                baseline_analyzers_fingerprint,
                output_keys_to_name_map,
                save_options,
            )

        if output_keys_to_name_map is None or "://" in base_temp_dir:
            return write(base_temp_dir)
        values = tensor_replacement_map or {}
        learnt = sorted((name, _content(value)) for name, value in values.items())
        signature, names = sorted(input_signature.items()), sorted(output_keys_to_name_map.items())
        key = repr((_settings(preprocessing_fn), signature, names, learnt))
        if key not in models and _without_graphs:
            if key in _analyses:
                return key
            function = _trace(preprocessing_fn, input_signature, base_temp_dir, values, output_keys_to_name_map)
            outputs = function.structured_outputs.items()
            columns = repr((signature, sorted((name, type(value), value.dtype) for name, value in outputs)))
            if not learnt:
                _analyses[key] = function
                return key  # in place of a path, since nothing reads its files
            if columns in first:
                path = _write_without_graph(base_temp_dir, first[columns], values)
                _traced[path] = function
                return path
            first[columns] = models[key] = write(folder)
        if key not in models:
            models[key] = write(folder)
        if not learnt:
            return models[key]
        path = shutil.copytree(models[key], common.get_unique_temp_path(base_temp_dir))
        copies[path] = models[key]
        return path

    return create_v2_saved_model


def _write_without_graph(folder: str, other: str, learnt: Mapping[str, tf.Tensor]) -> str:
    path = shutil.copytree(other, common.get_unique_temp_path(folder))
    Path(path, "saved_model.pb").write_bytes(b"no graph")
    for value in learnt.values():
        if value.dtype == tf.string:
            shutil.copy(value.numpy().decode(), Path(path, "assets"))
    return path


def _trace(
    preprocessing_fn: Callable,
    signature: Mapping[str, Any],
    folder: str,
    learnt: dict[str, tf.Tensor],
    outputs: dict[str, str],
) -> Any:
    """Return the function of a graph: of what was learnt, with its tables filled, or that the analyzers read."""
    context = graph_context.TFGraphContext(tf.Module(), folder, learnt)
    resources = tracking.ResourceTracker()  # keeps the tables
    with tracking.resource_tracker_scope(resources), annotators.object_tracker_scope(annotators.ObjectTracker()):
        function = impl_helper.get_traced_transform_fn(preprocessing_fn, signature, context, outputs)
        concrete = function.get_concrete_function()
    concrete.resources = resources.resources
    return concrete


def _content(value: tf.Tensor) -> Any:
    """Return the value of a constant, or the bytes of the file that it names."""
    content = np.asarray(value).tolist()
    return tf.io.gfile.GFile(content, "rb").read() if isinstance(content, bytes) else content


def _remember_metadata(trace: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the function that traces the annotations: before the analysis, they depend on the settings alone."""
    functions: dict[str, Any] = {}

    @functools.wraps(trace)
    def get_traced_metadata_fn(
        preprocessing_fn: Callable, structured_inputs: Any, tf_graph_context: Any, evaluate_schema_overrides: bool
    ) -> Any:
        key = repr(_settings(preprocessing_fn))
        if evaluate_schema_overrides or key not in functions:
            found = trace(preprocessing_fn, structured_inputs, tf_graph_context, evaluate_schema_overrides)
            return found if evaluate_schema_overrides else functions.setdefault(key, found)
        return functions[key]

    return get_traced_metadata_fn


def _remember_analyzers(trace: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap the function that traces which analyzers there are: they depend on the settings, but for the store."""
    known: dict[str, tuple[Any, dict[str, list], Callable]] = {}

    @functools.wraps(trace)
    def trace_preprocessing_function(
        preprocessing_fn: Callable, input_specs: Mapping[str, Any], use_tf_compat_v1: bool, base_temp_dir: str
    ) -> Any:
        key = repr((_settings(preprocessing_fn), sorted(input_specs.items()), use_tf_compat_v1))
        if key not in known:
            traced = trace(preprocessing_fn, input_specs, use_tf_compat_v1, base_temp_dir)
            collections = {name: traced[0].get_collection(name) for name in traced[0].collections}
            known[key] = traced, collections, preprocessing_fn
            return traced
        traced, collections, first = known[key]
        for name, values in collections.items():  # TF-Transform empties some
            traced[0].get_collection_ref(name)[:] = values
        for name in _APART:
            before, now = (dict(_cells(function)).get(name) for function in (first, preprocessing_fn))
            if before is not None:
                before.close()
                vars(before).update(now.__getstate__())
        return traced

    return trace_preprocessing_function


def _settings(preprocessing_fn: Callable) -> list[Any]:
    """Return the name and the closure of a function."""
    values = [(name, value) for name, value in _cells(preprocessing_fn) if name not in _APART]
    return [preprocessing_fn.__module__, preprocessing_fn.__qualname__, *values]


def _cells(function: Callable) -> list[tuple[str, Any]]:
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return [*zip(function.__code__.co_freevars, cells, strict=True)]


def _remember_states(
    load: Callable[[Any, str], Any], models: Mapping[str, str], copies: Mapping[str, str]
) -> Callable[[Any, str], Any]:
    """Wrap the method that loads a SavedModel: those that were written once are loaded once."""
    states: dict[tuple, Any] = {}

    @functools.wraps(load)
    def make_graph_state(self: Any, saved_model_dir: str) -> Any:
        function = _analyses.get(saved_model_dir) or _traced.get(saved_model_dir)
        if function:
            inputs, outputs = self._get_input_tensor_names(), function.structured_outputs.keys()
            return self._GraphStateCommon(saved_model_dir, inputs, outputs, function)
        written = copies.get(saved_model_dir, saved_model_dir)
        if written not in models.values():
            return load(self, saved_model_dir)
        key = (written, *sorted(self._get_input_tensor_names()), *sorted(self._exclude_outputs))
        if key not in states:
            states[key] = load(self, written)
        state = copy.copy(states[key])
        state.saved_model_dir = saved_model_dir
        return state

    return make_graph_state
