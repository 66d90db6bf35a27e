"""Table 1 of the paper, made again: seven methods on one data set, several seeds each, with the published numbers.

Runs are collected from their directories (`--runs`), or trained by a sweep, one after the other. The numbers of a
method are those at its best pair of learning rates, as in the paper: the pair of the best mean of the first score, the
Fréchet distance if there is one, where a pair with a diverged run comes after all without.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.core.text import rate
from mmdgan.losses import registry as losses
from mmdgan.metrics.registry import direction
from mmdgan.report.facts import RunFacts
from mmdgan.report.scores import choose as scores_at, differences, identifier, of_real
from mmdgan.runs import published
from mmdgan.runs.experiment import IDENTITY, LOSS_OPTIONS
from paper.output import Output, markdown as as_markdown, new_figure, tidy
from paper.trained import METHODS, TrainedOptions, experiment_of, given, method_of, train

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SCORED, DIVERGED, UNFINISHED = "scored", "diverged", "no scores"
_MAY_DIFFER = ("loss", "penalty_weight", *LOSS_OPTIONS, "score_size", "seed", "lr_dis", "lr_gen")
_OF_RUN = {name: absent for name, absent in IDENTITY.items() if name not in _MAY_DIFFER} | {"max_step": None}
"""What runs of one table share, with what those have that knew no such field."""

COLUMNS = (
    "method loss lr_dis lr_gen pairs runs diverged no_scores metric mean least greatest standard_deviation values "
    "paper_metric paper_value"
).split()
RUN_COLUMNS = "run method loss lr_dis lr_gen seed step status in_table metric value".split()

_METRICS = ("fid", "is", "kid", "prdc", "ms_ssim")
_COUNTERPARTS = {"fid": "FID", "is": "IS", "ms_ssim": "MS-SSIM"}
"""The paper's metric that ours is shown with, by the identifiers of metrics."""

_REAL = "real data"
_OURS, _PAPER, _GREY = "#0072B2", "#D55E00", "#606060"


@dataclasses.dataclass(frozen=True)
class TableOptions(TrainedOptions):
    """The flags of Table 1."""

    methods: tuple[str, ...] = option(tuple(METHODS), "losses to compare, of these", "the table")
    seeds: tuple[int, ...] = option((0, 1), "seeds of the runs to train", "training what is missing")
    learning_rates: tuple[str, ...] = option(
        (), "several pairs LR_DIS/LR_GEN instead of --lr_dis, --lr_gen: 5e-4/2e-4,1e-4/2e-4", "training what is missing"
    )
    metrics: tuple[str, ...] = option(("fid", "is", "kid"), "scores after the last step", "training what is missing")
    features: str = option("auto", "what scores are computed from, as `train` takes it", "training what is missing")
    inception: str | None = option(None, "the 2015 Inception graph", "training what is missing")
    score_count: int | None = option(
        None, "images to score; none: 50,000 or all of the data, with --quick 512", "training what is missing"
    )


class Result(NamedTuple):
    """One run of the table.

    Attributes:
        facts: Its configuration.
        method: A key of `METHODS`.
        status: SCORED, DIVERGED or UNFINISHED.
        scores: The records at its last step, by their names.
    """

    facts: RunFacts
    method: str
    status: str
    scores: dict[str, dict[str, Any]]

    @property
    def rates(self) -> tuple[float, float]:
        """The learning rates of critic and generator."""
        return self.facts.experiment["lr_dis"], self.facts.experiment["lr_gen"]

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.facts.experiment["seed"]


class Line(NamedTuple):
    """One method at its best pair of learning rates.

    Attributes:
        method: A key of `METHODS`.
        rates: Learning rates of critic and generator.
        pairs: How many pairs there were to choose from.
        results: Its runs at that pair, by seed.
    """

    method: str
    rates: tuple[float, float]
    pairs: int
    results: list[Result]

    def count(self, status: str) -> int:
        """How many of its runs ended like this."""
        return sum(result.status == status for result in self.results)

    def values(self, metric: str) -> list[float]:
        """The score of each run that has it, by seed."""
        found = (result.scores.get(metric, {}).get("value") for result in self.results)
        return [value for value in found if value is not None]


