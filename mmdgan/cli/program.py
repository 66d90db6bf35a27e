"""The command line: `python -m mmdgan VERB`, and what the scripts in experiments/ share with it.

Exit statuses: 0; 2 for what a person must mend, such as a mistake in the command or a full disk (one sentence, no
traceback); 3 for a run that diverged; 75 if another worker is gone; 128 plus the signal's number after one that stops
in order: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, 138 and 140 after SIGUSR1 and SIGUSR2. TensorFlow is
imported only when a verb needs it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import inspect
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from absl import flags as absl_flags

from mmdgan.cli import evaluate, export, flags, interpolate, prepare, presets, report, sample, sweep
from mmdgan.core.errors import ConfigError, DesignError, MmdGanError
from mmdgan.core.options import changed_flags, option
from mmdgan.core.text import nearest, program
from mmdgan.core.versions import VERSION
from mmdgan.runs.experiment import Experiment
from mmdgan.training import divergence, signals
from mmdgan.training.signals import WorkerLost

if TYPE_CHECKING:
    from mmdgan.design import NetworkSpec

BAD_USE, DIVERGED, LOST, SIGNALLED = 2, 3, 75, 128

_STORAGE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG))
"""Errors of the operating system that are no defect of this program."""

SWITCHES = {"dry_run": "print the resolved configuration and both networks, and exit"}


def train(
    argv: Sequence[str],
    preset: Experiment | None = None,
    usage: str = "",
    command: str | None = None,
    prepare: Callable[[Experiment, bool], Experiment] | None = None,
) -> int:
    """Trains the experiment that the flags make of `preset` (the CIFAR-10 experiment by default).

    Args:
      argv: flags, without the program's name.
      preset: defaults of the flags.
      usage: what `--help` says first.
      command: how the program is called; found out by default.
      prepare: (experiment, whether it will run) -> the experiment to run, or to show in a dry run.
    """
    command = command or f"{program()} train"
    usage = f"usage: {command} [--flag=value ...]\n\n{usage or 'Trains an MMD-GAN; run again to resume.'}"
    parsed = flags.parse(preset or Experiment(), argv, usage=usage, switches=SWITCHES)
    dry, experiment = "dry_run" in parsed.switches, parsed.options
    if prepare is not None:
        experiment = prepare(experiment, not dry)
    if dry:
        plan = experiment.plan()
        print(plan.dry_run())
        return 0 if plan.refusal() is None else BAD_USE
    experiment.run(say=print)
    return 0


def import_tf1(argv: Sequence[str]) -> int:
    """Turns a TensorFlow 1 checkpoint of the original into a run that samples, evaluates and resumes."""
    command = f"{program()} import-tf1"
    usage = f"usage: {command} PREFIX --architecture FILE:NAME [--flag=value ...]\n\n{import_tf1.__doc__}"
    parsed = flags.parse(Experiment(), argv, usage=usage, arguments=("PREFIX",))
    from mmdgan.runs.import_tf1 import import_run
    from mmdgan.training.checkpoints import saved_steps

    prefix, run = parsed.arguments[0], import_run(parsed.arguments[0], parsed.options)
    step = saved_steps(run / "checkpoints")[-1]
    print(f"{prefix} is now the run {run}, after step {step:,}.")
    print(f"Samples:      {program()} sample {run} --count 400")
    print(f"Scores:       {program()} evaluate {run}")
    again = _resuming(parsed.options, Experiment.load(run), step)
    print(f"Train it on:  {program()} train {shlex.join(changed_flags(again))}")
    return 0


def _resuming(asked: Experiment, made: Experiment, step: int) -> Experiment:
    """The experiment that trains an imported run on: as it was asked for, but for what the checkpoint says."""
    longer = asked.max_step if asked.max_step > step else 2 * step
    size = None if made.score_size == asked.resolved().score_size else made.score_size
    return dataclasses.replace(asked, restart=False, max_step=longer, score_size=asked.score_size or size)


def losses(argv: Sequence[str]) -> int:
    """Prints every loss: its names, what it computes (generator's loss; critic's loss), where it comes from."""
    usage = f"usage: {program()} losses\n\n{losses.__doc__}"
    flags.parse(_NoOptions(), argv, usage=usage)
    from mmdgan.losses import describe

    print(describe())
    return 0


@dataclasses.dataclass(frozen=True)
class _NoOptions:
    """A verb without flags."""


@dataclasses.dataclass(frozen=True)
class SummaryOptions:
    """The flags of `summary`."""

    num_class: int = option(0, "classes of conditional layers; 0: unconditional")
    score_size: int | None = option(None, "outputs of the last critic layer; none: the dictionary's")
    input_shape: tuple[int, ...] | None = option(
        None, "of a single network: C,H,W of images, or the number of features"
    )


def summary(argv: Sequence[str]) -> int:
    """Prints tables of the networks of a dictionary: resolved keys, shapes, parameters, multiply-adds.

    NAME is an architecture with generator and critic, or a single network (a list of layer dictionaries, or a graph
    with "layers" and "links"), which needs --input_shape.
    """
    usage = f"usage: {program()} summary FILE:NAME [--flag=value ...]\n\n{inspect.cleandoc(summary.__doc__ or '')}"
    parsed = flags.parse(SummaryOptions(), argv, usage=usage, arguments=("FILE:NAME",))
    from mmdgan import design
    from mmdgan.design.files import load_dictionary

    reference, options = parsed.arguments[0], parsed.options
    dictionary = load_dictionary(reference)
    if isinstance(dictionary, Mapping) and "layers" not in dictionary:
        if options.input_shape is not None:
            raise ConfigError(f"{reference} is an architecture, which says its input; leave --input_shape out.")
        if options.score_size is not None:
            dictionary = design.with_score_size(dictionary, options.score_size)
        try:
            specs: Sequence[NetworkSpec] = design.parse_architecture(dictionary, options.num_class)
        except DesignError as error:
            hint = " Give --num_class." if options.num_class < 2 and "num_class" in str(error) else ""
            raise DesignError(f"{error}{hint}") from None
    else:
        specs = [_single_network(reference, dictionary, options)]
    print("\n\n".join(design.describe(spec) for spec in specs))
    return 0


def _single_network(reference: str, network: list | Mapping, options: SummaryOptions) -> NetworkSpec:
    """The specification of a network that belongs to no architecture."""
    from mmdgan import design

    if options.score_size is not None:
        raise ConfigError(f"{reference} is a single network, which has no score size; leave --score_size out.")
    if options.input_shape is None:
        raise ConfigError(
            f"{reference} is a single network: say what it is applied to, such as --input_shape=3,32,32 (C,H,W) or "
            "--input_shape=128."
        )
    name = reference.replace("/", ":").rpartition(":")[2]
    return design.parse_network(network, options.input_shape, name, options.num_class)


class Verb(NamedTuple):
    """A subcommand: its function, its arguments as the help shows them, one line of help."""

    run: Callable[[Sequence[str]], int]
    arguments: str
    help: str


VERBS = {
    "prepare": Verb(prepare.prepare, "WHAT", "make a data set of images, or verify one"),
    "train": Verb(train, "[--flag=value ...]", "train a GAN, or resume its training"),
    "sample": Verb(sample.sample, "RUN", "make images with a trained generator"),
    "interpolate": Verb(interpolate.interpolate, "RUN", "make paths between latent codes: a picture and an animation"),
    "evaluate": Verb(evaluate.evaluate, "RUN|--images PATH", "score a trained generator, or any images"),
    "compare": Verb(report.compare, "RUN RUN ...", "put the scores and curves of runs beside one another"),
    "report": Verb(report.report, "RUN", "write RUN/report.html: all that is known of a run, in one file"),
    "sweep": Verb(sweep.sweep, "FILE.py|status|table|best", "do many runs, over a grid or a search space; show them"),
    "export": Verb(export.export, "RUN", "write the generator in a form that other programs load"),
    "presets": Verb(presets.presets, "[--family NAME]", "list the networks that come along"),
    "summary": Verb(summary, "FILE:NAME", "show the networks of an architecture, or one network"),
    "losses": Verb(losses, "", "list the losses, with what they compute and their sources"),
    "import-tf1": Verb(import_tf1, "PREFIX", "make a run of a checkpoint of the original"),
}


def help_text() -> str:
    """What `python -m mmdgan --help` prints."""
    rows = [f"  {name + ' ' + verb.arguments:<33}{verb.help}" for name, verb in VERBS.items()]
    return "\n".join(
        [
            f"usage: {program()} VERB ...",
            "",
            "MMD-GANs in TensorFlow 2: training, samples and scores.",
            "",
            *rows,
            "",
            "A RUN is a directory such as Results/cifar10/sngan_rep_5e-04_2e-04_k1.68_0.0_-1.0.",
            "Exit statuses: 0; 2 for what a person must mend; 3 for a run that diverged; 128 + number after a signal.",
            f"VERB --help lists the verb's flags. First try: {_first_try()}",
        ]
    )


def _first_try() -> str:
    """The command that trains on images made on the spot: the script of a checkout, which a wheel leaves out."""
    script = Path(__file__).resolve().parents[2] / "experiments" / "my_test_sample.py"
    if script.is_file():
        return f"python {os.path.relpath(script)}"
    words = "--data sample --architecture sample/DCGAN_SMALL --loss rep_b --lr_dis 1e-3 --lr_gen 1e-3 --max_step 4000"
    return f"\n  {program()} train {words}"


def main(argv: Sequence[str]) -> int:
    """Runs the verb that `argv` begins with."""
    if not argv or argv[0] in ("--help", "-h", "help"):
        print(help_text())
        return 0 if argv else BAD_USE
    name, *rest = argv
    if name == "--version":
        print(f"mmdgan {VERSION}")
        return 0
    if name not in VERBS:
        raise ConfigError(f"there is no verb {name!r}{nearest(name, list(VERBS))}; the verbs are {', '.join(VERBS)}.")
    return VERBS[name].run(rest)


def run_main(main: Callable[[Sequence[str]], int | None], argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a program's main function and exits with the status that its outcome stands for.

    Args:
      main: takes the words after the program's name; returns None or a status.
      argv: these words; those of the process by default.
    """
    sys.exit(_status(main, sys.argv[1:] if argv is None else argv))


