"""PICO and PIM: the spectral norms of a trained critic's layers by both power iterations, and exact.

PICO iterates with the convolution itself, PIM with its kernel as a matrix (h w c_in, c_out); converged, PICO gives the
layer's norm and PIM another number, mostly a smaller one (Wang et al. 2019, section 4 and appendix C). Below them stand
the scores that the authors published with PICO, for five gains K, and with PIM: four data sets, four losses.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.runs import published
from paper.output import Output, markdown, new_figure, tidy
from paper.sweep_scores import VARIANTS
from paper.trained import TrainedOptions, given_or_trained, labels_of, settings_of, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from mmdgan.layers.linear import SpectralLayer
    from mmdgan.report.facts import RunFacts

OPS = ("c", "tc", "d", "project")
"""Layers that have one matrix: those with a kernel per class are left out, and named."""

LOSSES = {"hinge": "hinge", "mmd_g": "MMD-rbf", "rep": "MMD-rep", "rmb": "MMD-rep-b"}
"""The spreadsheet's names of the losses, and the paper's."""

DATA = {"cifar10": "CIFAR-10", "stl10": "STL-10", "celeba": "CelebA", "lsun": "LSUN bedrooms"}

_STYLES = {"hinge": ("#000000", "v"), "mmd_g": ("#D55E00", "s"), "rep": ("#0072B2", "o"), "rmb": ("#009E73", "D")}

_COLOURS = {"PIM": "#E69F00", "PICO": "#0072B2", "exact": "#000000", "stored": "#CC79A7"}
_TOLERANCE = 1e-9  # relative change of sigma in one iteration


@dataclasses.dataclass(frozen=True)
class SpectralOptions(TrainedOptions):
    """The flags of the comparison."""

    step: int | None = option(None, "step of the checkpoints; none: the newest of each run", "the figure")
    iterations: int = option(20_000, "most iterations until a norm must have converged", "the figure")


class Norms(NamedTuple):
    """The norms of one layer.

    Attributes:
        layer: Name, such as "l1_f32"; in a block with that of the kernel: "l1/kernel_0".
        op: Its op in the layer dictionary.
        shape: Shape of the kernel.
        exact: Largest singular value of the layer's linear map, by Lanczos iteration or SVD.
        pico: Converged power iteration with the map itself.
        pico_iterations: Iterations that it took.
        pim: Converged power iteration with the kernel as a matrix.
        pim_iterations: Iterations that it took.
        stored: Sigma of the vector in the checkpoint, which has had one iteration per training step.
        alignment: |cosine| between that vector and the converged one of the same iteration; NaN without a vector.
        gain: act_k.
    """

    layer: str
    op: str
    shape: tuple[int, ...]
    exact: float
    pico: float
    pico_iterations: int
    pim: float
    pim_iterations: int
    stored: float
    alignment: float
    gain: float


class RunNorms(NamedTuple):
    """A run's layers, in the order of the critic, and the names of those left out."""

    facts: RunFacts
    step: int
    norms: list[Norms]
    skipped: list[str]


COLUMNS = ("run", "method", "seed", "step", *Norms._fields, "pico_over_pim", "stored_over_converged")


def make(options: SpectralOptions) -> Output:
    """Writes the norms, the authors' scores, and the figure of both.

    Raises:
        ConfigError: A critic without spectral normalisation; an iteration that does not converge.
    """
    runs = [run_norms(run, options.step, options.iterations) for run in given_or_trained(options, ("rep",))]
    cells = published_cells()
    text = "\n\n".join([*map(norms_text, runs), published_text(cells)])
    output = Output(options.out, "pico_vs_pim")
    output.figure(draw(runs, cells), dpi=130)
    output.table([row for run in runs for row in _rows(run)], COLUMNS)
    output.table([cell._asdict() for cell in cells], cells[0]._fields if cells else ("data",), "_published")
    output.text(text + "\n", ".md")
    print(text, flush=True)
    return output


def run_norms(facts: RunFacts, step: int | None, iterations: int) -> RunNorms:
    """The norms of a run's critic; errors as of `make`."""
    critic, step = facts.folder.load_critic(step)
    layers = {name.partition("/")[2].removesuffix("/kernel"): one for name, one in critic.spectral_layers().items()}
    usable = {name: layer for name, layer in layers.items() if layer.op in OPS and len(layer.kernel_names) == 1}
    if not usable:
        raise ConfigError(f"the critic of {facts.name} has no spectrally normalised layer of one kernel.")
    norms = [layer_norms(name, layer, iterations) for name, layer in usable.items()]
    return RunNorms(facts, step, norms, [name for name in layers if name not in usable])


