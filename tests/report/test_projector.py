"""TensorBoard's projector reads what is written: its own plugin answers the requests of a browser."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from mmdgan import report
from mmdgan.core.errors import ConfigError
from mmdgan.runs.folder import RunFolder


@pytest.fixture(scope="module")
def view(conditional_run):
    return report.view_critic(RunFolder.open(conditional_run[1]), count=7)


class Browser:
    """Asks TensorBoard's projector about a folder of logs."""

    def __init__(self, folder):
        from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
        from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
        from tensorboard.plugins.base_plugin import TBContext
        from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin

        runs = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
        provider = MultiplexerDataProvider(runs, str(folder))
        self._apps = ProjectorPlugin(TBContext(logdir=str(folder), data_provider=provider)).get_plugin_apps()

    def get(self, route: str, **question) -> bytes:
        from werkzeug.test import Client

        answer = Client(self._apps[route]).get("/", query_string=question)
        assert answer.status_code == 200, answer.data
        return answer.data


@pytest.fixture(scope="module")
def written(conditional_run, view, tmp_path_factory):
    """A copy of the run's logs, with event files, and the projector's files beside them."""
    import shutil

    folder = RunFolder.open(conditional_run[1])
    logs = tmp_path_factory.mktemp("run") / "logs"
    shutil.copytree(folder.logs, logs)
    assert report.write_projector(folder, view, logs) == logs / "projector_config.pbtxt"
    return logs


def test_tensorboard_reads_scores_classes_and_pictures(written, view):
    browser = Browser(written.parent)
    assert json.loads(browser.get("/runs")) == ["logs"]
    [embedding] = json.loads(browser.get("/info", run="logs"))["embeddings"]
    name = embedding["tensorName"]
    assert (name, embedding["tensorShape"]) == (f"x_vs_xg_{view.step}", [14, view.score_data.shape[1]])
    vectors = np.frombuffer(browser.get("/tensor", run="logs", name=name), np.float32).reshape(14, -1)
    np.testing.assert_array_equal(vectors, np.concatenate([view.score_data, view.score_gen]))
    lines = browser.get("/metadata", run="logs", name=name, num_rows=14).decode().splitlines()
    assert lines[0] == "Name\tClass\tLabel" and len(lines) == 15
    assert lines[1] == f"000000\treal\t{view.class_names[view.labels_data[0]]}"
    assert lines[-1] == f"000013\tgenerated\t{view.class_names[view.labels_gen[-1]]}"
    assert browser.get("/sprite_image", run="logs", name=name) == (written / f"{name}.png").read_bytes()
    assert embedding["sprite"]["singleImageDim"] == [32, 32]


def test_each_picture_is_stretched_to_the_whole_range(written, view):
    sprite = np.asarray(Image.open(written / f"x_vs_xg_{view.step}.png"))
    assert sprite.shape == (4 * 32, 4 * 32, 3)  # 14 pictures
    for index, image in enumerate(np.concatenate([view.images_data, view.images_gen])):
        cell = sprite[index // 4 * 32 :][:32, index % 4 * 32 :][:, :32]
        least, most = int(image.min()), int(image.max())
        expected = (image.astype(np.float64) - least) / max(most - least, 1) * 255
        assert np.abs(cell - expected).max() <= 1


def test_another_step_is_added_and_the_same_step_replaced(conditional_run, view, tmp_path):
    folder = RunFolder.open(conditional_run[1])
    unlabelled = dataclasses.replace(view, step=99, labels_data=None, labels_gen=None, class_names=())
    for part in (view, unlabelled, view):
        report.write_projector(folder, part, tmp_path)
    browser = Browser(tmp_path)  # without event files too
    names = [embedding["tensorName"] for embedding in json.loads(browser.get("/info", run="."))["embeddings"]]
    assert sorted(names) == ["x_vs_xg_2", "x_vs_xg_99"]
    metadata = browser.get("/metadata", run=".", name="x_vs_xg_99").decode()
    assert metadata.splitlines()[:2] == ["Name\tClass", "000000\treal"]


def test_mistakes_are_named(conditional_run, view, tmp_path):
    folder = RunFolder.open(conditional_run[1])
    (tmp_path / "projector_config.pbtxt").write_text("embeddings: nonsense")
    with pytest.raises(ConfigError, match=r"projector_config.pbtxt is not a configuration of TensorBoard's projector"):
        report.write_projector(folder, view, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file cannot be written .*name another folder"):
        report.write_projector(folder, view, tmp_path / "file")
