"""The scores that the authors published with PICO, for five gains K, and with PIM: four data sets, four losses."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mmdgan.report import published

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

VARIANTS = ("K=16", "K=32", "K=64", "K=128", "K=256", "PIM")
LOSSES = {"hinge": "hinge", "mmd_g": "MMD-rbf", "rep": "MMD-rep", "rmb": "MMD-rep-b"}
"""The spreadsheet's names of the losses, and the paper's."""

DATA = {"cifar10": "CIFAR-10", "stl10": "STL-10", "celeba": "CelebA", "lsun": "LSUN bedrooms"}

_STYLES = {"hinge": ("#000000", "v"), "mmd_g": ("#D55E00", "s"), "rep": ("#0072B2", "o"), "rmb": ("#009E73", "D")}


class PublishedCell(NamedTuple):
    """One data set, loss and variant over the 16 pairs of learning rates.

    Attributes:
      data, loss, variant: by the names in DATA, LOSSES, VARIANTS.
      best_fid: the least FID; None if all runs diverged.
      best_is: the greatest Inception score; None also where none was computed.
      diverged: how many of the pairs.
      pairs: how many there are.
      doubtful: how many of the FIDs contradict a second copy in the spreadsheet.
    """

    data: str
    loss: str
    variant: str
    best_fid: float | None
    best_is: float | None
    diverged: int
    pairs: int
    doubtful: int


def published_cells() -> list[PublishedCell]:
    """All 96 of them, in the order of DATA, LOSSES, VARIANTS; [] if the authors' file is not at hand."""
    rows = [row for file in published.files() for row in published.read(file)]
    groups: dict[tuple[str, str, str], list[published.Published]] = {}
    for row in rows:
        if row.table == "spreadsheet pico vs pim":
            groups.setdefault((row.data, row.method, row.variant), []).append(row)
    found = []
    for key in ((data, loss, variant) for data in DATA for loss in LOSSES for variant in VARIANTS):
        cells = groups.get(key, [])
        if cells:
            distances = [cell for cell in cells if cell.metric == "FID"]
            values = [cell.value for cell in distances if cell.value is not None]
            scores = [cell.value for cell in cells if cell.metric == "IS" and cell.value is not None]
            diverged = sum(cell.status == "diverged" for cell in distances)
            doubtful = sum(bool(cell.note) for cell in distances)
            best = min(values, default=None), max(scores, default=None)
            found.append(PublishedCell(*key, *best, diverged, len(distances), doubtful))
    return found


def published_text(cells: list[PublishedCell]) -> str:
    """The cells as a Markdown table: the best FID of each variant, and how many of the 16 runs diverged."""
    if not cells:
        return "The authors' scores are not at hand: Results/published was found neither here nor beside the package."
    lines = [
        "Published: least FID over 16 pairs of learning rates (diverged runs of 16 in brackets)",
        "",
        f"| data | loss | {' | '.join(VARIANTS)} | best PICO - PIM |",
        "| --- " * (len(VARIANTS) + 3) + "|",
    ]
    for data, data_title in DATA.items():
        for loss, title in LOSSES.items():
            by_variant = {cell.variant: cell for cell in cells if (cell.data, cell.loss) == (data, loss)}
            shown = [_cell_text(by_variant.get(variant)) for variant in VARIANTS]
            lines.append(f"| {data_title} | {title} | {' | '.join(shown)} | {_difference(by_variant)} |")
    totals = {pim: [cell for cell in cells if (cell.variant == "PIM") == pim] for pim in (False, True)}
    counts = {pim: (sum(c.diverged for c in of), sum(c.pairs for c in of)) for pim, of in totals.items()}
    doubtful = sum(cell.doubtful for cell in cells)
    lines += [
        "",
        "Diverged: {} of {} runs with PICO, {} of {} with PIM.".format(*counts[False], *counts[True])
        + f" {doubtful} FIDs (CIFAR-10, MMD-rep, K=32) contradict their second copy in the spreadsheet."
        + " The best of PICO is chosen among five gains, that of PIM has one, whose multiplier is not stated.",
    ]
    return "\n".join(lines)


def _cell_text(cell: PublishedCell | None) -> str:
    if cell is None:
        return "-"
    value = "-" if cell.best_fid is None else f"{cell.best_fid:.2f}"
    return f"{value} ({cell.diverged})"


def _difference(by_variant: dict[str, PublishedCell]) -> str:
    """The best FID of PICO over all K, less that of PIM: negative where PICO is better."""
    pico = [cell.best_fid for name, cell in by_variant.items() if name != "PIM" and cell.best_fid is not None]
    pim = by_variant["PIM"].best_fid if "PIM" in by_variant else None
    return "-" if not pico or pim is None else f"{min(pico) - pim:+.2f}"


def draw_published(frame: SubFigure, cells: list[PublishedCell]) -> None:
    """The least FID over the variants, a panel per data set, a line per loss; how many runs diverged below."""
    frame.suptitle(
        "Published: least FID over 16 pairs of learning rates, for each K of PICO, and PIM; below: diverged runs of 16",
        fontsize=10.5,
        x=0.01,
        ha="left",
    )
    panels = frame.subplots(1, len(DATA))
    for (data, title), ax in zip(DATA.items(), panels, strict=True):
        for index, (loss, name) in enumerate(LOSSES.items()):
            colour, marker = _STYLES[loss]
            found = {cell.variant: cell for cell in cells if (cell.data, cell.loss) == (data, loss)}
            values = [_number(found.get(variant)) for variant in VARIANTS]
            ax.plot(range(5), values[:5], marker=marker, color=colour, label=name, markersize=5)
            ax.plot(5, values[5], marker=marker, color=colour, markersize=6, markerfacecolor="white")
            for place, variant in enumerate(VARIANTS):
                if variant in found:
                    options = {"color": colour, "fontsize": 8, "ha": "center", "va": "center"}
                    options |= {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
                    ax.annotate(str(found[variant].diverged), (place, 0), (0, -27 - 10 * index), **options)
        ax.set_title(title, loc="left", fontsize=10)
        ax.set_xticks(range(6), [variant.removeprefix("K=") for variant in VARIANTS], fontsize=8.5)
        ax.set_xlim(-0.5, 5.5)
        ax.axvline(4.5, color="#C8C8C8", linewidth=0.8)
        ax.tick_params(axis="y", labelsize=8.5)
        ax.set_xlabel("\n" * len(LOSSES), fontsize=8)  # room for the counts
        ax.grid(axis="y", color="#E4E4E4", linewidth=0.7)
        ax.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("least FID", fontsize=9)
    handles, labels = panels[0].get_legend_handles_labels()
    frame.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=9, frameon=False)


def _number(cell: PublishedCell | None) -> float:
    return float("nan") if cell is None or cell.best_fid is None else cell.best_fid
