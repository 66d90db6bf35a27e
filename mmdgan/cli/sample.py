"""The verb `sample`: images of a trained generator; and what `interpolate` shares with it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mmdgan.cli import flags
from mmdgan.core.errors import ConfigError, write_errors
from mmdgan.core.options import defaults, option
from mmdgan.core.text import format_value, nearest

if TYPE_CHECKING:
    import numpy as np

    from mmdgan.runs.folder import RunFolder

_CODES = ("random", "sine", "feature")
_MESHES = ("sine", "feature")
_PIXELS = 1024  # width or height that grids of small images are enlarged to
_MOST_PIXELS = 89_000_000  # Pillow warns of larger pictures, and few viewers show them
HOW, WHAT, WHERE = "how codes are made", "which images", "what is written"
STEP = "step of the checkpoint, or best; none: the newest"
EMA = "use the averaged weights of a run with --ema, or with --noema those of the step; none: the averaged ones"


@dataclasses.dataclass(frozen=True)
class SampleOptions:
    """The flags of `sample`."""

    count: int | None = option(None, "number of images; none: 400, or all codes of a file or a mesh", WHAT, least=1)
    step: int | Literal["best"] | None = option(None, STEP, WHAT)
    class_: str | int | None = option(
        None,
        "of a conditional run, images of this class only, by name or number; none: all in turn, in a grid one per "
        "column, in a mesh class 0",
        WHAT,
    )
    ema: bool | None = option(None, EMA, WHAT)
    codes: str = option(
        "random",
        "random; sine: a mesh between four random codes; feature: a mesh whose rows vary one component each; or a "
        "file: .npy (N, code length), or .npz with that array as codes, and optional labels",
        HOW,
    )
    seed: int = option(0, "seed of everything random; the first codes are the same for every count", HOW, least=0)
    truncation: float | None = option(
        None, "redraw components of random codes beyond this: smaller is less diverse; 2 changes little", HOW
    )
    mesh: tuple[int, int] | None = option(None, "ROWS,COLS of a mesh; none: 10,10", HOW)
    grid_range: float | None = option(None, "range of a feature mesh: from minus this to this; none: 2", HOW)
    out: str | None = option(
        None,
        "write NAME.png (a grid), NAME.npz, or a folder, with a folder in it per class; none: a grid, "
        "RUN/samples/<step>_<what>.png",
        WHERE,
    )
    columns: int | None = option(
        None, "columns of a grid; none: about as many as rows, or those of the mesh", WHERE, least=1
    )
    scale: int | None = option(
        None,
        "in a grid, enlarge each pixel to so many squared; none: until the grid is about 1,024 wide",
        WHERE,
        least=1,
    )
    gap: int = option(2, "in a grid, pixels between images", WHERE, least=0)
    stretch: bool = option(False, "in a grid, stretch each image to the range 0..255, as in the original", WHERE)
    invert: bool = option(False, "in a grid, show each image as its negative", WHERE)
    real: bool = option(False, "also write as many real images of the run's data, to <out>_real", WHERE)
    projector: bool = option(
        False,
        "write the critic's scores of up to 256 real and as many generated images for TensorBoard's projector",
        WHERE,
    )


class _Chosen(NamedTuple):
    """Latent codes, with the labels of a file, the columns of a mesh, and their part of the file's name."""

    codes: np.ndarray
    labels: np.ndarray | None
    columns: int | None
    name: str


