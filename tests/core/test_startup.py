"""What the command line sets up before TensorFlow starts."""

import importlib.util
import os
import subprocess
import sys

import pytest

from mmdgan.core import startup
from tests.conftest import script_environment

BLOCKS = """
import ctypes
libc = ctypes.CDLL(None)
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd u f ford keep".split()] + [
        ("rest", ctypes.c_size_t * 4)]
libc.mallinfo2.restype = Info
libc.malloc.restype = ctypes.c_void_p
from mmdgan.startup import keep_freed_memory
before = libc.mallinfo2().hblks
libc.malloc(ctypes.c_size_t(2**27))
mapped = libc.mallinfo2().hblks
keep_freed_memory()
libc.malloc(ctypes.c_size_t(2**27))
print(mapped - before, libc.mallinfo2().hblks - mapped)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator settings")
def test_large_blocks_are_kept_by_the_process():
    """glibc maps a block of 128 MiB from the kernel by itself, and takes it from the heap once told to."""
    words = [sys.executable, "-c", BLOCKS]
    done = subprocess.run(words, env=script_environment(), capture_output=True, text=True, timeout=60)
    if "mallinfo2" in done.stderr:
        pytest.skip("this C library does not report its blocks")
    assert done.stdout.split() == ["1", "0"], done.stderr


FORKED = """
import multiprocessing
import {first}
import {second}
def build(number):
    import mmdgan.core.startup as startup
    startup.prepare_tensorflow()
    return number
if __name__ == "__main__":
    import tensorflow as tf
    if {started}:
        tf.constant(1) + 1
    with multiprocessing.get_context("fork").Pool(1) as pool:
        try:
            print("made", pool.map(build, [7]))
        except mmdgan.MmdGanError as error:
            print("refused", error)
"""


@pytest.mark.parametrize(
    ("first", "second", "started", "words"),
    [
        ("mmdgan", "os", True, "refused This process was forked"),
        pytest.param("tensorflow", "mmdgan", True, "refused This process was forked", marks=pytest.mark.slow),
        pytest.param("mmdgan", "tensorflow", False, "made [7]", marks=pytest.mark.slow),
    ],
)
def test_processes_forked_after_tensorflow_has_started(first, second, started, words):
    code = FORKED.format(first=first, second=second, started=started)
    done = subprocess.run(
        [sys.executable, "-c", code], env=script_environment(), capture_output=True, text=True, timeout=100
    )
    assert done.stdout.startswith(words), done.stderr


CHECKED = """
import importlib.util
import os
{before}
import mmdgan
from mmdgan.core.startup import prepare_tensorflow
try:
    {call}
    import keras
    print("works", keras.backend.backend(), os.environ.get("KERAS_BACKEND"))
except mmdgan.ConfigError as error:
    print("refused", error)
"""
NUMPY = "os.environ['KERAS_BACKEND'] = 'numpy'; "
JAX = "import keras; keras.backend.backend = lambda: 'jax'"  # which need not be installed
NETWORK = "mmdgan.build_network([{'name': 'l', 'op': 'd', 'out': 2}], (3,))"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "call", "words"),
    [
        (NUMPY, "prepare_tensorflow()", "works tensorflow numpy"),
        (JAX, "prepare_tensorflow()", "refused Keras runs on jax"),
        (JAX, NETWORK, "refused Keras runs on jax"),
        (
            "import tensorflow as tf; tf.compat.v1.disable_eager_execution()",
            "prepare_tensorflow()",
            "refused TensorFlow",
        ),
        ("import tensorflow as tf; tf.compat.v1.disable_v2_behavior()", "prepare_tensorflow()", "refused TensorFlow"),
        ("import tensorflow as tf; tf.compat.v1.disable_eager_execution()", NETWORK, "refused TensorFlow"),
    ],
)
def test_surroundings_in_which_tensorflow_cannot_work(before, call, words):
    code = CHECKED.format(before=before, call=call)
    environment = {name: value for name, value in script_environment().items() if name != "KERAS_BACKEND"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100)
    assert done.stdout.startswith(words), done.stderr


STREAMS = """
import os, sys
from mmdgan.core.startup import open_streams, quiet
open_streams()
print("first", flush=True)
sys.stdin.readline()
print("λ of a reader that has gone", flush=True)
print("and of another", file=sys.stderr, flush=True)
with open(sys.argv[1], "w") as file, quiet():
    file.write("whole")
    file.flush()
    os.write(2, b"what C++ code reports")
