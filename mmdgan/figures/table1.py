"""Table 1 of the paper, made anew: seven methods on one data set, several seeds each, beside the published numbers.

Runs are collected from their directories (`--runs`), or trained by the ordinary command, one after the other; a table
that was interrupted goes on where it stopped. The numbers of a method are those at its best pair of learning rates, as
in the paper: the pair of the least mean Fréchet distance, where a pair with a diverged run comes after all without.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from mmdgan.errors import ConfigError
from mmdgan.experiment import IDENTITY
from mmdgan.experiment_fields import LOSS_OPTIONS
from mmdgan.figures.output import Output
from mmdgan.figures.trained import METHODS, TrainedOptions, experiment_of, is_diverged, method_of, train
from mmdgan.flags import option
from mmdgan.report import protocol
from mmdgan.report.facts import RunFacts, run_folders

SCORED, DIVERGED, UNFINISHED = "scored", "diverged", "no scores"
_MAY_DIFFER = ("loss", "penalty_weight", *LOSS_OPTIONS, "score_size", "seed", "lr_dis", "lr_gen")
_OF_RUN = {name: absent for name, absent in IDENTITY.items() if name not in _MAY_DIFFER} | {"max_step": None}
"""What runs of one table share, with what those have that knew no such field."""

_NETWORK = ("input", "code", "generator")
_OURS = ("fid", "is", "kid", "prdc", "ms_ssim")


@dataclasses.dataclass(frozen=True)
class TableOptions(TrainedOptions):
    """The flags of Table 1."""

    methods: tuple[str, ...] = option(tuple(METHODS), "losses, of these", "the table")
    seeds: tuple[int, ...] = option((0, 1), "of the runs to train", "training what is missing")
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
      facts: its configuration.
      method: a key of `METHODS`.
      status: SCORED, DIVERGED or UNFINISHED.
      scores: the records at its last step, by their names.
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
      method: a key of `METHODS`.
      rates: of critic and generator.
      pairs: how many pairs there were to choose from.
      results: its runs at that pair, by seed.
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
      lines: by method, in the paper's order.
      results: of all runs, those at other learning rates too.
      metrics: the names of the scores that are shown, the Fréchet distance first.
      real: the real images' own scores, by the names of the scores that they belong to.
      others: names of runs whose loss is none of the methods.
    """

    lines: list[Line]
    results: list[Result]
    metrics: list[str]
    real: dict[str, float]
    others: list[str]


def make(options: TableOptions) -> Output:
    """Collects or trains the runs, and writes the table as Markdown, CSV and a figure.

    Raises:
      ConfigError: runs that cannot stand in one table, or none; flags that make no sense.
    """
    from mmdgan.figures import table1_output

    if unknown := [name for name in options.methods if name not in METHODS]:
        raise ConfigError(f"methods names {unknown[0]}; the methods of Table 1 are {', '.join(METHODS)}.")
    if options.runs:
        facts = [RunFacts.of(folder) for folder in run_folders(list(options.runs))]
    else:
        facts = _trained(options)
    table = collect(facts, options.methods)
    text = table1_output.markdown(table)
    output = Output(options.out, "table1")
    output.figure(table1_output.draw(table))
    output.table(table1_output.csv_rows(table), table1_output.COLUMNS)
    output.table(table1_output.run_rows(table), table1_output.RUN_COLUMNS, "_runs")
    output.text(text, ".md")
    print(text, flush=True)
    return output


