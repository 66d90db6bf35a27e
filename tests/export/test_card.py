"""Model cards: every number is the run's, every fact of the data is that of Data/ReadMe.md."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from mmdgan.data.catalog import CATALOG
from mmdgan.export import model_card
from mmdgan.export.card import DATASETS, closeness
from mmdgan.runs.folder import RunFolder
from tests.helpers import report_records

PROJECT = Path(__file__).resolve().parent.parent.parent


def score(metric, value, **more):
    """A record whose features are in a private folder."""
    protocol = {"feature_source": "classifier of /home/somebody/secret/sample", "feature_hash": "0123abcd", "seed": 3}
    protocol["versions"] = {"mmdgan": "0.1.0", "tensorflow": "2.21.0"}
    return report_records.score(metric, value, **{"count": 5000, "count_real": 4000, **protocol, **more})


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a run, to which scores can be added."""
    folder = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run[1], folder.path, ignore=shutil.ignore_patterns("export", "logs"))
    return folder


def change(run, **fields):
    config = run.read_config()
    config["experiment"].update(fields)
    run.config_file.write_text(json.dumps(config))


def section(card, title):
    return re.search(rf"## {title}\n(.*?)(?=\n## |\Z)", card, re.DOTALL)[1]


def header(card):
    lines = card.split("---\n")[1].splitlines()
    return dict(line.split(": ", 1) for line in lines)


def test_what_the_run_s_files_say(run):
    card = model_card(run, 4, "keras", difference=2.34e-7)
    assert card.startswith("---\n") and "# Generator of sample, loss rep_b, step 4\n" in card
    found = header(card)
    assert found["license"] == "other" and found["library_name"] == "keras"
    assert json.loads(found["tags"])[:2] == ["gan", "mmd-gan"]
    assert found["pipeline_tag"] == "unconditional-image-generation" and "datasets" not in found
    assert "32x32 RGB images" in card and "![32 images that it generates](samples.png)" in card
    data = section(card, "Data")
    assert "10,782" in data and run.read_config()["data"]["fingerprint"] in data
    # d: 8*128 + 128; tc with bn: 4*4*8*6 + 2*6; tc: 4*4*6*3 + 3
    assert f"{8 * 128 + 128 + 768 + 12 + 288 + 3:,} trained numbers" in section(card, "Network")
    training = section(card, "Training")
    assert "4 steps of 8 real images each, of 4 planned" in training and "Seed: 0" in training
    assert "MMD-rep-b" in training and "rep_weights 0,-1" in training and "tensorflow 2." in training
    assert "was not scored" in section(card, "Scores") and "--steps=4" in section(card, "Scores")
    assert "was not checked" in section(card, "Intended use and limits")
    assert "Apache License 2.0" in section(card, "Licence") and "Choose a licence for these weights" in card
    assert "Wang, Wei and Sun, Yuan and Halgamuge, Saman" in section(card, "Citation")
    assert "equal those of the run's own network, in float32, within 2e-07" in card
    assert str(run.path.parent) not in card, "folders are the owner's business"


def test_a_setting_of_zero_is_a_setting(run):
    change(run, end_lr=0.0, flip=False)
    settings = re.search("Settings: (.*)", model_card(run, 4))[1]
    assert "end_lr 0," in f"{settings}," and "flip" not in settings


def test_scores_with_their_protocol(run):
    run.append(2, "train", [score("FD[classifier]", 99.5)])
    run.append(4, "train", [score("FD[classifier]", 88.5), score("IS", None, count_real=None, note="too few")])
    run.append(4, "evaluate", [score("KD[classifier]", 0.25, spread=0.0123, spread_of="standard error over 5 blocks")])
    run.append(4, "evaluate", [score("FD[classifier]", 77.25, resize="legacy")])
    text = section(model_card(run, 4), "Scores")
    assert "| FD[classifier] | 77.25 | 5,000 against 4,000 |  |" in text
    assert "| IS | - | 5,000 | too few |" in text
    assert "| KD[classifier] | 0.25 ± 0.012 | 5,000 against 4,000 |  |" in text
    assert "±: standard error over 5 blocks." in text
    assert "88.5" not in text and "99.5" not in text, "of the newest evaluation, and of this step"
    protocols = re.findall(r"Protocol: .*", text)
    assert sorted("resize: legacy" in line for line in protocols) == [False, True]
    for line in protocols:
        assert "feature hash: 0123abcd" in line and "seed: 3" in line and "tensorflow 2.21.0" in line
        assert "feature source: classifier of sample" in line
    assert "99.5" in section(model_card(run, 2), "Scores")


def test_scores_are_those_of_the_exported_weights(run):
    def value(ema):
        return re.findall(r"\| FD\[classifier\] \| (.*?) \|", section(model_card(run, 4, ema=ema), "Scores"))

    change(run, ema=0.9)
    run.append(4, "train", [score("FD[classifier]", 11.5, weights="ema")])
    assert value(None) == value(True) == ["11.5"] and value(False) == []
    assert "--steps=4 --noema` does it" in model_card(run, 4, ema=False)
    run.append(4, "evaluate", [score("FD[classifier]", 66.5, weights="last")])
    run.append(4, "abandoned", [score("FD[classifier]", 77.5, weights="ema")])
    assert value(None) == value(True) == ["11.5"] and value(False) == ["66.5"]


def test_memorised_images(run):
    near = score("near copies[pixels]", 0.0125, identifier="nn", note="0 exact copies")
    run.append(4, "evaluate", [near])
    text = section(model_card(run, 4), "Intended use and limits")
    assert "near copies[pixels] 0.0125 of 5,000 images (0 exact copies)" in text
    assert "not checked" not in text


def test_what_is_particular_to_a_data_set(run):
    change(run, data="celeba", num_class=0)
    card = model_card(run, 4)
    assert json.loads(header(card)["datasets"]) == ["celeba"]
    assert "faces" in section(card, "Intended use and limits") and "non-commercial research only" in card
    change(run, data="mine", architecture="/home/somebody/secret/nets.py:NET")
    card = model_card(run, 4)
    assert "not known to mmdgan" in section(card, "Data") and "datasets" not in header(card)
    assert "`nets.py:NET`" in card and "secret" not in card


def test_conditional_generators_and_critics(conditional_run):
    folder = RunFolder(conditional_run[1])
    card = model_card(folder, 2, "onnx")
    assert "images of 10 classes" in card and "Each column shows one class." in card
    assert "classes 0 to 9" in section(card, "Loading it") and "pipeline_tag" not in header(card)
    card = model_card(folder, 2, "keras", "critic")
    assert "# Critic of sample" in card and "samples.png" not in card
    assert "import mmdgan" in section(card, "Loading it")
    assert "does not detect" in section(card, "Intended use and limits")


def test_facts_of_data_sets_are_those_of_the_documentation():
    assert set(DATASETS) == set(CATALOG)
    text = (PROJECT / "Data" / "ReadMe.md").read_text(encoding="utf-8")
    parts = {title: " ".join(body.split()) for title, body in re.findall(r"\n## (.*?)\n(.*?)(?=\n## |\Z)", text, re.S)}
    for name, source in DATASETS.items():
        [body] = [body for title, body in parts.items() if name in title.split(", ")]
        assert source.licence in body.split("Licence: ")[1]
        year = re.search(r"\d{4}", source.title)
        assert year is None or year[0] in body


def test_closeness():
    assert closeness(0.0) == "exactly" and closeness(3.21e-7) == "within 3e-07"
