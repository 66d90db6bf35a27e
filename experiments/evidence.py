"""Scores over the paper's 100,000 steps: the curves and the table of docs/evidence.md.

    python -m mmdgan sweep experiments/sweeps/evidence.py --jobs 2 --threads 1
    python -m mmdgan evaluate RUN --steps all --metrics fid,kid,is,prdc,ms_ssim --count 10000      for each run
    python experiments/evidence.py Results/sweeps/evidence/cifar10 --keep Results/published/evidence \
        --page docs/evidence.md

It takes the runs, or folders of what an earlier call kept of them, and writes Results/figures/evidence.png, .pdf, .csv
and .md, and evidence_grids.png of runs that have their grids. With --keep it also stores each run's configuration,
scores and curves, small enough for a repository; with --page it writes the table into the page.
"""

from paper.evidence import EvidenceOptions, make
from paper.output import run_figure

if __name__ == "__main__":
    run_figure(make, EvidenceOptions(), __file__, __doc__, arguments=("[RUN...]",))
