"""Measures what a step of each row costs, in processor time on one thread, and what start and scores cost.

    python -m study.mnist_calibrate --out Results/mmd_study --data fashion_mnist

`experiments/mmd_study.py` calls it before its first run; the numbers are kept in the study's `study.json`. It also
makes what all runs share: the converted data set, the classifier of the scores, LeNet's weights.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

from mmdgan.cli import flags
from study.mnist_lenet import LeNetExperiment, ensure
from study.mnist_plan import SHORTEST, Study, StudyFile

if TYPE_CHECKING:
    from mmdgan.data import ImageData, StoredImages
    from mmdgan.runs.experiment import Experiment
    from mmdgan.training import GanStep

WARM_UP = 3
STEPS = 12


def main(words: list[str]) -> None:
    """Measures the rows that are not yet known; takes the study's flags."""
    study: Study = flags.parse(Study(), words, usage=__doc__).options
    file = StudyFile(study)
    for row in study.rows:
        run = study.run(row, study.seeds[0], SHORTEST).experiment
        if isinstance(run, LeNetExperiment):
            ensure(run.data, run.data_root, run.source)
    experiments = {row: study.run(row, study.seeds[0], SHORTEST).experiment.resolved() for row in study.rows}
    rest = file.get("seconds", "rest")
    for row, experiment in experiments.items():
        if file.get("calibration", row) is not None:
            continue
        step, gan, data = seconds_per_step(experiment)
        if rest is None:
            rest = time.process_time() + seconds_of_scores(experiment, gan, data)
            file.put("seconds", "rest", rest)
        file.put("calibration", row, {"step": step, "rest": rest})
        print(
            f"{row}: {step * 1000:.0f} ms of processor time per step; start and scores of a run {rest:.0f} s",
            flush=True,
        )


def seconds_per_step(experiment: Experiment) -> Any:
    """Processor seconds per step after the first ones, with the step itself and the images."""
    from mmdgan.data import Pipeline
    from mmdgan.runs.train import make_gan, open_data, start_replicas

    replicas = start_replicas(experiment)
    data = open_data(experiment)
    gan = make_gan(experiment, experiment.networks()[0], replicas)
    images = Pipeline(data, experiment.batch_size, seed=0, data_format=gan.generator.data_format, labels=False)

    def take(first: int, last: int) -> Any:
        for step in range(first, last):
            gan.step(images.batch(step)["x"])["loss_gen"].numpy()

    take(0, WARM_UP)
    begun = time.process_time()
    take(WARM_UP, WARM_UP + STEPS)
    return (time.process_time() - begun) / STEPS, gan, data


def seconds_of_scores(experiment: Experiment, gan: GanStep, data: ImageData | StoredImages) -> float:
    """Processor seconds of one round of scores, once the classifier is there."""
    from mmdgan.runs.scoring import Scorer

    scorer = Scorer.of(experiment, data)
    assert scorer is not None  # every row has metrics
    scorer.score(gan.generator, 0)  # the first keeps the features of the real images
    begun = time.process_time()
    scorer.score(gan.generator, 0)
    return time.process_time() - begun


if __name__ == "__main__":
    main(sys.argv[1:])
