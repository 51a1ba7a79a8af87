"""TF-Transform without its repeated work: the graph of the analysis is traced, saved and loaded once per settings.

A run writes two SavedModels: one that computes what the analyzers read, and the transform_fn. The first depends on the
settings of the preprocessing_fn alone, so the runs of a pytest process share it. The results are the same.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from tensorflow_transform.beam import impl

_APART = ("store",)  # what a preprocessing_fn has in its closure and no graph depends on


def install() -> None:
    """Replace functions of TF-Transform by ones that remember; a second call changes nothing."""
    if not hasattr(impl._create_v2_saved_model, "__wrapped__"):
        folder = tempfile.mkdtemp(prefix="analysis-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        models: dict[str, str] = {}
        impl._create_v2_saved_model = _remember_models(impl._create_v2_saved_model, models, folder)
        load = impl._RunMetaGraphDoFn._make_graph_state
        impl._RunMetaGraphDoFn._make_graph_state = _remember_states(load, models)


def _remember_models(create: Callable[..., str], models: dict[str, str], folder: str) -> Callable[..., str]:
    """Wrap the function that writes a SavedModel: those of the analysis are written once, below `folder`."""

    @functools.wraps(create)
    def create_v2_saved_model(
        tensor_replacement_map: Mapping[str, Any] | None,
        base_temp_dir: str,
        preprocessing_fn: Callable,
        input_signature: Mapping[str, Any],
        baseline_analyzers_fingerprint: Mapping[str, Any],
        output_keys_to_name_map: Mapping[str, str] | None,
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

        if tensor_replacement_map or output_keys_to_name_map is None:  # the transform_fn, which has the results
            return write(base_temp_dir)
        key = repr((_settings(preprocessing_fn), input_signature, sorted(output_keys_to_name_map.items())))
        if key not in models:
            models[key] = write(folder)
        return models[key]

    return create_v2_saved_model


def _settings(preprocessing_fn: Callable) -> list[Any]:
    """Return the name and the closure of a function."""
    cells = [cell.cell_contents for cell in preprocessing_fn.__closure__ or ()]
    names = preprocessing_fn.__code__.co_freevars
    values = [(name, value) for name, value in zip(names, cells, strict=True) if name not in _APART]
    return [preprocessing_fn.__module__, preprocessing_fn.__qualname__, *values]


def _remember_states(load: Callable[[Any, str], Any], models: Mapping[str, str]) -> Callable[[Any, str], Any]:
    """Wrap the method that loads a SavedModel: those of the analysis are loaded once."""
    states: dict[tuple, Any] = {}

    @functools.wraps(load)
    def make_graph_state(self: Any, saved_model_dir: str) -> Any:
        if saved_model_dir not in models.values():
            return load(self, saved_model_dir)
        key = (saved_model_dir, *sorted(self._get_input_tensor_names()), *sorted(self._exclude_outputs))
        if key not in states:
            states[key] = load(self, saved_model_dir)
        return states[key]

    return make_graph_state