"""


def streams(redirections: str, file, encoding: str = "ascii") -> subprocess.Popen:
    """The program above, whose streams the shell changes first."""
    words = ["sh", "-c", f'exec "$0" -c "$1" "$2" {redirections}', sys.executable, STREAMS, str(file)]
    environment = script_environment() | {"PYTHONIOENCODING": encoding}
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)


def test_work_goes_on_after_the_reader_of_its_output_has_gone(tmp_path):
    process = streams("2>&1", tmp_path / "out")
    assert process.stdout.readline() == b"first\n"
    process.stdout.close()
    process.stdin.write(b"\n")
    process.stdin.close()
    assert process.wait(60) == 0 and (tmp_path / "out").read_text() == "whole"


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-", "2>&1 >&-"])
def test_closed_streams_are_no_fault_and_no_file_takes_their_place(closed, tmp_path):
    said = streams(closed, tmp_path / "out").communicate(b"\n", timeout=60)[0]
    assert (tmp_path / "out").read_text() == "whole"
    assert (b"\\u03bb of" in said) == (">&-" not in closed.replace("2>&-", "")), said


def test_standard_error_is_back_in_whatever_order_threads_end():
    before = os.fstat(2)
    first, second = startup.quiet(), startup.quiet()
    for block in (first, second):
        block.__enter__()
    assert not os.path.samestat(before, os.fstat(2))
    for block in (first, second):
        block.__exit__(None, None, None)
    assert os.path.samestat(before, os.fstat(2))
    with startup.quiet():
        assert not os.path.samestat(before, os.fstat(2))


def test_a_library_in_a_process_without_standard_error_is_quiet():
    code = "import sys\nsys.stderr = None\nfrom mmdgan.core.startup import quiet\nwith quiet():\n    print('works')"
    words = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code]
    done = subprocess.run(words, env=script_environment(), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "works\n"), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_keras_starts_without_packages_that_only_others_use_and_a_users_file_finds_them(first, tmp_path):
    """Whether the file is run before Keras is imported, as by `train`, or after that."""
    extras = [name for name in ("matplotlib", "pandas", "sklearn") if importlib.util.find_spec(name)]
    file = tmp_path / "mine.py"
    file.write_text(
        f"import {', '.join(extras)}, matplotlib.pyplot as plt\n"
        "plt.close(plt.figure())\n"
        "NET = {'input': [(4,)], 'code': [(4,)], 'generator': [], 'discriminator': []}\n"
    )
    load = f"print(*load_architecture('{file}:NET')['code'][0])"
    start = f"startup.prepare_tensorflow(); print(sorted(sys.modules.keys() & {extras}))"
    begin = "import sys; from mmdgan import load_architecture; from mmdgan.core import startup; startup.own_process()"
    code = "; ".join([begin, load, start] if first else [begin, start, load])
    done = subprocess.run(
        [sys.executable, "-c", code], env=script_environment(), capture_output=True, text=True, timeout=100
    )
    assert done.stdout.splitlines() == (["4", str(extras)] if first else ["[]", "4"]), done.stderr


@pytest.mark.parametrize("before", ["enable", "disable"])
@pytest.mark.parametrize("own", [False, True])
def test_garbage_is_collected_after_the_import_as_before_it(before, own):
    """And not while TensorFlow is imported; nor, in the program's own processes, what has been imported."""
    code = (
        f"import gc; gc.{before}(); found = []; gc.callbacks.append(lambda *_: found.append(1))\n"
        f"from mmdgan.core import startup; {own} and startup.own_process(); gc.collect(); first = len(found)\n"
        "with startup._without_collections():\n    import keras, tensorflow\n    print(len(found) - first)\n"
        "startup.prepare_tensorflow(); print(gc.isenabled(), gc.get_freeze_count() > 100_000)\n"
        "gc.unfreeze(); startup.prepare_tensorflow(); print(gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", code], env=script_environment(), capture_output=True, text=True)
    assert done.stdout == f"0\n{before == 'enable'} {own}\n0\n", done.stderr


def test_a_name_that_loads_tensorflow_brings_no_log_lines():
    code = "import mmdgan, sys; mmdgan.data.Pipeline; import tensorflow as tf; tf.zeros(1)"
    environment = {name: value for name, value in script_environment().items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
