"""The night as a Kubeflow pipeline: `make vertex-pipeline` compiles it to night.yaml, which is in the repository.

Each step of nightly/steps/ is a container that runs `wals night --only STEP`, so the steps, their record and their
directory are those of `wals night`. The first task waits for the day's table and returns the date, which is then the
same in all steps, however late they run. Only this module needs kfp; night.yaml is submitted without it.
"""

import sys
from pathlib import Path
from typing import Any

from kfp import compiler, dsl

from nightly.steps.commands import NAMES, STEPS

IMAGE = "REGION-docker.pkg.dev/PROJECT/wals/jobs:0.1.0"  # `python -m deploy.vertex_pipeline.submit` replaces it
TARGET = Path(__file__).with_name("night.yaml")
HOURS = 17  # to wait for the day's table, with an attempt per hour: from 6:00 until before the next midnight
RETRIES = 2
# Dataflow runs one job of a name at a time, so a retry cannot run next to the job of a lost container.
ON_DATAFLOW = {step.name for step in STEPS if step.module.startswith("pipeline.")}


@dsl.container_component
def ready(config: str, date: str, night: dsl.OutputPath(str)) -> dsl.ContainerSpec:  # type: ignore[valid-type]
    """Fail until the night's table is there; return the night's date."""
    flags = ["--config", config, "--date", date, "--output", night]
    return dsl.ContainerSpec(image=IMAGE, command=["python", "-m", "nightly.ready"], args=flags)


def component(step: str) -> Any:
    """Return the component that runs a step."""

    def run(config: str, date: str) -> dsl.ContainerSpec:
        flags = ["--config", config, "--date", date, "--only", step]
        if step in ON_DATAFLOW:
            name = dsl.ConcatPlaceholder(["beam.job_name=wals-", date, f"-{step.replace('_', '-')}"])
            flags += ["--set", name]
        return dsl.ContainerSpec(image=IMAGE, command=["python", "-m", "nightly.run"], args=flags)

    run.__name__ = step
    return dsl.container_component(run)


@dsl.pipeline(name="wals-night", description="Dataset, model, gate, predictions, live; for the data up to a date")
def night(config: str, date: str = "") -> None:
    """Run the steps of a night in order; an empty date is yesterday (UTC)."""
    before = wait = ready(config=config, date=date).set_caching_options(False)
    wait.set_retry(HOURS, backoff_duration="3600s", backoff_factor=1, backoff_max_duration="3600s")
    for step in NAMES:
        task = component(step)(config=config, date=wait.output).after(before)
        task.set_caching_options(False)  # a step finds out by itself whether it is done
        task.set_retry(RETRIES, backoff_duration="600s", backoff_factor=1)
        task.set_cpu_limit("4").set_memory_limit("16G")
        before = task


def main() -> None:
    """Compile the pipeline to the file named, by default night.yaml."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    compiler.Compiler().compile(night, str(target))
    print(target)


if __name__ == "__main__":
    main()