def layer_norms(name: str, layer: SpectralLayer, iterations: int) -> Norms:
    """The norms of one layer, which does not change; ConfigError for an iteration that has not converged."""
    from mmdgan.report.spectra import exact_norm

    kernel = np.asarray(layer.kernel, np.float64)
    matrix = kernel.reshape(-1, kernel.shape[-1])
    pico = converge(layer.op, kernel, iterations, name, **layer.operator())
    pim = converge("d", matrix, iterations, name) if layer.op in ("c", "tc") else pico
    converged = pico if layer.spectral == "pico" else pim
    stored = None if layer.in_rand is None else np.asarray(layer.in_rand, np.float64).ravel()
    exact, norms = float(exact_norm(layer)), (pico.sigma, pico.iterations, pim.sigma, pim.iterations)
    used, alignment = float(layer.normalise()[1]), _cosine(stored, converged.vector)
    return Norms(name, layer.op, tuple(kernel.shape), exact, *norms, used, alignment, layer.gain)


class Converged(NamedTuple):
    """What a power iteration came to: the norm, its unit vector (None where the norm has a closed form), the count."""

    sigma: float
    vector: np.ndarray | None
    iterations: int


def converge(op: str, kernel: np.ndarray, iterations: int, name: str = "the layer", **operator: Any) -> Converged:
    """Power iteration from a random vector until sigma stays to nine digits, in the kernel's precision (float64).

    Args:
        op: As `mmdgan.layers.spectral.spectral_norm` takes it, with `operator`.
        kernel: The kernel, float64.
        iterations: Most iterations.
        name: Name of the layer, for the error.
        operator: Shapes, strides, padding.

    Raises:
        ConfigError: It has not converged.
    """
    import tensorflow as tf

    from mmdgan.layers.spectral import spectral_norm, vector_shape

    sides = {key: operator[key] for key in ("input_shape", "output_shape") if key in operator}
    shape, kernel = vector_shape(op, kernel.shape, **sides), tf.constant(kernel)
    if shape is None:
        return Converged(float(spectral_norm(op, kernel, None, **operator)[0]), None, 0)
    vector = np.random.default_rng(0).standard_normal(shape)
    vector = tf.constant(vector / np.linalg.norm(vector))
    step = tf.function(lambda v: spectral_norm(op, kernel, v, **operator), autograph=False)
    before = math.inf
    for count in range(1, iterations + 1):
        sigma, vector = step(vector)
        sigma = float(sigma)
        if abs(sigma - before) <= _TOLERANCE * sigma:
            return Converged(sigma, vector.numpy().ravel(), count)
        before = sigma
    raise ConfigError(f"the power iteration of {name} has not converged in {iterations:,}: give more --iterations.")


def _cosine(a: np.ndarray | None, b: np.ndarray | None) -> float:
    if a is None or b is None or not (size := np.linalg.norm(a) * np.linalg.norm(b)):
        return math.nan
    return float(abs(a @ b) / size)


def norms_text(run: RunNorms) -> str:
    """A run's norms as a Markdown table, with what they say of the paper's claim."""
    rows = ["layer,kernel,PIM,PICO,exact,PICO / PIM,stored vector,stored / converged,cosine".split(",")]
    for row in run.norms:
        numbers = [f"{value:.4f}" for value in (row.pim, row.pico, row.exact)] + [f"{row.pico / row.pim:.3f}"]
        numbers += [f"{row.stored:.4f}", f"{_stored_ratio(run, row):.4f}", f"{row.alignment:.3f}"]
        rows.append([row.layer, " x ".join(map(str, row.shape)), *numbers])
    title = f"{title_of(run.facts)}, {run.facts.name}, step {run.step:,} ({settings_of(run.facts)})"
    lines = [title, "", markdown(rows)]
    convolutions = [row for row in run.norms if row.op in ("c", "tc")]
    above = sum(row.pico > row.pim * (1 + 1e-6) for row in convolutions)
    worst = max(abs(row.pico / row.exact - 1) for row in run.norms)
    product = math.prod(row.pico / row.pim for row in run.norms)
    lines += [
        "",
        f"PICO > PIM in {above} of {len(convolutions)} convolutions; the product of all layers' ratios is "
        f"{product:.3g}. PICO is the exact norm within {worst:.1e}.",
    ]
    if run.skipped:
        lines.append(f"Left out, with a kernel per class or of two factors: {', '.join(run.skipped)}.")
    return "\n".join(lines)


