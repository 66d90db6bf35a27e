"""mmdgan.flags: every kind of field through the command line and back, and the sentences for mistakes."""

from __future__ import annotations

import dataclasses
import re
from typing import Literal

import pytest

from mmdgan.cli.flags import help_text, parse
from mmdgan.core.errors import ConfigError
from mmdgan.core.options import option
from mmdgan.core.text import format_value, nearest
from mmdgan.data.sources.base import PrepareOptions
from mmdgan.runs.experiment import Experiment


@dataclasses.dataclass(frozen=True)
class Settings:
    """One field of every kind."""

    name: str = option("a", "a name", "words")
    color: str = option("red", "a colour", "words", ("red", "blue"))
    count: int = option(3, "a number", "numbers")
    rate: float = option(0.5, "a rate", "numbers")
    quick: bool = option(False, "yes or no", "numbers")
    pair: tuple[int, int] = option((1, 2), "two numbers", "numbers")
    many: tuple[float, ...] = option((), "any numbers", "numbers")
    some: tuple[float, ...] = option((1.5,), "some numbers", "numbers")
    hues: tuple[str, ...] = option(("blue",), "colours, or one that is called none", "numbers", ("blue", "none"))
    maybe: float | None = option(None, "perhaps", "numbers")
    both: tuple[int, int] | None = option(None, "perhaps two", "numbers")
    word: tuple[int, int] | Literal["auto"] | None = option(None, "perhaps two, or a word", "numbers")
    class_: int | None = option(None, "a word of Python's", "numbers")
    unsure: bool | None = option(None, "yes, no, or as it is", "numbers")


def _parse(*argv: str, **options) -> Settings:
    return parse(Settings(), argv, usage="usage", **options).options


@pytest.mark.parametrize(
    ("argv", "changed"),
    [
        ((), {}),
        (("--unsure",), {"unsure": True}),
        (("--nounsure",), {"unsure": False}),
        (("--unsure=false",), {"unsure": False}),
        (("--name=b",), {"name": "b"}),
        (("--name", "b", "--count", "-4"), {"name": "b", "count": -4}),
        (("--color=blue", "--rate=1e-3"), {"color": "blue", "rate": 0.001}),
        (("--quick",), {"quick": True}),
        (("--noquick",), {}),
        (("--quick=false",), {}),
        (("--pair=3,4", "--many=1,2.5"), {"pair": (3, 4), "many": (1.0, 2.5)}),
        (("--many=",), {}),
        (("--some=",), {"some": ()}),
        (("--some", "none"), {"some": ()}),
        (("--some=None",), {"some": ()}),
        (("--hues=none",), {"hues": ("none",)}),
        (("--hues=",), {"hues": ()}),
        (("--maybe=2", "--both=5,6"), {"maybe": 2.0, "both": (5, 6)}),
        (("--maybe=2", "--maybe=none"), {}),
        (("--count=1_000",), {"count": 1000}),
        (("--word=1,2",), {"word": (1, 2)}),
        (("--word=auto",), {"word": "auto"}),
        (("--class=4",), {"class_": 4}),
    ],
)
def test_values(argv, changed):
    assert _parse(*argv) == dataclasses.replace(Settings(), **changed)


def test_the_preset_gives_the_defaults():
    preset = Settings(pair=(7, 8), maybe=0.25, quick=True)
    assert parse(preset, [], usage="").options == preset
    assert parse(preset, ["--noquick"], usage="").options == dataclasses.replace(preset, quick=False)


@pytest.mark.parametrize(
    "experiment",
    [
        Experiment(),
        Experiment(gain=64.0, imbalanced_update=(1, 5), loss="rand_g_gp", omega=(0.1, 0.5), num_class=10, legacy=True),
        Experiment(imbalanced_update="dynamic", penalty_weight=2.5, mix_threshold=0.3),
    ],
)
def test_every_field_of_an_experiment_comes_back_from_its_flags(experiment):
    argv = [f"--{f.name}={format_value(getattr(experiment, f.name))}" for f in dataclasses.fields(experiment)]
    assert parse(Experiment(), argv, usage="").options == experiment


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--colour=blue"], r"no flag --colour \(did you mean --color\?\)"),
        (["--nam-e=b"], r"no flag --nam-e"),
        (["--color=green"], "--color=green.*valid values are red, blue"),
        (["--count=many"], "--count=many.*whole number"),
        (["--count=1.5"], "--count=1.5.*whole number"),
        (["--rate=fast"], "--rate=fast.*a number"),
        (["--pair=1"], "--pair=1.*2 values separated by commas"),
        (["--both=1,2,3"], "--both=1,2,3.*2 values"),
        (["--pair=none"], "--pair=none.*2 values separated by commas$"),
        (["--some=1,none"], "--some=1,none.*a number or none"),
        (["--hues=red"], "--hues=red.*valid values are blue, none"),
        (["--word=1"], "--word=1.*2 values separated by commas or auto or none"),
        (["--word=a,b"], "--word=a,b.*a whole number or auto or none"),
        (["--clas=4"], r"no flag --clas \(did you mean --class\?\)"),
        (["--maybe=x"], "--maybe=x.*a number or none"),
        (["--quick=perhaps"], "--quick=perhaps: it takes true or false$"),
        (["word"], "takes no words.*given word"),
        (["--name"], "name"),
    ],
)
def test_mistakes_are_named(argv, sentence):
    with pytest.raises(ConfigError, match=sentence):
        _parse(*argv)


