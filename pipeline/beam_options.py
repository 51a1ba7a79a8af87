"""Beam's own options from the settings and the command line, and running a pipeline to its end."""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
    TypeOptions,
)
from apache_beam.runners.runner import PipelineResult

from configs import faults
from configs.errors import UserError
from configs.settings import Settings

# Beam puts the step's name behind the message, and across processes the message comes within a traceback's text.
_STEP = re.compile(r" \[while running .*\Z", re.DOTALL)
DATAFLOW = "DataflowRunner"
_ON_THIS_MACHINE = ("FnApiRunner", "DirectRunner", "SwitchingDirectRunner", "PrismRunner")
_IN_TRACEBACK = re.compile(r"^(?:configs\.errors\.)?UserError: (.*)$", re.MULTILINE)


def from_settings(settings: Settings, argv: Sequence[str]) -> PipelineOptions:
    """Beam's options: those of the settings' `beam:`, then those of the command line, which win.

    Raises:
        UserError: an option that Beam does not know.
    """
    flags: list[str] = []
    for name, value in settings.beam.items():
        if isinstance(value, bool):
            flags += [f"--{name}"] if value else []
        else:
            flags += [f"--{name}={item}" for item in (value if isinstance(value, list) else [value])]
    flags += argv
    _refuse_unknown(flags)
    options = PipelineOptions(flags)
    if (options.view_as(StandardOptions).runner or "").rpartition(".")[2] == DATAFLOW:
        options = PipelineOptions([*_dataflow_flags(settings), *flags])
    options.view_as(SetupOptions).save_main_session = False
    # TFT's own transforms do not pass Beam's type checks at run time, and nothing here relies on them.
    options.view_as(TypeOptions).runtime_type_check = False
    return options


def _dataflow_flags(settings: Settings) -> list[str]:
    """The sections `cloud` and `dataflow` as Beam's options.

    Raises:
        UserError: what Dataflow cannot do without is missing.
    """
    cloud, dataflow = settings.cloud, settings.dataflow
    for name in ("project", "region", "temp_location"):
        if not getattr(cloud, name) and name not in settings.beam:
            raise UserError(f"Dataflow needs cloud.{name}; configs/gcp.yaml shows where it stands")
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
        "setup_file": None if dataflow.container_image else str(Path(__file__).parents[1] / "setup.py"),
        # A worker holds the contents (prediction) or sorts a shard (preprocessing) once a process: one a machine, with
        # a thread a core.
        "experiments": "no_use_multiple_sdk_containers",
    }
    flags = [f"--{name}={value}" for name, value in values.items() if value is not None]
    flags += [f"--label={name}={value}" for name, value in cloud.labels.items()]
    return flags + (["--no_use_public_ips"] if dataflow.private_ips else [])


def shared_folder(options: PipelineOptions, folder: str) -> str | None:
    """The folder, where all workers of the runner can reach it: it is on a disk, and they are on this machine."""
    runner = (options.view_as(StandardOptions).runner or "DirectRunner").rpartition(".")[2]
    environment = options.view_as(PortableOptions).environment_type
    here = runner in _ON_THIS_MACHINE and environment in (None, "LOOPBACK")
    return folder if here and "://" not in folder else None


def run(build: Callable[[beam.Pipeline], object], options: PipelineOptions) -> PipelineResult:
    """Builds a pipeline and runs it to its end; gives the runner's result.

    Raises:
        UserError: one was raised while building, or in a worker.
    """
    logging.getLogger("apache_beam.runners.common").addFilter(_is_no_user_error)
    try:
        pipeline = beam.Pipeline(options=options)
    except ValueError as error:  # a runner of another name, or one that lacks an option it needs
        raise UserError(" ".join(str(error).split())) from error
    try:
        build(pipeline)
        result = pipeline.run()
        result.wait_until_finish()
        return result
    except UserError as error:
        raise UserError(_STEP.sub("", str(error))) from error
    except Exception as error:
        found = _IN_TRACEBACK.search(str(error))
        if found:
            raise UserError(_STEP.sub("", found.group(1))) from error
        raise


def _is_no_user_error(record: logging.LogRecord) -> bool:
    """Keeps Beam from logging a traceback of what the user will read in one line."""
    error = record.exc_info[1] if record.exc_info else None
    return error is None or not (isinstance(error, UserError) or faults.recognise(error))


def _refuse_unknown(flags: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(flags))
    if unknown and not unknown[0].startswith("-"):
        raise UserError(f"unexpected argument {unknown[0]}: quote a glob, so that the shell leaves it alone")
    if unknown:
        raise UserError(
            f"unknown option {unknown[0]}: neither this command nor Beam has it; --help lists this command's"
        )
