"""The list of presets: what each text says is what its dictionary is, and its command is one."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from mmdgan.cli import flags, train
from mmdgan.core.errors import ConfigError, DesignError
from mmdgan.design import load_architecture, parse_architecture
from mmdgan.design.files import documentation, presets
from mmdgan.runs.experiment import Experiment
from tests.conformance.descriptions import PRESETS

ROOT = Path(__file__).resolve().parents[2]
NAMES = [preset.name for preset in PRESETS]
TEXTS = {
    f"{path.stem}/{name}": text
    for path in (ROOT / "architectures").glob("*.py")
    for name, text in documentation(path).items()
}
BASIS = (0.616, 103_481_344 + 2 * 215_810_048)  # seconds of a step of cifar10/DCGAN, its multiply-adds


def entries(name: str) -> dict[str, str]:
    """The entries of a text, read anew: key and what follows, in one line."""
    lines = re.sub(r"\n +", " ", TEXTS[name]).splitlines()
    return {key: said for key, colon, said in (line.partition(": ") for line in lines) if colon}


def networks(name: str) -> tuple:
    """Both networks, with the classes that the text says."""
    return parse_architecture(load_architecture(name), int(entries(name).get("Classes", "0").replace(",", "")))


@pytest.fixture(autouse=True)
def from_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("name", NAMES)
def test_texts_say_what_is_counted(name):
    gen, dis = networks(name)
    for spec in (gen, dis):
        assert re.search(rf"(?<![\d,]){spec.parameters:,}(?![\d,]*\d)", TEXTS[name]), spec.parameters
    said = re.fullmatch(r"([\d,]+) in the generator, ([\d,]+) in the critic\.", entries(name)["Multiply-adds"])
    assert [int(count.replace(",", "")) for count in said.groups()] == [gen.multiply_adds, dis.multiply_adds]
    assert ("Classes" in entries(name)) == ("Classes: " in TEXTS[name])
    assert not (gen.conditional or dis.conditional) or "Classes" in entries(name)


@pytest.mark.parametrize("name", NAMES)
def test_texts_say_a_time_a_source_and_a_score_or_none(name):
    said = entries(name)
    assert ("Measured" in said) != ("Expected" in said)
    gen, dis = networks(name)
    seconds = BASIS[0] * (gen.multiply_adds + 2 * dis.multiply_adds) / BASIS[1]
    if "Expected" in said and seconds < 0.1:
        assert said["Expected"] == "less than 0.1 s a step, an estimate."
    elif "Expected" in said:
        expected = re.fullmatch(r"([\d.]+) s a step, an estimate\.", said["Expected"]).group(1)
        assert float(expected) == pytest.approx(seconds, rel=0.06)
    assert said["Source"]
    if name.split("/")[0] in ("sngan", "sagan", "wgan_gp", "imagenet"):
        assert ("Published score" in TEXTS[name]) != (
            "there is no published score" in TEXTS[name].replace("\n    ", " ")
        )


def test_the_basis_of_the_estimates_is_that_of_the_text():
    gen, dis = networks("cifar10/DCGAN")
    assert BASIS[1] == gen.multiply_adds + 2 * dis.multiply_adds
    text = (ROOT / "architectures" / "__init__.py").read_text(encoding="utf-8")
    assert f"0.616 s * (G + 2 * C) / ({gen.multiply_adds:,} + 2 * {dis.multiply_adds:,})" in text


@pytest.mark.parametrize("name", [name for name in NAMES if "python -m mmdgan sweep" not in TEXTS[name]])
def test_commands_are_understood(name):
    python, *words = shlex.split(entries(name)["Command"])
    assert python == "python"
    if words[:3] == ["-m", "mmdgan", "train"]:
        options = flags.parse(Experiment(), words[3:], usage="", switches=train.SWITCHES).options
    elif words[0].startswith(("experiments/points", "experiments/mmd_study")):
        assert (ROOT / words[0]).is_file()
        return
    else:
        preset = runpy.run_path(str(ROOT / words[0]))["PRESET"]
        options = flags.parse(preset, words[1:], usage="", switches=train.SWITCHES).options
    assert options.architecture == name
    if options.data == "mine":  # a data set of the user's own
        gen, dis = parse_architecture(load_architecture(name), options.num_class)
    else:
        gen, dis = options.networks()[1:]
    assert gen.conditional == ("Classes" in entries(name))
    assert not gen.conditional or f"{options.num_class:,}" == entries(name)["Classes"]
    assert dis.output_shape[0] >= 1


def test_all_presets_are_listed_with_what_they_are():
    found = {preset.name: preset for preset in presets()}
    assert set(NAMES) <= set(found)
    one = found["sngan/PROJECTION_64"]
    assert (one.classes, one.gen.num_class) == (1000, 1000)
    assert one.source == "Miyato, Koyama, ICLR 2018"
    assert found["sngan/RESNET_64"].classes == 0
    assert found["celeba/DCGAN"].source == "Wang, Sun, Halgamuge, ICLR 2019"
    assert [preset.name for preset in presets(["wgan_gp"])] == ["wgan_gp/RESNET_32", "wgan_gp/RESNET_32_QUARTER"]
    ten, hundred = (
        {preset.name: preset for preset in presets(["sngan"], num_class)}["sngan/PROJECTION_32"]
        for num_class in (10, 100)
    )
    # Per class: scale and shift of six normalisations of 256 channels, and a vector of 128.
    assert hundred.gen.parameters - ten.gen.parameters == 90 * 2 * 6 * 256
    assert hundred.dis.parameters - ten.dis.parameters == 90 * 128


def test_presets_of_ones_own(tmp_path, monkeypatch):
    folder = tmp_path / "architectures"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "import copy\nfrom architectures.sample import PROJECTION_SMALL as theirs\n"
        "MINE = copy.deepcopy(theirs)\n'''Mine.\n\nPublished score (a,\n   b): 3.\nSource: Me, \"A title\", 2026, and\n"
        "    others.\n'''\nOTHER: dict = MINE\n_HIDDEN = MINE\nLAYERS = []\n'''Layers.'''\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    assert list(documentation(folder / "mine.py")) == ["MINE", "OTHER", "LAYERS"]
    mine, other = presets(["mine"])
    assert (mine.name, other.name) == ("mine/MINE", "mine/OTHER")
    assert mine.entries == {"Published score": "a, b: 3.", "Source": 'Me, "A title", 2026, and others.'}
    assert (mine.source, other.source, other.entries) == ("Me, 2026", "", {})
    assert mine.classes == 10 and presets(["mine"], 3)[0].classes == 3
    (folder / "mine.py").write_text("from architectures.sample import DCGAN_SMALL\nBAD = {**DCGAN_SMALL, 'code': 3}\n")
    with pytest.raises(DesignError, match="preset mine/BAD: architecture, key 'code'"):
        presets(["mine"])
    (folder / "mine.py").write_text("1 / 0\n")
    with pytest.raises(DesignError, match="mine.py fails in line 1"):
        presets(["mine"])
    assert presets(["sample"])


def test_a_family_that_is_none():
    with pytest.raises(ConfigError, match=r"no module of presets 'sngen' .did you mean sngan\?.; there are 'celeba', "):
        presets(["sngen"])
