"""The parser of all commands: --dry-run is --dry_run, a mistake is one line, and a shell can complete the flags."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from configs.errors import nearest

COMPLETE = "WALS_COMPLETE"  # set by the shell's completion: print the words that may follow, and stop


class Parser(argparse.ArgumentParser):
    """A parser whose mistakes are one line that names what was meant."""

    def __init__(self, prog: str, description: str, **kwargs: Any):
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)  # the examples keep their lines
        super().__init__(prog=prog, description=description, allow_abbrev=False, **kwargs)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        words = [self._known(word) for word in (sys.argv[1:] if args is None else args)]
        if COMPLETE in os.environ:
            print("\n".join(self.completions(words)))
            sys.exit(0)
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        for word in re.findall(r"(?<![\w-])--\w+", message.partition("unrecognized arguments:")[2]):
            message += nearest(word, self.flags())
        self.exit(2, f"error: {message} ({self.prog} --help lists the flags)\n")

    def flags(self) -> list[str]:
        """Return all flags, e.g. --config."""
        return [option for option in self._option_string_actions if option.startswith("--")]

    def completions(self, words: Sequence[str]) -> list[str]:
        """Return what may follow the words: the choices of a flag, keys of settings after --set, or the flags."""
        action = self._option_string_actions.get(words[-1]) if words else None
        if action is not None and action.dest == "assignments":
            from configs.settings import Settings
            from configs.settings.section import keys_of

            return [f"{key}=" for key in keys_of(Settings)]
        if action is not None and action.nargs != 0:
            return [str(choice) for choice in action.choices or ()]
        return self.flags()

    def _known(self, word: str) -> str:
        """Return a word with the underscores of the flag that it is: --dry-run is --dry_run."""
        flag, equals, value = word.partition("=")
        plain = "--" + flag.removeprefix("--").replace("-", "_")
        is_flag = word.startswith("--") and plain in self._option_string_actions
        return plain + equals + value if is_flag else word
