"""What every figure's script shares: files, their names, their numbers."""

import csv
import dataclasses

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.options import option
from paper.output import FigureOptions, Output, new_figure, pixels, run_figure


def _figure():
    figure = new_figure(3, 2)
    figure.subplots().plot([0, 1], [0, 1])
    return figure


def test_a_figure_is_a_png_and_a_pdf_with_the_same_bytes_each_time(tmp_path):
    png, pdf = Output(tmp_path / "deep" / "er", "figure9").figure(_figure(), "_left", dpi=100)
    assert (png.name, pdf.name) == ("figure9_left.png", "figure9_left.pdf")
    assert Image.open(png).size == (300, 200)
    assert pdf.read_bytes().startswith(b"%PDF")
    again = Output(tmp_path, "figure9").figure(_figure(), "_left", dpi=100)
    assert [path.read_bytes() for path in again] == [png.read_bytes(), pdf.read_bytes()]


def test_a_table_keeps_all_digits_and_takes_dictionaries_and_sequences(tmp_path):
    output = Output(tmp_path, "table9")
    third = 1 / 3
    path = output.table([{"b": third, "a": 1}, (2, None)], ["a", "b"], "_x")
    assert output.files == [path] == [tmp_path / "table9_x.csv"]
    with path.open(newline="") as file:
        first, second = csv.DictReader(file)
    assert float(first["b"]) == third and first["a"] == "1"
    assert second == {"a": "2", "b": ""}


def test_an_animation_has_its_frames(tmp_path):
    frames = np.zeros((3, 8, 8, 3), np.uint8)
    frames[1:] = 255
    frames[2, 0] = 0
    assert Image.open(Output(tmp_path, "f").animation(frames, seconds=0.2)).n_frames == 3


def test_pixels_are_what_the_png_shows(tmp_path):
    png, _ = Output(tmp_path, "f").figure(_figure(), dpi=100)
    np.testing.assert_array_equal(pixels(_figure(), 100), np.asarray(Image.open(png).convert("RGB")))


@dataclasses.dataclass(frozen=True)
class _Options(FigureOptions):
    size: int = option(3, "of the square")


def test_a_script_takes_flags_and_prints_its_files(tmp_path, capsys, monkeypatch):
    def make(options):
        output = Output(options.out, "f")
        output.table([[options.size**2, options.quick]], ["square", "quick"])
        return output

    monkeypatch.setattr("sys.argv", ["figure9.py", f"--out={tmp_path}", "--size=5", "--quick"])
    with pytest.raises(SystemExit) as end:
        run_figure(make, _Options(), "experiments/figure9.py", "Draws squares.")
    assert end.value.code == 0
    assert capsys.readouterr().out == f"{tmp_path / 'f.csv'}\n"
    assert (tmp_path / "f.csv").read_text() == "square,quick\n25,True\n"


def test_a_wrong_flag_is_one_sentence_and_status_2(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["figure9.py", "--sise=5"])
    with pytest.raises(SystemExit) as end:
        run_figure(lambda options: None, _Options(), "experiments/figure9.py", "Draws squares.")
    assert end.value.code == 2
    assert "size" in capsys.readouterr().err