class Table(NamedTuple):
    """What was found.

    Attributes:
        lines: By method, in the paper's order.
        results: All runs, those at other learning rates too.
        metrics: Names of the scores that are shown, the Fréchet distance first.
        real: Scores of the real images, by the names of the scores that they belong to.
        others: Names of runs whose loss is none of the methods.
    """

    lines: list[Line]
    results: list[Result]
    metrics: list[str]
    real: dict[str, float]
    others: list[str]


def make(options: TableOptions) -> Output:
    """Collects or trains the runs, and writes the table as Markdown, CSV and a figure.

    Raises:
        ConfigError: Runs that cannot stand in one table, or none; flags that make no sense.
    """
    if unknown := [name for name in options.methods if name not in METHODS]:
        raise ConfigError(f"methods names {unknown[0]}; the methods of Table 1 are {', '.join(METHODS)}.")
    if options.runs:
        facts = given(options.runs)
    else:
        facts = _trained(options)
    table = collect(facts, options.methods)
    text = markdown(table)
    output = Output(options.out, "table1")
    output.figure(draw(table))
    output.table(csv_rows(table), COLUMNS)
    output.table(run_rows(table), RUN_COLUMNS, "_runs")
    output.text(text, ".md")
    print(text, flush=True)
    return output


def collect(runs: Iterable[RunFacts], methods: Sequence[str] = tuple(METHODS)) -> Table:
    """The table of some runs.

    Raises:
        ConfigError: None is of a method of the table; runs or scores of different protocols; two of one method, pair of
            learning rates and seed.
    """
    results, others = [], []
    for facts in runs:
        method = method_of(facts)
        if method is not None and method in methods:
            results.append(_result(facts, method))
        else:
            others.append(facts.name)
    if not results:
        raise ConfigError(f"none of the runs is of a method of the table: {', '.join(methods)}.")
    _check_runs(results)
    _check_scores(results)
    metrics = _metrics(results)
    by_method = {method: [result for result in results if result.method == method] for method in METHODS}
    lines = [choose(method, found, metrics[:1]) for method, found in by_method.items() if found]
    return Table(lines, results, metrics, _real(results, metrics), others)


def choose(method: str, results: list[Result], judge: Sequence[str]) -> Line:
    """A method's runs at its best pair of learning rates, by the score that `judge` names; [] if no run has any."""
    pairs: dict[tuple[float, float], list[Result]] = {}
    for result in results:
        pairs.setdefault(result.rates, []).append(result)

    def rank(rates: tuple[float, float]) -> tuple[bool, float, tuple[float, float]]:
        line = Line(method, rates, len(pairs), pairs[rates])
        values = line.values(judge[0]) if judge else []
        # A diverged run counts as an infinite distance, as in the paper's Figure 3.
        return line.count(DIVERGED) > 0, -direction(judge[0]) * statistics.fmean(values) if values else math.inf, rates

    best = min(pairs, key=rank)
    return Line(method, best, len(pairs), sorted(pairs[best], key=lambda result: result.seed))


def _result(facts: RunFacts, method: str) -> Result:
    """A run with what became of it."""
    if facts.diverged is not None:
        return Result(facts, method, DIVERGED, {})
    scores = {record["metric"]: dict(record) for record in scores_at(facts.folder, facts.experiment["max_step"])}
    return Result(facts, method, SCORED if scores else UNFINISHED, scores)


