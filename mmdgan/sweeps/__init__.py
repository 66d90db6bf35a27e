"""Sweeps: many runs of one experiment, over a grid or a search space of its fields, on one machine or on a cluster.

    from mmdgan.experiment import Experiment
    from mmdgan.sweeps import Sweep, loguniform

    SWEEP = Sweep(name="rates", base=Experiment(data="sample"), space={"lr_dis": loguniform(1e-4, 1e-2)}, trials=20)

A file with such a `SWEEP` is what `python -m mmdgan sweep FILE` runs. spec.py says what a sweep is and makes
and checks its runs, folder.py keeps what came of them, worker.py does one of them, local.py and ray_engine.py do them
all, table.py shows them. Nothing here imports TensorFlow or NumPy before a run begins.
"""

from __future__ import annotations

from mmdgan.sweeps.spec import Sweep, choice, integers, loguniform, uniform

__all__ = ["Sweep", "choice", "integers", "loguniform", "uniform"]