def _stored_ratio(run: RunNorms, row: Norms) -> float:
    """The sigma of training over the converged one of the iteration it uses."""
    return row.stored / (row.pico if run.facts.experiment["spectral"] == "pico" else row.pim)


def _rows(run: RunNorms) -> list[dict[str, Any]]:
    known = {"run": run.facts.name, "method": title_of(run.facts), "seed": run.facts.experiment["seed"]}
    known["step"] = run.step
    rows = []
    for row in run.norms:
        ratios = {"pico_over_pim": row.pico / row.pim, "stored_over_converged": _stored_ratio(run, row)}
        rows.append({**known, **row._asdict(), **ratios, "shape": "x".join(map(str, row.shape))})
    return rows


def draw(runs: list[RunNorms], cells: list) -> Figure:
    """A row per run (norms by layer, ratios), and below the authors' scores by data set."""
    heights = [2.9] * len(runs) + ([4.0] if cells else [])
    figure = new_figure(11.5, sum(heights) + 0.2)
    frames = np.ravel(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False))
    for run, label, frame in zip(runs, labels_of([run.facts for run in runs]), frames, strict=False):
        bars, ratios = frame.subplots(1, 2, width_ratios=(1.7, 1))
        _draw_norms(bars, run, label)
        _draw_ratios(ratios, run)
    if cells:
        draw_published(frames[-1], cells)
    return figure


def _draw_norms(ax: Axes, run: RunNorms, label: str) -> None:
    places, width = np.arange(len(run.norms)), 0.2
    series = {name: [getattr(row, name.lower()) for row in run.norms] for name in _COLOURS}
    labels = {"PIM": "PIM, converged", "PICO": "PICO, converged", "stored": "in training (stored vector)"}
    for index, (name, values) in enumerate(series.items()):
        ax.bar(places + (index - 1.5) * width, values, width, color=_COLOURS[name], label=labels.get(name, name))
    blocks = any("/" in row.layer for row in run.norms)
    ax.set_xticks(places, [row.layer for row in run.norms], fontsize=9, rotation=30 if blocks else 0)
    ax.set_ylabel("spectral norm of the kernel")
    ax.set_title(f"{label}, at step {run.step:,}: layers of the critic", loc="left", fontsize=10.5)
    tidy(ax, "y")
    ax.set_ylim(top=1.25 * max(map(max, series.values())))
    ax.legend(fontsize=8.5, frameon=False, ncols=4, loc="upper center", columnspacing=1, handlelength=1.2)


def _draw_ratios(ax: Axes, run: RunNorms) -> None:
    places = np.arange(len(run.norms))
    ax.plot(places, [row.pico / row.pim for row in run.norms], "o-", color=_COLOURS["PICO"], label="PICO / PIM")
    stored = [_stored_ratio(run, row) for row in run.norms]
    ax.plot(places, stored, "s--", color=_COLOURS["stored"], label="in training / converged")
    ax.axhline(1, color="#606060", linewidth=0.9)
    ax.set_xticks(places, [row.layer for row in run.norms], fontsize=9, rotation=30)
    ax.set_title("ratios", loc="left", fontsize=10.5)
    tidy(ax, "y")
    ax.margins(y=0.25)
    ax.legend(fontsize=8.5, frameon=False)


class PublishedCell(NamedTuple):
    """One data set, loss and variant over the 16 pairs of learning rates.

    Attributes:
        data, loss, variant: Names in DATA, LOSSES, VARIANTS.
        best_fid: Least FID; None if all runs diverged.
        best_is: Greatest Inception score; None also where none was computed.
        diverged: How many pairs diverged.
        pairs: How many pairs there are.
        doubtful: How many of the FIDs contradict a second copy in the spreadsheet.
    """

    data: str
    loss: str
    variant: str
    best_fid: float | None
    best_is: float | None
    diverged: int
    pairs: int
    doubtful: int


def published_cells() -> list[PublishedCell]:
    """All 96 of them, in the order of DATA, LOSSES, VARIANTS; [] if the authors' file is not at hand."""
    groups: dict[tuple[str, str, str], list[published.Published]] = {}
    for row in published.read_all():
        if row.table == "spreadsheet pico vs pim":
            groups.setdefault((row.data, row.method, row.variant), []).append(row)
    found = []
    for key in ((data, loss, variant) for data in DATA for loss in LOSSES for variant in VARIANTS):
        cells = groups.get(key, [])
        if cells:
            distances = [cell for cell in cells if cell.metric == "FID"]
            values = [cell.value for cell in distances if cell.value is not None]
            scores = [cell.value for cell in cells if cell.metric == "IS" and cell.value is not None]
            diverged = sum(cell.status == "diverged" for cell in distances)
            doubtful = sum(bool(cell.note) for cell in distances)
            best = min(values, default=None), max(scores, default=None)
            found.append(PublishedCell(*key, *best, diverged, len(distances), doubtful))
    return found


