"""The page's curves of training, and what in them, or in the scores, is a sign of trouble."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdgan.report import protocol
from mmdgan.report.blocks import Block, Picture, Pile, Side, Text
from mmdgan.report.compare import choose
from mmdgan.report.section_scores import best_line, longest_curve
from mmdgan.report.subject import Subject
from mmdgan.training import divergence

if TYPE_CHECKING:
    from mmdgan.training.event_files import Scalars

_WORSE, _RARE, _COPIES, _OUTLIER, _LOW_RECALL = 1.25, 0.1, 0.05, 100.0, 0.05
_LOSSES = ("GANLoss/gen", "GANLoss/dis")
_OWN_SECTIONS = ("scores/", "scores_spread/", "learning_rate/", "images_per_second")
_MOST_CURVES = 14


def health(subject: Subject) -> tuple[Block, ...]:
    """The section: one line per sign, or that there is none."""
    signs = [*_stopped(subject), *_curve_signs(subject.scalars), *_score_signs(subject)]
    if signs:
        return tuple(Text(sign, "warning") for sign in signs)
    looked = ["diverged checkpoints"]
    looked += ["losses and other curves that are not finite or explode"] if subject.scalars else []
    looked += ["scores that get worse", "rare classes", "copies"] if subject.records else []
    return (Text(f"None found. Looked for: {', '.join(looked)}.", "good"),)


def curves(subject: Subject) -> tuple[Block, ...]:
    """The section: losses, the loss's own curves, norms of kernels."""
    from mmdgan.report.plots import plot_curves, to_svg

    pile = Pile()
    scalars = subject.scalars
    if not scalars:
        pile.missing(f"curves: {subject.folder.logs} holds no event files.")
        return tuple(pile.blocks)
    drawings = []
    for title, group in _groups(scalars).items():
        alt = f"Curves over training steps: {', '.join(group)}"
        caption = f"{title}." + _non_finite_caption(group)
        drawings.append(Picture(to_svg(plot_curves(group)), "svg", alt, caption))
    pile.add(Side(tuple(drawings)))
    speed = scalars.get("images_per_second")
    if speed is not None:
        low, middle, high = np.nanpercentile(speed.values, [5, 50, 95])
        pile.add(Text(f"Images per second: {middle:,.0f}, nine out of ten times between {low:,.0f} and {high:,.0f}."))
    return tuple(pile.blocks)


def _groups(scalars: dict[str, Scalars]) -> dict[str, dict[str, Scalars]]:
    """Curves that belong into one panel, by its title; the losses first."""
    groups: dict[str, dict[str, Scalars]] = {}
    for tag, curve in scalars.items():
        if tag.startswith(_OWN_SECTIONS) or not len(curve.steps):
            continue
        beginning, _, rest = tag.partition("/")
        if tag in _LOSSES:
            title, name = "Losses of both players", {"gen": "generator", "dis": "critic"}[rest]
        elif beginning == "GANLoss":
            title, name = "Parts of the losses", rest
        elif beginning == "kernel_norm":
            player, _, name = rest.partition("/")
            title = f"Spectral norms of the {'critic' if player == 'dis' else 'generator'}'s kernels, in training"
            name = name.removesuffix("/kernel")
        elif rest:
            title, name = f"Of the loss {beginning} (kernel means of real yy, generated xx and mixed xy pairs)", rest
            title = title if rest.startswith("k") else f"Of {beginning}"
        else:
            title, name = "Other curves", tag
        groups.setdefault(title, {})[name] = curve
    rates = {tag.partition("/")[2]: curve for tag, curve in scalars.items() if tag.startswith("learning_rate/")}
    if any(len(set(curve.values.tolist())) > 1 for curve in rates.values()):
        groups["Learning rates"] = {{"gen": "generator", "dis": "critic"}.get(n, n): c for n, c in rates.items()}
    order = sorted(groups, key=lambda title: (title != "Losses of both players", title != "Parts of the losses"))
    return {title: dict(list(groups[title].items())[:_MOST_CURVES]) for title in order}


def _non_finite_caption(group: dict[str, Scalars]) -> str:
    bad = sum(int((~np.isfinite(curve.values)).sum()) for curve in group.values())
    return f" {bad:,} points are not finite and are left out." if bad else ""


