"""Scores over the paper's 100,000 steps: the curves and tables of docs/evidence.md.

    python -m mmdgan sweep experiments/sweeps/evidence.py --jobs 2 --threads 1
    python -m mmdgan evaluate RUN --steps all --metrics fid,kid,is,prdc,ms_ssim --count 10000      for each run
    python experiments/evidence.py Results/sweeps/evidence/cifar10 --keep Results/published/evidence \
        --page docs/evidence.md [--critics STEP]

It takes the runs, or folders of what an earlier call kept of them, and writes Results/figures/evidence.png, .pdf, .csv
and .md, and evidence_grids.png of runs that have their grids. With --keep it also stores each run's configuration,
scores and curves, small enough for a repository; with --page it writes the tables into the page. With --critics it
first measures each run's critic at a step: how its scores spread, and its spectral norms beside exact ones. The near
copies in that table come from `evaluate RUN --metrics nn --steps STEP`.
"""

from paper.evidence import EvidenceOptions, make
from paper.output import run_figure

if __name__ == "__main__":
    run_figure(make, EvidenceOptions(), __file__, __doc__, arguments=("[RUN...]",))
