"""The program `python -m mmdgan VERB`: its verbs, and the exit statuses that its scripts share.

0: done. 2: the user can fix it, such as a mistake in the command or a full disk (one sentence, no traceback). 3: the
run diverged. 75: another worker is gone. 128 plus the signal's number: stopped in order, so 130 after Ctrl-C, 143 after
SIGTERM, 129 after SIGHUP, 138 and 140 after SIGUSR1 and SIGUSR2. TensorFlow is imported only when a verb needs it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from absl import flags as absl_flags

from mmdgan.cli.completion import completion
from mmdgan.cli.evaluate import evaluate
from mmdgan.cli.export import export
from mmdgan.cli.import_tf1 import import_tf1
from mmdgan.cli.interpolate import interpolate
from mmdgan.cli.losses import losses
from mmdgan.cli.prepare import prepare
from mmdgan.cli.presets import presets
from mmdgan.cli.pretrained import pretrained
from mmdgan.cli.report import compare, report
from mmdgan.cli.runs import runs
from mmdgan.cli.sample import sample
from mmdgan.cli.summary import summary
from mmdgan.cli.sweep import sweep
from mmdgan.cli.train import EXAMPLE, Prepare, train
from mmdgan.core.errors import ConfigError, MmdGanError
from mmdgan.core.startup import open_streams, own_process
from mmdgan.core.text import called_with, nearest, program
from mmdgan.core.versions import VERSION
from mmdgan.runs.experiment import Experiment
from mmdgan.training import divergence, signals
from mmdgan.training.signals import WorkerLost

BAD_USE, DIVERGED, LOST, SIGNALLED = 2, 3, 75, 128

_STORAGE = frozenset(
    (
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG),
        *(errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR),
    )
)
"""Operating system errors reported without a traceback."""


class Verb(NamedTuple):
    """A subcommand.

    Attributes:
        run: Its function.
        arguments: Its arguments, as the help shows them.
        help: One line of help.
    """

    run: Callable[[Sequence[str]], int]
    arguments: str
    help: str


VERBS: dict[str, Verb] = {
    "prepare": Verb(prepare, "WHAT", "make a data set of images, or verify one"),
    "train": Verb(train, "[--flag=value ...]", "train a GAN, or resume its training"),
    "sample": Verb(sample, "RUN", "make images with a trained generator"),
    "interpolate": Verb(interpolate, "RUN", "make paths between latent codes: a picture and an animation"),
    "evaluate": Verb(evaluate, "RUN|--images PATH", "score a trained generator, or any images"),
    "runs": Verb(runs, "", "list the runs with their states and scores; --clean removes what is not needed"),
    "compare": Verb(compare, "RUN RUN ...", "compare the scores and curves of runs"),
    "report": Verb(report, "RUN", "write all that is known of a run into one file, RUN/report.html"),
    "sweep": Verb(sweep, "FILE.py|status|table|best", "do many runs, over a grid or a search space; show them"),
    "export": Verb(export, "RUN", "write the generator in a form that other programs load"),
    "pretrained": Verb(pretrained, "", "list the trained generators that come along"),
    "presets": Verb(presets, "[--family NAME]", "list the networks of the library"),
    "summary": Verb(summary, "FILE:NAME", "show the networks of an architecture, or one network"),
    "losses": Verb(losses, "", "list the losses, with what they compute and their sources"),
    "import-tf1": Verb(import_tf1, "PREFIX", "make a run of a checkpoint of the original"),
    "completion": Verb(lambda argv: completion(argv, VERBS), "SHELL", "print a script that completes verbs and flags"),
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
            "A RUN is a directory such as Results/cifar10/sngan_rep_5e-04_2e-04_k1.68_0.0_-1.0; sample, interpolate,",
            "evaluate and export also take pretrained:NAME.",
            "Exit statuses: 0; 2 for what you can fix; 3 for a run that diverged; 128 + number after a signal.",
            f"VERB --help lists the verb's flags. First try: {_first_try()}",
        ]
    )


def _first_try() -> str:
    """The command that trains on images made on the spot: the script of a checkout, which a wheel leaves out."""
    script = Path(__file__).resolve().parents[2] / "experiments" / "my_test_sample.py"
    return f"python {_from_here(script)}" if script.is_file() else f"\n  {program()} train {EXAMPLE}"


def _from_here(script: str | os.PathLike) -> str:
    """A script's path in a command."""
    with contextlib.suppress(OSError):  # the working folder has been deleted
        script = os.path.relpath(script)
    return shlex.quote(str(script))


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
    """Runs a program's main function and exits with the status of its outcome.

    Args:
        main: Takes the words after the program's name; returns None or a status.
        argv: These words; by default those of the process.
    """
    open_streams()
    own_process()
    sys.exit(_status(main, sys.argv[1:] if argv is None else argv))


def run_experiment(
    preset: Experiment, script: str | os.PathLike, usage: str, prepare: Prepare | None = None
) -> NoReturn:
    """The main program of a script in experiments/: trains `preset`, changed by the command line's flags.

    Args:
        preset: Defaults of the flags.
        script: The script's `__file__`.
        usage: The script's docstring, shown by `--help`.
        prepare: Makes what the experiment needs, as `train` takes it.
    """
    command = f"python {_from_here(script)}"
    run_main(lambda argv: train(argv, preset, usage, command, prepare))


def _status(main: Callable[[Sequence[str]], int | None], argv: Sequence[str]) -> int:
    try:
        with signals.handled(_stop):
            return main(argv) or 0
    except (MmdGanError, absl_flags.Error) as error:
        print(f"mmdgan: {error}", file=sys.stderr)
        return BAD_USE
    except signals.Interrupted as error:
        _explain(f"mmdgan: {error}; to go on: {_same_command()}")
        return SIGNALLED + error.signal
    except KeyboardInterrupt as error:
        _explain(f"\nmmdgan: interrupted; to go on: {_same_command()}")
        return SIGNALLED + (error.signal if isinstance(error, _Stopped) else signal.SIGINT)
    except OSError as error:
        if not _has_working_folder():
            _explain("mmdgan: the working folder has been deleted; go to one that exists, then give the command again")
            return BAD_USE
        if error.errno not in _STORAGE:
            raise
        where = error.filename or "the output"
        _explain(f"mmdgan: {where} cannot be written or read ({error.strerror}); fix that, then {_same_command()}")
        return BAD_USE
    except WorkerLost as error:
        _explain(f"mmdgan: {error}; to go on, run on every worker: {_same_command()}")
        return LOST
    except divergence.Diverged as error:
        advice = "--on_divergence=rollback goes on from the last checkpoint with other random numbers; lower"
        if error.attempts:
            advice = f"It had gone back {error.attempts} times; lower"
        rates = "learning rates (--lr_dis, --lr_gen) may help, with --restart to start from scratch."
        _explain(f"mmdgan: {error}. {advice} {rates}")
        return DIVERGED


def _has_working_folder() -> bool:
    try:
        return bool(os.getcwd())
    except OSError:
        return False


class _Stopped(KeyboardInterrupt):
    """A signal came outside of `Trainer.fit`, which has its own way to end."""

    def __init__(self, signal: int) -> None:
        super().__init__()
        self.signal = signal


def _stop(number: int, _frame: object) -> NoReturn:
    raise _Stopped(number)


def _explain(sentence: str) -> None:
    """Says why the program ends, if the terminal is still there."""
    with contextlib.suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)


def _same_command() -> str:
    """The command that resumes an interrupted run: the one that was given, without --restart."""
    called, given = called_with()
    return f"{called} {shlex.join(word for word in given if word.lstrip('-').partition('=')[0] != 'restart')}"
