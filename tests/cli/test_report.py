"""`compare` and `report` as a person types them."""

from __future__ import annotations

import pytest

from mmdgan.cli import program, report
from mmdgan.core.errors import ConfigError
from tests.helpers.report_records import make_run, score


def test_report(tiny_run, tmp_path, capsys):
    out = tmp_path / "page.html"
    assert program.main(["report", str(tiny_run[1]), "--out", str(out), "--nopictures"]) == 0
    assert out.read_text().startswith("<!DOCTYPE html>")
    printed = capsys.readouterr().out
    assert f"{out} (" in printed
    assert "Not shown: scores: the run has none" in printed


def test_report_without_tensorflow(tiny_run, tmp_path, run_script):
    """--nopictures is quick because TensorFlow is not imported, of a run with scores too."""
    scored = make_run(tmp_path / "scored", tiny_run[1], {4: [score("FD[classifier]", 1.0)]})
    code = (
        "import sys; from mmdgan import cli; "
        f"cli.main(['report', {str(tiny_run[1])!r}, '--nopictures', '--out', 'a.html']); "
        f"cli.main(['report', {str(scored.path)!r}, '--nopictures']); "
        "print('tensorflow' in sys.modules)"
    )
    done = run_script("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"
    assert (tmp_path / "a.html").stat().st_size > 20_000


def test_compare(tiny_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert program.main(["compare", str(tiny_run[1])]) == 0
    assert tiny_run[1].name in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
    assert program.main(["compare", str(tiny_run[1]), str(tiny_run[1].parent), "--out=c"]) == 0
    assert "written: c/compare.html, c/compare.txt, c/losses.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare"], "the command takes a RUN"),
        (["compare", "nowhere"], "nowhere does not exist; give run directories"),
        (["compare", "x", "--by=late"], "by is 'late'; give a step, such as by=4000, or best"),
        (["report"], "the command takes a RUN"),
        (["report", "nowhere"], "nowhere is no run directory, it does not exist"),
        (["report", "x", "--count=3"], "count is 3; give a whole number of at least 4"),
        (["report", "x", "--step=-1"], "step is '-1'; give a step"),
    ],
)
def test_mistakes(words, message):
    with pytest.raises(ConfigError, match=message):
        program.main(words)


def test_published_file_that_is_not_there(tiny_run):
    for verb in ("report", "compare"):
        with pytest.raises(ConfigError, match="nothing.csv does not exist"):
            program.main([verb, str(tiny_run[1]), "--published=nothing.csv"])


@pytest.mark.parametrize("verb", ["compare", "report"])
def test_help(verb, capsys):
    with pytest.raises(SystemExit) as stopped:
        getattr(report, verb)(["--help"])
    assert stopped.value.code == 0
    printed = capsys.readouterr().out
    assert "--published" in printed
    assert "--out" in printed