def _stopped(subject: Subject) -> list[str]:
    """Checkpoints of a divergence; steps that are still to be done."""
    signs = []
    diverged = sorted({file.name.split(".")[0] for file in subject.folder.checkpoints.glob("diverged-*.index")})
    records = divergence.records(subject.folder.path)
    for line in records:
        then = "stopped"
        if line["action"] == "rollback":
            then = f"went back to step {line['back_to']:,} with other random numbers"
        signs.append(f"Training diverged at step {line['step']:,}: {line['name']} was {line['value']}; it {then}.")
    if diverged:
        signs.append(f"Training diverged: its state then is in {', '.join(diverged)}, beside the checkpoints.")
    reached, wanted = max(subject.saved, default=0), subject.facts.experiment["max_step"]
    gone_on = bool(records) and records[-1]["action"] == "rollback"
    if reached < wanted and (gone_on or not diverged):
        signs.append(f"Not trained to the end: the newest checkpoint is of step {reached:,} of {wanted:,}.")
    return signs


def _curve_signs(scalars: dict[str, Scalars]) -> list[str]:
    """Curves that are not finite, and losses beyond all others."""
    signs = []
    for tag, curve in scalars.items():
        bad = ~np.isfinite(curve.values)
        if bad.any():
            first = int(curve.steps[bad.argmax()])
            signs.append(f"{tag} is not finite at {int(bad.sum()):,} of {len(bad):,} points, first at step {first:,}.")
        if tag in _LOSSES and (~bad).any():
            size = np.where(bad, 0.0, np.abs(curve.values))
            usual, step = float(np.median(size[~bad])), int(curve.steps[size.argmax()])
            if size.max() > divergence.LIMIT or (usual > 0 and size.max() > _OUTLIER * usual and size.max() > _OUTLIER):
                signs.append(
                    f"{tag} exploded: {size.max():.4g} in absolute value at step {step:,}; usual is {usual:.3g}."
                )
    return signs


def _score_signs(subject: Subject) -> list[str]:
    """Scores that have become worse, classes that hardly appear, images learnt by heart."""
    signs = []
    for record in choose(subject.facts):
        metric, value, name = record["metric"], record["value"], protocol.identifier(record)
        if value is None and not protocol.is_of_real(metric):
            signs += [f"{metric} has no value at step {record['step']:,}: {record.get('note', 'it is not finite')}."]
        elif value is None:
            continue
        elif name in ("fid", "is") and "(" not in metric:
            signs += _worse(longest_curve(subject.records, metric))
        elif protocol.kind(metric) == "recall" and value < _LOW_RECALL:
            signs.append(f"{metric} is {value:.1%}: hardly any real image is near to generated ones.")
        elif name == "classes":
            signs += _rare_classes(record)
        elif name == "nn" and value > _COPIES:
            signs.append(
                f"{metric}: {value:.1%} of generated images are nearer to a training image than is usual (1%)."
            )
        if record.get("copies"):
            signs.append(f"{record['copies']:,} generated images equal a training image in every pixel.")
    return signs


def _worse(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Whether the newest of a score's values over steps is much worse than the best one before."""
    best = best_line(lines)
    if best is None or best["value"] <= 0:
        return []
    last = max(lines, key=lambda line: line["step"])
    value = last["value"]
    ratio = value / best["value"] if protocol.direction(last["metric"]) < 0 else best["value"] / max(value, 1e-9)
    if best["step"] >= last["step"] or ratio <= _WORSE:
        return []
    return [
        f"{last['metric']} got worse: {best['value']:.4g} at step {best['step']:,}, {value:.4g} at step "
        f"{last['step']:,}."
    ]


def _rare_classes(record: dict) -> list[str]:
    """Classes of which there are much fewer generated than real images: a sign of mode collapse."""
    shares, real = record.get("shares", {}), record.get("shares_real", {})
    rare = [
        f"{name} ({share:.1%}; {real[name]:.1%} of the real images)"
        for name, share in shares.items()
        if share < _RARE * real.get(name, 0)
    ]
    return [f"Modes are missing at step {record['step']:,}: hardly any images of {', '.join(rare)}."] if rare else []
