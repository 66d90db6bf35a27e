"""Figure 1 as moving points: what the attractive and the repulsive loss do to scores, and where the generator follows.

    python experiments/figure1_particles.py
    python experiments/figure1_particles.py --loss rep_b --rep_lambda 0.5      (any loss of `python -m mmdgan losses`)

Six real (R) and six generated points (G) are the critic's scores. First all of them move, as the critic would have
them: with the attractive loss (MMD-GAN) each kind contracts and the two kinds part; with the repulsive one the
generated points contract and the real ones spread. Then, from step 450 of each, only the generated points move, down
the generator's loss. Arrows are half the gradients: blue attraction, orange repulsion. With --loss, points descend
that loss.

Writes to Results/figures: figure1.png and .pdf (four moments of each phase), figure1.csv (positions, gradients and
objective every 100 steps) and the animations figure1_mmd_att.gif, figure1_mmd_rep.gif, figure1_g_mmd_att.gif,
figure1_g_mmd_rep.gif (120 frames each).

Time: about 35 s of one core, most of it for the GIFs (--noanimations leaves them out).
Source: Wang et al. 2019, Figure 1, and its README; the kernel is exp(-D), i.e. sigma = 1 / sqrt(2).
"""

from paper.output import run_figure
from paper.particles import ParticleOptions, make

PRESET = ParticleOptions()

if __name__ == "__main__":
    run_figure(make, PRESET, __file__, __doc__)
