"""mmdgan.pictures.files: what is written part by part is what NumPy and Pillow read as a whole."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from mmdgan.core.errors import ConfigError
from mmdgan.pictures import files
from mmdgan.pictures.files import check_image_target, find_ffmpeg, gif_bytes, save_batches, save_gif, save_mp4


def _images(count: int = 10, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 6, channels), dtype=np.uint8)


def _batches(images: np.ndarray, size: int = 4):
    for start in range(0, len(images), size):
        yield start, images[start : start + size]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("labels", [None, np.arange(10, dtype=np.int32)[:, None]])
def test_npz_is_numpys(tmp_path, channels, labels):
    images = _images(channels=channels)
    path = save_batches(tmp_path / "new" / "a.npz", _batches(images), 10, labels)
    with np.load(path) as made:
        assert set(made) == ({"images"} if labels is None else {"images", "labels"})
        assert made["images"].dtype == np.uint8 and made["images"].flags.c_contiguous
        np.testing.assert_array_equal(made["images"], images)
        if labels is not None:
            np.testing.assert_array_equal(made["labels"], np.arange(10))
    assert [file.name for file in path.parent.iterdir()] == ["a.npz"]


def test_npz_takes_images_in_any_layout(tmp_path):
    images = _images()
    turned = ((start, np.asfortranarray(part)) for start, part in _batches(images))
    np.testing.assert_array_equal(np.load(save_batches(tmp_path / "a.npz", turned, 10))["images"], images)


def test_folder_is_filled_batch_by_batch(tmp_path):
    images, there = _images(), []

    def batches():
        for start, part in _batches(images):
            there.append(len(list(tmp_path.glob("all/*"))))
            yield start, part

    save_batches(tmp_path / "all", batches(), 10)
    assert there == [0, 4, 8]
    files = sorted((tmp_path / "all").iterdir())
    assert [file.name for file in files] == [f"{index:06d}.png" for index in range(10)]
    np.testing.assert_array_equal(np.stack([np.array(Image.open(file)) for file in files]), images)


def test_an_interrupted_npz_leaves_nothing(tmp_path):
    def batches():
        yield 0, _images()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save_batches(tmp_path / "a.npz", batches(), 20)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file/a.npz", "file/a"])
def test_places_that_cannot_be_written_to(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=f"{name} cannot be written .*; name another place"):
        save_batches(tmp_path / name, _batches(_images()), 10)


def test_a_folder_with_other_files_is_refused(tmp_path):
    for count in (None, 3):
        check_image_target(tmp_path, count)
        check_image_target(tmp_path / "none", count)
        check_image_target(tmp_path / "a.npz", count)
        check_image_target(None, count)
        with pytest.raises(ConfigError, match="a.jpg would be a folder"):
            check_image_target(tmp_path / "a.jpg", count)
    save_batches(tmp_path, _batches(_images(3)), 3)
    check_image_target(tmp_path, 3)  # all are written anew
    with pytest.raises(ConfigError, match="holds other files, such as 000002.png"):
        check_image_target(tmp_path, 2)


def test_images_of_classes_get_a_folder_each(tmp_path):
    images = _images(12)
    labels = np.array([10, 2, 10, 2, 2, 7, 7, 10, 2, 7, 7, 7])[:, None]
    save_batches(tmp_path, _batches(images), 12, labels)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["02", "07", "10"]
    for index, label in enumerate(labels[:, 0]):
        with Image.open(tmp_path / f"{label:02d}" / f"{index:06d}.png") as image:
            np.testing.assert_array_equal(np.asarray(image), images[index])
    assert len(list(tmp_path.rglob("*.png"))) == 12
    check_image_target(tmp_path, 12, labels)  # all are written anew
    with pytest.raises(ConfigError, match="holds other files, such as 02"):
        check_image_target(tmp_path, 12)
    labels[0] = 7
    with pytest.raises(ConfigError, match="holds other files, such as 10/000000.png"):
        check_image_target(tmp_path, 12, labels)


def test_images_of_one_class_need_no_folder_of_their_own(tmp_path):
    save_batches(tmp_path, _batches(_images(3)), 3, np.full((3, 1), 7))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["000000.png", "000001.png", "000002.png"]


@pytest.mark.parametrize("ending", "tar h5 tfrecords avif pt jsonl JPG 7z webm".split())
def test_names_of_other_files_are_no_folders(tmp_path, ending):
    with pytest.raises(ConfigError, match=f"samples.{ending} would be a folder"):
        check_image_target(tmp_path / f"samples.{ending}")
    (tmp_path / f"samples.{ending}").mkdir()
    check_image_target(tmp_path / f"samples.{ending}")


@pytest.mark.parametrize("name", ["samples", "truncation_0.5", "mine.v2", "1.2.3", "a.b c", "of.my run"])
def test_names_of_folders(tmp_path, name):
    check_image_target(tmp_path / name)


def test_names_of_classes_are_kept(tmp_path):
    labels, names = np.array([1, 0, 2, 1])[:, None], ("10", "2", "sea lion")
    images = _images(4)
    made = np.load(save_batches(tmp_path / "a.npz", _batches(images), 4, labels, names))
    assert made["class_names"].tolist() == [*names] and made["labels"].tolist() == [1, 0, 2, 1]
    save_batches(tmp_path / "a", _batches(images), 4, labels, names)
    files = sorted(str(file.relative_to(tmp_path / "a")) for file in (tmp_path / "a").rglob("*.png"))
    assert files == ["10/000001.png", "2/000000.png", "2/000003.png", "sea lion/000002.png"]
    check_image_target(tmp_path / "a", 4, labels, names)
    for number, unfit in enumerate(
        [("a/b", "c", "d"), ("a", "A", "b"), ("a", "A", "b", "c"), ("..", "a", "b"), ("a", "b")]
    ):
        save_batches(tmp_path / str(number), _batches(images), 4, labels, unfit)
        assert sorted(folder.name for folder in (tmp_path / str(number)).iterdir()) == ["0", "1", "2"]


def _frames(count: int = 5, height: int = 24, width: int = 30, channels: int = 3) -> np.ndarray:
    """Smooth pictures of many colours, which move."""
    y, x, t = np.meshgrid(np.arange(height), np.arange(width), np.arange(count), indexing="ij")
    waves = [np.sin(x / 7 + t), np.cos(y / 5 - t), np.sin((x + y) / 9 + 2 * t)][:channels]
    return np.rint(np.stack(waves, -1) * 127 + 128).clip(0, 255).astype(np.uint8).transpose(2, 0, 1, 3)


def _read_gif(content: bytes) -> tuple[np.ndarray, list[int], int]:
    """The frames, (T, H, W, 3), their milliseconds, and how often they repeat (0: for ever)."""
    picture, frames, durations = Image.open(io.BytesIO(content)), [], []
    for number in range(picture.n_frames):
        picture.seek(number)
        frames.append(np.array(picture.convert("RGB")))
        durations.append(picture.info["duration"])
    return np.stack(frames), durations, picture.info["loop"]


def test_gif_shows_the_frames_for_ever():
    frames = _frames()
    shown, durations, loop = _read_gif(gif_bytes(frames, 0.07))
    assert durations == [70] * 5 and loop == 0
    assert shown.shape == frames.shape
    # 720 colours in 256; six levels per channel, the palette that needs no choice, would be 51 / 4 off.
    error = np.abs(shown.astype(int) - frames)
    assert error.mean() < 5 and error.max() < 51


def test_few_colours_and_greys_are_exact():
    frames = _frames() // 64 * 64  # at most 64 colours
    np.testing.assert_array_equal(_read_gif(gif_bytes(frames))[0], frames)
    grey = _frames(channels=1)
    np.testing.assert_array_equal(_read_gif(gif_bytes(grey))[0], grey.repeat(3, axis=-1))


def test_drawn_frames_share_a_palette_and_others_do_not(monkeypatch):
    drawn = np.repeat(_frames(1, 60, 80), 20, axis=0) // 64 * 64
    for number, frame in enumerate(drawn):
        frame[5:9, 3 * number : 3 * number + 4] = (255, 3 * number, 0)  # what moves
    palettes, choose = [], files._with_palette
    monkeypatch.setattr(files, "_with_palette", lambda picture: palettes.append(1) or choose(picture))
    assert np.abs(_read_gif(gif_bytes(drawn))[0].astype(int) - drawn).mean() < 0.1
    assert len(palettes) == 1
    # 256 colours for all of these would be seen: each frame keeps its own.
    frames = _frames(8)
    shown = _read_gif(gif_bytes(frames))[0]
    alone = np.concatenate([_read_gif(gif_bytes(frame[None]))[0] for frame in frames])
    np.testing.assert_array_equal(shown, alone)


def test_each_frame_may_have_its_own_time(tmp_path):
    path = save_gif(tmp_path / "new" / "a.gif", _frames(3), [0.1, 0.5, 2.0])
    assert _read_gif(path.read_bytes())[1] == [100, 500, 2000]
    assert [file.name for file in path.parent.iterdir()] == ["a.gif"]


def test_gif_frames_that_viewers_would_slow_down_are_refused():
    assert _read_gif(gif_bytes(_frames(2), 0.02))[1] == [20, 20]
    with pytest.raises(ConfigError, match="frames of 0.01 s are too short for a GIF"):
        gif_bytes(_frames(2), 0.01)


@pytest.mark.parametrize("shape", [(2, 4, 4, 2), (4, 4, 3), (0, 4, 4, 3)])
def test_other_arrays_are_no_frames(shape, tmp_path):
    for make in (gif_bytes, lambda frames: save_mp4(tmp_path / "a.mp4", frames)):
        with pytest.raises(ValueError, match=r"uint8 \(T, H, W, 1 or 3\)"):
            make(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="not float32"):
        gif_bytes(np.zeros((2, 4, 4, 3), np.float32))


@pytest.mark.parametrize(("height", "width", "channels"), [(24, 30, 3), (25, 31, 3), (24, 31, 1)])
def test_mp4_holds_the_frames(tmp_path, height, width, channels):
    pytest.importorskip("imageio_ffmpeg")
    frames = _frames(6, height, width, channels)
    path = save_mp4(tmp_path / "new" / "a.mp4", frames, fps=12)
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]
    decode = [find_ffmpeg(), "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    wide, high = width + width % 2, height + height % 2
    shown = np.frombuffer(subprocess.run(decode, capture_output=True).stdout, np.uint8).reshape(-1, high, wide, 3)
    assert len(shown) == 6
    # Colours are stored at half the resolution.
    assert np.abs(shown[:, :height, :width].astype(int) - frames).mean() < 6
    doubled = np.pad(frames, [(0, 0), (0, high - height), (0, wide - width), (0, 0)], mode="edge")
    assert np.abs(shown[:, -2:].astype(int) - doubled[:, -2:]).mean() < 10
    assert np.abs(shown[:, :, -2:].astype(int) - doubled[:, :, -2:]).mean() < 10
    about = subprocess.run([find_ffmpeg(), "-i", str(path)], capture_output=True, text=True).stderr
    assert "yuv420p" in about and f"{wide}x{high}" in about and "12 fps" in about and "Duration: 00:00:00.50" in about


def test_without_ffmpeg_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="pip install imageio-ffmpeg, or name a .gif"):
        save_mp4(tmp_path / "a.mp4", _frames())
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho no such codec >&2\nexit 1\n")
    program.chmod(0o755)
    assert find_ffmpeg() == str(program)
    with pytest.raises(ConfigError, match="a.mp4 cannot be written, ffmpeg says: no such codec"):
        save_mp4(tmp_path / "a.mp4", _frames())
    assert [file.name for file in tmp_path.iterdir()] == ["ffmpeg"]


def test_importing_animations_loads_no_pillow(run_script):
    code = "import sys, mmdgan.pictures.files; print({'PIL', 'imageio_ffmpeg', 'tensorflow'} & set(sys.modules))"
    assert run_script("-c", code).stdout == "set()\n"
    assert files.SHORTEST == 0.02
