"""What the command line sets up before TensorFlow starts."""

import subprocess
import sys

import pytest

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
