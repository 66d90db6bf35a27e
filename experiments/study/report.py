"""The page of a study: one HTML file that needs no network, and its table as CSV and Markdown.

What is measured is in the runs' own `metrics.jsonl`; what the numbers support is said by `study.report_numbers`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdgan.core.files import write_text
from mmdgan.report.blocks import Block, Code, Details, Page, Picture, Section, SideBySide, Table, Text
from mmdgan.report.html import render
from study.mnist import ON_SAMPLE, ROWS, Study, StudyRun, budgets, script
from study.report_numbers import HEADER, MEASURES, RowNumbers, as_csv, as_markdown, supported, table


def write_report(study: Study, runs: Sequence[StudyRun], extra: Sequence[Section] = (), witness: bool = True) -> Path:
    """Writes report.html, table.csv and table.md into the study's folder.

    Args:
        study: The study.
        runs: Runs of `study.mnist.run_study`; those that are not finished are named as missing.
        extra: More sections, put last: the study's half on points in the plane, for instance.
        witness: Whether to load the critics for the pictures of their witness functions.

    Returns:
        The page.
    """
    out, rows = Path(study.out), numbers(runs)
    if study.data == "sample":
        kind = {True: "fixed", False: "trained"}
        rows = [
            dataclasses.replace(
                row, features=f"sample/{ON_SAMPLE[row.name]}, {kind[ROWS[row.name].experiment.fixed_critic]}"
            )
            for row in rows
        ]
    write_text(out / "table.csv", as_csv(rows))
    write_text(out / "table.md", as_markdown(rows))
    write_text(out / "report.html", render(_page(study, runs, rows, extra, witness)))
    return out / "report.html"


def numbers(runs: Sequence[StudyRun]) -> list[RowNumbers]:
    """The numbers of each row of a study, of its finished runs."""
    found = []
    for name in dict.fromkeys(run.row for run in runs):
        row = ROWS[name]
        done = [run for run in runs if run.row == name and run.finished]
        records = [run.records() for run in done]
        found.append(
            RowNumbers(
                name=name,
                title=row.title,
                loss=row.experiment.loss,
                features=row.features,
                penalty=row.penalty,
                seeds=tuple(run.seed for run in done),
                steps=tuple(run.outcome.step for run in done),
                seconds=tuple(run.outcome.processor_seconds for run in done),
                values={m: tuple(r[m]["value"] if m in r else None for r in records) for m in MEASURES},
            )
        )
    return found


def budget_text(study: Study) -> str:
    """What each run was given, in a few words."""
    if study.steps is not None:
        return f"{study.steps:,} steps a run"
    limits = {f"{seconds:.0f}" for seconds in budgets(study).values()}
    return f"{' to '.join(sorted(limits, key=float))} s of one processor's time for the training of a run"


def _page(study: Study, runs: Sequence[StudyRun], rows: Sequence[Any], extra: Sequence[Any], witness: bool) -> Page:
    finished, budget = [run for run in runs if run.finished], budget_text(study)
    sections = [
        Section("numbers", "What was measured", tuple(_numbers(runs, rows))),
        Section("support", "What the numbers support", tuple(Text(text) for text in supported(rows, budget))),
        Section("samples", "Samples", tuple(_samples(finished))),
    ]
    if witness:
        sections.append(
            Section("witness", "The witness function over images", tuple(_witnesses(finished, Path(study.out))))
        )
    seeds = f"{len(study.seeds)} seeds" if len(study.seeds) > 1 else "one seed"
    sections += [*extra, Section("protocol", "Protocol", tuple(_protocol(study, runs, budget)))]
    return Page(
        f"The MMD GAN study on {study.data}",
        f"{len(rows)} rows of {seeds}, {budget}; {len(finished)} of {len(runs)} runs finished.",
        tuple(sections),
        f"Made {time.strftime('%Y-%m-%d %H:%M')} by experiments/mmd_study.py.",
    )


def _numbers(runs: Sequence[StudyRun], rows: Sequence[RowNumbers]) -> list[Block]:
    blocks: list[Block] = [
        Table(HEADER, tuple(table(rows)), numbers=False),
        Text(
            "The mean over the seeds and each seed's number. Seconds: processor time of a whole run, scores included. "
            "FD: lower is better; CS from 1 to 10, recall and precision from 0 to 1: higher is better. Near "
            "copies: the share of generated images nearer to a training image than 99% of training images are to "
            "another; 0.01 is expected without memory."
        ),
    ]
    real = next((run.records() for run in runs if run.finished), {})
    known = [
        f"{name} {real[name]['value']:.3g}"
        for name in ("FD[classifier] real-real", "CS[classifier] real")
        if name in real and real[name]["value"] is not None
    ]
    if known:
        blocks.append(Text(f"The same of real images: {', '.join(known)} (real-real: one half against the other)."))
    missing = [run.name for run in runs if not run.finished]
    if missing:
        blocks.append(
            Text(f"runs that are not finished: {', '.join(missing)}; the same command goes on with them.", "missing")
        )
    return blocks


def _samples(finished: Sequence[StudyRun]) -> list[Block]:
    """Each row's grid of its first finished seed; the others folded away."""
    first = _first_seeds(finished)
    blocks: list[Block] = [SideBySide(tuple(map(_grid, first.values())), small=True)]
    others = [run for run in finished if run is not first[run.row]]
    if others:
        blocks.append(Details("The other seeds", (SideBySide(tuple(map(_grid, others)), small=True),)))
    return blocks


