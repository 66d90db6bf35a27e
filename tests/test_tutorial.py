"""The tutorial and the notebook, run: every command of theirs, with fewer steps and images."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import PROJECT, script_environment
from tests.helpers.document_blocks import blocks

TUTORIAL = PROJECT / "docs" / "tutorial.md"
NOTEBOOK = PROJECT / "notebooks" / "train_sample_score.ipynb"

FEWER = "--batch_size=8 --grid=2,2 --rounds=1 --query_step=10 --metrics=fid --score_count=64 --features=keras:own.keras"
"""Put behind each command that trains: 20 steps of 1,000, and scores by a network that needs no training."""

FEATURES = """
import keras

images = keras.Input((32, 32, 3))
x = keras.layers.Conv2D(8, 5, 4, activation="relu")(images)
keras.Model(images, keras.layers.GlobalAveragePooling2D()(x)).save("own.keras")
"""


def _command(line: str) -> list[str]:
    """The words after `python` of a line of the tutorial, for a quick run."""
    words = shlex.split(re.sub(r"--max_step (\d+)", lambda found: f"--max_step {int(found[1]) // 50}", line))
    assert words.pop(0) == "python", line
    if words[0].startswith("experiments/"):
        return [*words, *FEWER.split()]
    smaller = {"report": ["--count=16"], "evaluate": ["--k=2"]}
    return [*words, *smaller.get(words[2], [])]


def _run(commands: list[list[str]], folder: Path) -> str:
    """What the commands print, run in an empty folder in which the project's experiments are."""
    (folder / "experiments").symlink_to(PROJECT / "experiments")
    program = [sys.executable, str(PROJECT / "tests" / "helpers" / "forked_commands.py")]
    environment = {**script_environment(), "TF_CPP_MIN_LOG_LEVEL": "2", "MMDGAN_FEATURE_CACHE": "none"}
    done = subprocess.run(
        program, input=json.dumps(commands), cwd=folder, env=environment, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.mark.slow
def test_every_command_of_the_tutorial(tmp_path):
    commands, steps = [["-c", FEATURES]], []
    for block in blocks(TUTORIAL):
        if block.language == "sh":
            lines = [line for line in block.commands if " pip install " not in line]
            commands += [_command(line) for line in lines]
            steps += re.findall(r"--max_step (\d+)", block.text)
        elif block.language == "python" and block.title:
            (tmp_path / block.title).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            commands.append(["-c", block.text])
    printed = _run(commands, tmp_path)

    assert steps.count("1000") == 3 and steps.count("2000") == 3
    for run in ("sample/first", "sample/wider", "sample/hinge", "sample/classes", "mine/own"):
        assert (tmp_path / "Results" / run / "config.json").is_file(), run
        assert "FD[" in (tmp_path / "Results" / run / "metrics.jsonl").read_text(encoding="utf-8"), run
    saved = {json.loads(line)["step"] for line in (tmp_path / "Results/sample/first/metrics.jsonl").open()}
    assert saved == {20, 40}
    for picture in ("first.png", "paths.png", "paths.gif", "sevens.png", "own.png", "own_sevens.png"):
        with Image.open(tmp_path / picture) as image:
            assert np.asarray(image.convert("L")).std() > 1, picture
    assert len(list((tmp_path / "pictures_real").glob("[0-9]/*.png"))) == 2000
    assert "<html" in (tmp_path / "own.html").read_text(encoding="utf-8")
    assert (tmp_path / "compare" / "compare.txt").is_file() and (tmp_path / "exported" / "generator.keras").is_file()
    assert "loss/generator" in printed and "(48, 16, 16)" in printed


@pytest.mark.slow
def test_the_notebook_from_top_to_bottom(tmp_path):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**script_environment(), "MMDGAN_NOTEBOOK_STEPS": "20", "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (
        "Run('Results/sample/notebook', step=20)" in done.stdout and done.stdout.count("\nKD[classifier:sample]") == 2
    )
    assert (tmp_path / "notebook_samples.png").stat().st_size > 1000


def test_the_notebook_has_outputs_of_its_own_cells():
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert notebook["nbformat"] == 4 and os.path.getsize(NOTEBOOK) < 2**20
    assert "stderr" not in text and "/home/" not in text and "Traceback" not in text and "cuda" not in text.lower()
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        compile("".join(cell["source"]), "cell", "exec")
        kinds = {output["output_type"] for output in cell["outputs"]}
        if cell["execution_count"] > 2:  # after the installation and the imports
            assert kinds == {"display_data" if "show(" in "".join(cell["source"]) else "stream"}, cell["id"]
    assert "colab.research.google.com" in "".join(notebook["cells"][0]["source"])
    scores = "".join(code[-1]["outputs"][0]["text"])
    generated, real = (
        float(value) for value in re.findall(r"^FD\[classifier:sample\] +([\d.]+)", scores, re.MULTILINE)
    )
    assert 0 < real < 2 < generated < 30
