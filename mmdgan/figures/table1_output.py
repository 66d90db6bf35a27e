"""Table 1 as Markdown, as a CSV and as a dot plot; each number beside the published one, where there is one."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mmdgan.figures.output import new_figure
from mmdgan.figures.table1 import DIVERGED, UNFINISHED, Table
from mmdgan.figures.trained import METHODS
from mmdgan.losses import catalog as losses
from mmdgan.report import protocol, published

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from mmdgan.report.facts import RunFacts

COLUMNS: tuple[str, ...] = (
    "method",
    "loss",
    "lr_dis",
    "lr_gen",
    "pairs",
    "runs",
    "diverged",
    "no_scores",
    "metric",
    "mean",
    "least",
)
COLUMNS += ("greatest", "standard_deviation", "values", "paper_metric", "paper_value")
RUN_COLUMNS = ("run", "method", "loss", "lr_dis", "lr_gen", "seed", "step", "status", "in_table", "metric", "value")

_COUNTERPARTS = {"fid": "FID", "is": "IS", "ms_ssim": "MS-SSIM"}
"""The paper's metric beside which ours stand, by the metrics' identifiers."""

_REAL = "real data"
_OURS, _PAPER, _GREY = "#0072B2", "#D55E00", "#606060"


def paper_scores(data: str) -> dict[tuple[str, str], float]:
    """The paper's Table 1 for a data set: (method's key in `METHODS` or "" of real images, metric) to value."""
    keys = {losses.canonical_name(name): name for name in METHODS} | {"": ""}
    rows = [row for file in published.files() for row in published.read(file)]
    return {
        (keys[row.loss], row.metric): row.value
        for row in rows
        if row.data == data and row.table == "Table 1" and row.value is not None and row.loss in keys
    }


def counterpart(metric: str, table: Table) -> str | None:
    """The paper's metric beside which a score of ours stands; None if it has none."""
    record = next(r.scores[metric] for r in table.results if metric in r.scores)
    return _COUNTERPARTS.get(protocol.identifier(record))


def csv_rows(table: Table) -> Iterator[dict[str, Any]]:
    """One line per method and score, and the real images' lines."""
    paper = paper_scores(_data(table))
    for line in table.lines:
        for metric in table.metrics or [""]:
            values, other = line.values(metric), counterpart(metric, table) if metric else None
            yield {
                "method": METHODS[line.method],
                "loss": line.method,
                "lr_dis": line.rates[0],
                "lr_gen": line.rates[1],
                "pairs": line.pairs,
                "runs": len(line.results),
                "diverged": line.count(DIVERGED),
                "no_scores": line.count(UNFINISHED),
                "metric": metric,
                "mean": statistics.fmean(values) if values else None,
                "least": min(values, default=None),
                "greatest": max(values, default=None),
                "standard_deviation": statistics.stdev(values) if len(values) > 1 else None,
                "values": " ".join(map(repr, values)),
                "paper_metric": other,
                "paper_value": paper.get((line.method, str(other))),
            }
    for metric, value in table.real.items():
        other = counterpart(metric, table)
        yield {"method": _REAL, "metric": metric, "mean": value, "paper_metric": other} | {
            "paper_value": paper.get(("", str(other)))
        }


def run_rows(table: Table) -> Iterator[tuple]:
    """One line per run and score, those at other learning rates than the best too."""
    chosen = {result.facts.name for line in table.lines for result in line.results}
    for result in table.results:
        e = result.facts.experiment
        known: tuple[Any, ...] = (
            result.facts.name,
            METHODS[result.method],
            e["loss"],
            e["lr_dis"],
            e["lr_gen"],
            e["seed"],
        )
        known += (e["max_step"], result.status, result.facts.name in chosen)
        scores = [(name, result.scores[name]["value"]) for name in table.metrics if name in result.scores]
        rows: list[tuple[Any, Any]] = [*scores] or [(None, None)]
        for name, value in rows:
            yield *known, name, value


