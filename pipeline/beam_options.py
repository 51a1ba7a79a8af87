"""Beam's own options from the settings and the command line, and running a pipeline to its end."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions, TypeOptions

from configs.errors import UserError
from configs.settings import Settings

_RAISED_IN_WORKER = re.compile(r"(?:^|\n)(?:configs\.errors\.)?UserError: (.*?)(?: \[while running .*)?(?:\n|$)")


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
    options.view_as(SetupOptions).save_main_session = False
    # TFT's own transforms do not pass Beam's type checks at run time, and nothing here relies on them.
    options.view_as(TypeOptions).runtime_type_check = False
    return options


def run(build: Callable[[beam.Pipeline], object], options: PipelineOptions) -> None:
    """Builds a pipeline and runs it to its end.

    Raises:
        UserError: one was raised while building, or in a worker.
    """
    try:
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        pipeline.run().wait_until_finish()
    except UserError:
        raise
    except Exception as error:
        found = _RAISED_IN_WORKER.search(str(error))
        if found:
            raise UserError(found.group(1).strip()) from error
        raise


def _refuse_unknown(flags: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for options in PipelineOptions.__subclasses__():
        options._add_argparse_args(parser)
    _, unknown = parser.parse_known_args(list(flags))
    if unknown:
        raise UserError(
            f"unknown option {unknown[0]}: neither this command nor Beam has it; --help lists this command's"
        )