def run_experiment(
    preset: Experiment,
    script: str | os.PathLike,
    usage: str,
    prepare: Callable[[Experiment, bool], Experiment] | None = None,
) -> NoReturn:
    """The main program of a script in experiments/: trains `preset`, changed by the command line's flags.

    Args:
      preset: defaults of the flags.
      script: the script's `__file__`.
      usage: the script's docstring, shown by `--help`.
      prepare: as `train` takes it: makes what the experiment needs.
    """
    command = f"python {os.path.relpath(script)}"
    run_main(lambda argv: train(argv, preset, usage, command, prepare))


def _status(main: Callable[[Sequence[str]], int | None], argv: Sequence[str]) -> int:
    try:
        with signals.handled(_stop):
            return main(argv) or 0
    except (MmdGanError, absl_flags.Error) as error:
        print(f"mmdgan: {error}", file=sys.stderr)
        return BAD_USE
    except KeyboardInterrupt as error:
        _explain(f"\nmmdgan: interrupted; to go on: {_same_command()}")
        return SIGNALLED + (error.signal if isinstance(error, _Stopped) else signal.SIGINT)
    except BrokenPipeError:
        # Whoever read our output has closed it (`| head`): nothing is left to say, nor at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _STORAGE:
            raise
        where = f" {error.filename}" if error.filename else ""
        _explain(f"mmdgan:{where} cannot be written or read ({error.strerror}); mend that, then {_same_command()}")
        return BAD_USE
    except Exception as error:
        status = _training_status(error)
        if status is None:
            raise
        return status


