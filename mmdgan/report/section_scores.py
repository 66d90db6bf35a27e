"""The page's scores: the newest and the best ones beside the published ones, protocols, and curves over steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmdgan.metrics.records import format_value
from mmdgan.report import protocol
from mmdgan.report.blocks import Block, Cell, Details, Picture, Pile, Side, Table, Text
from mmdgan.report.compare import choose
from mmdgan.report.subject import Subject
from mmdgan.runs import published

_PUBLISHED = {"fid": "FID", "is": "IS", "ms_ssim": "MS-SSIM"}
_PANELS = 8
_MOST_LINES = 400


def scores(subject: Subject) -> tuple[Block, ...]:
    """The section."""
    pile = Pile()
    e = subject.facts.experiment
    found = published.find(e["data"], e["loss"], subject.request.published, wanted=subject.facts.wanted())
    newest = choose(subject.facts)
    if newest:
        pile.add(*_values(subject, newest, found))
    else:
        pile.missing(f"scores: the run has none; `python -m mmdgan evaluate {subject.folder.path}` makes them.")
    if reason := published.explain(e["data"], e["loss"], found, subject.request.published):
        pile.add(Text(reason))
    else:
        pile.add(*_beside(subject, newest, found))
    if newest:
        pile.add(*_curves(subject.records), _history(subject.records))
    return tuple(pile.blocks)


def best_line(lines: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The line with the best value; None where fewer than two steps have one, or no value is better than another."""
    numbers = [line for line in lines if line["value"] is not None]
    if len({line["step"] for line in numbers}) < 2:
        return None
    sign = protocol.direction(numbers[0]["metric"])
    return max(numbers, key=lambda line: sign * line["value"]) if sign else None


