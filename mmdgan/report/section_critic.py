"""The sections on the critic: its scores in the plane, the witness, extremes, the projector; spectral norms."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from mmdgan.core.errors import MetricError
from mmdgan.core.progress import counter
from mmdgan.pictures import grid
from mmdgan.report import critic_view, plots
from mmdgan.report.blocks import Block, Cell, Code, Details, Picture, SideBySide, Table, Text, missing, or_missing
from mmdgan.report.critic_view import CriticView
from mmdgan.report.facts import spread_out
from mmdgan.report.reported_run import ReportedRun

_CHECKPOINTS = 5
_SHOWN = 8


def critic(run: ReportedRun) -> Iterator[Block]:
    """Renders the section "What the critic sees"."""
    if not run.pictures:
        yield missing("t-SNE, witness and extremes (--nopictures).")
        return
    yield from or_missing(partial(_scored_images, run))
    yield from _projector(run)


def spectra(run: ReportedRun) -> Iterator[Block]:
    """Renders the section "Spectral norms": as training sees them and exact, over the kept checkpoints."""
    if not any(part.spectral for spec in run.facts.networks for layer in spec.layers for part in layer.parts):
        yield Text("No layer of the networks is spectrally normalised.")
    elif not run.pictures:
        yield missing("spectral norms (--nopictures).")
    elif not run.saved:
        yield missing(f"spectral norms: {run.folder.path} has no checkpoint.")
    else:
        yield from or_missing(partial(_norms, run))


def _scored_images(run: ReportedRun) -> Iterator[Block]:
    view = run.view
    yield Text(_in_words(view))
    yield from or_missing(lambda: [SideBySide((_witness(view), _tsne(run, view)))])
    found = critic_view.extremes(view, _SHOWN)
    titles = {name: title.capitalize() for name, title in critic_view.EXTREMES.items()}
    pictures = (
        Picture(grid.png_bytes(grid.image_grid(images, 4)), "png", titles[name], titles[name])
        for name, images in found.items()
    )
    yield SideBySide(tuple(pictures), small=True)


def _in_words(view: CriticView) -> str:
    """How well the critic tells both kinds apart: the share of pairs in which the real image is more real."""
    wins = (view.witness_data[:, None] > view.witness_gen[None]).mean()
    ties = (view.witness_data[:, None] == view.witness_gen[None]).mean()
    return (
        f"{view.witness_name[0].upper()}{view.witness_name[1:]}, of {len(view.witness_data):,} real and as many "
        f"generated images at step {view.step:,}. In {wins + ties / 2:.1%} of all pairs the real image looks more real "
        "to the critic (50%: it cannot tell them apart)."
    )


def _witness(view: CriticView) -> Picture:
    drawing = plots.to_svg(plots.plot_witness(view))
    return Picture(drawing, "svg", f"Histograms of the {view.witness_name}", "Witness values")


def _tsne(run: ReportedRun, view: CriticView) -> Picture:
    if not (np.isfinite(view.score_data).all() and np.isfinite(view.score_gen).all()):
        raise MetricError(f"t-SNE: the critic's scores at step {view.step:,} are not finite.")
    run.say("Embedding the critic's scores (t-SNE).")
    drawing = plots.to_svg(plots.plot_tsne(view, critic_view.embed_scores(view)))
    caption = "The critic's scores by t-SNE: near points have alike scores; distances between groups say little."
    return Picture(drawing, "svg", "Critic scores of real and generated images by t-SNE", caption)


def _projector(run: ReportedRun) -> Iterator[Block]:
    """How to see the scores of single images in TensorBoard."""
    if (run.folder.logs / "projector_config.pbtxt").is_file():
        yield Text("The scores of single images in space (tab Projector):")
        yield Code(run.folder.tensorboard)
        return
    lines = [
        "from mmdgan.report import view_critic, write_projector",
        "from mmdgan.runs import RunFolder",
        f"folder = RunFolder.open({str(run.folder.path)!r})",
        "write_projector(folder, view_critic(folder))",
        f"# then: {run.folder.tensorboard}, tab Projector",
    ]
    yield Details("The scores of single images in space", (Code("\n".join(lines)),), screen=True)


def _norms(run: ReportedRun) -> Iterator[Block]:
    """Norms over the checkpoints, and a table of the newest."""
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.report.spectra import spectral_history

    run.say("Computing exact spectral norms.")
    prepare_tensorflow()
    steps = spread_out(run.saved, _CHECKPOINTS)
    history = spectral_history(run.folder, steps, progress=counter("norms", run.say))
    alt = "Spectral norms of each layer over training steps, against exact ones"
    caption = "One power iteration per step (in training) against the exact norm of each layer."
    if run.facts.experiment["spectral"] == "pim":
        caption += " PIM normalises the kernel as a matrix, whose norm differs from the convolution's."
    if left := len(run.saved) - len(steps):
        caption += f" {left} checkpoints in between are left out."
    yield Picture(plots.to_svg(plots.plot_spectra(history)), "svg", alt, caption)
    newest = history[-1].step
    rows = tuple(
        (
            row.layer,
            f"{row.sigma:.4g}",
            f"{row.exact:.4g}",
            Cell(f"{row.ratio:.4f}", "" if 0.9 < row.ratio < 1.1 else "warning"),
        )
        for row in history
        if row.step == newest
    )
    yield Table(("layer", "norm in training", "exact norm", "ratio"), rows, f"At step {newest:,}")