def collect(runs: Iterable[RunFacts], methods: Sequence[str] = tuple(METHODS)) -> Table:
    """The table of some runs.

    Raises:
      ConfigError: none of a method of the table; runs or scores of different protocols; two of one method, pair of
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
    lines = [choose(method, found, metrics[:1]) for method in METHODS if (found := _of(results, method))]
    return Table(lines, results, metrics, _real(results, metrics), others)


def choose(method: str, results: list[Result], judge: Sequence[str]) -> Line:
    """A method's runs at its best pair of learning rates.

    Args:
      method: a key of `METHODS`.
      results: its runs.
      judge: the name of the score that decides, the lower the better; [] where no run has any.
    """
    pairs: dict[tuple[float, float], list[Result]] = {}
    for result in results:
        pairs.setdefault(result.rates, []).append(result)

    def rank(rates: tuple[float, float]) -> tuple[bool, float, tuple[float, float]]:
        line = Line(method, rates, len(pairs), pairs[rates])
        values = line.values(judge[0]) if judge else []
        # A diverged run counts as an infinite distance, as in the paper's Figure 3.
        return line.count(DIVERGED) > 0, statistics.fmean(values) if values else math.inf, rates

    best = min(pairs, key=rank)
    return Line(method, best, len(pairs), sorted(pairs[best], key=lambda result: result.seed))


def _of(results: list[Result], method: str) -> list[Result]:
    return [result for result in results if result.method == method]


def _result(facts: RunFacts, method: str) -> Result:
    """A run with what became of it."""
    if is_diverged(facts.folder.path):
        return Result(facts, method, DIVERGED, {})
    records = [r for r in facts.folder.records() if r["step"] == facts.experiment["max_step"]]
    scores = {record["metric"]: record for record in records if record.get("by") != "abandoned"}
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
    return [*(architecture.get(name) for name in _NETWORK), layers[:-1], last]


def _check_scores(results: list[Result]) -> None:
    """Refuses scores that were computed in different ways; a run's seed chooses the real images as well."""
    first: dict[tuple[str, int | None], tuple[str, dict[str, Any]]] = {}
    for result in results:
        for name, record in result.scores.items():
            if not protocol.direction(name):
                continue
            for seed in (result.seed, None):  # None: of all seeds, whatever the real images
                owner, reference = first.setdefault((name, seed), (result.facts.name, record))
                chosen = reference if seed is not None else {**reference, "real_hash": record.get("real_hash")}
                if found := protocol.differences(record, chosen):
                    raise ConfigError(
                        f"{name} of {result.facts.name} was not computed as that of {owner}: {'; '.join(found)}. Score "
                        "them alike by `evaluate`, or give one of them."
                    )


def _metrics(results: list[Result]) -> list[str]:
    """The names of the scores to show: better or worse, one per column; those of ten splits are left out."""
    found = dict.fromkeys(name for result in results for name in result.scores if protocol.direction(name))
    kept = [name for name in found if "splits" not in name]
    kinds = {name: protocol.identifier(next(r.scores[name] for r in results if name in r.scores)) for name in kept}
    return sorted((n for n in kept if kinds[n] in _OURS), key=lambda name: _OURS.index(kinds[name]))


def _real(results: list[Result], metrics: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in metrics:
        for result in results:
            record = protocol.of_real(name, result.scores)
            if record is not None and record["value"] is not None:
                found.setdefault(name, record["value"])
    return found


def _trained(options: TableOptions) -> list[RunFacts]:
    """The runs that the flags ask for; what is missing is trained first, seed by seed."""
    pairs = [_pair(text) for text in options.learning_rates] or [(options.lr_dis, options.lr_gen)]
    facts = []
    for seed in options.seeds:
        for dis, gen in pairs:
            for method in options.methods:
                experiment = experiment_of(
                    options,
                    method,
                    seed,
                    lr_dis=dis,
                    lr_gen=gen,
                    metrics=options.metrics,
                    features=options.features,
                    inception=options.inception,
                    score_count=options.score_count or (512 if options.quick else None),
                    run_name=f"table1_{method}_{dis:.0e}_{gen:.0e}_seed{seed}",
                )
                train(experiment, in_process=options.quick)
                facts.append(RunFacts.of(experiment.folder()))
    return facts


def _pair(text: str) -> tuple[float, float]:
    try:
        dis, gen = map(float, text.split("/"))
    except ValueError:
        raise ConfigError(f"learning_rates has {text!r}; give pairs such as 5e-4/2e-4,1e-4/2e-4.") from None
    return dis, gen
