"""Figure 4 of the paper: t-SNE of the critic's scores of real images by class, of an attractive and a repulsive loss.

The paper shows it for MMD-rbf and MMD-rep. Here the same images go through each critic, and numbers next to the
picture say how much of the classes is left in the scores: an embedding alone can invent clusters, and hide them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

from mmdgan.core.errors import ConfigError, DataError
from mmdgan.core.lazy import np
from mmdgan.core.options import option
from paper.output import Output, new_figure
from paper.trained import TrainedOptions, given_or_trained, labels_of, open_images, real_images, settings_of, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mmdgan.report.facts import RunFacts

LOSSES = ("mmd_g", "rep")
NUMBERS = (
    "method run loss seed step space images classes silhouette silhouette_chance silhouette_chance_sd neighbours "
    "accuracy accuracy_se accuracy_chance largest_class outputs effective_dimension"
).split()
_SHUFFLES = 20


@dataclasses.dataclass(frozen=True)
class ScoreFigureOptions(TrainedOptions):
    """The flags of Figure 4."""

    count: int | None = option(None, "real images; none: 2,000, with --quick 200", "the figure")
    step: int | None = option(None, "step of the checkpoints; none: the newest of each run", "the figure")
    perplexity: float = option(30.0, "perplexity of t-SNE: about how many neighbours it keeps close", "the figure")
    neighbours: int = option(10, "k of the nearest-neighbour classification", "the figure")


class Separation(NamedTuple):
    """How well points separate classes.

    Attributes:
        silhouette: Mean silhouette (Rousseeuw 1987) over all points, Euclidean, -1 to 1.
        silhouette_chance: Its mean over shuffled labels.
        silhouette_chance_sd: Its standard deviation over them.
        accuracy: Share of points whose k nearest others have their class as the most frequent one (leave one out).
        accuracy_se: Its standard error, as of independent points.
        accuracy_chance: The accuracy with shuffled labels, on average.
        largest_class: Share of the most frequent class.
    """

    silhouette: float
    silhouette_chance: float
    silhouette_chance_sd: float
    accuracy: float
    accuracy_se: float
    accuracy_chance: float
    largest_class: float


class Panel(NamedTuple):
    """One run in the figure: its embedding (N, 2), and how well it and the scores separate classes.

    `outputs` is how many numbers a score has, `dimension` how many of them matter (`effective_dimension`).
    """

    facts: RunFacts
    step: int
    points: np.ndarray
    outputs: int
    dimension: float
    in_scores: Separation
    in_plane: Separation


def make(options: ScoreFigureOptions) -> Output:
    """Writes the figure, the embedded points and the numbers.

    Raises:
        ConfigError: Runs on different images; too few images for the neighbours.
        DataError: Images without classes.
    """
    count = options.count or (200 if options.quick else 2000)
    if not 0 < options.neighbours < count:
        raise ConfigError(f"neighbours is {options.neighbours}; give 1 to {count - 1}, one less than the images.")
    runs = given_or_trained(options, LOSSES)
    _check_same_images(runs)
    numbers, images, labels = real_images(runs[0], count, options.seed, options.data_root)
    if labels is None:
        raise DataError(f"{runs[0].experiment['data']} has no classes to colour the scores by; take a run on another.")
    labels = np.reshape(labels, -1)
    names = tuple(open_images(runs[0], options.data_root).class_names) or tuple(map(str, range(labels.max() + 1)))
    panels = [_panel(run, images, labels, options) for run in runs]
    pixels = separation(images.reshape(count, -1) / 255.0, labels, options.neighbours, options.seed)
    output = Output(options.out, "figure4_scores")
    output.figure(draw(panels, labels, names, pixels, options.neighbours))
    rows = [row for panel in panels for row in _rows(panel, count, len(np.unique(labels)), options.neighbours)]
    reference = {"method": "the images themselves", "space": "pixels", "images": count, "classes": rows[0]["classes"]}
    output.table([*rows, reference | {"neighbours": options.neighbours} | pixels._asdict()], NUMBERS)
    points = [
        (panel.facts.name, int(number), int(label), names[label], float(x), float(y))
        for panel in panels
        for number, label, (x, y) in zip(numbers, labels, panel.points, strict=True)
    ]
    output.table(points, ("run", "image", "label", "class", "x", "y"), "_points")
    for row in rows:
        line = "{method} ({run}), {space}: silhouette {silhouette:.3f}, {neighbours}-NN accuracy {accuracy:.3f}"
        print(f"{line.format(**row)} (chance {row['silhouette_chance']:.3f}, {row['accuracy_chance']:.3f})")
    for panel in panels:
        print(f"{panel.facts.name}: effective dimension {panel.dimension:.2f} of {panel.outputs} outputs")
    return output


def separation(points: np.ndarray, labels: np.ndarray, neighbours: int, seed: int = 0) -> Separation:
    """How well points (N, d) separate classes, and what shuffled labels (N,) would give."""
    from sklearn.metrics import pairwise_distances, silhouette_score
    from sklearn.neighbors import NearestNeighbors

    distances = pairwise_distances(np.asarray(points, np.float64))
    np.fill_diagonal(distances, 0.0)
    _, classes = np.unique(labels, return_inverse=True)
    nearest = NearestNeighbors(n_neighbors=neighbours, metric="precomputed").fit(distances)
    nearest = nearest.kneighbors(return_distance=False)  # of the points themselves: each but itself
    rng = np.random.default_rng(seed)
    shuffled = [rng.permutation(classes) for _ in range(_SHUFFLES)]
    chances = [silhouette_score(distances, other, metric="precomputed") for other in shuffled]
    accuracy = _vote_accuracy(nearest, classes)
    return Separation(
        float(silhouette_score(distances, classes, metric="precomputed")),
        float(np.mean(chances)),
        float(np.std(chances)),
        accuracy,
        float(np.sqrt(accuracy * (1 - accuracy) / len(classes))),
        float(np.mean([_vote_accuracy(nearest, other) for other in shuffled])),
        float(np.bincount(classes).max() / len(classes)),
    )


def effective_dimension(scores: np.ndarray) -> float:
    """In how many directions scores (N, d) spread: (sum of variances)^2 / sum of squared variances along the axes.

    1 for scores on a line, d for as much variance in every direction: the participation ratio of the covariance.
    """
    covariance = np.atleast_2d(np.cov(np.asarray(scores, np.float64), rowvar=False))
    return float(np.trace(covariance) ** 2 / (covariance**2).sum())


def _vote_accuracy(nearest: np.ndarray, classes: np.ndarray) -> float:
    """How often the most frequent class among the neighbours (N, k), nearest first, is a point's own."""
    # Of classes with equally many votes, that of the nearer ones wins.
    weights = 1 + 1e-6 * np.arange(nearest.shape[1], 0, -1)
    votes = np.zeros((len(classes), classes.max() + 1))
    for rank, weight in enumerate(weights):
        votes[np.arange(len(classes)), classes[nearest[:, rank]]] += weight
    return float((votes.argmax(axis=1) == classes).mean())