def _check_runs(results: list[Result]) -> None:
    """Refuses runs that differ in more than loss, seed and learning rates."""
    first = results[0].facts
    seen: dict[Any, Any] = {}
    sizes: dict[Any, Any] = {}
    for result in results:
        facts = result.facts
        for name, absent in _OF_RUN.items():
            mine, its = (_plain(one.experiment.get(name, absent)) for one in (first, facts))
            if mine != its:
                raise ConfigError(
                    f"{first.name} has {name} {mine}, {facts.name} has {its}: give runs that differ in loss, seed and "
                    "learning rates alone."
                )
        if _networks(first.architecture) != _networks(facts.architecture):
            raise ConfigError(f"{first.name} and {facts.name} have different networks: give runs of one architecture.")
        prints = [one.data.get("fingerprint") for one in (first, facts)]
        if prints[0] != prints[1]:
            raise ConfigError(f"{first.name} and {facts.name} were trained on different images of one name.")
        outputs = sizes.setdefault(result.method, facts.score_size)
        if outputs != facts.score_size:
            raise ConfigError(
                f"the critics of {result.method} have {outputs} and {facts.score_size} outputs: give one."
            )
        key = result.method, result.rates, result.seed
        if key in seen:
            raise ConfigError(
                f"{seen[key]} and {facts.name} are of one loss, seed and pair of learning rates: give one of them."
            )
        seen[key] = facts.name


def _plain(value: Any) -> Any:
    """A field's value as JSON has it."""
    return list(value) if isinstance(value, tuple) else value


def _networks(architecture: Mapping[str, Any]) -> list[Any]:
    """What of an architecture must agree: all but the outputs of the critic's last layer, which the loss decides."""
    critic = architecture["discriminator"]
    layers = critic["layers"] if isinstance(critic, Mapping) else critic
    last = {name: value for name, value in layers[-1].items() if name != "out"}
    return [*(architecture.get(name) for name in ("input", "code", "generator")), layers[:-1], last]


def _check_scores(results: list[Result]) -> None:
    """Refuses scores that were computed in different ways; a run's seed chooses the real images as well."""
    first: dict[tuple[str, int | None], tuple[str, dict[str, Any]]] = {}
    for result in results:
        for name, record in result.scores.items():
            if not direction(name):
                continue
            for seed in (result.seed, None):  # None: of all seeds, whatever the real images
                owner, reference = first.setdefault((name, seed), (result.facts.name, record))
                chosen = reference if seed is not None else {**reference, "real_hash": record.get("real_hash")}
                if found := differences(record, chosen):
                    raise ConfigError(
                        f"{name} of {result.facts.name} was not computed as that of {owner}: {'; '.join(found)}. Score "
                        "them alike by `evaluate`, or give one of them."
                    )


def _metrics(results: list[Result]) -> list[str]:
    """The names of the scores to show: better or worse, one per column; those of ten splits are left out."""
    found = dict.fromkeys(name for result in results for name in result.scores if direction(name))
    kept = [name for name in found if "splits" not in name]
    kinds = {name: identifier(next(r.scores[name] for r in results if name in r.scores)) for name in kept}
    return sorted((n for n in kept if kinds[n] in _METRICS), key=lambda name: _METRICS.index(kinds[name]))


