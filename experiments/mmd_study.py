"""Trains every row of the MMD GAN study on MNIST or Fashion-MNIST within a budget, and writes one report of them.

    python experiments/mmd_study.py --data fashion_mnist --budget_minutes 50 --jobs 2 --seeds 0,1
    python experiments/mmd_study.py --steps 2000 --rows pixels,dcgan,bounded

Each run gets equal processor time (or equal --steps); the same command goes on where it was stopped and repeats no
finished run. It writes report.html, table.csv and table.md into --out.
"""

from mmdgan.cli.program import run_main
from study.mnist import main

if __name__ == "__main__":
    run_main(lambda words: main(words, __doc__))
