"""The scores that the authors of the paper published, for the data set and the loss of a run (spec H.2).

Two files in Results/published: the paper's Table 1 (each loss at its best learning rates), and the spreadsheet of all
learning rates and gains from the authors' repository. The README there describes their columns.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmdgan.core.errors import ConfigError
from mmdgan.core.files import csv_rows, read_text
from mmdgan.losses import registry as losses
from mmdgan.metrics.registry import lower_is_better

if TYPE_CHECKING:
    from mmdgan.design import NetworkSpec

FILES = ("paper_table1.csv", "paper_results.csv")

_PLACE = Path("Results", "published")
_TABLE = {"method", "loss_name", "dataset", "metric", "value"}
_GRID = {"dataset", "block", "loss", "variant", "lr_dis", "lr_gen", "metric", "value"}
_DATA = {"lsun_bedroom": "lsun"}  # the spreadsheet's names of what are our data sets
_STATUS = {"nan": "diverged", "n/a": "not run", "missing": "cell is empty"}

# The cells that contradict their twins in another sheet (spec H.2): one of the two is shifted by a row.
_SHIFTED = [(2e-4, lr) for lr in (1e-4, 2e-4, 5e-4, 1e-3)] + [(5e-4, 1e-4)]
_SHIFTED_NOTE = "doubtful: the spreadsheet's two copies of this cell differ"


@dataclass(frozen=True)
class Published:
    """One published score.

    Attributes:
        data: Our name of the data set.
        loss: Our canonical name of the loss; "" for the scores of the real images.
        method: The paper's name, such as "MMD-rep-b".
        metric: "IS", "FID" or "MS-SSIM".
        value: The score; None where the authors have no number.
        status: Why there is none: "diverged", "not run" or "cell is empty"; else "".
        table: "Table 1", or the spreadsheet's block.
        variant: Settings such as "K=64", "PIM" or "d=4;K=64"; "" in Table 1.
        lr_dis, lr_gen: Learning rates; None in Table 1, which has the best ones.
        note: A doubt about it, or which choice it is.
    """

    data: str
    loss: str
    method: str
    metric: str
    value: float | None
    status: str = ""
    table: str = "Table 1"
    variant: str = ""
    lr_dis: float | None = None
    lr_gen: float | None = None
    note: str = ""

    @property
    def text(self) -> str:
        """The value in a table, or why there is none."""
        return self.status if self.value is None else f"{self.value:.4g}"

    @property
    def settings(self) -> str:
        """Its table and settings, such as "Table 1, best learning rates"."""
        if self.lr_dis is None or self.lr_gen is None:
            return self.table if not self.loss else f"{self.table}, best learning rates"
        return f"{self.table}, {self.lr_dis:.0e}/{self.lr_gen:.0e}, {self.variant.replace(';', ', ')}"


@dataclass(frozen=True)
class Wanted:
    """The settings of a run that published scores are looked up by.

    Attributes:
        data: Data set.
        loss: Any name or alias of the loss.
        lr_dis, lr_gen: Learning rates.
        gain: K, the product of the multipliers act_k of all normalised layers.
        spectral: "pico" or "pim".
        score_size: Outputs of the critic; None: the loss's default.
        default_weights: Whether a repulsive loss has the paper's weights (0, -1).
    """

    data: str
    loss: str
    lr_dis: float | None = None
    lr_gen: float | None = None
    gain: float | None = None
    spectral: str = "pico"
    score_size: int | None = None
    default_weights: bool = True

    @classmethod
    def of(cls, fields: Mapping[str, Any], critic: NetworkSpec) -> Wanted:
        """What to look up for a resolved experiment's fields and its critic."""
        gains = [part.gain for layer in critic.layers for part in layer.parts if part.spectral and part.gain]
        weights = fields.get("rep_weights")
        named = {name: fields[name] for name in ("data", "loss", "lr_dis", "lr_gen", "spectral")}
        default = weights is None or tuple(weights) == (0.0, -1.0)
        return cls(**named, gain=math.prod(gains), score_size=critic.output_shape[0], default_weights=default)


