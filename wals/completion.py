"""Print what makes a shell complete the words of this program: eval "$(wals completion bash)" """

from __future__ import annotations

from collections.abc import Sequence

from configs import cli

_EPILOG = """\
examples:
  wals completion bash >> ~/.bashrc
  wals completion zsh >> ~/.zshrc
"""
# The words before the cursor go back to the program, whose parsers know what may follow (configs/flags.py).
_BASH = """\
_wals() {
  local words
  words=$(WALS_COMPLETE=1 "${COMP_WORDS[0]}" "${COMP_WORDS[@]:1:$((COMP_CWORD - 1))}" 2>/dev/null)
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
  [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _wals wals
"""
_SHELLS = {"bash": _BASH, "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + _BASH}


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags and print the lines of the shell."""
    parser = cli.plain_parser("wals completion", "Print the completion of this program's words.", epilog=_EPILOG)
    parser.add_argument("shell", choices=sorted(_SHELLS), help="the shell that reads the lines")
    print(_SHELLS[parser.parse_args(argv).shell], end="")
