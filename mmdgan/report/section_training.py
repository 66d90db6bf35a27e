"""The sections on training: its curves, and signs of trouble in them or in the scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mmdgan.metrics import registry
from mmdgan.report import plots, scores
from mmdgan.report.blocks import Block, Picture, SideBySide, Text, missing
from mmdgan.report.reported_run import ReportedRun
from mmdgan.report.scores import Record
from mmdgan.training import divergence

if TYPE_CHECKING:
    from mmdgan.training.event_files import Scalars

_WORSE, _RARE, _COPIES, _OUTLIER, _LOW_RECALL = 1.25, 0.1, 0.05, 100.0, 0.05
_LOSSES = ("loss/generator", "loss/critic")
_OWN_SECTIONS = ("score/", "score_spread/", "score_interval/", "training/")
_MOST_CURVES = 14
_FIRST = ("Losses of both players", "Parts of the losses")


def health(run: ReportedRun) -> Iterator[Block]:
    """Yields one line per sign of trouble, or one that there is none."""
    if signs := [*_stopped(run), *_curve_signs(run.scalars), *_score_signs(run)]:
        yield from (Text(sign, "warning") for sign in signs)
        return
    looked = ["diverged checkpoints"]
    looked += ["losses and other curves that are not finite or explode"] if run.scalars else []
    looked += ["scores that get worse", "rare classes", "copies"] if run.records else []
    yield Text(f"No signs of trouble. Looked for: {', '.join(looked)}.", "good")


def curves(run: ReportedRun) -> Iterator[Block]:
    """Renders the section "Losses and norms in training"."""
    if not run.scalars:
        yield missing(f"curves: {run.folder.logs} holds no event files.")
        return
    drawings = []
    for title, group in _groups(run.scalars).items():
        bad = sum(int((~np.isfinite(curve.values)).sum()) for curve in group.values())
        caption = f"{title}." + (f" {bad:,} points are not finite and are left out." if bad else "")
        alt = f"Curves over training steps: {', '.join(group)}"
        drawings.append(Picture(plots.to_svg(plots.plot_curves(group)), "svg", alt, caption))
    yield SideBySide(tuple(drawings))
    speed = run.scalars.get("training/images_per_second")
    if speed is not None:
        low, middle, high = np.nanpercentile(speed.values, [5, 50, 95])
        yield Text(f"Images per second: {middle:,.0f}, nine out of ten times between {low:,.0f} and {high:,.0f}.")


def _groups(scalars: dict[str, Scalars]) -> dict[str, dict[str, Scalars]]:
    """The curves of each panel, by its title; the losses first."""
    groups: dict[str, dict[str, Scalars]] = {}
    for tag, curve in scalars.items():
        if not tag.startswith(_OWN_SECTIONS):
            title, name = _panel(tag)
            groups.setdefault(title, {})[name] = curve
    rates = {
        tag.rpartition("_")[2]: curve for tag, curve in scalars.items() if tag.startswith("training/learning_rate_")
    }
    if any(len(set(curve.values.tolist())) > 1 for curve in rates.values()):
        groups["Learning rates"] = rates
    order = sorted(groups, key=lambda title: [title != first for first in _FIRST])
    return {title: dict(list(groups[title].items())[:_MOST_CURVES]) for title in order}


def _panel(tag: str) -> tuple[str, str]:
    """The title of the panel that shows a scalar, and the scalar's name there."""
    beginning, _, rest = tag.partition("/")
    if beginning == "loss":
        return ("Losses of both players" if tag in _LOSSES else "Parts of the losses"), rest
    if beginning == "spectral":
        player, _, name = rest.partition("/")
        return f"Spectral norms of the {player}'s kernels, in training", name
    if beginning == "mmd":
        return "Kernel means of real (yy), generated (xx) and mixed (xy) pairs", rest
    return (f"Of {beginning}", rest) if rest else ("Other curves", tag)