def files(path: str | os.PathLike | None = None) -> list[Path]:
    """The files to read: those of `path` (a CSV, or a folder with FILES), else those here or of mmdgan; [] if none.

    Raises:
        ConfigError: `path` does not exist, or holds no table.
    """
    if path is not None:
        given = Path(path)
        found = [given / name for name in FILES if (given / name).is_file()] if given.is_dir() else [given]
        if not found or not found[0].is_file():
            what = "holds no table of scores" if given.exists() else "does not exist"
            raise ConfigError(f"published: {given} {what}; give a CSV such as {_PLACE / FILES[0]}.")
        return found
    package = Path(__file__).resolve().parents[1]
    for folder in (_PLACE, package.parent / _PLACE, package / "published"):  # here, of a checkout, of a wheel
        if found := [folder / name for name in FILES if (folder / name).is_file()]:
            return found
    return []


def read(path: str | os.PathLike) -> tuple[Published, ...]:
    """All scores of one of the two files, or of another with the columns of either.

    Raises:
        ConfigError: Other columns, or a value that is neither a number nor NaN, N/A or missing.
    """
    path = Path(path)
    return _read(path, path.stat().st_mtime_ns)


def read_all(path: str | os.PathLike | None = None) -> list[Published]:
    """All scores of the files that `files` finds; errors as there and in `read`."""
    return [row for file in files(path) for row in read(file)]


def find(
    data: str, loss: str, csv: str | os.PathLike | None = None, *, wanted: Wanted | None = None
) -> list[Published]:
    """The published scores of a data set and a loss.

    Args:
        data: Name of the data set.
        loss: Any name of the loss; of the variants with penalty or scale, only "rep_gp" has published scores.
        csv: Another file than the repository's.
        wanted: More settings of the run, to find also the scores at its own learning rates and gain.

    Returns:
        In this order: the scores of the real images, Table 1, the spreadsheet's cells at the run's own settings, the
        best cells of the same block (for each metric). [] where nothing is published, or no file is found.

    Raises:
        ConfigError: No such loss, or a file that cannot be read.
    """
    wanted = wanted or Wanted(data, loss)
    kind = losses.get(loss)
    of_data = [row for row in read_all(csv) if row.data == _DATA.get(data, data)]
    bare = not kind.uses_scale and kind.penalty is None and wanted.default_weights
    real = [row for row in of_data if not row.loss]
    table = [row for row in of_data if row.lr_dis is None and row.loss == kind.canonical and bare]
    block = list(_block(of_data, kind, wanted))
    own = [row for row in block if _is_own(row, wanted)]
    best = [row for row in _best(block) if not any(row.settings == one.settings for one in own)]
    return [*(real if table or block else []), *table, *own, *best]


def explain(data: str, loss: str, rows: Iterable[Published], csv: str | os.PathLike | None = None) -> str:
    """One sentence: why there are no published scores to compare with, or "" if there are."""
    if any(row.loss for row in rows):
        return ""
    if not files(csv):
        return f"The published scores are not at hand: {_PLACE} was found neither here nor next to the package."
    return f"Nothing is published for the loss {loss} on {data}."


@functools.lru_cache(maxsize=8)
def _read(path: Path, _changed: int) -> tuple[Published, ...]:
    """The rows of a file, read again when it changes."""
    try:
        reader = csv_rows(read_text(path))
        columns = set(reader.fieldnames or ())
        lines = [{name: text or "" for name, text in line.items()} for line in reader]  # None where a line is short
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"published: {path} cannot be read as a CSV ({error}); give another file.") from None
    if columns >= _GRID:
        return tuple(_grid_row(path, number, line) for number, line in enumerate(lines, 2))
    if columns >= _TABLE:
        return tuple(_table_row(path, number, line) for number, line in enumerate(lines, 2))
    raise ConfigError(
        f"published: {path} has the columns {', '.join(sorted(columns)) or 'of nothing'}; it takes "
        f"{', '.join(sorted(_TABLE))}, or {', '.join(sorted(_GRID))}."
    )


