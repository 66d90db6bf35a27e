"""The documented path of `mmdgan.runs.experiment`."""

from mmdgan.runs.experiment import IDENTITY as IDENTITY, Experiment as Experiment
