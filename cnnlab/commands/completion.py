"""Print a script that completes commands and options in bash: cnnlab completion bash."""

import ast
import contextlib
import io
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Literal

import tyro

from cnnlab.commands.common import parse

_SPEC = re.compile(r"^COMPLETION_SPEC = (.*)$", re.MULTILINE)


def run(arguments: Sequence[str]) -> None:
    """Prints the script."""

    def command(shell: tyro.conf.Positional[Literal["bash"]], /) -> str:
        """Print a script that completes the commands of cnnlab, their options and the values of these.

        Load it with `source <(cnnlab completion bash)`, or store it where bash finds it by itself:
        ~/.local/share/bash-completion/completions/cnnlab

        Args:
            shell: the shell, bash.
        """
        return shell

    parse(command, arguments, "completion")
    from cnnlab.commands import COMMANDS

    print(bash_script({name: options_of(name) for name in COMMANDS}), end="")


def options_of(name: str) -> dict[str, list[str]]:
    """Returns the flags of a command with their choices; a flag whose value is free has none.

    tyro describes the options in its own completion script, which needs Python at each key; this reads it once.
    """
    from cnnlab.commands import COMMANDS

    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        COMMANDS[name].run(["--tyro-print-completion", "bash"])
    found = _SPEC.search(text.getvalue())
    options = ast.literal_eval(found[1])["options"] if found else []
    return {flag: [str(each) for each in option.get("choices") or ()] for option in options for flag in option["flags"]}


def bash_script(commands: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """Returns the script for bash: after a flag with choices it completes these, elsewhere flags and files.

    Args:
      commands: choices of each flag, by command and flag.

    >>> print(bash_script({"show": {"--kind": ["a", "b"]}}))
    # Completes cnnlab in bash: source <(cnnlab completion bash)
    _cnnlab() {
      local word=${COMP_WORDS[COMP_CWORD]} words=
      if ((COMP_CWORD == 1)); then
        words=show
      else
        case "${COMP_WORDS[1]} ${COMP_WORDS[COMP_CWORD - 1]}" in
          'show --kind') words='a b' ;;
          *)
            case "${COMP_WORDS[1]}" in
              show) words=--kind ;;
            esac
            [[ $word == -* ]] || words=
            ;;
        esac
      fi
      mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    }
    complete -o default -F _cnnlab cnnlab
    <BLANKLINE>
    """
    values = [
        f"      {shlex.quote(f'{name} {flag}')}) words={shlex.quote(' '.join(choices))} ;;"
        for name, flags in commands.items()
        for flag, choices in flags.items()
        if choices
    ]
    flags = [f"          {name}) words={shlex.quote(' '.join(flags))} ;;" for name, flags in commands.items() if flags]
    lines = [
        "# Completes cnnlab in bash: source <(cnnlab completion bash)",
        "_cnnlab() {",
        "  local word=${COMP_WORDS[COMP_CWORD]} words=",
        "  if ((COMP_CWORD == 1)); then",
        f"    words={shlex.quote(' '.join(commands))}",
        "  else",
        '    case "${COMP_WORDS[1]} ${COMP_WORDS[COMP_CWORD - 1]}" in',
        *values,
        "      *)",
        '        case "${COMP_WORDS[1]}" in',
        *flags,
        "        esac",
        "        [[ $word == -* ]] || words=",
        "        ;;",
        "    esac",
        "  fi",
        '  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")',
        "}",
        "complete -o default -F _cnnlab cnnlab",
    ]
    return "\n".join(lines) + "\n"