def _first_seeds(runs: Sequence[StudyRun]) -> dict[str, StudyRun]:
    """The first of the runs of each row."""
    first: dict[str, StudyRun] = {}
    for run in runs:
        first.setdefault(run.row, run)
    return first


def _grid(run: StudyRun) -> Picture:
    step = run.outcome.step
    title = f"{ROWS[run.row].title}, seed {run.seed}, step {step:,}"
    return Picture(run.folder.grid_file(step).read_bytes(), "png", f"Generated images: {title}", title)


def _witnesses(finished: Sequence[StudyRun], out: Path) -> list[Block]:
    """The extremes of each row's witness function, of its first finished seed."""
    blocks: list[Block] = [
        Text(
            "f(x) = mean k(x, real) - mean k(x, generated), with each run's own kernel and features: high where real "
            "images are denser than generated ones (of the WGAN: the critic's score). Each picture has the 8 highest "
            "and the 8 lowest of 256 real images, then of 256 generated ones."
        )
    ]
    return [*blocks, SideBySide(tuple(_extremes(run, out) for run in _first_seeds(finished).values()))]


def _extremes(run: StudyRun, out: Path) -> Picture:
    """Four rows of eight images; kept as a file, for networks take their time to load."""
    path = out / "witness" / f"{run.name}_{run.outcome.step}.png"
    if not path.is_file():
        import numpy as np

        from mmdgan.pictures.grid import enlarge, image_grid, save_png
        from mmdgan.report.critic_view import extremes, view_critic

        found = extremes(view_critic(run.folder), 8)
        order = ("real_most", "real_least", "generated_most", "generated_least")
        grid = image_grid(np.concatenate([found[name] for name in order]), 8)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_png(path, enlarge(grid, 2))
    title = ROWS[run.row].title
    return Picture(
        path.read_bytes(),
        "png",
        f"Images with the highest and lowest witness values of {title}",
        f"{title}, seed {run.seed}: real, highest; real, lowest; generated, highest; generated, lowest",
    )


def _protocol(study: Study, runs: Sequence[StudyRun], given: str) -> list[Block]:
    if study.steps is None:
        given += ", the same for all rows, which differ in their steps"
    rate = study.experiment(study.rows[0], study.seeds[0]).lr_gen
    widths = "DCGANs are of half the study's width, the features 32-64-128. " if study.half else ""
    blocks: list[Block] = [
        Text(
            f"Every run: Adam at {rate:g} (beta1 0.5) for both networks, batch 64 unless the row says another, one "
            "critic step per generator step where the critic learns and nothing else is said, no class labels. "
            f"{widths}Budget: {given}."
        )
    ]
    finished = [run for run in runs if run.finished]
    record = next((run.records().get("FD[classifier]") for run in finished), None)
    if record:
        blocks.append(
            Text(
                f"Scores: {record['count']:,} generated against {record['count_real']:,} {record.get('split', '')} "
                f"images. Features: {record['feature_source']}, which finds the class of "
                f"{record['classifier_accuracy']:.1%} of {record['classifier_test_count']:,} held-out images. Scores "
                "of Inception are other numbers."
            )
        )
    timed = _first_seeds([run for run in finished if run.outcome.training_seconds])
    costs = [
        (name, f"{1000 * run.outcome.training_seconds / run.outcome.step:.1f}", f"{run.outcome.step:,}")
        for name, run in timed.items()
    ]
    if costs:
        blocks.append(Table(("row", "processor ms per step", "steps of a run"), tuple(costs)))
    commands = "\n".join(f"python {script(name, study.data)}" for name in dict.fromkeys(run.row for run in runs))
    return [*blocks, Text("Each row alone, at its own length:"), Code(commands)]
