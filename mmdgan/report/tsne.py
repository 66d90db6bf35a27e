"""Critic scores in the plane: t-SNE (van der Maaten & Hinton 2008), as in the paper's Fig. 4."""

from __future__ import annotations

import numpy as np

from mmdgan.core.errors import ConfigError, MetricError
from mmdgan.report.critic_view import CriticView


def embed_scores(view: CriticView, seed: int = 0, perplexity: float = 30) -> np.ndarray:
    """Real and generated scores embedded together.

    Args:
        view: N real and N generated scores.
        seed: the embedding is a function of it and of the scores.
        perplexity: about how many neighbours a point keeps close; at most a third of the points is used, which
            t-SNE needs.

    Returns:
        float32 (2N, 2): of the real images, then of the generated ones; without units.

    Raises:
        ConfigError: a perplexity below 1.
        MetricError: scores that are not finite, or all alike.
    """
    return embed(np.concatenate([view.score_data, view.score_gen]), view.step, seed, perplexity)


def embed(scores: np.ndarray, step: int, seed: int = 0, perplexity: float = 30) -> np.ndarray:
    """Critic scores (N, d) of any images, embedded: float32 (N, 2); the rest as of `embed_scores`.

    Args:
        scores: (N, d), N >= 2.
        step: of the checkpoint, for errors.
        seed: as there.
        perplexity: as there.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if perplexity < 1:
        raise ConfigError(f"perplexity is {perplexity}; give a number of neighbours, such as 30.")
    scores = scores.astype(np.float32)
    if not np.isfinite(scores).all():
        raise MetricError(f"The critic's scores at step {step} are not finite; look at an earlier checkpoint.")
    if (scores == scores[0]).all():
        raise MetricError(f"All images have the same critic score at step {step}; look at another checkpoint.")
    tsne = TSNE(
        n_components=2,
        perplexity=min(perplexity, (len(scores) - 1) / 3),
        # One score has no second principal component to begin with.
        init="pca" if scores.shape[1] > 1 else "random",
        random_state=seed,
    )
    # Threads gain little for so few points, wait for each other on a busy machine, and add up in any order.
    with threadpool_limits(limits=1):
        return tsne.fit_transform(scores)