def _real(results: list[Result], metrics: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in metrics:
        for result in results:
            record = of_real(name, result.scores)
            if record is not None and record["value"] is not None:
                found.setdefault(name, record["value"])
    return found


def _trained(options: TableOptions) -> list[RunFacts]:
    """The runs that the flags ask for; what is missing is trained first, seed by seed."""
    pairs = [_pair(text) for text in options.learning_rates] or [(options.lr_dis, options.lr_gen)]
    shared: dict[str, Any] = {name: getattr(options, name) for name in ("metrics", "features", "inception")}
    shared["score_count"] = options.score_count or (512 if options.quick else None)
    asked = itertools.product(options.seeds, pairs, options.methods)
    experiments = [
        experiment_of(options, method, seed=seed, lr_dis=dis, lr_gen=gen, **shared)
        for seed, (dis, gen), method in asked
    ]
    return [RunFacts.of(point.experiment.folder()) for point, _ in train(options, "table1", experiments)]


def _pair(text: str) -> tuple[float, float]:
    try:
        dis, gen = map(float, text.split("/"))
    except ValueError:
        raise ConfigError(f"learning_rates has {text!r}; give pairs such as 5e-4/2e-4,1e-4/2e-4.") from None
    return dis, gen


def paper_scores(data: str) -> dict[tuple[str, str], float]:
    """The paper's Table 1 for a data set: (method's key in `METHODS` or "" of real images, metric) to value."""
    keys = {losses.canonical_name(name): name for name in METHODS} | {"": ""}
    return {
        (keys[row.loss], row.metric): row.value
        for row in published.read_all()
        if row.data == data and row.table == "Table 1" and row.value is not None and row.loss in keys
    }


def counterpart(metric: str, table: Table) -> str | None:
    """The paper's metric that a score of ours is shown with; None if there is none."""
    record = next(r.scores[metric] for r in table.results if metric in r.scores)
    return _COUNTERPARTS.get(identifier(record))


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
        e, run = result.facts.experiment, result.facts.name
        fields = [e[name] for name in ("loss", "lr_dis", "lr_gen", "seed", "max_step")]
        scores: list[tuple[Any, Any]] = [
            (name, result.scores[name]["value"]) for name in table.metrics if name in result.scores
        ]
        for name, value in scores or [(None, None)]:
            yield run, METHODS[result.method], *fields, result.status, run in chosen, name, value


def markdown(table: Table) -> str:
    """The table with its protocol in words."""
    paper = paper_scores(_data(table))
    others = list(dict.fromkeys(metric for _, metric in paper))
    header = ["method", "loss", "lr critic / generator", "runs", "diverged", *table.metrics]
    header += [f"paper: {metric}" for metric in others]
    rows = []
    for line in table.lines:
        diverged, missing = line.count(DIVERGED), line.count(UNFINISHED)
        cells = [METHODS[line.method], f"`{line.method}`", " / ".join(map(rate, line.rates))]
        cells += [str(len(line.results)), f"{diverged}{f' ({missing} without scores)' if missing else ''}"]
        cells += [_cell(line.values(metric)) for metric in table.metrics]
        rows.append([*cells, *(_number(paper.get((line.method, str(metric)))) for metric in others)])
    real = [_REAL, "", "", "", "", *(_number(table.real.get(metric)) for metric in table.metrics)]
    rows.append([*real, *(_number(paper.get(("", str(metric)))) for metric in others)])
    return "\n".join([as_markdown([header, *rows]), "", *notes(table)]) + "\n"


def notes(table: Table) -> list[str]:
    """How the numbers came about, and how they compare with the paper's."""
    facts, e = table.results[0].facts, table.results[0].facts.experiment
    pairs = {line.pairs for line in table.lines}
    choice = (
        "One pair of learning rates per method was trained: these are not best ones."
        if pairs == {1}
        else "Of each method the pair of learning rates of the best mean "
        f"{table.metrics[0] if table.metrics else 'distance'} is shown, which is chosen and reported by one and the "
        "same number; a pair with a diverged run comes last. Pairs to choose from: "
        f"{', '.join(f'{line.pairs} of {METHODS[line.method]}' for line in table.lines)}."
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
    title = _title(table) if right else textwrap.fill(_title(table), 66)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
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
        left = direction(metric) < 0
        place: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "ha": "left" if left else "right"}
        ax.annotate(" real data " if left else "real data ", (value, 0.02), fontsize=8.5, color=_GREY, **place)


def _settle(ax: Axes, title: str, count: int) -> None:
    ax.set_title(title, loc="left", fontsize=11)
    ax.set_ylim(count - 0.4, -0.6)
    ax.margins(x=0.08)
    tidy(ax, "x")


def _arrow(metric: str | None) -> str:
    sign = direction(metric) if metric else 0
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