def markdown(table: Table) -> str:
    """The table with its protocol in words."""
    paper = paper_scores(_data(table))
    others = list(dict.fromkeys(metric for _, metric in paper))
    header = ["method", "loss", "lr critic / generator", "runs", "diverged", *table.metrics]
    header += [f"paper: {metric}" for metric in others]
    rows = []
    for line in table.lines:
        diverged, missing = line.count(DIVERGED), line.count(UNFINISHED)
        cells = [METHODS[line.method], f"`{line.method}`", "{:.0e} / {:.0e}".format(*line.rates)]
        cells += [str(len(line.results)), f"{diverged}{f' ({missing} without scores)' if missing else ''}"]
        cells += [_cell(line.values(metric)) for metric in table.metrics]
        rows.append([*cells, *(_number(paper.get((line.method, str(metric)))) for metric in others)])
    real = [_REAL, "", "", "", "", *(_number(table.real.get(metric)) for metric in table.metrics)]
    rows.append([*real, *(_number(paper.get(("", str(metric)))) for metric in others)])
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(["| " + " | ".join(cells) + " |" for cells in lines] + ["", *notes(table)]) + "\n"


def notes(table: Table) -> list[str]:
    """How the numbers came about, and what they are beside the paper's."""
    facts, e = table.results[0].facts, table.results[0].facts.experiment
    pairs = {line.pairs for line in table.lines}
    choice = (
        "One pair of learning rates per method was trained: these are not best ones."
        if pairs == {1}
        else "Of each method the pair of learning rates of the least mean "
        f"{table.metrics[0] if table.metrics else 'distance'} is shown, which is chosen and reported by one and the "
        f"same number; a pair with a diverged run comes last. Pairs to choose from: {_pairs(table)}."
    )
    found = [
        "Cells: mean over the runs that did not diverge (least to greatest). " + choice,
        f"Ours: {e['data']} ({facts.data.get('source', 'source not recorded')}), {_network(facts)}, {e['max_step']:,} "
        f"steps of {e['batch_size']} images; {_scores(table)}.",
        "Paper: full width, 100,000 steps of 64 images, the best of 16 pairs of learning rates, one run each; 50,000 "
        "generated against 50,000 real images, the 2015 Inception graph.",
    ]
    if any("[" in metric for metric in table.metrics):
        found.append(
            "FD and CS are computed from other features than FID and IS: their values are not comparable, the order of "
            "the methods is."
        )
    if said := agreement(table):
        found.append(said)
    if table.others:
        found.append(f"Left out, of no method of the table: {', '.join(table.others)}.")
    return found


def agreement(table: Table) -> str:
    """How far the methods' order is the paper's: Spearman's rank correlation with its exact p; "" for few methods."""
    if not table.metrics or (other := counterpart(table.metrics[0], table)) is None:
        return ""
    paper = paper_scores(_data(table))
    both = [
        (statistics.fmean(values), paper[line.method, other])
        for line in table.lines
        if (values := line.values(table.metrics[0])) and (line.method, other) in paper
    ]
    if len(both) < 3:
        return ""
    rho, p = rank_correlation(*zip(*both, strict=True))
    return (
        f"Order of the methods: Spearman's correlation of our mean {table.metrics[0]} with the paper's {other} is "
        f"{rho:.2f} over {len(both)} methods (exact two-sided p {p:.2f})."
    )


def rank_correlation(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, float]:
    """Spearman's correlation of at most 8 pairs, and the share of all orders with one at least as far from zero."""
    import numpy as np
    from scipy.stats import rankdata

    first, second = (rankdata(values) - (len(values) + 1) / 2 for values in (a, b))
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    if not scale:
        return float("nan"), float("nan")
    every = np.array(list(itertools.permutations(second))) @ first / scale
    rho = float(first @ second / scale)
    return rho, float((np.abs(every) >= abs(rho) - 1e-12).mean())


def draw(table: Table) -> Figure:
    """Ours on the left, the paper's on the right, a row of panels for each of its metrics that we have too."""
    paper = paper_scores(_data(table))
    metrics = [metric for metric in table.metrics if counterpart(metric, table)] or table.metrics[:1] or [""]
    right = bool(paper)
    figure = new_figure(9.6 if right else 5.4, 0.9 + (0.36 * len(table.lines) + 0.75) * len(metrics))
    panels = figure.subplots(len(metrics), 1 + right, squeeze=False, sharey=True)
    for metric, row in zip(metrics, panels, strict=True):
        _draw_ours(row[0], table, metric)
        if right:
            _draw_paper(row[1], table, counterpart(metric, table) if metric else None, paper)
    figure.suptitle(_title(table), fontsize=10, x=0.01, ha="left")
    return figure


