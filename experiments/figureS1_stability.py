"""Figure S1: the gradient flow of a GAN of two parameters, by MMD-GAN's loss and by the repulsive one.

    python experiments/figureS1_stability.py
    python experiments/figureS1_stability.py --most_w1 2 --sigma 1      (another part of the plane, another kernel)

G(z) = w1 z, D(x) = w2 x^2, P_Z = U(-1, 1), P_X = U(-1, 1) or N(0, 1), a Gaussian kernel with sigma = 0.5; both players
descend their own loss. Expectations are quadratures, equilibria are found by a root finder from many starts. With
P_X = U(-1, 1) every point of w1 = 1 is an equilibrium, as Proposition 1 has it: the eigenvalue across the line is
negative, the one along it zero. With N(0, 1) the generator cannot match the data, and one stable equilibrium is left;
the paper reads its place off the plots. Shaded are the starts from which the flow ends in the trivial w2 = 0.

Prints equilibria, eigenvalues, differences from the paper and shares of the plane; writes to Results/figures:
figureS1.png and .pdf, figureS1_equilibria.csv, figureS1_line.csv (Proposition 1), figureS1_field.csv (the flow).

Time: some 20 s of one core. Source: Wang et al. 2019, appendix.
"""

from paper.output import run_figure
from paper.stability import StabilityOptions, make

PRESET = StabilityOptions()

if __name__ == "__main__":
    run_figure(make, PRESET, __file__, __doc__)
