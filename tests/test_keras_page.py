"""The page on layers in one's own Keras model, and its example: the code runs and shows what the page says."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import PROJECT, script_environment
from tests.helpers.document_blocks import blocks

PAGE = PROJECT / "docs" / "howto" / "keras_layers.md"


@pytest.mark.slow
def test_the_blocks_of_the_page_run_one_after_the_other(tmp_path):
    code = "\n".join(block.text for block in blocks(PAGE) if block.language == "python")
    assert code.count("import ") == 5 and "load_model" in code
    done = subprocess.run(
        [sys.executable, "-c", code.replace("epochs=2", "epochs=1")],
        cwd=tmp_path,
        env=script_environment(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [line.split() for line in done.stdout.splitlines() if line.startswith("spectral_")]
    assert [float(gain) for _, gain, _ in rows] == [1.0, 2.0, 4.0]
    for name, gain, norm in rows:
        assert float(norm) == pytest.approx(float(gain), rel=0.2), name
    assert (tmp_path / "classifier.keras").is_file()


@pytest.mark.slow
def test_the_example_shows_that_pico_bounds_the_network_and_pim_does_not(run_script):
    done = run_script(str(PROJECT / "experiments" / "spectral_keras.py"), "--epochs=2", timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["spectral", "accuracy", "with", "noise", "largest", "norm", "product", "certified"]
    found = {name: [float(number) for number in numbers] for name, *numbers in map(str.split, rows)}
    assert list(found) == ["None", "pim", "pico"]
    for name, (accuracy, noisy, largest, product, certified) in found.items():
        assert 0.5 < noisy <= accuracy + 0.02 <= 1.02, name
        assert largest <= product and 0 <= certified <= accuracy + 1e-3, name
    product, certified = ({name: row[i] for name, row in found.items()} for i in (3, 4))
    assert product["pico"] == pytest.approx(10, rel=0.3)
    assert product["None"] > 3 * product["pico"] and product["pim"] > 2 * product["pico"]
    assert certified["pico"] > certified["pim"] + 0.1
