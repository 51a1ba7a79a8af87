"""Beam's options from the settings and the command line, and the run of a pipeline."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
    TypeOptions,
)
from apache_beam.runners.runner import PipelineResult

from configs import PREFIX
from configs.errors import UserError, nearest, recognise
from configs.settings import Settings
from pipeline.beam import remembered

# Beam appends the step's name to a message; from another process, the message is within the text of a traceback.
_STEP = re.compile(r" \[while running .*\Z", re.DOTALL)
DATAFLOW = "DataflowRunner"
_ON_THIS_MACHINE = ("FnApiRunner", "DirectRunner", "SwitchingDirectRunner", "PrismRunner")
_IN_TRACEBACK = re.compile(r"^(?:[\w.]+\.)?UserError: (.*)$", re.MULTILINE)


def from_settings(settings: Settings, argv: Sequence[str]) -> PipelineOptions:
    """Return Beam's options from the settings' `beam:` and from the command line, which wins.

    Raise UserError if an option is unknown to Beam, or Dataflow needs one that is not set.
    """
    remembered.install()
    flags: list[str] = []
    for name, value in settings.beam.items():
        if isinstance(value, bool):
            flags += [f"--{name}"] if value else []
        else:
            flags += [f"--{name}={item}" for item in (value if isinstance(value, list) else [value])]
    flags += argv
    refuse_unknown(flags)
    options = PipelineOptions(flags)
    if _is_dataflow(options):
        options = PipelineOptions([*_dataflow_flags(settings, options.get_all_options()), *flags])
    options.view_as(SetupOptions).save_main_session = False
    if options.view_as(SetupOptions).setup_file and not PREFIX:
        os.environ["WALS_ROOMS_AT_TOP"] = "1"  # Beam builds an sdist for the workers: our names are theirs (setup.py)
    # TFT's transforms do not pass Beam's type checks at run time, and nothing here relies on the checks.
    options.view_as(TypeOptions).runtime_type_check = False
    return options


def _is_dataflow(options: PipelineOptions) -> bool:
    return (options.view_as(StandardOptions).runner or "").rpartition(".")[2] == DATAFLOW


def _dataflow_flags(settings: Settings, explicit: Mapping[str, object]) -> list[str]:
    """Return the sections `cloud` and `dataflow` as Beam's options; `explicit` are those of `beam` and the flags."""
    cloud, dataflow = settings.cloud, settings.dataflow
    for name in ("project", "region", "temp_location"):
        if not (getattr(cloud, name) or explicit[name]):
            raise UserError(f"Dataflow needs cloud.{name}; set it as configs/gcp.yaml does")
    image = dataflow.container_image or explicit["sdk_container_image"]
    setup = None if image else Path(__file__).parents[2] / "setup.py"
    if setup and not setup.is_file():
        raise UserError("Dataflow's workers need dataflow.container_image, because setup.py is missing here; set it")
    values = {
        "project": cloud.project,
        "region": cloud.region,
        "temp_location": cloud.temp_location,
        "service_account_email": cloud.service_account,
        "subnetwork": cloud.subnetwork,
        "dataflow_kms_key": cloud.kms_key,
        "worker_machine_type": dataflow.machine_type,
        "num_workers": dataflow.workers,
        "max_num_workers": dataflow.max_workers,
        "disk_size_gb": dataflow.disk_gb,
        "sdk_container_image": dataflow.container_image,
        "setup_file": setup,
        # One process per machine, with a thread per core: each process keeps the items (prediction) or sorts a shard
        # (preprocessing) in memory.
        "experiments": "no_use_multiple_sdk_containers",
    }
    flags = [f"--{name}={value}" for name, value in values.items() if value is not None]
    flags += [f"--label={name}={value}" for name, value in cloud.labels.items()]
    return flags + (["--no_use_public_ips"] if dataflow.private_ips else [])


def check_bucket(options: PipelineOptions) -> None:
    """Raise UserError, before the job costs anything, unless Dataflow's staging bucket is in its workers' region."""
    if not _is_dataflow(options):
        return
    from artifacts.storage import google_cloud

    cloud = options.view_as(GoogleCloudOptions)
    google_cloud.check_bucket(cloud.temp_location, cloud.region, "cloud.temp_location")


def describe(options: PipelineOptions) -> str:
    """Return a line with the runner and the options of a job."""
    values = options.get_all_options(drop_default=True)
    runner = values.pop("runner", None) or "DirectRunner"
    return f"-- on {runner}: {' '.join(f'{name}={value}' for name, value in sorted(values.items()))}".rstrip(": ")


def shared_folder(options: PipelineOptions, folder: str) -> str | None:
    """Return the folder if all workers share it, as workers on this machine do; else None."""
    runner = (options.view_as(StandardOptions).runner or "DirectRunner").rpartition(".")[2]
    environment = options.view_as(PortableOptions).environment_type
    local = runner in _ON_THIS_MACHINE and environment in (None, "LOOPBACK")
    return folder if local and "://" not in folder else None


def run(build: Callable[[beam.Pipeline], object], options: PipelineOptions, wait: bool = True) -> PipelineResult:
    """Build a pipeline, run it to its end or only start it, and return the runner's result.

    Raise UserError if one was raised while building or in a worker, or if Dataflow refused or failed the job.
    """
    logging.getLogger("apache_beam.runners.common").addFilter(_needs_traceback)
    try:
        pipeline = beam.Pipeline(options=options)
    except ValueError as error:  # a runner of another name, or one that lacks an option it needs
        raise UserError(" ".join(str(error).split())) from error
    try:
        with _dataflow_explained() if _is_dataflow(options) else contextlib.nullcontext():
            build(pipeline)
            result = pipeline.run()
            if wait:
                result.wait_until_finish()
        return result
    except UserError as error:
        raise UserError(_STEP.sub("", str(error))) from error
    except Exception as error:
        message = _IN_TRACEBACK.search(str(error))
        if message:
            raise UserError(_STEP.sub("", message.group(1))) from error
        raise


@contextlib.contextmanager
def _dataflow_explained() -> Iterator[None]:
    from apache_beam.runners.dataflow.dataflow_runner import DataflowRuntimeException

    from artifacts.storage.google_cloud import explained

    logging.getLogger("apache_beam.runners.dataflow.internal.apiclient").addFilter(_is_not_refusal)
    try:
        with explained("Dataflow"):
            yield
    except DataflowRuntimeException as error:
        if _IN_TRACEBACK.search(str(error)):  # a worker raised a UserError
            raise
        message, job = " ".join(str(error).split()), error.result.job_id()
        raise UserError(f"{message}; see its log: gcloud dataflow jobs show {job}, or the console") from error


def _needs_traceback(record: logging.LogRecord) -> bool:
    """Return False for the log of an error that the user will read in one line."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or not (isinstance(error, UserError) or recognise(error))


def _is_not_refusal(record: logging.LogRecord) -> bool:
    """Return False for what Dataflow's client logs when the service refuses a job."""
    return not str(record.msg).startswith(("HTTP status %d trying to create job", "details of server error"))


def refuse_unknown(flags: Sequence[str], known: Sequence[str] = ()) -> None:
    """Raise UserError for a flag that Beam does not have; `known` are the command's, one of which may be meant."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(flags))
    if unknown and not unknown[0].startswith("-"):
        raise UserError(f"unexpected argument {unknown[0]}: quote a glob, so that the shell leaves it alone")
    if unknown:
        meant = nearest(unknown[0].partition("=")[0], [*known, *parser._option_string_actions])
        raise UserError(
            f"unknown option {unknown[0]}: neither this command nor Beam has it; --help lists this command's{meant}"
        )