def alike(records: Sequence[Mapping[str, Any]], record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The lines of the same score in the same protocol, oldest first."""
    lines = [line for line in records if line["metric"] == record["metric"]]
    return [line for line in lines if not protocol.differences(line, record)]


def longest_curve(records: Sequence[Mapping[str, Any]], metric: str) -> list[Mapping[str, Any]]:
    """The lines of a score in the protocol that has values at the most steps, the newest of equals; oldest first."""
    groups = [alike(records, record) for record in reversed(records) if record["metric"] == metric]
    groups = [[line for line in group if line["value"] is not None] for group in groups]
    return max(groups, key=lambda group: len({line["step"] for line in group}), default=[])


def _values(subject: Subject, newest: list[dict[str, Any]], found: list[published.Published]) -> list[Block]:
    """The table of scores: newest, best, of real images, published."""
    step = newest[0]["step"]
    table1 = {row.metric: row for row in found if row.loss and row.lr_dis is None}
    of_real = {record["metric"]: record for record in newest}
    rows = []
    for record in newest:
        metric = record["metric"]
        if protocol.is_of_real(metric):
            continue  # beside the score that it belongs to
        best = best_line(alike(subject.records, record)) or best_line(longest_curve(subject.records, metric))
        reference = protocol.of_real(metric, of_real)
        rows.append(
            (
                metric,
                _value_cell(record),
                _best_cell(best, record),
                format_value(reference) if reference else "",
                _published_cell(record, table1.get(_PUBLISHED.get(protocol.identifier(record), ""))),
                _images(record),
            )
        )
    header = ("score", f"newest (step {step:,})", "best", "real images", "published", "images")
    blocks: list[Block] = [_without_empty(header, rows)]
    blocks.append(Text(_explanation(newest, found)))
    if step < max(subject.saved, default=0):
        newer = f"The newest checkpoint, of step {max(subject.saved):,}, has no scores yet"
        blocks.append(Text(f"{newer}; `python -m mmdgan evaluate {subject.folder.path}` makes them."))
    if subject.best is not None:
        blocks.append(Text(f"The checkpoint of step {subject.best:,} is kept as the best one."))
    notes = dict.fromkeys(f"{record['metric']}: {record['note']}" for record in newest if record.get("note"))
    if notes:
        blocks.append(Details("Notes on the scores", tuple(Text(note) for note in notes)))
    return blocks


def _value_cell(record: Mapping[str, Any]) -> Cell | str:
    """The value; marked where its note says that it was forced and means little."""
    text = format_value(dict(record))
    return Cell(text, "warning") if "forced:" in (record.get("note") or "") else text


def _best_cell(best: Mapping[str, Any] | None, newest: Mapping[str, Any]) -> Cell | str:
    """The best value with its step, and the number of images where that is another one."""
    if best is None:
        return ""
    if best["step"] == newest["step"]:
        return Cell("the newest", "best")
    other = f", {best['count']:,} images" if best["count"] != newest["count"] else ""
    return Cell(f"{format_value(dict(best))} (step {best['step']:,}{other})", "best")


def _without_empty(header: tuple[str, ...], rows: list[tuple]) -> Table:
    """A table without the columns that are empty in every row."""
    kept = [index for index in range(len(header)) if index == 0 or any(row[index] for row in rows)]
    return Table(tuple(header[i] for i in kept), tuple(tuple(row[i] for i in kept) for row in rows))


def _explanation(newest: list[dict[str, Any]], found: list[published.Published]) -> str:
    """What the columns and the signs mean."""
    words = ["Real images: the same score between, or of, real images, about what a perfect generator would get."]
    spreads = dict.fromkeys(record["spread_of"] for record in newest if record.get("spread_of"))
    if spreads:
        words.append(f"±: {'; '.join(spreads)}.")
    if any(row.loss for row in found):
        words.append("≠: another score than the published one, whose protocol is below.")
    return " ".join(words)


def _published_cell(record: Mapping[str, Any], row: published.Published | None) -> Cell | str:
    """The paper's score beside a run's; it always differs in something, which the table of protocols says."""
    if row is None or "(" in record["metric"]:
        return ""
    value = row.status if row.value is None else f"{row.value:.4g}"
    return Cell(f"{row.metric} {value}", "differs" if protocol.kind(record["metric"]) != row.metric else "")


def _images(record: Mapping[str, Any]) -> str:
    real = f" / {record['count_real']:,}" if record.get("count_real") else ""
    return f"{record['count']:,}{real}"


def _beside(subject: Subject, newest: list[dict[str, Any]], found: list[published.Published]) -> list[Block]:
    """The published scores, and the protocols side by side."""
    record = next((r for r in newest if r.get("features") and protocol.direction(r["metric"])), None)
    lines = protocol.against_published(subject.facts, record)
    marks = {protocol.SAME: "", protocol.DIFFERS: "differs", protocol.UNKNOWN: "unknown"}
    rows = tuple((line.what, line.published, Cell(line.run, marks[line.mark])) for line in lines)
    differing = sum(line.mark == protocol.DIFFERS for line in lines)
    metrics = list(dict.fromkeys(row.metric for row in found))
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in found:
        key = row.method, "; ".join(part for part in (row.settings, row.note) if part)
        cells.setdefault(key, {})[row.metric] = row.status if row.value is None else f"{row.value:.4g}"
    of_paper = tuple((*key, *(values.get(metric, "") for metric in metrics)) for key, values in cells.items())
    return [
        Table(("method", "settings", *metrics), of_paper, "Published scores (Wang et al. 2019)", numbers=False),
        Table(
            ("protocol", "published", "this run"),
            rows,
            f"{differing} points differ (≠), so the scores are no comparison of the losses alone"
            if differing
            else "The protocols are the same as far as is known",
            numbers=False,
        ),
    ]


def _curves(records: list[dict[str, Any]]) -> list[Block]:
    """Scores over steps, each in the protocol that it was computed by at the most steps."""
    from mmdgan.report.plots import plot_scores, to_svg

    shown = []
    for metric in dict.fromkeys(record["metric"] for record in records):
        lines = longest_curve(records, metric)
        steps = len({line["step"] for line in lines})
        if protocol.direction(metric) and steps > 1:
            shown.append((steps, metric, lines))
    if not shown:
        words = "curves of scores, for which it takes two steps: `python -m mmdgan evaluate RUN --steps=all`."
        return [Text(words, "missing")]
    shown.sort(key=lambda entry: -entry[0])
    chosen, others = shown[:_PANELS], [metric for _, metric, _ in shown[_PANELS:]]
    half = -(-len(chosen) // 2)
    drawings = []
    for part in (chosen[:half], chosen[half:]):
        metrics = [metric for _, metric, _ in part]
        if part:
            figure = plot_scores([line for _, _, lines in part for line in lines], metrics)
            drawings.append(Picture(to_svg(figure), "svg", f"Curves of {', '.join(metrics)} over training steps"))
    counts = sorted({line["count"] for _, _, lines in chosen for line in lines})
    sentences = [f"The curves are of {' or '.join(f'{count:,}' for count in counts)} generated images."]
    sentences += [f"In the list below besides: {', '.join(others)}."] if others else []
    return [Side(tuple(drawings)), Text(" ".join(sentences))]


def _history(records: list[dict[str, Any]]) -> Block:
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
