"""The documentation says what is so: its links, verbs, flags, code blocks, named tests and generated pages."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from xml.dom import minidom

import pytest
import yaml

from mmdgan.cli import program
from mmdgan.design.files import presets
from tests.conftest import PROJECT, script_environment
from tests.helpers.document_blocks import blocks, shell_blocks

DOCS = PROJECT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
EVERY = [*PAGES, PROJECT / "README.md", PROJECT / "Data" / "ReadMe.md"]

OTHER_PROGRAMS = {
    "ray start": ("head", "address"),
    "tensorboard": ("logdir",),
    "Slurm": ("kill-on-bad-exit", "nodes", "ntasks-per-node", "gpus-per-node", "requeue", "open-mode", "signal"),
    "pip": ("no-deps",),
    "pytest": ("dist",),
    "ruff": ("check",),
    "mkdocs": ("strict",),
    "absl": ("name", "noname", "flag", "help", "helpfull"),
}
"""Flags of the pages that are not this project's."""

_LINK = re.compile(r"!?\[[^\]\[]*\]\(([^)\s]+)\)")


def _hooks():
    """The module `docs/hooks.py`, as MkDocs loads it."""
    spec = importlib.util.spec_from_file_location("documentation_hooks", DOCS / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOKS = _hooks()


def _name(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


def _outside_of_code(text: str) -> str:
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def _anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as MkDocs and GitHub make them."""
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\s-]", "", re.sub(r"[`*]", "", title)).strip().lower() for title in titles)
    return {re.sub(r"[\s]+", "-", title) for title in plain}


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    """The pages that no file holds, by their names."""
    return {page: make() for page, make in HOOKS.GENERATED.items()}


@pytest.mark.parametrize("page", EVERY, ids=_name)
def test_links_and_pictures_are_there(page, generated):
    for target in _LINK.findall(_outside_of_code(page.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if ":" in path:
            continue
        there = (page.parent / path).resolve() if path else page
        if there.is_relative_to(DOCS) and there.relative_to(DOCS).as_posix() in generated:
            text = generated[there.relative_to(DOCS).as_posix()]
        else:
            assert there.exists(), f"{_name(page)} links to {target}"
            text = there.read_text(encoding="utf-8") if there.suffix == ".md" else ""
        if anchor and there.suffix == ".md":
            assert anchor in _anchors(text), f"{_name(page)} links to {target}, which has {sorted(_anchors(text))}"


def _navigation(text: str) -> list:
    """The navigation of mkdocs.yml."""
    return yaml.safe_load(text[text.index("\nnav:") :])["nav"]


def test_every_page_is_in_the_navigation(generated):
    config = types.SimpleNamespace(nav=_navigation((PROJECT / "mkdocs.yml").read_text(encoding="utf-8")))
    listed = set(re.findall(r"[\w/.-]+\.md", str(HOOKS.on_config(config).nav)))
    assert listed == {page.relative_to(DOCS).as_posix() for page in PAGES} | set(generated)


def test_every_verb_and_script_is_documented(generated):
    for verb in program.VERBS:
        assert f"\n## {verb}\n" in generated["reference/cli.md"]
        assert f"\n# {verb}\n" in generated[f"reference/cli/{verb}.md"]
        assert any(f"mmdgan {verb}" in page.read_text(encoding="utf-8") for page in PAGES), verb
    for script in (PROJECT / "experiments").glob("*.py"):
        assert f"\n## experiments/{script.name}\n" in generated["reference/cli/scripts.md"]


def test_every_preset_is_documented(generated):
    text = generated["reference/presets.md"]
    names = [preset.name for preset in presets()]
    assert len(names) > 40 and re.findall(r"^### (\S+)$", text, flags=re.MULTILINE) == names
    table = dict(re.findall(r"^\| `(\S+)` .* \| ([\d,]+, [\d,]+) \| [\d.,]+, [\d.,]+ \|$", text, flags=re.MULTILINE))
    assert list(table) == names and table["cifar10/DCGAN"] == "3,811,907, 5,983,760"
    section = text.partition("\n### sngan/RESNET_32\n")[2].partition("\n### ")[0]
    assert "Inception score 8.22, FID 21.7" in section and "`python experiments/my_test_cifar_resnet.py`" in section


def test_every_flag_is_one(generated):
    tables = "".join(text for page, text in generated.items() if page.startswith("reference/cli/"))
    known = set(re.findall(r"^\| `--(?:\[no\])?([\w-]+)`", tables, flags=re.MULTILINE))
    assert {"max_step", "rep_lambda", "verify", "engine"} <= known
    known |= {flag for flags in OTHER_PROGRAMS.values() for flag in flags}
    for benchmark in (PROJECT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'"--([\w-]+)"', benchmark.read_text(encoding="utf-8")))
    for page in EVERY:
        for flag in re.findall(r"(?<![\w-])--([a-zA-Z][\w-]*)", page.read_text(encoding="utf-8")):
            assert flag in known or flag.removeprefix("no") in known, f"{_name(page)} names --{flag}"


def test_flags_of_the_generated_page_are_those_of_the_help(generated):
    for verb in ("train", "evaluate", "prepare"):
        text = HOOKS.cli.verb_help(verb)
        entries = HOOKS.cli.entries(text)
        flags = {flag.partition("=")[0] for flag, _ in entries}
        assert flags == set(re.findall(r"^  (--[\w\[\]]+)", text, flags=re.MULTILINE)) and len(flags) > 10
        rows = re.findall(
            r"^\| `(--[^`]+)` \| (?:`([^`]+)`)? \| \S", generated[f"reference/cli/{verb}.md"], re.MULTILINE
        )
        assert sorted(rows) == sorted((flag.partition("=")[0], flag.partition("=")[2]) for flag, _ in entries), verb
    text = dict(HOOKS.cli.entries(HOOKS.cli.verb_help("prepare")))["--size=none"]
    assert text.startswith("pixels of a side: ") and text.endswith("which must then be of one size")


def test_scripts_that_train_show_the_defaults_of_their_own(generated):
    page = generated["reference/cli/scripts.md"]
    section = page.partition("\n## experiments/my_test_stl.py\n")[2].partition("\n## ")[0]
    shown = re.findall(r"^\| `(--[^`]+)` \| `([^`]+)` \|", section, flags=re.MULTILINE)
    assert shown == [("--architecture", "stl10/DCGAN"), ("--data", "stl10"), ("--lr_dis", "0.0002")]


def test_every_key_and_loss_has_its_place(generated):
    from mmdgan import losses
    from mmdgan.design import keys

    page = generated["reference/dictionary.md"]
    for name in (*keys.KEYS, *keys.OPERATIONS, *keys.SCALINGS, *HOOKS.dictionary.TYPES):
        assert f"| `{name}` |" in page, name
    assert all(f"'{act}'" in page for act in keys.ACTIVATIONS)
    for name in losses.names():
        assert (
            f"`{name}`" in generated["reference/losses.md"]
            or f"\n### {name}\n" in generated["reference/losses.md"]
            or (name.endswith(("_gp", "_ds")))
        ), name


def test_a_loss_is_told_with_its_options_and_variants(generated):
    section = generated["reference/losses.md"].partition("\n### rmb\n")[2].partition("\n### ")[0]
    assert "`lower_bound` 0.25, `upper_bound` 4.0" in section and "`rep_weights` (0, -1)" in section
    assert "`rep_b`, `rep_mmd_b`" in section and "`rmb_gp`, w = 0.1; `rmb_ds`, w = 0.1" in section
    assert "Wang et al. 2019, Eq. 7" in section and "16 scores" in section


def test_formulas_become_mathml():
    """Every loss has both formulas, and no formula of a page leaves LaTeX behind."""
    from mmdgan.losses.registry import ENTRIES

    for name, entry in ENTRIES.items():
        formulas = [minidom.parseString(HOOKS.mathml.mathml(part)) for part in entry.formula.split("; ", 1)]
        assert len(formulas) == 2 and all(
            each.getElementsByTagName("mi") + each.getElementsByTagName("mn") for each in formulas
        ), name
    pages = [make() for make in HOOKS.GENERATED.values()] + [page.read_text(encoding="utf-8") for page in PAGES]
    shown = "".join(re.findall(r"<math.*?</math>", HOOKS.mathml.rendered("\n".join(pages)), flags=re.DOTALL))
    assert shown.count("<math ") > 60 and "\\" not in shown and "$`" not in HOOKS.mathml.rendered("\n".join(pages))
    hinge = HOOKS.mathml.rendered("```math\n\\mean s_g\n```\n")
    assert hinge.startswith('<div class="math"><math') and "<msub><mi>s</mi><mi>g</mi></msub>" in hinge
    assert "<mo>mean</mo>" in hinge and "```" not in hinge


def test_shapes_of_the_operations_are_those_by_hand(generated):
    page = generated["reference/dictionary.md"]
    assert "| `tc` | transposed convolution | (3, 32, 32) to (64, 64, 64) | `kernel` (4, 4, 64, 3) |" in page
    assert (
        "| `dck` | dense scaled per class (needs class labels) | (128,) to (64,) "
        "| `kernel` (128, 64), `c_kernel` (10, 64) |" in page
    )
    assert "| `ps` | periodic shuffling | 2: (4, 16, 16); -2: (64, 4, 4); 1.5: refused |" in page
    assert "- `max`, `avg`, `sum`: `out`, `bias`, `kernel`, `strides`, `padding`, `scale`" in page


def test_a_name_without_words_stops_the_build(monkeypatch):
    monkeypatch.delitem(HOOKS.dictionary.MEANINGS, "act_k")
    with pytest.raises(ValueError, match="act_k"):
        HOOKS.dictionary.page()


def test_values_are_told_as_the_checks_tell_them():
    allowed = HOOKS.dictionary.allowed
    assert allowed("padding") == "'SAME', 'VALID'"
    assert allowed("kernel") == "a positive integer"
    assert allowed("w_p") == "anything"


def _faces() -> dict[str, list[str]]:
    """The packages with public names, and these names."""
    found = [*(PROJECT / "mmdgan").rglob("__init__.py"), PROJECT / "mmdgan" / "data" / "synthetic.py"]
    files = [file.relative_to(PROJECT) for file in found if "__all__" in file.read_text(encoding="utf-8")]
    names = [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]
    return {name: importlib.import_module(name).__all__ for name in names}


def test_every_public_name_has_an_entry(generated):
    faces = _faces()
    assert {"mmdgan", "mmdgan.losses", "mmdgan.mmd", "mmdgan.data.synthetic"} <= set(faces) and len(faces) > 14
    for face, names in faces.items():
        page = generated[f"reference/api/{face.partition('.')[2]}.md" if "." in face else "reference/api.md"]
        headings = re.findall(r"^(?:      heading: |## )(mmdgan\S+)", page, flags=re.MULTILINE)
        own = [f"{face}.{name}" for name in names if f"{face}.{name}" not in faces and f"{face}.{name}" != "mmdgan.tf1"]
        assert sorted(headings) == sorted(own), face
        assert len(re.findall(r"^::: |\nThe same as ", page, flags=re.MULTILINE)) == len(own), face
    assert "heading: mmdgan.tf1.import_checkpoint" in generated["reference/api/tf1.md"]
    assert "heading: mmdgan.sampling.slerp" in generated["reference/api/sampling.md"]
    assert re.search(
        r"toc_label: Loss\n      members: \['__call__', .*'initial_state'", generated["reference/api/losses.md"]
    )


@pytest.mark.slow
def test_the_examples_of_the_reference_run(tmp_path):
    programs = [
        text for page in HOOKS.api.EXAMPLES.values() for text in re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    ]
    program = "\n".join(programs).replace("max_step=200", "max_step=3").replace(".fit(10)", ".fit(2)")
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, env=script_environment(), capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "samples.png").is_file() and "SWD mean" in done.stdout


@pytest.mark.parametrize(
    ("source", "page", "written", "shown"),
    [
        ("docs/points.md", "points.md", "[a](../architectures/points.py)", "a"),
        ("docs/scores.md", "scores.md", "[a](../Data/ReadMe.md#sample)", "[a](data.md#sample)"),
        ("docs/howto/x.md", "howto/x.md", "[a](../scores.md#names)", "[a](../scores.md#names)"),
        ("Data/ReadMe.md", "data.md", "[a](../docs/scores.md) [b](#places)", "[a](scores.md) [b](#places)"),
        ("docs/a.md", "a.md", "![p](images/p.png) [c](https://x.org)", "![p](images/p.png) [c](https://x.org)"),
    ],
)
def test_links_that_leave_the_site_are_mended(source, page, written, shown):
    assert HOOKS.inside(written, source, page) == shown


def test_flags_are_kept_in_one_piece():
    html = "<p><code>train --loss rep</code> --x <pre><code>--y <b></b></code></pre>"
    kept = html.replace("--loss", '<span class="flag">--loss</span>')
    assert HOOKS.on_page_content(html, None, None, None) == kept


@pytest.mark.parametrize("page", [*EVERY, PROJECT / "CONTRIBUTING.md"], ids=_name)
def test_shell_blocks_can_be_pasted(page):
    for text in shell_blocks(page):
        parsed = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
        assert parsed.returncode == 0, f"{_name(page)}: {parsed.stderr}\n{text}"
        loose = re.findall(r"^\S.*\S {3,}(?![#\s\\]).*", text, flags=re.MULTILINE)
        assert not loose, f"{_name(page)} explains a command without a #: {loose}"


@pytest.mark.parametrize("page", [page for page in EVERY if blocks(page)], ids=_name)
def test_python_blocks_compile(page):
    for block in blocks(page):
        assert block.language, f"{_name(page)} has a fence without a language"
        if block.language == "python":
            compile(block.text, _name(page), "exec")


def test_the_parity_table_is_whole_and_true():
    rows = re.findall(r"^\| (\d+) \|.*\| ([^|]+) \|$", (DOCS / "parity.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 97))
    for number, where in rows:
        if link := _LINK.match(where):
            assert link[1].partition("#")[0] in {
                *HOOKS.GENERATED,
                *(page.relative_to(DOCS).as_posix() for page in PAGES),
            }
            continue
        path, test = re.fullmatch(r"`(tests/[\w/]+\.py)` `([\w:]+)`", where).groups()
        text = (PROJECT / path).read_text(encoding="utf-8")
        for name in test.split("::"):
            assert re.search(rf"^\s*(?:def|class) {name}\b", text, re.MULTILINE), f"row {number}: {where}"


def test_tolerances_are_those_of_the_tests():
    page = (DOCS / "tolerances.md").read_text(encoding="utf-8")
    rows = re.findall(r"\| ((?:rel|abs|rtol)=[\de.-]+) \| `(tests/\S+)` `(test_\w+)` \|$", page, flags=re.MULTILINE)
    assert len(rows) == page.count("`tests/") - 1 > 15
    for tolerance, file, name in rows:
        source = (PROJECT / file).read_text(encoding="utf-8")
        body = re.split(r"\n(?=def |@|class )", source[source.index(f"def {name}(") :], maxsplit=1)[0]
        assert re.search(rf"\b{re.escape(tolerance)}(?![\d.])", body), (name, tolerance)


def test_places_of_the_map_are_there():
    """Every `mmdgan....` of the pages is a module, or a name that the source of one defines."""
    for page in (DOCS / "from_the_original.md", *(DOCS / "explanation").glob("*.md")):
        for dotted in re.findall(r"`(mmdgan(?:\.\w+)+)", page.read_text(encoding="utf-8")):
            words = dotted.split(".")
            place, rest = PROJECT / "mmdgan", words[1:]
            while rest and (place / rest[0]).is_dir():
                place, rest = place / rest[0], rest[1:]
            if rest and (place / f"{rest[0]}.py").is_file():
                place, rest = place / f"{rest[0]}.py", rest[1:]
            source = (place if place.is_file() else place / "__init__.py").read_text(encoding="utf-8")
            assert not rest or re.search(rf"\b{rest[0]}\b", source), f"{_name(page)}: {dotted}"


def test_networks_of_the_how_to_are_networks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shown = []
    for block in blocks(DOCS / "howto" / "own_architecture.md"):
        if block.title:
            Path(block.title).write_text(block.text, encoding="utf-8")
        for line in block.commands if block.language == "sh" else ():
            words = shlex.split(line)
            assert words[:3] == ["python", "-m", "mmdgan"]
            assert program.main(words[3:]) == 0
            shown.append(capsys.readouterr().out)
    assert len(shown) == 4 and all("total" in text for text in shown)
    assert "conditional on 10 classes" in shown[2] and "concat of wide, narrow" in shown[3]


USE_OF_THE_OTHER_LOSSES = """
import mmdgan
import registered_loss
from train_it import *
from energy_loss import Energy
from penalised_loss import Penalised

for loss in (mmdgan.losses.get("lsgan"), Energy(), Penalised()):
    losses = GanStep(gan.generator, gan.discriminator, loss, 1e-3, 1e-3).step(pipeline.batch(0)["x"])
    print(loss.name, *(float(losses[name]) for name in ("loss_gen", "loss_dis")), float(losses.get("dis_penalty", 0)))
"""


@pytest.mark.slow
def test_the_losses_of_the_how_to_train(tmp_path):
    for block in blocks(DOCS / "howto" / "own_loss.md"):
        text = block.text.replace("STEPS = 1000", "STEPS = 3").replace("batch_size=64", "batch_size=8")
        (tmp_path / block.title).write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", USE_OF_THE_OTHER_LOSSES]
    done = subprocess.run(command, cwd=tmp_path, env=script_environment(), capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Fréchet distance of mean colours" in done.stdout and "'step': 3" in done.stdout
    assert (tmp_path / "least_squares.png").is_file() and list((tmp_path / "least_squares/checkpoints").iterdir())
    energy, penalised = [[float(x) for x in line.split()[1:]] for line in done.stdout.splitlines()[-2:]]
    assert energy[0] == -energy[1] != 0 and energy[2] == 0
    assert penalised[2] > 0 and penalised[1] == pytest.approx(penalised[2] - penalised[0])


@pytest.mark.slow
def test_the_site_is_built_without_warnings_and_asks_for_nothing(tmp_path):
    pytest.importorskip("material")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=PROJECT, env=script_environment(), capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    loads = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*(?:src|href)=["']?(https?://[^"'\s>]+)""")
    for page in (tmp_path / "site").rglob("*.html"):
        fetched = loads.findall(page.read_text(encoding="utf-8"))
        assert not fetched, f"{page.name} loads {fetched}"
    assert not list((tmp_path / "site").rglob("*.py"))
    for name in ("mmdgan.training.GanStep", "mmdgan.losses.get", "mmdgan.metrics.score", "mmdgan.data.synthetic.get"):
        package, _, _ = name.removeprefix("mmdgan.").rpartition(".")
        text = (tmp_path / f"site/reference/api/{package}.html").read_text(encoding="utf-8")
        assert re.search(rf'<h2 id="{re.escape(name)}"[^>]*>\s*{re.escape(name)}\s', text), name
    assert 'id="mmdgan.open_run"' in (tmp_path / "site/reference/api.html").read_text(encoding="utf-8")
