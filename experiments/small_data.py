"""DiffAugment and ADA against no augmentation on 1,000 images of CIFAR-10, with equal processor time.

    python experiments/small_data.py --source cifar10_jpeg_train.tar.gz --features classifier
    python experiments/small_data.py --minutes 60 --seeds 0,1 --parts 6

Each run trains on the same images, in a process with one thread, until its processor time is used up, and is scored
on the way against real images that no run has seen. Stopped at any time, the same command goes on. It prints a table
and writes Results/figures/small_data.png, .pdf, .md and .csv; the runs are in Results/small_data/.

With 20 minutes for each of three runs it takes an hour of one CPU core, and the scores some minutes more.
"""

from paper.output import run_figure
from study.small_data import SmallDataOptions, make

if __name__ == "__main__":
    run_figure(make, SmallDataOptions(), __file__, __doc__)