def _draw_ours(ax: Axes, table: Table, metric: str) -> None:
    """Each run's score as a ring, their range as a bar, their mean as a dot; what diverged in words."""
    for height, line in enumerate(table.lines):
        values = line.values(metric)
        if values:
            ax.plot([min(values), max(values)], [height] * 2, color=_OURS, linewidth=2, alpha=0.5)
            ax.plot(values, [height] * len(values), "o", mfc="white", mec=_OURS, markersize=5)
            ax.plot(statistics.fmean(values), height, "o", color=_OURS, markersize=7)
        lost = [(line.count(DIVERGED), "diverged"), (line.count(UNFINISHED), "without scores")]
        said = ", ".join(f"{n} of {len(line.results)} {what}" for n, what in lost if n)
        ax.annotate(said, (0.99, height), xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=9)
    _real_line(ax, table.real.get(metric), metric)
    ax.set_yticks(range(len(table.lines)), [METHODS[line.method] for line in table.lines])
    _settle(ax, f"{metric or 'no scores'}, ours{_arrow(metric)}", len(table.lines))


def _draw_paper(ax: Axes, table: Table, metric: str | None, paper: dict[tuple[str, str], float]) -> None:
    for height, line in enumerate(table.lines):
        if (value := paper.get((line.method, str(metric)))) is not None:
            ax.plot(value, height, "D", color=_PAPER, markersize=7)
        else:
            ax.annotate("not given", (0.5, height), xycoords=("axes fraction", "data"), va="center", fontsize=9)
    _real_line(ax, paper.get(("", str(metric))), metric)
    _settle(ax, f"{metric or 'no counterpart'}, paper{_arrow(metric)}", len(table.lines))


def _real_line(ax: Axes, value: float | None, metric: str | None) -> None:
    if value is not None and metric is not None:
        ax.axvline(value, color=_GREY, linestyle="--", linewidth=1)
        left = protocol.direction(metric) < 0
        ax.annotate(
            " real data " if left else "real data ",
            (value, 0.02),
            xycoords=("data", "axes fraction"),
            ha="left" if left else "right",
            fontsize=8.5,
            color=_GREY,
        )


def _settle(ax: Axes, title: str, count: int) -> None:
    ax.set_title(title, loc="left", fontsize=11)
    ax.set_ylim(count - 0.4, -0.6)
    ax.margins(x=0.08)
    ax.grid(axis="x", color="#E4E4E4", linewidth=0.7)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)


def _arrow(metric: str | None) -> str:
    sign = protocol.direction(metric) if metric else 0
    return {1: " (more is better)", -1: " (less is better)", 0: ""}[sign]


def _title(table: Table) -> str:
    facts, e = table.results[0].facts, table.results[0].facts.experiment
    runs = sorted({len(line.results) for line in table.lines})
    return (
        f"Ours: {e['data']}, {_network(facts)},\n{e['max_step']:,} steps of {e['batch_size']} images, "
        f"{' or '.join(map(str, runs))} run{'' if runs == [1] else 's'} per method (rings; bar: their range; dot: mean)"
    )


def _network(facts: RunFacts) -> str:
    generator, critic = facts.networks
    return (
        f"{facts.experiment['architecture']} ({generator.parameters:,} parameters of the generator, "
        f"{critic.parameters:,} of the critic with {critic.output_shape[0]} outputs)"
    )


def _pairs(table: Table) -> str:
    return ", ".join(f"{line.pairs} of {METHODS[line.method]}" for line in table.lines)


def _scores(table: Table) -> str:
    """What the scores were computed from, in words."""
    record = next((r.scores[table.metrics[0]] for r in table.results if r.scores), None) if table.metrics else None
    if record is None:
        return "no scores"
    count, real = record.get("count"), record.get("count_real")
    numbers = f"{count or 0:,} generated against {real or 0:,} real images"
    return f"{numbers}, features: {record.get('feature_source', 'not recorded')}"


def _data(table: Table) -> str:
    return table.results[0].facts.experiment["data"]


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    mean = _number(statistics.fmean(values))
    return mean if len(values) == 1 else f"{mean} ({_number(min(values))} to {_number(max(values))})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}" if abs(value) >= 10 else f"{value:.3g}"
