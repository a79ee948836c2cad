"""`goes-lite completion`: a script that lets a shell complete commands and options."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from goes_lite.cli.catalog import find, rows
from goes_lite.cli.command import Command, parser_of
from goes_lite.cli.output import Output
from goes_lite.cli.terminal import Terminal

SHELLS = ("bash", "zsh", "fish")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def run(arguments: argparse.Namespace, out: Output) -> None:
    """Print the script."""
    lines = [*(_fish() if arguments.shell == "fish" else _bash(zsh=arguments.shell == "zsh"))]

    def show(terminal: Terminal) -> None:
        for line in lines:
            terminal.line(line)

    out.result(lines, show)


def _options(words: list[str]) -> list[tuple[str, str]]:
    """Return the long options of a command, with their help."""
    name, command, _ = find(words)
    actions = parser_of(name, command)._actions if isinstance(command, Command) else []
    return [
        (option, action.help or "")
        for action in actions
        for option in action.option_strings
        if option.startswith("--") and action.help != argparse.SUPPRESS
    ]


def _words(words: list[str]) -> str:
    return " ".join(option for option, _ in _options(words))


def _bash(*, zsh: bool) -> Iterator[str]:
    if zsh:
        yield "autoload -U +X bashcompinit && bashcompinit"
    yield "_goes_lite() {"
    yield "  local cur=${COMP_WORDS[COMP_CWORD]} words="
    yield '  if [ "$COMP_CWORD" -eq 1 ]; then'
    yield f'    words="{" ".join(rows())} help --help --version"'
    yield "  else"
    yield '    case "${COMP_WORDS[1]}" in'
    for name, row in rows().items():
        if not row.actions:
            yield f'      {name}) words="{_words([name])}" ;;'
            continue
        yield f'      {name}) if [ "$COMP_CWORD" -eq 2 ]; then words="{" ".join(row.actions)}"; else'
        yield '        case "${COMP_WORDS[2]}" in'
        for action in row.actions:
            yield f'          {action}) words="{_words([name, action])}" ;;'
        yield "        esac; fi ;;"
    yield f'      help) words="{" ".join(rows())}" ;;'
    yield "    esac"
    yield "  fi"
    yield '  COMPREPLY=($(compgen -W "$words" -- "$cur"))'
    yield '  case "$cur" in'
    yield "    -*) ;;"
    yield '    *) [ "$COMP_CWORD" -gt 1 ] && COMPREPLY+=($(compgen -f -- "$cur")) ;;'
    yield "  esac"
    yield "  return 0"
    yield "}"
    yield "complete -o filenames -F _goes_lite goes-lite"


def _fish() -> Iterator[str]:
    for name, row in rows().items():
        yield f"complete -c goes-lite -n __fish_use_subcommand -a {name} -d {_quoted(row.summary)}"
        for action, summary in row.actions.items():
            seen = f"__fish_seen_subcommand_from {name}; and not __fish_seen_subcommand_from {' '.join(row.actions)}"
            yield f"complete -c goes-lite -n {_quoted(seen)} -a {action} -d {_quoted(summary)}"
        for action in row.actions or [""]:
            seen = f"__fish_seen_subcommand_from {name}" + (
                f"; and __fish_seen_subcommand_from {action}" if action else ""
            )
            for option, text in _options([name, action] if action else [name]):
                yield f"complete -c goes-lite -n {_quoted(seen)} -l {option[2:]} -d {_quoted(text)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


COMMAND = Command(
    "Print a script that lets a shell complete commands and options. Load it where the shell starts.",
    run,
    configure,
    (
        "goes-lite completion bash > ~/.local/share/bash-completion/completions/goes-lite",
        "goes-lite completion zsh > ~/.goes-lite.zsh",
        "goes-lite completion fish > ~/.config/fish/completions/goes-lite.fish",
    ),
)