class _Stopped(KeyboardInterrupt):
    """A signal came while something else than `Trainer.fit` ran, which has its own way to end."""

    def __init__(self, signal: int) -> None:
        super().__init__()
        self.signal = signal


def _stop(number: int, _frame: object) -> NoReturn:
    """Ends the program as Ctrl-C does: in order, saying how to go on."""
    raise _Stopped(number)


def _explain(sentence: str) -> None:
    """Says why the program ends, if the terminal is still there."""
    with contextlib.suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)


def _training_status(error: Exception) -> int | None:
    """The status that a stopped training stands for, once it is explained; None for any other error."""
    if isinstance(error, signals.Interrupted):
        _explain(f"mmdgan: {error}; to go on: {_same_command()}")
        return SIGNALLED + error.signal
    if isinstance(error, WorkerLost):
        _explain(f"mmdgan: {error}; to go on, run on every worker: {_same_command()}")
        return LOST
    if isinstance(error, divergence.Diverged):
        advice = "--on_divergence=rollback goes on from the last checkpoint with other random numbers; lower"
        if error.attempts:
            advice = f"It had gone back {error.attempts} times; lower"
        rates = "learning rates (--lr_dis, --lr_gen) may help, with --restart to begin anew."
        _explain(f"mmdgan: {error}. {advice} {rates}")
        return DIVERGED
    return None


def _same_command() -> str:
    """The command that resumes an interrupted run: the one that was given, without --restart."""
    words = [word for word in sys.orig_argv[1:] if word.lstrip("-") not in ("restart", "restart=true")]
    return shlex.join(["python", *words])