def published_text(cells: list[PublishedCell]) -> str:
    """The cells as a Markdown table: the best FID of each variant, and how many of the 16 runs diverged."""
    if not cells:
        return "The authors' scores are not at hand: Results/published was found neither here nor beside the package."
    rows = [["data", "loss", *VARIANTS, "best PICO - PIM"]]
    for data, data_title in DATA.items():
        for loss, title in LOSSES.items():
            by_variant = {cell.variant: cell for cell in cells if (cell.data, cell.loss) == (data, loss)}
            shown = [_cell_text(by_variant.get(variant)) for variant in VARIANTS]
            rows.append([data_title, title, *shown, _difference(by_variant)])
    totals = {pim: [cell for cell in cells if (cell.variant == "PIM") == pim] for pim in (False, True)}
    counts = {pim: (sum(c.diverged for c in of), sum(c.pairs for c in of)) for pim, of in totals.items()}
    doubtful = sum(cell.doubtful for cell in cells)
    return (
        "Published: least FID over 16 pairs of learning rates (diverged runs of 16 in brackets)\n\n"
        f"{markdown(rows)}\n\nDiverged: "
        + "{} of {} runs with PICO, {} of {} with PIM.".format(*counts[False], *counts[True])
        + f" {doubtful} FIDs (CIFAR-10, MMD-rep, K=32) contradict their second copy in the spreadsheet."
        + " The best of PICO is chosen among five gains, that of PIM has one, whose multiplier is not stated."
    )


def _cell_text(cell: PublishedCell | None) -> str:
    if cell is None:
        return "-"
    value = "-" if cell.best_fid is None else f"{cell.best_fid:.2f}"
    return f"{value} ({cell.diverged})"


def _difference(by_variant: dict[str, PublishedCell]) -> str:
    """The best FID of PICO over all K, less that of PIM: negative where PICO is better."""
    pico = [cell.best_fid for name, cell in by_variant.items() if name != "PIM" and cell.best_fid is not None]
    pim = by_variant["PIM"].best_fid if "PIM" in by_variant else None
    return "-" if not pico or pim is None else f"{min(pico) - pim:+.2f}"


def draw_published(frame: SubFigure, cells: list[PublishedCell]) -> None:
    """The least FID over the variants, a panel per data set, a line per loss; how many runs diverged below."""
    frame.suptitle(
        "Published: least FID over 16 pairs of learning rates, for each K of PICO, and PIM; below: diverged runs of 16",
        fontsize=10.5,
        x=0.01,
        ha="left",
    )
    panels = frame.subplots(1, len(DATA))
    for (data, title), ax in zip(DATA.items(), panels, strict=True):
        for index, (loss, name) in enumerate(LOSSES.items()):
            colour, marker = _STYLES[loss]
            found = {cell.variant: cell for cell in cells if (cell.data, cell.loss) == (data, loss)}
            values = [_number(found.get(variant)) for variant in VARIANTS]
            ax.plot(range(5), values[:5], marker=marker, color=colour, label=name, markersize=5)
            ax.plot(5, values[5], marker=marker, color=colour, markersize=6, markerfacecolor="white")
            for place, variant in enumerate(VARIANTS):
                if variant in found:
                    options = {"color": colour, "fontsize": 8, "ha": "center", "va": "center"}
                    options |= {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
                    ax.annotate(str(found[variant].diverged), (place, 0), (0, -27 - 10 * index), **options)
        ax.set_title(title, loc="left", fontsize=10)
        ax.set_xticks(range(6), [variant.removeprefix("K=") for variant in VARIANTS], fontsize=8.5)
        ax.set_xlim(-0.5, 5.5)
        ax.axvline(4.5, color="#C8C8C8", linewidth=0.8)
        ax.tick_params(axis="y", labelsize=8.5)
        ax.set_xlabel("\n" * len(LOSSES), fontsize=8)  # room for the counts
        tidy(ax, "y")
    panels[0].set_ylabel("least FID", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    frame.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)


def _number(cell: PublishedCell | None) -> float:
    return float("nan") if cell is None or cell.best_fid is None else cell.best_fid
