"""Architectures from a person's file and from the presets, and what is said when that fails."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

from mmdgan.core.errors import DesignError
from mmdgan.design import load_architecture, parse_architecture
from mmdgan.design.files import documentation

ROOT = Path(__file__).resolve().parents[2]

OWN = {"input": [(3, 8, 8)], "code": [(5, "linear")], "generator": [], "discriminator": []}


def failing(reference: str, *words: str) -> None:
    """Loading must raise a DesignError whose message contains all `words`."""
    with pytest.raises(DesignError) as caught:
        load_architecture(reference)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


class TestFiles:
    def write(self, folder: Path, text: str, name="my.py") -> str:
        (folder / name).write_text(text)
        return str(folder / name)

    def test_own_file(self, tmp_path):
        self.write(tmp_path, "WIDTH = 6\n", "mywidths.py")
        path = self.write(
            tmp_path,
            "import copy\nimport mmdgan.errors\nfrom architectures.cifar10 import DCGAN\nimport mywidths\n"
            "MINE = copy.deepcopy(DCGAN)\nMINE['generator'][1]['out'] = mywidths.WIDTH\n_HIDDEN = {}\n",
        )
        search_path = list(sys.path)
        gen, _ = parse_architecture(load_architecture(f"{path}:MINE"))
        assert gen.layers[1].output_shape == (6, 8, 8)
        assert sys.path == search_path
        failing(f"{path}:MIEN", "'MIEN' (did you mean MINE?)", "has 'DCGAN', 'MINE'")
        failing(path, "it names no dictionary", "'DCGAN', 'MINE'")

    def test_missing_file_and_missing_preset(self, tmp_path):
        self.write(tmp_path, "MINE = {}\n")
        failing(f"{tmp_path}/our.py:MINE", "there is no file", "has 'my.py'")
        failing("cifar/DCGAN", "no preset module 'cifar' (did you mean cifar10?)", "'sample'")
        failing("cifar10/DCGN", "(did you mean DCGAN?)", "'DCGAN_QUARTER'")
        failing("cifar10", "names no dictionary", "'DCGAN', 'DCGAN_QUARTER', 'DCGAN_EIGHTH'")

    @pytest.mark.parametrize("reference", [None, 3, "", ":", "/", "\0", "\0:A", "x" * 5000 + ".py:A", "//:"])
    def test_garbage(self, reference):
        failing(reference, "architecture")

    def test_files_of_other_editors(self, tmp_path):
        for encoding in ("utf-8-sig", "utf-8"):
            (tmp_path / "my.py").write_bytes(f'# Größe\r\nMINE = {OWN!r}\r\n"""Mine."""\r\n'.encode(encoding))
            assert load_architecture(f"{tmp_path}/my.py:MINE") == OWN
            assert documentation(tmp_path / "my.py") == {"MINE": "Mine."}
        (tmp_path / "my.py").write_bytes(f"MINE = {OWN!r}\n".encode("utf-16"))
        failing(f"{tmp_path}/my.py:MINE", "my.py is UTF-16, which Python does not read: save it as UTF-8")

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("A = {}\nB = 1 / 0\n", ["in line 2", "ZeroDivisionError"]),
            ("A = {\n", ["in line 1", "SyntaxError"]),
            ("import sys\nsys.exit(3)\n", ["in line 2", "SystemExit"]),
            ("\n\nimport no_such_module\n", ["in line 3", "ModuleNotFoundError", "no_such_module"]),
        ],
    )
    def test_files_that_fail(self, tmp_path, text, words):
        path = self.write(tmp_path, text)
        failing(f"{path}:A", path, *words)

    def test_own_presets_of_the_working_folder(self, tmp_path, monkeypatch):
        (tmp_path / "architectures").mkdir()
        self.write(tmp_path / "architectures", f"MINE = {OWN!r}\n", "own.py")
        monkeypatch.chdir(tmp_path)
        assert load_architecture("own/MINE") == OWN


def test_import_is_light_and_presets_are_found_from_any_folder(tmp_path):
    (tmp_path / "my.py").write_text(
        "from architectures.cifar10 import DCGAN\nfrom mmdgan.architectures.sample import DCGAN_SMALL\n"
        "from mmdgan import architectures\n"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "import mmdgan.design as design\n"
        "gen, dis = design.parse_architecture(design.load_architecture('sample/DCGAN_SMALL'))\n"
        "design.describe(dis)\n"
        "design.load_architecture('my.py:DCGAN')\n"
        "print([name for name in ('numpy', 'tensorflow', 'keras', 'absl') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_preset_changed_in_place_is_changed_once_however_often_the_file_is_loaded(tmp_path):
    file = tmp_path / "my.py"
    file.write_text(
        "from mmdgan.architectures.cifar10 import DCGAN as MINE\n"
        "MINE['discriminator'][2]['out'] = 192\n"
        "MINE['discriminator'].insert(3, {'name': 'mine', 'out': 192})\n",
        encoding="utf-8",
    )
    first, second = load_architecture(f"{file}:MINE"), load_architecture(f"{file}:MINE")
    assert first == second
    assert len(second["discriminator"]) == len(load_architecture("cifar10/DCGAN")["discriminator"]) + 1 == 9
    assert load_architecture("cifar10/DCGAN")["discriminator"][2]["out"] == 128


def test_modules_next_to_a_file_are_loaded_for_it_alone(tmp_path, monkeypatch):
    """Two helpers of one name, edits of the same second and length, and the process's own modules of these names."""
    for folder, size in (("one", 5), ("two", 7)):
        (tmp_path / folder / "parts").mkdir(parents=True)  # a package without __init__.py
        (tmp_path / folder / "parts" / "codes.py").write_text(f"CODE = ({size}, 'linear')\n")
        (tmp_path / folder / "common.py").write_text(f"NET = {OWN!r}\n")
        (tmp_path / folder / "my.py").write_text(
            "from common import NET\nfrom parts.codes import CODE\nNET['code'] = [CODE]\nNET['input'] += [3]\n"
        )
    own = {name: types.ModuleType(name) for name in ("common", "architectures", "architectures.cifar10")}
    for name, module in own.items():
        monkeypatch.setitem(sys.modules, name, module)
    references = [f"{tmp_path / folder}/my.py:NET" for folder in ("one", "two", "one")]
    found = [load_architecture(reference) for reference in references]
    assert [net["code"] for net in found] == [[(5, "linear")], [(7, "linear")], [(5, "linear")]]
    assert [net["input"] for net in found] == [[(3, 8, 8), 3]] * 3
    (tmp_path / "one/parts/codes.py").write_text("CODE = (6, 'linear')\n")
    assert load_architecture(references[0])["code"] == [(6, "linear")]
    assert {name: sys.modules[name] for name in own} == own and "parts.codes" not in sys.modules


def test_a_folder_without_a_module_gives_way_to_an_installed_package(tmp_path, monkeypatch):
    """Such as a folder of data, ./numpy: the package stays as the process has loaded it."""
    (tmp_path / "numpy").mkdir()
    (tmp_path / "my.py").write_text(f"import numpy\nNET = {OWN!r}\nNET['code'] = [(numpy.marked, 'linear')]\n")
    monkeypatch.setattr("numpy.marked", 7, raising=False)
    assert load_architecture(f"{tmp_path}/my.py:NET")["code"] == [(7, "linear")]


def test_the_networks_of_a_run_are_an_architecture(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"experiment": {}, "architecture": OWN}), encoding="utf-8")
    assert load_architecture(str(file)) == json.loads(json.dumps(OWN))
    failing(f"{tmp_path}/other.json", "other.json", "FileNotFoundError")
    file.write_text("{}")
    failing(str(file), "config.json", "KeyError")