def _stopped(run: ReportedRun) -> Iterator[str]:
    """Divergences, and steps that are still to be done."""
    records = divergence.records(run.folder.path)
    for line in records:
        then = "stopped"
        if line["action"] == "rollback":
            then = f"went back to step {line['back_to']:,} with other random numbers"
        yield f"Training diverged at step {line['step']:,}: {line['name']} was {line['value']}; it {then}."
    diverged = sorted({file.name.split(".")[0] for file in run.folder.checkpoints.glob("diverged-*.index")})
    if diverged:
        yield f"Training diverged: its state then is in {', '.join(diverged)}, beside the checkpoints."
    reached, wanted = max(run.saved, default=0), run.facts.experiment["max_step"]
    gone_on = bool(records) and records[-1]["action"] == "rollback"
    if reached < wanted and (gone_on or not diverged):
        yield f"Not trained to the end: the newest checkpoint is of step {reached:,} of {wanted:,}."


def _curve_signs(scalars: dict[str, Scalars]) -> Iterator[str]:
    """Curves that are not finite, and losses that explode."""
    for tag, curve in scalars.items():
        bad = ~np.isfinite(curve.values)
        if bad.any():
            first = int(curve.steps[bad.argmax()])
            yield f"{tag} is not finite at {int(bad.sum()):,} of {len(bad):,} points, first at step {first:,}."
        if tag in _LOSSES and (~bad).any():
            size = np.where(bad, 0.0, np.abs(curve.values))
            usual, most, step = float(np.median(size[~bad])), size.max(), int(curve.steps[size.argmax()])
            if most > divergence.LIMIT or (usual > 0 and most > _OUTLIER * max(usual, 1)):
                yield f"{tag} exploded: {most:.4g} in absolute value at step {step:,}; usual is {usual:.3g}."


def _score_signs(run: ReportedRun) -> Iterator[str]:
    """Scores that have become worse, classes that are rare, copies of training images."""
    for record in scores.choose(run.folder):
        metric, value, name, step = record["metric"], record["value"], scores.identifier(record), record["step"]
        if value is None and registry.is_of_real(metric):
            continue
        if value is None:
            yield f"{metric} has no value at step {step:,}: {record.get('note', 'it is not finite')}."
        elif name in ("fid", "is") and "(" not in metric:
            yield from _worse(scores.longest_curve(run.records, metric))
        elif registry.kind(metric) == "recall" and value < _LOW_RECALL:
            yield f"{metric} is {value:.1%}: hardly any real image is near to generated ones."
        elif name == "classes":
            yield from _rare_classes(record)
        elif name == "nn" and value > _COPIES:
            yield f"{metric}: {value:.1%} of generated images are nearer to a training image than is usual (1%)."
        if record.get("copies"):
            yield f"{record['copies']:,} generated images equal a training image in every pixel."


def _worse(records: Sequence[Record]) -> Iterator[str]:
    """Whether the newest of a score's values is much worse than the best one before."""
    top = scores.best(records)
    if top is None or top["value"] <= 0:
        return
    last = max(records, key=lambda record: record["step"])
    before, now = top["value"], last["value"]
    ratio = now / before if registry.direction(last["metric"]) < 0 else before / max(now, 1e-9)
    if top["step"] < last["step"] and ratio > _WORSE:
        yield (f"{last['metric']} got worse: {before:.4g} at step {top['step']:,}, {now:.4g} at step {last['step']:,}.")


def _rare_classes(record: Mapping) -> Iterator[str]:
    """Classes with much fewer generated than real images: a sign of mode collapse."""
    real = record.get("shares_real", {})
    rare = [
        f"{name} ({share:.1%}; {real[name]:.1%} of the real images)"
        for name, share in record.get("shares", {}).items()
        if share < _RARE * real.get(name, 0)
    ]
    if rare:
        yield f"Modes are missing at step {record['step']:,}: hardly any images of {', '.join(rare)}."
