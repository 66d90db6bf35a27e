"""The verb `presets` as a person uses it."""

from __future__ import annotations

import time

import pytest

from mmdgan.cli import program
from tests.conftest import PROJECT
from tests.helpers.command_line import status


@pytest.fixture(autouse=True)
def from_the_checkout(monkeypatch):
    monkeypatch.chdir(PROJECT)


def cells(line: str) -> list[str]:
    """The columns of a line, which two blanks part."""
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_the_table(capsys):
    assert status("presets") == 0
    header, rule, *lines = capsys.readouterr().out.splitlines()
    assert cells(header)[:4] == ["preset", "image", "code", "classes"] and set(rule) == {"-", " "}
    rows = {cells(line)[0]: cells(line)[1:] for line in lines if "/" in line.split(" ")[0]}
    counts = ["3,811,907", "5,983,760", "103.5", "215.8"]
    assert rows["cifar10/DCGAN"] == ["3x32x32", "128", "-", *counts, "Wang, Sun, Halgamuge, ICLR 2019"]
    counts = ["41,992,963", "30,041,857", "9,090.1", "2,881.2"]
    assert rows["sngan/PROJECTION_128"] == ["3x128x128", "128", "1,000", *counts, "Miyato, Koyama, ICLR 2018"]
    assert rows["points/MLP"][:5] == ["2", "16", "-", "18,946", "18,960"]
    # Columns of numbers end where their headings do.
    end = header.index("parameters: gen") + len("parameters: gen")
    assert all(line[:end].endswith(rows[line.split(" ")[0]][3]) for line in lines if line.split(" ")[0] in rows)


def test_families_and_classes(capsys):
    assert status("presets", "--family=sagan,wgan_gp") == 0
    text = capsys.readouterr().out
    assert "sagan/RESNET_64" in text and "wgan_gp/RESNET_32" in text and "cifar10/DCGAN" not in text
    assert status("presets", "--family=sample", "--num_class=7") == 0
    # Three classes less: scales and shifts of 64 + 32 + 16 channels, and of the critic's 2,048 features.
    text = capsys.readouterr().out
    assert f"{438_899 - 3 * 2 * 112:,}" in text and f"{388_993 - 3 * 2048:,}" in text


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--family=sngen"], "no module of presets 'sngen'"),
        (["--family=sngan,resnet"], "the modules 'resnet' have only parts"),
        (["--num_class=1"], "at least 2 classes"),
        (["--num_class=-3"], "at least 2 classes"),
        (["sngan"], "takes no words"),
    ],
)
def test_mistakes_exit_with_2_and_one_sentence(words, sentence, capsys):
    assert status("presets", *words) == program.BAD_USE
    error = capsys.readouterr().err
    assert sentence in error and error.startswith("mmdgan: ") and error.count("\n") == 1


def test_it_is_quick_works_anywhere_and_needs_no_tensorflow(run_script):
    code = (
        "import sys, time, mmdgan.cli as cli\nbegin = time.process_time()\ncli.main(['presets'])\n"
        "print(time.process_time() - begin, {'tensorflow', 'numpy'} & set(sys.modules))"
    )
    begin = time.perf_counter()
    done = run_script("-c", code)
    assert done.returncode == 0, done.stderr
    assert "cifar10/DCGAN " in done.stdout and done.stdout.endswith(" set()\n")
    assert float(done.stdout.split()[-2]) < 1 and time.perf_counter() - begin < 60
