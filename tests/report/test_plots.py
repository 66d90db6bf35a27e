"""Figures: what they draw is compared with the numbers, and that they are small, the same each time, and alone."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmdgan import report
from mmdgan.report import LayerNorm, plots
from mmdgan.runs.folder import RunFolder
from mmdgan.training.event_files import Scalars


@pytest.fixture(scope="module")
def view(tiny_run):
    return report.view_critic(RunFolder.open(tiny_run[1]), count=60)


def curve(values, first=1):
    values = np.asarray(values, np.float64)
    return Scalars(np.arange(first, first + len(values)), values, np.zeros(len(values)))


def all_axes(figure):
    return [axes for axes in figure.get_axes() if axes.axison]


def test_long_names_stay_within_the_figure():
    """As those of runs that differ in their protocol, of which `compare` makes curves."""
    name = "[1] sngan_rep_b_1e-03_1e-03_k1.68_0.0_-1.0 (images 400, not 512; real images' number 400, not 512)"
    figure = plots.plot_curves({f"{name} {index}": curve([1, 2]) for index in range(3)}, f"FD[classifier], {name}")
    figure.draw_without_rendering()
    [legend] = figure.subfigs[0].legends
    [axes] = all_axes(figure)
    boxes = [legend.get_window_extent(), axes.get_tightbbox()]
    texts = [axes.get_title("left"), *(text.get_text() for text in legend.get_texts())]
    assert len(texts) == 4 and all("\n" in text for text in texts)
    assert all(0 <= box.x0 and box.x1 <= figure.bbox.x1 and 0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)


def test_short_curves_are_drawn_as_they_are():
    figure = plots.plot_curves({"a": curve([1, 2, -4]), "b": curve([3])}, "title")
    [axes] = all_axes(figure)
    first, second = axes.get_lines()
    np.testing.assert_array_equal(first.get_xydata(), [[1, 1], [2, 2], [3, -4]])
    assert second.get_marker() == "o" and axes.get_yscale() == "linear"
    assert [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()] == ["a", "b"]


def test_long_curves_keep_their_mean_and_their_peaks():
    values = np.random.default_rng(0).normal(size=100_003)
    values[77_777], values[5], values[9] = 50, np.nan, np.inf
    [axes] = all_axes(plots.plot_curves({"a": curve(values)}))
    [line], [band] = axes.get_lines(), axes.collections
    assert len(line.get_xdata()) <= 400
    known = values[np.isfinite(values)]
    assert line.get_ydata().mean() == pytest.approx(known.mean(), abs=1e-3)
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.max(), heights.min()) == (50, known.min())


@pytest.mark.filterwarnings("error")
def test_many_curves_and_layers_leave_room_for_themselves():
    curves = plots.plot_curves({f"a curve with a long name, the {i}th": curve([1, 2]) for i in range(40)})
    layers = report.plot_spectra([LayerNorm(1, f"dis/l{i}/kernel", 1.0, 2.0, 0.5, 0.1) for i in range(60)])
    for figure in (curves, layers):
        report.to_png(figure, dpi=40)
        for axes in all_axes(figure):
            assert axes.get_window_extent().height / figure.dpi > 1.5


def test_only_positive_values_that_span_much_are_on_a_logarithmic_axis():
    scales = [all_axes(plots.plot_curves({"a": curve(v)}))[0].get_yscale() for v in ([1, 30], [1, 10], [-1, 30], [])]
    assert scales == ["log", "linear", "linear", "linear"]


@pytest.mark.parametrize("seed", range(4))
def test_labels_of_ticks_do_not_overlap(seed):
    """Of either axis, whatever the range of steps and values."""
    rng = np.random.default_rng(seed)
    for _ in range(6):
        steps = np.sort(rng.integers(0, 10 ** rng.integers(1, 7), 5))
        values = 10 ** rng.uniform(-4, 5) * (1 + rng.uniform(0, 1, 5) * 10 ** rng.uniform(-2, 4))
        lines = [{"metric": "FID", "step": int(s), "value": v, "count": 1} for s, v in zip(steps, values, strict=True)]
        figures = plots.plot_curves({"a": Scalars(steps, values, values)}), report.plot_scores(lines)
        for figure in figures:
            figure.draw_without_rendering()
            [axes] = all_axes(figure)
            for axis in (axes.xaxis, axes.yaxis):
                low, high = sorted(axis.get_view_interval())
                ticks = [tick for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
                boxes = [tick.label1.get_window_extent() for tick in ticks if tick.label1.get_text()]
                assert not any(a.overlaps(b) for a, b in zip(boxes, boxes[1:], strict=False))


def test_scores_have_a_panel_each_and_a_band_of_their_spread():
    records = [
        {"metric": name, "step": step, "value": value, "spread": spread, "count": 100}
        for name, step, value, spread in [
            ("FID", 2, 9.0, None), ("KID", 2, 0.5, 0.1), ("FID", 1, 20.0, None), ("KID", 1, 0.7, 0.2),
            ("FID", 2, 8.0, None), ("odd", 1, None, None),
        ]
    ]  # fmt: skip
    figure = report.plot_scores(records)
    fid, kid = all_axes(figure)
    assert [axes.get_title(loc="left") for axes in (fid, kid)] == ["FID ↓", "KID ↓"]
    np.testing.assert_array_equal(fid.get_lines()[0].get_xydata(), [[1, 20], [2, 8]])
    band = kid.collections[0].get_paths()[0].vertices
    assert {tuple(point) for point in np.round(band, 6)} == {(1, 0.5), (1, 0.9), (2, 0.4), (2, 0.6)}
    assert len(all_axes(report.plot_scores(records, ["KID", "unknown"]))) == 1
    assert all_axes(report.plot_scores([])) == []


def test_scores_of_other_numbers_of_images_are_other_lines():
    records = [{"metric": "FID", "step": s, "value": 1.0 * s, "count": n} for s in (1, 2) for n in (5_000, 50_000)]
    [axes] = all_axes(report.plot_scores(records))
    assert [line.get_label() for line in axes.get_lines()] == ["5,000 images", "50,000 images"]
    [axes] = all_axes(report.plot_scores([{**records[-1], "weights": weights} for weights in ("ema", "last")]))
    assert [line.get_label() for line in axes.get_lines()] == ["50,000 images", "50,000 images, last weights"]
    assert axes.get_legend() is not None


def test_scores_without_a_spread_beside_others_are_drawn():
    """One step alone gets a bar instead of a band."""
    one = [{"metric": "IS", "step": 5, "value": 3.0, "spread": 0.25, "count": 10}]
    [axes] = all_axes(report.plot_scores(one))
    [bar] = axes.containers
    [segment] = bar.lines[2][0].get_segments()
    assert segment[:, 1].tolist() == [2.75, 3.25]


def test_scores_of_several_runs_have_their_intervals():
    one = plots.ScoreCurve(np.array([4]), np.array([3.0]), np.array([2.5]), np.array([4.0]))
    two = plots.ScoreCurve(np.array([2, 4]), np.array([5.0, 3.0]), np.array([4.5, 2.0]), np.array([6.0, 3.5]))
    [axes] = all_axes(plots.plot_curves({"one": one, "two": two, "none": one._replace(low=np.array([np.nan]))}))
    [bar] = axes.containers
    assert bar.lines[2][0].get_segments()[0][:, 1].tolist() == [2.5, 4.0]
    corners = np.round(axes.collections[-1].get_paths()[0].vertices, 6)
    assert {tuple(point) for point in corners} == {(2, 4.5), (2, 6), (4, 2), (4, 3.5)}


def test_points_of_tsne_have_their_class(view):
    points = np.random.default_rng(0).normal(size=(120, 2))
    both, classes = all_axes(report.plot_tsne(view, points))
    generated, real = both.collections
    np.testing.assert_array_equal(real.get_offsets(), points[:60])
    np.testing.assert_array_equal(generated.get_offsets(), points[60:])
    drawn = {part.get_label(): part.get_offsets() for part in classes.collections}
    assert drawn.pop("generated").shape == (60, 2)
    for name, offsets in drawn.items():
        np.testing.assert_array_equal(offsets, points[:60][view.labels_data == view.class_names.index(name)])
    assert len(drawn) == len(np.unique(view.labels_data))


def test_many_classes_are_cut_to_the_ten_most_frequent(view):
    labels = np.concatenate([np.repeat(np.arange(100, 110), 5), np.arange(10)])
    many = dataclasses.replace(view, labels_data=labels, class_names=())
    _, classes = all_axes(report.plot_tsne(many, np.zeros((120, 2))))
    names = [part.get_label() for part in classes.collections]
    assert names == ["generated", "10 other classes", *map(str, range(100, 110))]
    assert len({colour.get_facecolor().tobytes() for colour in classes.collections[2:]}) == 10


def test_without_labels_one_panel_is_enough(view):
    unlabelled = dataclasses.replace(view, labels_data=None)
    assert len(all_axes(report.plot_tsne(unlabelled, np.zeros((120, 2))))) == 1


def test_spectra_show_ratio_and_both_norms():
    rows = [LayerNorm(step, layer, s, e, s / e, 0.1) for step, layer, s, e in
            [(1, "dis/a/kernel", 1.0, 2.0), (2, "dis/a/kernel", 3.0, 4.0), (1, "dis/b/kernel", 5.0, 5.0)]]  # fmt: skip
    ratios, norms = all_axes(report.plot_spectra(rows))
    np.testing.assert_array_equal(ratios.get_lines()[0].get_xydata(), [[1, 0.5], [2, 0.75]])
    assert [list(line.get_ydata()) for line in norms.get_lines()[:3]] == [[2, 4], [1, 3], [5]]
    assert all_axes(report.plot_spectra([])) == []


def test_the_witness_is_two_histograms_of_all_images(view):
    strange = dataclasses.replace(view, witness_gen=np.append(view.witness_gen[:-1], np.nan))
    figure = report.plot_witness(strange)
    [axes] = all_axes(figure)
    assert view.witness_name in axes.get_title(loc="left")
    for patch, values in zip(axes.patches, (strange.witness_data, strange.witness_gen[:-1]), strict=True):
        # The area of a filled histogram of counts is their number times the width of a bin.
        x, y = patch.get_xy().T
        width = np.min(np.diff(np.unique(x)))
        area = abs(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1))) / 2
        assert area / width == pytest.approx(len(values), rel=1e-3)
    empty = dataclasses.replace(view, witness_data=np.full(60, np.nan), witness_gen=np.full(60, np.nan))
    assert all_axes(report.plot_witness(empty)) == []


def test_extremes_are_drawn_as_they_are(view):
    figure = report.plot_extremes(view, 5)
    found = report.extremes(view, 5)
    for axes, images in zip(figure.get_axes(), found.values(), strict=True):
        np.testing.assert_array_equal(axes.get_images()[0].get_array(), np.concatenate(list(images), axis=1))


def test_files_are_pictures_on_white_the_same_each_time(view):
    figure = report.plot_witness(view)
    svg = report.to_svg(figure)
    assert svg == report.to_svg(figure) == report.to_svg(report.plot_witness(view))
    records = [{"metric": name, "step": step, "value": step / 3, "count": 9} for name in "abc" for step in (1, 2)]
    scores = report.plot_scores(records)
    assert report.to_svg(scores) == report.to_svg(scores)
    assert b"<svg" in svg and b"</svg>" in svg and len(svg) < 120_000
    image = Image.open(io.BytesIO(report.to_png(figure, dpi=50)))
    assert image.width == 260 and image.convert("RGB").getpixel((1, 1)) == (255, 255, 255)


def test_many_points_are_a_picture_within_the_picture(view):
    rng = np.random.default_rng(0)
    many = dataclasses.replace(
        view, score_data=np.zeros((3000, 1)), labels_data=rng.integers(10, size=3000), witness_data=np.zeros(3000)
    )
    svg = report.to_svg(report.plot_tsne(many, rng.normal(size=(6000, 2))))
    assert svg.count(b"<image") == 2 and svg.count(b"<use") < 400


def test_nothing_global_changes():
    code = (
        "import sys, matplotlib; import mmdgan.report as a\n"
        # To look at the backend is to import pyplot.
        "settings = lambda: {key: matplotlib.rcParams[key] for key in matplotlib.rcParams if key != 'backend'}\n"
        "before = settings()\n"
        "assert 'tensorflow' not in sys.modules and 'sklearn' not in sys.modules\n"
        "a.to_svg(a.plot_scores([{'metric': 'FID', 'step': 1, 'value': 2.0, 'count': 1}]))\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'tensorflow' not in sys.modules\n"
        "assert settings() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(filter(None, sys.path))})


@pytest.mark.slow
def test_all_pictures_of_a_run_are_written(tiny_run, tmp_path):
    written, missing = report.write_all(RunFolder.open(tiny_run[1]), tmp_path, count=12)
    assert missing == {}
    assert sorted(file.name for file in written) == sorted(
        ["curves.png", "scores.png", "tsne.png", "spectra.png", "witness.png", "extremes.png", "evolution.gif"]
    )
    for file in written:
        with Image.open(file) as image:
            assert image.format == file.suffix[1:].upper() and image.width >= 90
            assert getattr(image, "n_frames", 1) == (2 if file.suffix == ".gif" else 1)


def test_what_cannot_be_made_is_named_and_the_rest_is_written(tiny_run, tmp_path):
    import shutil

    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run[1], run.path)
    shutil.rmtree(run.path / "samples")
    shutil.rmtree(run.logs)
    written, missing = report.write_all(run, count=12)
    assert {file.parent for file in written} == {run.path / "pictures"} and len(written) == 5
    assert set(missing) == {"curves.png", "evolution.gif"} and "holds no grids yet" in missing["evolution.gif"]
