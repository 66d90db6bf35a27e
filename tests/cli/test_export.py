"""The verb `export`."""

from __future__ import annotations

import pytest

from mmdgan.cli import program
from mmdgan.cli.export import export
from mmdgan.core.errors import CheckpointError, ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning:keras")


def test_exports_and_says_where(tiny_run, tmp_path, capsys):
    out = tmp_path / "out"
    assert export([str(tiny_run[1]), "--step=2", f"--out={out}"]) == 0
    text = capsys.readouterr().out
    size = (out / "generator.keras").stat().st_size / 1e6
    assert f"The generator of step 2: {out}/generator.keras ({size:.3g} MB, " in text
    assert "4 outputs equal the run's exactly" in text or "4 outputs equal the run's within" in text
    assert f"{out}/README.md" in text
    with pytest.raises(ConfigError, match="give --overwrite"):
        export([str(tiny_run[1]), f"--out={out}"])
    assert export([str(tiny_run[1]), f"--out={out}", "--network=critic", "--format=savedmodel", "--overwrite"]) == 0
    assert f"The critic of step 4: {out}/critic " in capsys.readouterr().out
    assert not (out / "generator.keras").exists()


@pytest.mark.parametrize(
    ("flag", "error", "sentence"),
    [
        ("--format=h5", ConfigError, "keras, savedmodel, onnx"),
        ("--network=dis", ConfigError, "generator, critic"),
        ("--step=last", ConfigError, "a whole number or best or none"),
        ("--step=best", CheckpointError, "no best checkpoint"),
        ("--step=7", CheckpointError, "no checkpoint of step 7"),
    ],
)
def test_wrong_flags(flag, error, sentence, tiny_run):
    with pytest.raises(error, match=sentence):
        export([str(tiny_run[1]), flag])


def test_help_needs_no_tensorflow(run_script):
    code = "import sys\nfrom mmdgan import cli\ntry: cli.main(['export', '--help'])\n"
    code += "finally: print({'tensorflow', 'numpy'} & set(sys.modules))"
    done = run_script("-c", code)
    assert "--format=keras" in done.stdout and "[keras|savedmodel|onnx]" in done.stdout
    assert done.stdout.endswith("set()\n")
    assert "export" in program.help_text()