def draw(
    panels: list[Panel], labels: np.ndarray, names: tuple[str, ...], pixels: Separation, neighbours: int
) -> Figure:
    """The embeddings side by side, coloured by class, with the numbers below each."""
    from mmdgan.report.plots import COLOURS

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = new_figure(4.6 * columns, 4.9 * rows + 1.1)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    titles = labels_of([panel.facts for panel in panels])
    for panel, title, ax in zip(panels, titles, axes, strict=False):
        for index, label in enumerate(np.unique(labels)):
            chosen = panel.points[labels == label]
            style = {"color": COLOURS[index % len(COLOURS)], "marker": "o^sDv"[index // len(COLOURS) % 5]}
            ax.scatter(*chosen.T, s=7, linewidths=0, alpha=0.8, label=names[label], rasterized=True, **style)
        ax.set_title(f"{title}, at step {panel.step:,}", fontsize=11)
        ax.set(xticks=[], yticks=[])
        ax.set_aspect("equal", adjustable="datalim")
        ax.set_xlabel(_numbers_text(panel, neighbours), fontsize=9.5)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    handles, texts = axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=5, fontsize=9.5, frameon=False, markerscale=2)
    figure.suptitle(_caption(panels, len(labels), pixels, neighbours), fontsize=9, x=0.01, ha="left")
    return figure


def _numbers_text(panel: Panel, neighbours: int) -> str:
    dimension = f"effective dimension of D(x): {panel.dimension:.2f} of {panel.outputs}"
    return "\n".join(
        [dimension]
        + [
            f"{where}: silhouette {s.silhouette:+.3f} (chance {s.silhouette_chance:+.3f}), {neighbours}-NN "
            f"{s.accuracy:.1%} ± {s.accuracy_se:.1%}"
            for where, s in (("D(x)", panel.in_scores), ("embedding", panel.in_plane))
        ]
    )


def _caption(panels: list[Panel], count: int, pixels: Separation, neighbours: int) -> str:
    first = panels[0].facts
    chance = panels[0].in_scores.accuracy_chance
    return (
        f"t-SNE of the critic's scores of the same {count:,} real images of {first.experiment['data']}, by class.\n"
        f"{neighbours}-NN accuracy: by chance (shuffled labels) {chance:.1%}, on raw pixels {pixels.accuracy:.1%}.\n"
        f"{settings_of(*(panel.facts for panel in panels))}"
    )


def _panel(run: RunFacts, images: np.ndarray, labels: np.ndarray, options: ScoreFigureOptions) -> Panel:
    from mmdgan.report.critic_view import critic_scores, embed

    critic, step = run.folder.load_critic(options.step)
    scores = critic_scores(critic, images, labels if run.experiment["num_class"] >= 2 else None)
    points = embed(scores, step, options.seed, options.perplexity)
    separations = [separation(where, labels, options.neighbours, options.seed) for where in (scores, points)]
    return Panel(run, step, points, scores.shape[1], effective_dimension(scores), *separations)


def _rows(panel: Panel, count: int, classes: int, neighbours: int) -> list[dict]:
    """The lines of the CSV: in the scores, and in the embedding."""
    e = panel.facts.experiment
    common = {"method": title_of(panel.facts), "run": panel.facts.name, "loss": e["loss"], "seed": e["seed"]}
    common |= {"step": panel.step, "images": count, "classes": classes, "neighbours": neighbours}
    of_scores = {"outputs": panel.outputs, "effective_dimension": panel.dimension}
    return [
        {**common, "space": "scores", **panel.in_scores._asdict(), **of_scores},
        {**common, "space": "embedding", **panel.in_plane._asdict()},
    ]


def _check_same_images(runs: list[RunFacts]) -> None:
    """Refuses runs on different images, whose embeddings could not be compared."""
    first = runs[0]
    for run in runs[1:]:
        sets = [(facts.experiment["data"], facts.data.get("fingerprint")) for facts in (first, run)]
        if sets[0] != sets[1]:
            raise ConfigError(
                f"{first.name} and {run.name} were trained on different images ({sets[0][0]}, {sets[1][0]}); give runs "
                "on one data set."
            )
