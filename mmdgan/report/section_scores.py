"""The sections on scores: the newest and the best next to the published ones, protocols, curves over steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from mmdgan.core.text import command
from mmdgan.metrics.records import format_value, legend
from mmdgan.metrics.registry import arrow, direction, is_judged, is_of_real, kind, words
from mmdgan.report import protocol
from mmdgan.report.blocks import Block, Cell, Details, Picture, SideBySide, Table, Text, missing
from mmdgan.report.reported_run import ReportedRun
from mmdgan.report.scores import Record, alike, best, choose, identifier, longest_curve, of_real
from mmdgan.runs import published
from mmdgan.runs.published import Published

_PUBLISHED = {"fid": "FID", "is": "IS", "ms_ssim": "MS-SSIM"}
_MARKS = {protocol.SAME: "", protocol.DIFFERS: "differs", protocol.UNKNOWN: "unknown"}
_PANELS = 8
_MOST_LINES = 400


def scores(run: ReportedRun) -> Iterator[Block]:
    """Renders the section "Scores"."""
    e = run.facts.experiment
    found = published.find(e["data"], e["loss"], run.published, wanted=run.facts.wanted())
    newest = choose(run.folder)
    if newest:
        yield from _values(run, newest, found)
    else:
        yield missing(f"scores: the run has none; `{command('evaluate', run.folder.path)}` makes them.")
    if reason := published.explain(e["data"], e["loss"], found, run.published):
        yield Text(reason)
    else:
        yield _published_scores(found)
        table = _protocols(run, newest)
        yield Details(f"Protocol: {table.caption}", (dataclasses.replace(table, caption=""),))
    if newest:
        yield from _curves(run.records)
        yield _history(run.folder.records(abandoned=True))


def headline(run: ReportedRun) -> Text:
    """The best value of the score that judges checkpoints, or of the first that has a direction, with its meaning."""
    chosen = choose(run.folder)
    ranked = [record for record in chosen if direction(record["metric"]) and record["value"] is not None]
    if not ranked:
        return missing(f"scores: the run has none; `{command('evaluate', run.folder.path)}` makes them.")
    judge = run.facts.experiment["keep_best"]
    judge = "fid" if judge == "auto" else judge or ""
    record = next((record for record in ranked if is_judged(record["metric"], judge)), ranked[0])
    name = record["metric"]
    top = best(alike(run.records, record)) or record
    better = "lower" if direction(name) < 0 else "higher"
    real = of_real(name, {one["metric"]: one for one in chosen})
    parts = [words(name), f"{better} is better {arrow(name)}", f"real images get {format_value(real)}" if real else ""]
    meaning = "; ".join(filter(None, parts))
    return Text(f"Best {name}: {format_value(top)}, at step {top['step']:,} ({meaning}).", "lead")


def _values(run: ReportedRun, newest: list[Record], found: list[Published]) -> Iterator[Block]:
    """The table of scores: newest, best, of real images, published; and what is to be said of it."""
    step = newest[0]["step"]
    table1 = {row.metric: row for row in found if row.loss and row.lr_dis is None}
    by_name = {record["metric"]: record for record in newest}
    rows, said = [], set()
    for name, record in by_name.items():
        if is_of_real(name):
            continue  # it stands next to the score that it belongs to
        real = of_real(name, by_name)
        top = best(alike(run.records, record)) or best(longest_curve(run.records, name))
        cells = (
            _value_cell(record),
            _best_cell(top, record),
            format_value(real) if real else "",
            _published_cell(record, table1.get(_PUBLISHED.get(identifier(record), ""))),
            _images(record),
        )
        rows.append((Cell(f"{name} {arrow(name)}".strip(), note="" if words(name) in said else words(name)), *cells))
        said.add(words(name))
    yield _without_empty(("score", f"newest (step {step:,})", "best", "real images", "published", "images"), rows)
    yield Text(_explanation(newest, found))
    if step < max(run.saved, default=0):
        newer = f"The newest checkpoint, of step {max(run.saved):,}, has no scores yet"
        yield Text(f"{newer}; `{command('evaluate', run.folder.path)}` makes them.")
    if run.best is not None:
        yield Text(f"The checkpoint of step {run.best:,} is kept as the best one.")
    notes = dict.fromkeys(f"{record['metric']}: {record['note']}" for record in newest if record.get("note"))
    if notes:
        yield Details("Notes on the scores", tuple(map(Text, notes)))


def _value_cell(record: Record) -> Cell | str:
    """The value; marked where its note says that it was forced and means little."""
    text = format_value(record)
    return Cell(text, "warning") if "forced:" in (record.get("note") or "") else text


def _best_cell(top: Record | None, newest: Record) -> Cell | str:
    """The best value with its step, and with its number of images if that differs."""
    if top is None:
        return ""
    if top["step"] == newest["step"]:
        return Cell("the newest", "best")
    other = f", {top['count']:,} images" if top["count"] != newest["count"] else ""
    return Cell(f"{format_value(top)} (step {top['step']:,}{other})", "best")


def _published_cell(record: Record, row: Published | None) -> Cell | str:
    """The published score next to a run's; how they differ is said in the table of protocols."""
    if row is None or "(" in record["metric"]:
        return ""
    return Cell(f"{row.metric} {row.text}", "differs" if kind(record["metric"]) != row.metric else "")


