"""What the package says of itself, and what is in its wheel."""

from __future__ import annotations

import ast
import email
import importlib
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import mmdgan
from tests import versions

PROJECT = Path(__file__).resolve().parents[1]


def _read(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8")


def _setup_keywords() -> dict[str, ast.expr]:
    """The arguments of `setup` in setup.py, unevaluated."""
    calls = [node for node in ast.walk(ast.parse(_read("setup.py"))) if isinstance(node, ast.Call)]
    [call] = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "setup"]
    return {keyword.arg: keyword.value for keyword in call.keywords if keyword.arg}


def test_the_version_is_the_newest_of_the_changelog():
    released = re.findall(r"^## \[([^\]]+)\](?: - (\S+))?$", _read("CHANGELOG.md"), re.MULTILINE)
    versions_ = [version for version, _ in released if version != "Unreleased"]
    assert versions_[0] == mmdgan.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+", mmdgan.__version__)
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for version, date in released if version != "Unreleased")
    numbers = [tuple(map(int, version.split("."))) for version in versions_]
    assert numbers == sorted(set(numbers), reverse=True)


def test_the_changelog_has_the_headings_of_its_format():
    kinds = set(re.findall(r"^### (.+)$", _read("CHANGELOG.md"), re.MULTILINE))
    assert kinds and kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_citation_is_this_version_and_the_paper():
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load(_read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors", "version", "license"} <= set(citation)
    assert str(citation["version"]) == mmdgan.__version__ and citation["license"] == "Apache-2.0"
    paper = citation["preferred-citation"]
    assert [author["family-names"] for author in paper["authors"]] == ["Wang", "Sun", "Halgamuge"]
    assert paper["title"] == "Improving MMD-GAN Training with Repulsive Loss Function" and paper["year"] == 2019
    assert paper["url"].endswith("1812.09916")


def test_the_citation_names_the_version_without_a_parser_too():
    assert f"\nversion: {mmdgan.__version__}\n" in _read("CITATION.cff")


def test_the_licence_is_all_of_apache_2():
    text = " ".join(_read("LICENSE").split())
    assert text.startswith("Apache License Version 2.0, January 2004")
    # Its nine sections and the appendix, each by its title.
    titles = ("Definitions", "Grant of Copyright License", "Grant of Patent License", "Redistribution")
    titles += ("Submission of Contributions", "Trademarks", "Disclaimer of Warranty", "Limitation of Liability")
    titles += ("Accepting Warranty or Additional Liability",)
    places = [text.index(f"{number}. {title}.") for number, title in enumerate(titles, start=1)]
    assert places == sorted(places) and places[-1] < text.index("END OF TERMS AND CONDITIONS") < text.index("APPENDIX")
    assert ast.literal_eval(_setup_keywords()["license"]) == "Apache-2.0"


def test_the_types_are_packaged():
    assert (PROJECT / "mmdgan" / "py.typed").is_file()
    data = ast.literal_eval(_setup_keywords()["package_data"])
    assert "py.typed" in data["mmdgan"]


def test_every_function_has_types():
    """What `mypy` refuses in CI, without it: a parameter or a result without annotation."""
    bare = []
    for file in sorted(file for folder in ("mmdgan", "architectures", "experiments") for file in _files(folder)):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                given = node.args
                named = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
                taken = [one for one in named if one is not None and one.arg not in ("self", "cls")]
                returns = node.returns is not None or (node.name == "__init__" and taken)
                if not returns or any(one.annotation is None for one in taken):
                    bare.append(f"{file.relative_to(PROJECT)}:{node.lineno} {node.name}")
    assert not bare


def _files(folder: str) -> list[Path]:
    return sorted((PROJECT / folder).rglob("*.py"))


LIGHT = """
import sys
import mmdgan, mmdgan.cli, mmdgan.data, mmdgan.losses, mmdgan.layers, mmdgan.metrics, mmdgan.training, mmdgan.report
import mmdgan.export, mmdgan.core.types, mmdgan.experiment, mmdgan.flags, mmdgan.design
print(sorted({"tensorflow", "keras", "numpy", "matplotlib", "scipy"} & set(sys.modules)))
"""


def test_packages_load_nothing_heavy(run_script):
    done = run_script("-c", LIGHT)
    assert done.stdout.strip() == "[]", done.stderr


def test_names_for_checkers_are_those_at_run_time():
    """Each package that loads lazily names the same things below TYPE_CHECKING, from the same modules."""
    seen = 0
    for file in _files("mmdgan"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        blocks = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
        if file.name != "__init__.py" or not blocks:
            continue
        package = ".".join(file.relative_to(PROJECT).parent.parts)
        module = importlib.import_module(package)
        for node in (one for block in blocks for one in block.body if isinstance(one, ast.ImportFrom)):
            for alias in node.names:
                try:
                    expected = importlib.import_module(f"{node.module}.{alias.name}")
                except ModuleNotFoundError:
                    expected = getattr(importlib.import_module(node.module), alias.name)
                assert getattr(module, alias.asname) is expected, f"{package}: {alias.name}"
                assert alias.asname in module.__all__ and alias.asname in dir(module)
                seen += 1
    assert seen > 60


def test_versions_says_what_cannot_be_had(tmp_path):
    well, line = versions.attempt(str(tmp_path / "no-python"), "2.18", tmp_path / "venv")
    assert not well and "no virtual environment" in line and "no-python" in line


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel of a copy of the checkout, built without the index."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    listed = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no checkout of git's, whose files would be copied")
    for name in filter(lambda name: not name.startswith(("tests/", "docs/")), listed.stdout.splitlines()):
        if (PROJECT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((PROJECT / name).read_bytes())
    words = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*words, "-w", str(place), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [built] = place.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_wheel_has_presets_scores_and_types_but_no_tests(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith("/METADATA")]
        facts = email.message_from_bytes(archive.read(metadata))
    assert {f"mmdgan/architectures/{file.name}" for file in _files("architectures")} <= names
    assert {f"mmdgan/{file.relative_to(PROJECT / 'mmdgan').as_posix()}" for file in _files("mmdgan")} <= names
    assert {"mmdgan/py.typed", "mmdgan/published/paper_table1.csv", "mmdgan/published/paper_results.csv"} <= names
    assert any(name.endswith("LICENSE") and ".dist-info/" in name for name in names)
    assert {name.split("/")[0] for name in names} == {"mmdgan", f"mmdgan-{mmdgan.__version__}.dist-info"}
    assert facts["Version"] == mmdgan.__version__ and facts["License"] == "Apache-2.0"
    assert facts["Requires-Python"] == ">=3.10" and "Typing :: Typed" in facts.get_all("Classifier")


@pytest.mark.slow
def test_the_wheel_works_elsewhere(wheel, tmp_path):
    """In an environment that has the dependencies of this one, but not its mmdgan, and in an empty folder."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    folder, work = tmp_path / "venv", tmp_path / "work"
    work.mkdir()
    inside = folder / ("Scripts" if os.name == "nt" else "bin")
    python = str(inside / "python")

    def run(*words: str) -> str:
        done = subprocess.run(words, cwd=work, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    run(sys.executable, "-m", "venv", "--without-pip", str(folder))
    purelib = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    # A line of a .pth file is searched for modules, but not for .pth files: an editable mmdgan there stays unseen.
    Path(purelib, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(purelib)
    where = run(python, "-c", "import mmdgan; print(mmdgan.__file__)").strip()
    assert Path(where).is_relative_to(purelib)
    assert "First try: \n  python -m mmdgan train --data sample" in run(python, "-m", "mmdgan", "--help")
    assert "5,983,760" in run(python, "-m", "mmdgan", "summary", "cifar10/DCGAN")
    assert "rep_b" in run(python, "-m", "mmdgan", "losses")
    found = run(python, "-c", "from mmdgan.runs import published; print(*published.files())")
    assert found.count(str(Path(purelib, "mmdgan", "published"))) == 2
    flags = [
        "--data=sample",
        "--loss=rep_b",
        "--max_step=1",
        "--batch_size=8",
        "--rounds=1",
        "--metrics=",
        "--grid=2,2",
    ]
    run(python, "-m", "mmdgan", "train", "--architecture=sample/DCGAN_SMALL", *flags)
    assert list(work.glob("Results/sample/*/checkpoints/ckpt-1.index"))
