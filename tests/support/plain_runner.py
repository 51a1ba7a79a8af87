"""A runner of Beam that calls the steps of a pipeline one after the other, in a third of FnApiRunner's time.

FnApiRunner describes each of 300 transforms as a protocol buffer, fuses them into 50 stages and pickles, unpickles and
starts each stage, whatever the data. Here a step's function gets all elements of its input in one bundle, and gives
them to the next step as they are, but for a GroupByKey: what it groups is encoded and decoded, as in a shuffle, and
keys are equal if their bytes are. That a step can be pickled is tried the first time that a process runs it. All is in
the global window, and no step may be stateful or split its elements.

`tests.support.exports.settings` uses it for tests of what a dataset contains. How the work is spread, repeated and put
together again is tested with Beam's own runners, as in the jobs that tests start by their command.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import apache_beam as beam
from apache_beam import coders, pvalue
from apache_beam.internal import pickler
from apache_beam.metrics.execution import MetricResult, MetricsContainer
from apache_beam.metrics.metric import MetricResults
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pipeline import AppliedPTransform, Pipeline, PipelineVisitor
from apache_beam.runners.common import DoFnRunner, Receiver
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState
from apache_beam.runners.worker import statesampler
from apache_beam.transforms import userstate
from apache_beam.transforms.sideinputs import SideInputMap
from apache_beam.transforms.window import GlobalWindows

from tests.support import fast_tft

_pickled: set[str] = set()  # labels of steps

Values = list[Any]  # windowed values, the elements of a PCollection


class DirectRunner(PipelineRunner):
    """The runner. Its name tells the product that all steps run on this machine."""

    def __init__(self) -> None:
        fast_tft.install()  # before a pipeline has its functions

    def run_pipeline(self, pipeline: Pipeline, options: PipelineOptions) -> PipelineResult:
        counters = _Counters()
        statesampler.set_current_tracker(counters)
        try:
            with fast_tft.without_graphs():
                pipeline.visit(_Steps())
        finally:
            statesampler.set_current_tracker(None)
        return _Result(counters)


class _Steps(PipelineVisitor):
    """Runs each primitive transform when its inputs are there, which is the order of the visit."""

    def __init__(self) -> None:
        self.values: dict[pvalue.PCollection, Values] = {}

    def visit_transform(self, step: AppliedPTransform) -> None:
        transform = step.transform
        inputs = [self.values[each] for each in step.inputs if isinstance(each, pvalue.PCollection)]
        if isinstance(transform, beam.ParDo):
            self._par_do(step, transform, inputs[0])
        else:
            (output,) = step.outputs.values()
            self.values[output] = self._evaluate(step, inputs)

    def _evaluate(self, step: AppliedPTransform, inputs: list[Values]) -> Values:
        if isinstance(step.transform, beam.Impulse):
            return [GlobalWindows.windowed_value(b"")]
        if isinstance(step.transform, beam.Flatten):
            return [value for values in inputs for value in values]
        if isinstance(step.transform, beam.GroupByKey):
            return _grouped(inputs[0], step.inputs[0].element_type)
        raise NotImplementedError(f"{step.full_label} is not a transform that this runner knows")

    def _par_do(self, step: AppliedPTransform, transform: beam.ParDo, values: Values) -> None:
        if userstate.is_stateful_dofn(transform.fn):
            raise NotImplementedError(f"{step.full_label} has a state")
        if step.full_label not in _pickled:
            pickler.loads(pickler.dumps((transform.fn, transform.args, transform.kwargs)))
            _pickled.add(step.full_label)
        outputs = {tag: _List() for tag in step.outputs}
        views = [_view(side, self.values[side.pvalue]) for side in step.side_inputs]
        runner = DoFnRunner(
            transform.fn,
            transform.args,
            transform.kwargs,
            views,
            step.inputs[0].windowing,
            {None: _List(), **outputs},
            step_name=step.full_label,
        )
        runner.setup()
        try:
            runner.start()
            for value in values:
                if list(runner.process(value) or ()):
                    raise NotImplementedError(f"{step.full_label} splits its elements")
            runner.finish()
        finally:
            runner.teardown()
        self.values |= {step.outputs[tag]: output.values for tag, output in outputs.items()}


class _List(Receiver):
    """Receives the elements of one output."""

    def __init__(self) -> None:
        self.values: Values = []

    def receive(self, value: Any) -> None:
        self.values.append(value)

    def flush(self) -> None:
        pass


def _view(side: pvalue.AsSideInput, values: Values) -> SideInputMap:
    return SideInputMap(type(side), side._view_options(), values)


def _grouped(values: Values, element_type: Any) -> Values:
    coder = coders.registry.get_coder(element_type)
    key_coder, value_coder = coder.key_coder(), coder.value_coder()
    groups: dict[bytes, list[bytes]] = defaultdict(list)
    for value in values:
        key, content = value.value
        groups[key_coder.encode(key)].append(value_coder.encode(content))
    return [
        GlobalWindows.windowed_value((key_coder.decode(key), [value_coder.decode(each) for each in group]))
        for key, group in groups.items()
    ]


class _Counters(MetricResults):
    """The counters of all steps: they look for it in the place of Beam's sampler of states."""

    def __init__(self) -> None:
        self._metrics = MetricsContainer("pipeline")

    def update_metric(self, name: Any, value: Any) -> None:
        self._metrics.get_metric_cell(name).update(value)

    def query(self, filter: Any = None) -> dict[str, list[MetricResult]]:  # noqa: A002 - Beam's name
        counters = self._metrics.get_cumulative().counters
        return {
            self.COUNTERS: [MetricResult(*each, each[1]) for each in counters.items() if self.matches(filter, each[0])]
        }


class _Result(PipelineResult):
    """The result of a pipeline that ran to its end."""

    def __init__(self, counters: _Counters):
        super().__init__(PipelineState.DONE)
        self._counters = counters

    def metrics(self) -> MetricResults:
        return self._counters
