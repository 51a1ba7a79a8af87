"""What the commands have in common: flags, overrides, and how an error reaches the user."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from configs import faults
from configs.errors import UserError
from configs.settings import Settings, load_settings

Flags = Mapping[str, tuple[str, str, str]]  # flag -> the setting it gives, what its value is called, help


def parser(prog: str, description: str, **kwargs: Any) -> argparse.ArgumentParser:
    """A parser with `--config` and `--set`, which every job takes."""
    result = argparse.ArgumentParser(
        prog=prog,
        description=description,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,  # the examples keep their lines
        **kwargs,
    )
    result.add_argument("--config", required=True, metavar="YAML", help="settings, e.g. configs/local.yaml")
    result.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="overrides one setting of the config, e.g. --set training.seed=7; repeatable",
    )
    return result


def add_flags(parser_: argparse.ArgumentParser, flags: Flags, output: str) -> None:
    """Adds a job's own flags, and `--replace` for its output."""
    for name, (_, metavar, text) in flags.items():
        parser_.add_argument(f"--{name}", metavar=metavar, help=text)
    parser_.add_argument("--replace", action="store_true", help=f"replace {output} already there")


def settings_with(args: argparse.Namespace, flags: Flags) -> Settings:
    """Reads the config; `--set` wins over it, and the job's own flags over both."""
    return settings_from(args, {key: getattr(args, name) for name, (key, *_) in flags.items()})


def settings_from(args: argparse.Namespace, flags: Mapping[str, Any]) -> Settings:
    """Reads the config; `--set` wins over it, and the job's own `flags` (dotted key -> value) over both."""
    overrides: dict[str, Any] = {}
    for assignment in args.assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise UserError(f"--set {assignment}: write it as KEY=VALUE, e.g. training.seed=7")
        try:
            overrides[key] = yaml.safe_load(text)
        except yaml.YAMLError:
            overrides[key] = text
    overrides.update({key: value for key, value in flags.items() if value is not None})
    return load_settings(args.config, overrides)


def required(value: str | None, flag: str) -> str:
    """The value of a path that may come from the config or from a flag.

    Raises:
        UserError: neither gives it.
    """
    if not value:
        raise UserError(f"no {flag}: pass --{flag} or set {flag} in the config")
    return value


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status.

    0; that of a UserError (2, or 3 at a gate); 1 where the machine was at fault (disk full, no memory) or the code,
    which leaves a traceback; 130 when interrupted.
    """
    try:
        main(argv)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        said = faults.recognise(error)
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        return said.status
    return 0
