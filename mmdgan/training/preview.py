"""Samples of fixed codes while training goes on, in a notebook's cell.

Its own file because its class is a Keras callback: the training loop does not import Keras before it runs.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any

from mmdgan import sampling
from mmdgan.core.options import check_count
from mmdgan.core.startup import quiet
from mmdgan.pictures.grid import image_grid, to_pillow

with quiet():  # a notebook shows TensorFlow's log lines in red
    import keras


class Preview(keras.callbacks.Callback):
    """Shows a grid of samples every k steps, of the same codes each time, in place of the one before.

    `Experiment.run(callbacks=[Preview(every=500)])`. Where IPython does not run, nothing is shown.
    """

    def __init__(self, every: int = 500, rows: int = 4, columns: int = 8, seed: int = 0):
        """Nothing is shown yet.

        Args:
            every: Steps between two grids.
            rows: Rows of the grid.
            columns: Columns of the grid; of a conditional generator, each shows one class.
            seed: Seed of the codes; with the run's seed and its grid they are those of its samples.

        Raises:
            ConfigError: A number is less than 1.
        """
        super().__init__()
        for name, value in {"every": every, "rows": rows, "columns": columns}.items():
            check_count(name, value)
        self._every, self._rows, self._columns, self._seed = every, rows, columns, seed
        self._shown: Any = None

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        ipython = sys.modules.get("IPython")
        if self.params["step"] % self._every or ipython is None or ipython.get_ipython() is None:
            return
        picture = to_pillow(self.grid())
        if self._shown is None:
            self._shown = importlib.import_module("IPython.display").display(picture, display_id=True)
        else:
            self._shown.update(picture)

    def grid(self) -> Any:
        """The picture of the generator as it is now: uint8 (H, W, C)."""
        spec, count = self.model.spec, self._rows * self._columns
        codes = sampling.grid_codes(count, spec.input_shape[0], self._seed)
        labels = sampling.cycled_labels(count, spec.num_class, self._columns)
        return image_grid(sampling.generate(self.model, codes, labels), self._columns, gap=2)
