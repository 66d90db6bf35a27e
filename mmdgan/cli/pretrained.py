"""The verb `pretrained`: a table of the generators that come along."""

from __future__ import annotations

from collections.abc import Sequence

from mmdgan.cli import flags
from mmdgan.core.text import program, table


def pretrained(argv: Sequence[str]) -> int:
    """List the trained generators that come along: `sample`, `interpolate`, `evaluate` and `export` take them.

      sample pretrained:sample/rep_b --out digits.png

    The scores are of the step that is stored; the whole protocol is in the folder's metrics.jsonl.
    """
    usage = flags.usage("pretrained [--flag=value ...]", pretrained)
    flags.parse(flags.NoFlags(), argv, usage=usage)
    from mmdgan.runs.pretrained import PREFIX, Pretrained, names
    from mmdgan.runs.scores import best_of

    rows: list[tuple[str, ...]] = [("name", "loss", "step", "KiB", "score", "trained by")]
    for name in names():
        folder = Pretrained.named(name)
        card, experiment = folder.card(), folder.read_config()["experiment"]
        distance = best_of(folder.records(), "fid", folder.steps())
        score = "-" if distance is None else f"{distance.metric} {distance.value:.4g}"
        size = sum(file.stat().st_size for file in folder.path.iterdir()) / 1024
        rows.append((PREFIX + name, experiment["loss"], f"{card['step']:,}", f"{size:,.0f}", score, card["command"]))
    print(table(rows, left=(0, 1, 4, 5), rule=True))
    print(f"\nAs a Keras model: mmdgan.load_pretrained(NAME). From the command line: {program()} sample {rows[1][0]}")
    return 0
