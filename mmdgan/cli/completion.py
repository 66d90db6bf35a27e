"""The verb `completion`: a script with which a shell completes verbs, flags and their values.

It is made from the verbs and from the dataclasses of their flags: each verb is asked what it takes (`flags.Listed`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.text import nearest

_BASH = """# mmdgan completion bash: add to ~/.bashrc  eval "$(mmdgan completion bash)"
_mmdgan() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} flag=${{COMP_WORDS[COMP_CWORD-1]}} verb=${{COMP_WORDS[1]}} words=
    COMPREPLY=()
    if [[ $cur == = ]]; then cur=; elif [[ $flag == = ]]; then flag=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    if (( COMP_CWORD == 1 )); then words={verbs}
    else
        case "$verb $flag" in
{values}
        *) [[ $cur == -* ]] && case $verb in
{flags}
        esac ;;
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$cur"))
    [[ ${{COMPREPLY[0]}} == *= ]] && compopt -o nospace
    return 0
}}
complete -o default -F _mmdgan mmdgan
"""

_ZSH = """#compdef mmdgan
# mmdgan completion zsh: add to ~/.zshrc, after compinit  eval "$(mmdgan completion zsh)"
_mmdgan() {{
    local -a verbs=({verbs})
    if (( CURRENT == 2 )); then _describe verb verbs; return; fi
    case $words[2] in
{flags}
    esac
}}
compdef _mmdgan mmdgan
"""


def completion(argv: Sequence[str], verbs: Mapping[str, Any]) -> int:
    """Print a script with which bash, zsh or fish completes verbs, flags and their values.

    eval "$(mmdgan completion bash)"             in ~/.bashrc; with zsh in ~/.zshrc
    mmdgan completion fish | source              in ~/.config/fish/config.fish
    """
    usage = flags.usage("completion bash|zsh|fish", completion)
    [shell] = flags.parse(flags.NoFlags(), argv, usage=usage, arguments=("bash|zsh|fish",)).arguments
    makers = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    if shell not in makers:
        raise ConfigError(f"there is no completion for {shell!r}{nearest(shell, makers)}; give {', '.join(makers)}.")
    helps = {name: verb.help for name, verb in verbs.items()}
    print(makers[shell](helps, {name: _asked(verb.run) for name, verb in verbs.items()}), end="")
    return 0


def _asked(run: Any) -> list[flags.Flag]:
    """The flags of a verb, from itself."""
    try:
        run([flags.LIST])
    except flags.Listed as listed:
        return listed.flags
    return []


def _bash(verbs: Mapping[str, str], found: Mapping[str, Sequence[flags.Flag]]) -> str:
    def case(pattern: str, words: Sequence[str]) -> str:
        return f"        {pattern}) words='{' '.join(words)}' ;;"

    values = [
        case(f"'{verb} --{flag.name}'", flag.choices) for verb, given in found.items() for flag in given if flag.choices
    ]
    names = [case(verb, [_name(flag) for flag in given]) for verb, given in found.items()]
    return _BASH.format(verbs=f"'{' '.join(verbs)}'", values="\n".join(values), flags="\n".join(names))


def _zsh(verbs: Mapping[str, str], found: Mapping[str, Sequence[flags.Flag]]) -> str:
    def spec(flag: flags.Flag) -> str:
        values = f"({' '.join(flag.choices)})" if flag.choices else "_files"
        text = re.sub(r"([\[\]:\\])", r"\\\1", flag.help)
        return _quoted(f"{_name(flag)}[{text}]" + ("" if flag.switch else f":{flag.name}:{values}"))

    described = " ".join(_quoted(f"{name}:{text.replace(':', '')}") for name, text in verbs.items())
    names = [f"    {verb}) _arguments {' '.join(map(spec, given))} '*:file:_files' ;;" for verb, given in found.items()]
    return _ZSH.format(verbs=described, flags="\n".join(names))


def _fish(verbs: Mapping[str, str], found: Mapping[str, Sequence[flags.Flag]]) -> str:
    def line(verb: str, flag: flags.Flag) -> str:
        values = "" if flag.switch else f" -x -a {_quoted(' '.join(flag.choices))}" if flag.choices else " -r"
        return (
            f"complete -c mmdgan -n '__fish_seen_subcommand_from {verb}' -l {flag.name}{values} -d {_quoted(flag.help)}"
        )

    heads = [
        f"complete -c mmdgan -n __fish_use_subcommand -f -a {name} -d {_quoted(text)}" for name, text in verbs.items()
    ]
    lines = [line(verb, flag) for verb, given in found.items() for flag in given]
    return "\n".join(["# mmdgan completion fish | source", *heads, *lines, ""])


def _name(flag: flags.Flag) -> str:
    return f"--{flag.name}" + ("" if flag.switch else "=")


def _quoted(text: str) -> str:
    """A text between single quotes, in each of the shells."""
    return "'" + text.replace("'", "’") + "'"
