"""The verb `completion`: the shells themselves read the scripts and complete with them, where they are installed."""

import dataclasses
import shutil
import subprocess

import pytest

from mmdgan.cli import program
from mmdgan.runs.experiment import Experiment
from tests.helpers.command_line import status

COMPLETE = """
compopt() {{ :; }}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_mmdgan
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def script(capsys):
    def made(shell):
        assert status("completion", shell) == 0
        return capsys.readouterr().out

    return made


def completed(script, words):
    code = script + COMPLETE.format(words=words)
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_verbs_flags_and_values(script):
    bash = script("bash")
    assert completed(bash, "mmdgan ''") == list(program.VERBS)
    assert completed(bash, "mmdgan tr") == ["train"]
    assert completed(bash, "mmdgan train --lr_d") == ["--lr_dis="]
    flags = completed(bash, "mmdgan train --")
    for field in dataclasses.fields(Experiment):
        assert f"--{field.name}" in flags or f"--{field.name}=" in flags, field.name
    assert {"--config=", "--dry_run", "--help"} <= {*flags}
    assert completed(bash, "mmdgan train --spectral = ''") == ["pico", "pim"]
    assert completed(bash, "mmdgan train --spectral =") == ["pico", "pim"]
    assert completed(bash, "mmdgan train --precision b") == ["bf16"]
    assert {"rep", "rep_b", "rep_b_gp"} <= {*completed(bash, "mmdgan train --loss = rep")}
    assert completed(bash, "mmdgan sample Resul") == []  # the shell's own completion of files


@pytest.mark.parametrize("verb", program.VERBS)
def test_every_verb_says_its_flags(script, verb):
    assert "--helpfull" in completed(script("bash"), f"mmdgan {verb} --")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_reads_its_script(script, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([shell, "-n"], input=script(shell), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_shell(capsys):
    assert status("completion", "bsh") == program.BAD_USE
    assert "no completion for 'bsh' (did you mean bash?); give bash, zsh, fish" in capsys.readouterr().err
