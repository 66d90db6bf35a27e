"""Figure 2: the kernels of MMD-GANs and their derivatives, as functions of the distance of two scores.

    python experiments/figure2_kernels.py
    python experiments/figure2_kernels.py --sigma 0.5,1,2 --lower_bound 0.1      (other widths, exponents and bounds)

Five Gaussian kernels (MMD-rbf), five rational quadratic ones (MMD-rq) and the mean of each five, over e = |a - b| from
0 to 10; and the bounded Gaussian kernel as the critic of MMD-rbf-b (Eq. 6) and of MMD-rep-b (Eq. 7) sees it, for each
kind of pair. The lower panels say how strongly a pair of scores pulls or pushes at that distance: where the derivative
is zero, it does not.

Writes to Results/figures: figure2.png, figure2.pdf, and figure2.csv with every curve and its derivative.

Time: some 10 s, most of it to load TensorFlow. Source: Wang et al. 2019, Figure 2.
"""

from paper.kernels import KernelOptions, make
from paper.output import run_figure

PRESET = KernelOptions()

if __name__ == "__main__":
    run_figure(make, PRESET, __file__, __doc__)