def _images(record: Record) -> str:
    real = f" / {record['count_real']:,}" if record.get("count_real") else ""
    return f"{record['count']:,}{real}"


def _without_empty(header: tuple[str, ...], rows: list[tuple]) -> Table:
    """A table without the columns that are empty in every row."""
    kept = [index for index in range(len(header)) if index == 0 or any(row[index] for row in rows)]
    return Table(tuple(header[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows))


def _explanation(newest: list[Record], found: list[Published]) -> str:
    """What the columns and the signs mean."""
    sentences = ["↓: lower is better; ↑: higher is better. Real images: what a perfect generator would get, about."]
    sentences += [f"{sign}: {text}." for sign, text in legend(newest).items()]
    if any(row.loss for row in found):
        sentences.append("≠: another score than the published one, whose protocol is below.")
    return " ".join(sentences)


def _published_scores(found: list[Published]) -> Table:
    metrics = list(dict.fromkeys(row.metric for row in found))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in found:
        key = row.method, "; ".join(filter(None, (row.settings, row.note)))
        cells.setdefault(key, {})[row.metric] = row.text
    rows = tuple((*key, *(values.get(metric, "") for metric in metrics)) for key, values in cells.items())
    return Table(("method", "settings", *metrics), rows, "Published scores (Wang et al. 2019)", numbers=False)


def _protocols(run: ReportedRun, newest: list[Record]) -> Table:
    """The published protocol next to that of the run and its newest scores."""
    record = next((r for r in newest if r.get("features") and direction(r["metric"])), None)
    points = protocol.against_published(run.facts, record)
    differing = sum(point.mark == protocol.DIFFERS for point in points)
    caption = "The protocols are the same as far as is known"
    if differing:
        caption = f"{differing} points differ (≠), so the scores are no comparison of the losses alone"
    rows = tuple((point.what, point.published, Cell(point.run, _MARKS[point.mark])) for point in points)
    return Table(("protocol", "published", "this run"), rows, caption, numbers=False)


def _curves(records: Sequence[Record]) -> Iterator[Block]:
    """Scores over steps, each in the protocol that has values at the most steps."""
    from mmdgan.report.plots import plot_scores, to_svg

    found = {metric: longest_curve(records, metric) for metric in dict.fromkeys(r["metric"] for r in records)}
    steps = {metric: len({record["step"] for record in curve}) for metric, curve in found.items()}
    shown = sorted((m for m in found if direction(m) and steps[m] > 1), key=lambda metric: -steps[metric])
    if not shown:
        yield missing(f"curves of scores, for which it takes two steps: `{command('evaluate', 'RUN', '--steps=all')}`.")
        return
    chosen, others = shown[:_PANELS], shown[_PANELS:]
    drawings = [
        Picture(to_svg(plot_scores(found[metric], [metric])), "svg", f"{metric} over training steps")
        for metric in chosen
    ]
    yield SideBySide(tuple(drawings))
    counts = sorted({record["count"] for metric in chosen for record in found[metric]})
    sentences = [f"The curves are of {' or '.join(f'{count:,}' for count in counts)} generated images."]
    sentences += [f"In the list below besides: {', '.join(others)}."] if others else []
    yield Text(" ".join(sentences))


def _history(records: Sequence[Record]) -> Details:
    """All lines of metrics.jsonl, the newest first."""
    rows = tuple(
        (
            record["metric"],
            f"{record['step']:,}",
            format_value(record),
            _images(record),
            f"{record.get('seconds', 0):.1f}",
            record.get("by", ""),
            record.get("resize") or "",
            f"{record['features']} {str(record.get('feature_hash'))[:8]}" if record.get("features") else "",
        )
        for record in reversed(records[-_MOST_LINES:])
    )
    header = ("score", "step", "value", "images", "seconds", "by", "resize", "features")
    more = f"; the newest {_MOST_LINES}" if len(records) > _MOST_LINES else ""
    return Details(f"All {len(records):,} scores of metrics.jsonl{more}", (Table(header, rows),), screen=True)