def sample(argv: Sequence[str]) -> int:
    """Make images with a run's generator: a grid, an array, or one file per image.

    The same seed gives the same images; a larger count begins with the same ones. In the picture of a sine mesh the
    four codes are blended by the sines of two angles, from 0 in the top left corner to 45 degrees.
    """
    usage = flags.usage("sample RUN [--flag=value ...]", sample)
    parsed = flags.parse(SampleOptions(), argv, usage=usage, arguments=("RUN",))
    options: SampleOptions = parsed.options
    _check_sample(options)
    from mmdgan import sampling
    from mmdgan.core.progress import counter
    from mmdgan.core.startup import prepare_tensorflow
    from mmdgan.pictures.files import check_image_target
    from mmdgan.runs.pretrained import open_folder

    check_image_target(options.out)
    folder = open_folder(parsed.arguments[0])
    options = dataclasses.replace(options, class_=folder.find_class(options.class_))
    from_file = None if options.codes in _CODES else sampling.read_codes(options.codes)
    prepare_tensorflow()
    generator, step = folder.load_generator(options.step, options.ema)
    chosen = _choose_codes(options, generator.spec.input_shape[0], from_file)
    count, name = (
        len(chosen.codes),
        file_name(step, chosen.name, options, ("ema", "columns", "scale", "gap", "stretch", "invert")),
    )
    out = Path(options.out or folder.grid_file(step).with_name(f"{name}.png"))
    columns = chosen.columns or options.columns or math.ceil(math.sqrt(count))
    is_grid = out.suffix.lower() == ".png"
    if is_grid:
        _, height, width = generator.spec.output_shape
        rows = math.ceil(count / columns)
        scale = options.scale or max(1, _PIXELS // max(rows * height, columns * width))
        check_size(rows, columns, (height * scale, width * scale), options.gap)
        options = dataclasses.replace(options, scale=scale)
    names = folder.class_names() if generator.spec.num_class >= 2 else ()
    labels, note = _choose_labels(options, chosen, generator.spec.num_class, columns if is_grid else None, names)
    check_image_target(out, count, labels, names)
    batches = sampling.generate_batches(generator, chosen.codes, labels, progress=counter("samples", print))
    print(f"{count:,} samples of step {step:,}{note}: {_write(out, batches, count, labels, columns, options, names)}")
    if options.real:
        real = [(0, _real_images(folder, count, labels, options.seed))]
        out_real = out.with_name(f"{out.stem}_real{out.suffix}")
        check_image_target(out_real, count, labels, names)
        print(f"{count:,} real images: {_write(out_real, real, count, labels, columns, options, names)}")
    if options.projector:
        _write_projector(folder, step, options.seed)
    return 0


def _check_sample(options: SampleOptions) -> None:
    """Refuses flags that are out of range, or that do not go together."""
    codes, mesh = options.codes, options.codes in _MESHES
    if codes not in _CODES and Path(codes).suffix.lower() not in (".npy", ".npz"):
        raise ConfigError(
            f"codes is {codes!r}{nearest(codes, _CODES)}; it is {', '.join(_CODES)}, or a .npy or .npz file."
        )
    if options.mesh is not None and min(options.mesh) < 1:
        raise ConfigError(f"mesh is {format_value(options.mesh)}; give ROWS,COLS of at least 1 each.")
    if options.truncation is not None and not options.truncation > 0:
        raise ConfigError(f"truncation is {options.truncation:g}; give a number greater than 0, such as 0.5.")
    is_grid = options.out is None or Path(options.out).suffix.lower() == ".png"
    belongs = [
        ("mesh", mesh, f"codes is {codes}", "belongs to --codes=sine or --codes=feature"),
        ("grid_range", codes == "feature", f"codes is {codes}", "belongs to --codes=feature"),
        ("truncation", codes == "random", f"codes is {codes}", "belongs to --codes=random"),
        ("count", not mesh, f"codes is {codes}", "of a mesh is set by --mesh"),
        ("columns", not mesh, f"codes is {codes}", "of a mesh are set by --mesh"),
        *[
            (name, is_grid, f"out is {options.out}", "belongs to a .png")
            for name in ("columns", "scale", "gap", "stretch", "invert")
        ],
    ]
    usual = defaults(options)
    for name, possible, fact, rule in belongs:
        if getattr(options, name) != usual[name] and not possible:
            raise ConfigError(f"--{name} is given, but {fact}: {name} {rule}; leave it out.")


def _choose_codes(
    options: SampleOptions, code_size: int, from_file: tuple[np.ndarray, np.ndarray | None] | None
) -> _Chosen:
    from mmdgan import sampling

    rows, columns = options.mesh or (10, 10)
    if options.codes == "sine":
        codes = sampling.sine_codes((columns, rows), code_size, options.seed)
        return _Chosen(codes, None, columns, f"sine_{rows}x{columns}")
    if options.codes == "feature":
        grid = 2.0 if options.grid_range is None else options.grid_range
        codes = sampling.feature_codes((rows, columns), code_size, options.seed, grid)
        return _Chosen(codes, None, columns, f"feature_{rows}x{columns}" + (f"_range{grid:g}" if grid != 2 else ""))
    if from_file is None:
        count = options.count or 400
        if options.truncation is None:
            return _Chosen(sampling.random_codes(count, code_size, options.seed), None, None, str(count))
        codes = sampling.truncated_codes(count, code_size, options.truncation, options.seed)
        return _Chosen(codes, None, None, f"{count}_truncation{options.truncation:g}")
    codes, labels = from_file
    if codes.shape[1] != code_size:
        raise ConfigError(
            f"the codes of {options.codes} have {codes.shape[1]} components, but the generator takes {code_size}; "
            f"give codes of that length."
        )
    count = options.count or len(codes)
    if count > len(codes):
        raise ConfigError(f"count is {count:,}, but {options.codes} holds {len(codes):,} codes; give at most that.")
    return _Chosen(
        codes[:count], None if labels is None else labels[:count], None, f"{Path(options.codes).stem}_{count}"
    )


def _choose_labels(
    options: SampleOptions, chosen: _Chosen, num_class: int, columns: int | None, names: Sequence[str]
) -> tuple[np.ndarray | None, str]:
    """The classes of the images, and a note about them."""
    import numpy as np

    from mmdgan import sampling

    labels = chosen.labels
    if labels is not None:
        if num_class < 2:
            raise ConfigError(f"{options.codes} holds labels, but the run is unconditional; give the codes alone.")
        if options.class_ is not None:
            raise ConfigError(f"class is {options.class_}, but {options.codes} holds labels; leave --class out.")
        if labels.min() < 0 or labels.max() >= num_class:
            raise ConfigError(
                f"the labels of {options.codes} are {labels.min()} to {labels.max()}; the run has the classes 0 to "
                f"{num_class - 1}."
            )
        return labels, ""
    labels = sampling.cycled_labels(len(chosen.codes), num_class, columns)
    if labels is None:
        return None, ""
    if options.class_ is not None:
        number = int(options.class_)
        named = f" ({names[number]})" if names and names[number] != str(number) else ""
        return np.full_like(labels, number), f", class {number}{named}"
    if options.codes in _MESHES:  # of several classes it would not show what the codes do
        return np.zeros_like(labels), ", class 0 (--class gives another)"
    return labels, ""


def _write(
    out: Any, batches: Any, count: Any, labels: Any, columns: Any, options: SampleOptions, names: Sequence[str]
) -> Path:
    """Writes batches (index of the first image, uint8 (B, H, W, C)) in the form that the ending of `out` names."""
    import numpy as np

    from mmdgan.pictures.files import save_batches
    from mmdgan.pictures.grid import enlarge, image_grid, save_png

    if out.suffix.lower() != ".png":
        return save_batches(out, batches, count, labels, names)
    images = np.concatenate([images for _, images in batches])
    shown = enlarge(images, options.scale or 1)
    with write_errors(out):
        return save_png(
            out, image_grid(shown, columns, stretch=options.stretch, invert=options.invert, gap=options.gap)
        )


def _real_images(folder: RunFolder, count: int, labels: np.ndarray | None, seed: int) -> np.ndarray:
    """Different images of the run's data set, of these classes if there are any: uint8 (count, H, W, C)."""
    import numpy as np

    from mmdgan.data import Pipeline
    from mmdgan.runs.experiment import Experiment
    from mmdgan.runs.train import open_data

    data = open_data(Experiment.load(folder.path))
    if labels is None:
        return Pipeline(data, 1).real_images(count, seed)
    channels, height, width = data.shape
    images = np.empty((count, height, width, channels), np.uint8)
    for number in np.unique(labels):
        places = np.flatnonzero(labels == number)
        images[places] = Pipeline(data, 1, only_class=int(number)).real_images(len(places), seed)
    return images


def _write_projector(folder: RunFolder, step: int, seed: int) -> None:
    from mmdgan.report.critic_view import view_critic, write_projector

    view = view_critic(folder, step, seed=seed)
    print(
        f"Critic's scores of {len(view.score_data)} real and {len(view.score_gen)} generated images: "
        f"{write_projector(folder, view)}\nSee them: {folder.tensorboard}   # under Projector"
    )


def file_name(step: int, name: str, options: Any, also: Sequence[str]) -> str:
    """Name of a picture, without ending: the step, what it shows, and each choice that is not the default."""
    parts, usual = [str(step), name], defaults(options)
    for field in ("class_", "seed", *also):
        value = getattr(options, field)
        if value != usual[field]:
            name = field.rstrip("_")
            parts.append(f"no{name}" if value is False else name if value is True else f"{name}{value}")
    return "_".join(parts)


def check_size(rows: int, columns: int, shape: tuple[int, int], gap: int = 0) -> None:
    """Refuses pictures that few viewers open; `shape` is that of an image in it, (H, W)."""
    height, width = rows * (shape[0] + gap) - gap, columns * (shape[1] + gap) - gap
    if height * width > _MOST_PIXELS:
        raise ConfigError(
            f"a picture of {rows * columns:,} images would be {width:,} pixels wide and {height:,} high, more than "
            "viewers open; make fewer, or name a folder or a .npz for samples."
        )