def _table_row(path: Path, number: int, line: dict[str, str]) -> Published:
    value, status = _value(path, number, line["value"])
    data = _DATA.get(line["dataset"], line["dataset"])
    return Published(data, _loss(line["loss_name"]), line["method"], line["metric"], value, status)


def _grid_row(path: Path, number: int, line: dict[str, str]) -> Published:
    value, status = _value(path, number, line["value"])
    lr_dis, lr_gen = (_value(path, number, line[name])[0] for name in ("lr_dis", "lr_gen"))
    data, variant = _DATA.get(line["dataset"], line["dataset"]), line["variant"]
    shifted = (data, line["loss"]) == ("cifar10", "rep") and variant in ("K=32", "d=16;K=32")
    note = _SHIFTED_NOTE if shifted and (lr_dis, lr_gen) in _SHIFTED else ""
    table = f"spreadsheet {line['block'].replace('_', ' ')}"
    return Published(
        data, _loss(line["loss"]), line["loss"], line["metric"], value, status, table, variant, lr_dis, lr_gen, note
    )


def _value(path: Path, number: int, text: str) -> tuple[float | None, str]:
    """A cell's number, or the reason why it has none."""
    text = text.strip().rstrip(",")
    if text.lower() in _STATUS:
        return None, _STATUS[text.lower()]
    try:
        return float(text), ""
    except ValueError:
        known = "NaN (diverged), N/A (not run) or missing"
        raise ConfigError(
            f"published: {path}, line {number}, has the value {text!r}; give a number, {known}."
        ) from None


@functools.cache
def _loss(name: str) -> str:
    """The canonical name of a loss; names of methods that are not our losses stay as they are."""
    return losses.canonical_name(name) if name in losses.names() else name


def _block(rows: Iterable[Published], kind: losses.Loss, wanted: Wanted) -> Iterable[Published]:
    """The cells of the spreadsheet with this kind of loss and this number of outputs."""
    if kind.uses_scale or not wanted.default_weights:
        return
    size = kind.score_size if wanted.score_size is None else wanted.score_size
    for row in rows:
        if row.lr_dis is None or row.loss != kind.canonical:
            continue
        penalty = "gradient penalty" in row.table
        if penalty or kind.penalty is not None:
            fits = penalty and kind.penalty is not None
        elif "output dim" in row.table:
            fits = size != kind.score_size and row.variant.startswith(f"d={size};")
        else:
            fits = size == kind.score_size
        if fits:
            yield row


def _is_own(row: Published, wanted: Wanted) -> bool:
    """Whether a cell is at the run's own learning rates and gain."""
    if not (_near(row.lr_dis, wanted.lr_dis) and _near(row.lr_gen, wanted.lr_gen)):
        return False
    if "gradient penalty" in row.table:
        return True
    if wanted.spectral == "pim":
        return row.variant == "PIM"
    gain = row.variant.rpartition("K=")[2]
    return gain.isdecimal() and _near(float(gain), wanted.gain)


def _near(a: float | None, b: float | None) -> bool:
    """Whether two numbers are there and alike."""
    return a is not None and b is not None and math.isclose(a, b, rel_tol=0.01)


def _best(block: list[Published]) -> list[Published]:
    """The best cell of each metric."""
    found = []
    for metric in sorted({row.metric for row in block}):
        numbers = [row for row in block if row.metric == metric and row.value is not None]
        if numbers:
            choose = min if lower_is_better(metric) else max
            best = choose(numbers, key=lambda row: row.value or 0.0)
            note = f"best {metric} of the block" + (f"; {best.note}" if best.note else "")
            found.append(dataclasses.replace(best, note=note))
    return found
