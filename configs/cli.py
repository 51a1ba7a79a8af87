"""Parts that all commands share: flags, exit status, quiet imports, and the table of results."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, cast

from configs import output, places
from configs.errors import UserError, recognise
from configs.flags import Parser
from configs.progress import ProgressBar as ProgressBar
from configs.progress import progress as progress
from configs.settings import Settings, load_settings
from configs.settings.yaml_files import parse_value

Flags = Mapping[str, tuple[str, str, str]]  # flag -> the setting it changes, the name of its value, its help


def parser(prog: str, description: str, **kwargs: Any) -> Parser:
    """Return a parser with `--config` and `--set`, which every job takes."""
    result = plain_parser(prog, description, **kwargs)
    result.add_argument(
        "--config",
        metavar="YAML",
        help=f"file of settings (default: {places.HERE} here, {places.VARIABLE}, or the package's local.yaml)",
    )
    result.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override one setting of the config, e.g. --set training.seed=7; repeatable",
    )
    return result


def plain_parser(prog: str, description: str, **kwargs: Any) -> Parser:
    """Return a parser of a command without settings."""
    result = Parser(prog, description, **kwargs)
    output.add_flags(result)
    return result


def add_flags(parser_: Parser, flags: Flags, output: str | None = None) -> None:
    """Add a job's own flags, and `--replace` if it has an output that may be replaced."""
    for name, (_, metavar, text) in flags.items():
        parser_.add_argument(f"--{name}", metavar=metavar, help=text)
    if output:
        parser_.add_argument("--replace", action="store_true", help=f"replace {output} already there")


def settings_with(args: argparse.Namespace, flags: Flags) -> Settings:
    """Return the settings of the config; `--set` overrides it, and the job's own flags override both."""
    values = {key: getattr(args, name) for name, (key, *_) in flags.items()}
    return settings_from(args, values, {key: f"--{name}" for name, (key, *_) in flags.items()})


def settings_from(
    args: argparse.Namespace, flags: Mapping[str, Any], names: Mapping[str, str] | None = None
) -> Settings:
    """Return the settings of the config; `--set` overrides it, and `flags` (dotted key -> value) override both.

    names: the flag of a dotted key, if it is not the key's last word.
    """
    overrides, origins = assigned(args.assignments)
    given = {key: value for key, value in flags.items() if value is not None}
    origins |= {key: f"--{key.rpartition('.')[2]}" for key in given} | {
        key: name for key, name in (names or {}).items() if key in given
    }
    return load_settings(args.config or places.default(), overrides | given, origins)


def assigned(assignments: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values of `--set` by their dotted keys, and the flag that each is from."""
    overrides: dict[str, Any] = {}
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator or not key:
            raise UserError(f"--set {assignment}: write it as KEY=VALUE, e.g. training.seed=7")
        overrides[key] = parse_value(text)
    return overrides, {key: f"--set {key}" for key in overrides}


def required(value: str | None, flag: str) -> str:
    """Return the value of a path; raise UserError if neither the config nor a flag sets it."""
    if not value:
        raise UserError(f"no {flag}: pass --{flag} or set {flag} in the config")
    return value


def run(main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    0 for success; the status of a UserError (2, or 3 at a gate); 1 if the machine failed (disk full, no memory)
    or the code, which prints a traceback; 130 after an interrupt.
    """
    with output.as_asked(sys.argv[1:] if argv is None else argv):
        try:
            main(argv)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except Exception as error:
            known = error if isinstance(error, UserError) else recognise(error)
            if known is None:
                raise
            print(f"error: {known}", file=sys.stderr)
            return known.status
    return 0


def import_tensorflow() -> None:
    """Import TensorFlow and list its accelerators, without the messages that it prints."""
    # Keras 3 imports Matplotlib and scikit-learn, which takes a second; TF-Transform needs Keras 2 anyway.
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    with quiet_imports(), _deferred_stderr(), _without("tf_keras"):
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Make a module look as if it were not installed, unless it is imported already.

    TensorFlow imports Keras's optimizers, and Pandas with them, for SavedModels that have some: a fifth of its time.
    """
    is_hidden = sys.modules.setdefault(module, cast(ModuleType, None)) is None
    try:
        yield
    finally:
        if is_hidden:
            del sys.modules[module]


@contextlib.contextmanager
def quiet_imports() -> Iterator[None]:
    """Keep the garbage collector off during a block of imports, and off the objects that they create.

    Its passes over ever more permanent objects took a fifth of the time of the imports.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextlib.contextmanager
def _deferred_stderr() -> Iterator[None]:
    """Hold back standard error, and print it only if an error follows.

    TensorFlow prints from C++ before it reads any log level, so the file descriptor itself is replaced.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    with tempfile.TemporaryFile() as buffer:
        stderr = os.dup(2)
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except BaseException:
            buffer.seek(0)
            os.write(stderr, buffer.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def print_table(title: str, rows: Iterable[tuple[str, int | str]]) -> None:
    """Print names, and their values on the right; a whole number has commas between the thousands."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right", overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(f"{value:,}" if isinstance(value, int) else value))
    Console().print(table)
