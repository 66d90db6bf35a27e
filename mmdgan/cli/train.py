"""The verb `train`, which the scripts in experiments/ share."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError
from mmdgan.core.text import program
from mmdgan.runs.experiment import Experiment

SWITCHES = {
    "config=FILE|RUN": "begin with the settings of a .json or .toml file, or of a run; other flags change them",
    "dry_run": "print the resolved configuration and both networks, and exit",
    "format=text|json": "form of --dry_run; --config takes the json",
}

EXAMPLE = "--data sample --architecture sample/DCGAN_SMALL --loss rep_b --lr_dis 1e-3 --lr_gen 1e-3 --max_step 4000"
"""Flags of a first try, on images made on the spot."""

Prepare = Callable[[Experiment, bool], Experiment]


def train(
    argv: Sequence[str],
    preset: Experiment | None = None,
    usage: str = "",
    command: str | None = None,
    prepare: Prepare | None = None,
) -> int:
    """Trains the experiment that the flags make of `preset`.

    Args:
        argv: Flags, without the program's name.
        preset: Defaults of the flags; by default the CIFAR-10 experiment.
        usage: What `--help` says first.
        command: How the program is called; by default found out.
        prepare: Takes the experiment, and whether it will run; returns the experiment to run, or to show in a dry run.
    """
    command = command or f"{program()} train"
    example = EXAMPLE.replace(" --lr_dis", " \\\n      --lr_dis")
    usage = usage or f"Train an MMD-GAN; run again to resume. A RUN goes on where it is.\n\n  {command} {example}"
    own = "" if preset else "[RUN] "
    usage = f"usage: {command} {own}[--flag=value ...]\n\n{usage}"
    run: tuple[str, ...] = ()
    if preset is None and argv and not argv[0].startswith("-"):
        preset, run = Experiment.load(argv[0]), ("RUN",)
    if (source := _config(argv)) is not None:
        if run:
            raise ConfigError(f"{argv[0]} is a RUN that goes on with its own settings; leave it or --config out.")
        preset = Experiment.read(source)
    parsed = flags.parse(preset or Experiment(), argv, usage=usage, switches=SWITCHES, arguments=run)
    dry, experiment = "dry_run" in parsed.switches, parsed.options
    if prepare is not None:
        experiment = prepare(experiment, not dry)
    if not dry and "format" in parsed.switches:
        raise ConfigError("--format is the form of --dry_run: add --dry_run, or leave it out.")
    if not dry:
        experiment.run(say=functools.partial(print, flush=True))  # at once, also into a pipe
        return 0
    plan, form = experiment.plan(), parsed.switches.get("format", "text")
    if form not in ("text", "json"):
        raise ConfigError(f"format is {form}; the valid values are text, json.")
    print(json.dumps(plan.config(), indent=1) if form == "json" else plan.dry_run())
    if refusal := plan.refusal():
        raise ConfigError(refusal)
    return 0


def _config(argv: Sequence[str]) -> str | None:
    """What --config names; it is read before the other flags, whose defaults it gives."""
    for place, word in enumerate(argv):
        name, equals, value = word.partition("=")
        if name in ("--config", "-config"):
            return value if equals else next(iter(argv[place + 1 :]), None)
    return None
