"""The page's view of the critic: its scores in the plane, the witness, extremes, the projector, spectral norms."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import numpy as np

from mmdgan.core.errors import MetricError
from mmdgan.pictures import grid
from mmdgan.report.blocks import Block, Cell, Code, Details, Picture, Pile, Side, Table, Text
from mmdgan.report.subject import Subject, or_missing

if TYPE_CHECKING:
    from mmdgan.report.critic_view import CriticView

_CHECKPOINTS = 5
_SHOWN = 8
_EXTREMES = {
    "real_most": "Real, taken for the most real",
    "real_least": "Real, taken for the least real",
    "generated_most": "Generated, taken for the most real",
    "generated_least": "Generated, taken for the least real",
}


def critic(subject: Subject) -> tuple[Block, ...]:
    """The section."""
    pile = Pile()
    if not subject.request.pictures:
        pile.missing("t-SNE, witness and extremes (--nopictures).")
        return tuple(pile.blocks)
    with or_missing(pile):
        view = subject.view
        pile.add(Text(_in_words(view)))
        with or_missing(pile):
            pile.add(Side((_witness(view), _tsne(subject, view))))
        pile.add(*_extremes(view))
    pile.add(*_projector(subject))
    return tuple(pile.blocks)


def spectra(subject: Subject) -> tuple[Block, ...]:
    """The section: norms as training sees them against exact ones, over the kept checkpoints."""
    from mmdgan.report.plots import plot_spectra, to_svg

    pile = Pile()
    if not any(part.spectral for spec in subject.facts.networks for layer in spec.layers for part in layer.parts):
        pile.add(Text("No layer of the networks is spectrally normalised."))
    elif not subject.request.pictures:
        pile.missing("spectral norms (--nopictures).")
    elif not subject.saved:
        pile.missing(f"spectral norms: {subject.folder.path} has no checkpoint.")
    else:
        with or_missing(pile):
            history = _history(subject)
            alt = "Spectral norms of each layer over training steps, against exact ones"
            pile.add(Picture(to_svg(plot_spectra(history)), "svg", alt, _spectra_caption(subject)))
            last = [row for row in history if row.step == history[-1].step]
            rows = tuple(
                (row.layer, f"{row.sigma:.4g}", f"{row.exact:.4g}", Cell(f"{row.ratio:.4f}", _ratio_kind(row.ratio)))
                for row in last
            )
            header = ("layer", "norm in training", "exact norm", "ratio")
            pile.add(Table(header, rows, f"At step {last[0].step:,}"))
    return tuple(pile.blocks)


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
    from mmdgan.report.plots import plot_witness, to_svg

    return Picture(to_svg(plot_witness(view)), "svg", f"Histograms of the {view.witness_name}", "Witness values")


def _tsne(subject: Subject, view: CriticView) -> Picture:
    from mmdgan.report.plots import plot_tsne, to_svg
    from mmdgan.report.tsne import embed_scores

    if not (np.isfinite(view.score_data).all() and np.isfinite(view.score_gen).all()):
        raise MetricError(f"t-SNE: the critic's scores at step {view.step:,} are not finite.")
    subject.progress("Embedding the critic's scores (t-SNE).")
    figure = plot_tsne(view, embed_scores(view))
    caption = "The critic's scores by t-SNE: near points have alike scores; distances between groups say little."
    return Picture(to_svg(figure), "svg", "Critic scores of real and generated images by t-SNE", caption)


def _extremes(view: CriticView) -> list[Block]:
    from mmdgan.report.critic_view import extremes

    found = extremes(view, _SHOWN)
    return [
        Side(
            tuple(
                Picture(grid.png_bytes(grid.image_grid(images, 4)), "png", _EXTREMES[name], _EXTREMES[name])
                for name, images in found.items()
            ),
            small=True,
        )
    ]


def _projector(subject: Subject) -> tuple[Block, ...]:
    """How to look at the scores in TensorBoard."""
    folder, command = subject.folder, f"tensorboard --logdir {shlex.quote(str(subject.folder.logs))}"
    if (folder.logs / "projector_config.pbtxt").is_file():
        return Text("The scores of single images in space (tab Projector):"), Code(command)
    lines = [
        "from mmdgan.report.critic_view import view_critic",
        "from mmdgan.report.projector import write_projector",
        "from mmdgan.runs import RunFolder",
        f"folder = RunFolder.open({str(folder.path)!r})",
        "write_projector(folder, view_critic(folder))",
        f"# then: {command}, tab Projector",
    ]
    return (Details("The scores of single images in space", (Code("\n".join(lines)),), screen=True),)


def _history(subject: Subject) -> list:
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.report.spectra import spectral_history
    from mmdgan.runs.folder import counter

    subject.progress("Computing exact spectral norms.")
    prepare_tensorflow()
    return spectral_history(subject.folder, _steps(subject), progress=counter("norms", subject.progress))


def _steps(subject: Subject) -> list[int]:
    """Some of the checkpoints, from the first to the last."""
    saved = subject.saved
    return sorted({saved[round(i)] for i in np.linspace(0, len(saved) - 1, min(_CHECKPOINTS, len(saved)))})


def _spectra_caption(subject: Subject) -> str:
    left = len(subject.saved) - len(_steps(subject))
    pim = subject.facts.experiment["spectral"] == "pim"
    kind = " PIM normalises the kernel as a matrix, whose norm differs from the convolution's." if pim else ""
    more = f" {left} checkpoints in between are left out." if left else ""
    return f"One power iteration per step (in training) against the exact norm of each layer.{kind}{more}"


def _ratio_kind(ratio: float) -> str:
    return "" if 0.9 < ratio < 1.1 else "warning"