def test_words_and_switches():
    parsed = parse(Settings(), ["RUN", "--go", "--count=2"], usage="", switches={"go": "go"}, arguments=("RUN",))
    assert parsed.arguments == ["RUN"] and parsed.switches == {"go": True} and parsed.options.count == 2
    with pytest.raises(ConfigError, match="takes WHAT; it was given none"):
        parse(Settings(), [], usage="", arguments=("WHAT",))
    texts = {"from=FILE": "where from", "go": "go"}
    assert parse(Settings(), ["--from", "a"], usage="", switches=texts).switches == {"from": "a"}
    assert parse(Settings(), [], usage="", switches=texts).switches == {}
    assert "\n  --from=FILE                 where from\n" in help_text(Settings(), "", texts)


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("lr", "--lr_dis and --lr_gen"),
        ("epochs", "--max_step"),
        ("steps", "--max_step"),
        ("outdir", "--results"),
        ("batch", "--batch_size"),
        ("gpus", "--devices"),
        ("name", "--run_name"),
        ("dataset", "--data"),
        ("batch-size", "--batch_size"),
        ("resume", None),
        ("num_workers", None),
        ("foo", None),
        ("pretrained", "--init"),
        ("amp", "--precision"),
        ("save_dir", "--results"),
        ("n_critic", "--critic_steps"),
        ("beta1", None),
        ("latent_dim", None),
        ("max_stepp", "--max_step"),
        ("metric", "--metrics"),
        ("noflp", "--noflip"),
    ],
)
def test_flags_of_other_programs_and_no_far_off_one(flag, meant):
    with pytest.raises(ConfigError) as error:
        parse(Experiment(), [f"--{flag}=1"], usage="")
    hint = f" (did you mean {meant}?)" if meant else ""
    assert str(error.value).startswith(f"there is no flag --{flag}") and f"{hint}; --helpfull" in str(error.value)
    assert ("did you mean" in str(error.value)) == bool(hint)
    assert ("the same command resumes a run" in str(error.value)) == (flag == "resume")


def test_the_size_of_images_belongs_to_another_verb():
    said = "there is no flag --resolution: images are resized by `prepare --size`"
    for preset, hint in ((Experiment(), ""), (PrepareOptions(), " (did you mean --size?)")):
        with pytest.raises(ConfigError, match=re.escape(f"{said}{hint};")):
            parse(preset, ["--resolution=64"], usage="")


@pytest.mark.parametrize(
    ("arguments", "fewest", "most"),
    [(("X",), 1, 1), (("[X]",), 0, 1), (("X...",), 1, 9), (("X", "X..."), 2, 9), (("[X...]",), 0, 9)],
)
def test_words_may_be_optional_or_many(arguments, fewest, most):
    for count in range(9):
        words = [f"run{i}" for i in range(count)]
        if fewest <= count <= most:
            assert parse(Settings(), [*words, "--count=2"], usage="", arguments=arguments).arguments == words
        else:
            with pytest.raises(ConfigError, match=f"takes {re.escape(' '.join(arguments))}; it was given"):
                parse(Settings(), words, usage="", arguments=arguments)


def test_help_shows_groups_defaults_and_nothing_of_absl(capsys):
    with pytest.raises(SystemExit) as stop:
        _parse("--help")
    text = capsys.readouterr().out
    assert stop.value.code == 0
    assert text.startswith("usage\n\nwords:\n") and "\nnumbers:\n" in text
    for shown in ("--pair=1,2", "--many=none", "--maybe=none", "--quick", "[red|blue]", "--[no]unsure "):
        assert shown in text
    assert "--class=none" in text
    assert "flagfile" not in text and "helpfull" not in text
    assert max(map(len, text.splitlines())) <= 100


def test_nearest():
    assert nearest("trian", ["train", "sample"]) == " (did you mean train?)"
    assert nearest("xyz", ["train"]) == ""


def test_the_module_needs_no_tensorflow(run_script):
    heavy = {"tensorflow", "keras", "numpy"}
    code = f"import sys, mmdgan.flags, mmdgan.experiment, mmdgan.cli; print(sorted({heavy} & set(sys.modules)))"
    done = run_script("-c", code)
    assert done.stdout == "[]\n", done.stderr
