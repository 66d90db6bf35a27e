"""The preview shows the fixed codes every k steps, in one place of a notebook, and nothing elsewhere."""

import sys
import types

import numpy as np
import pytest

import mmdgan
from mmdgan import sampling
from mmdgan.core.errors import ConfigError
from mmdgan.training import Preview
from mmdgan.training.callbacks import Callbacks


@pytest.fixture
def notebook(monkeypatch):
    """An IPython that notes what it is asked to show; its pictures, first shown and then updated."""
    shown = []

    class Handle:
        def update(self, picture):
            shown.append(("update", np.asarray(picture)))

    def display(picture, display_id):
        shown.append(("display", np.asarray(picture)))
        return Handle()

    module = types.ModuleType("IPython")
    module.get_ipython = lambda: object()
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", types.SimpleNamespace(display=display))
    return shown


def preview_of(generator, **options):
    preview = Preview(**options)
    preview.set_model(generator)
    return preview


def steps(preview, last):
    for step in range(1, last + 1):
        preview.set_params({"step": step})
        preview.on_train_batch_end(0)


def test_the_same_codes_every_k_steps_in_one_place(notebook):
    generator = mmdgan.build_generator(mmdgan.load_architecture("sample/DCGAN_SMALL"), data_format="channels_last")
    preview = preview_of(generator, every=3, rows=2, columns=3, seed=5)
    steps(preview, 7)
    assert [how for how, _ in notebook] == ["display", "update"]
    images = sampling.generate(generator, sampling.grid_codes(6, generator.spec.input_shape[0], 5))
    picture = notebook[0][1]
    assert picture.shape == (2 * 32 + 2, 3 * 32 + 4, 3)
    for number, image in enumerate(images):
        top, left = 34 * (number // 3), 34 * (number % 3)
        np.testing.assert_array_equal(picture[top : top + 32, left : left + 32], image)
    np.testing.assert_array_equal(picture, notebook[1][1])


def test_nothing_is_shown_without_a_notebook(monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    steps(preview_of(None, every=1), 2)
    monkeypatch.delitem(sys.modules, "IPython")
    steps(preview_of(None, every=1), 2)
    assert capfd.readouterr() == ("", "") and "IPython" not in sys.modules  # nor imported


def test_it_is_a_callback_of_training_and_checks_its_numbers():
    Callbacks([Preview(every=2)])
    with pytest.raises(ConfigError, match="every is 0; give a whole number"):
        Preview(every=0)
