"""Worker processes of Python: started with a function to call, jobs and answers by pipes, ended with their parent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


def environment(threads: int) -> dict[str, str]:
    """The environment of a child that has so many threads; sums of floats may depend on their number."""
    return {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


def start_worker(function: str, **options: Any) -> subprocess.Popen:
    """Starts a Python process that calls a function, with unbuffered pipes to its standard input and output.

    It imports what this process can import, and not its main script. Ctrl-C at the terminal does not reach it: the
    parent ends it (`end_workers`). The function must return when standard input ends: its parent is gone then, be it by
    kill -9.

    Args:
        function: "module:name".
        options: Further arguments of `subprocess.Popen`.
    """
    module, _, name = function.partition(":")
    code = f"import sys; sys.path[:] = {sys.path!r}; from {module} import {name}; {name}()"
    options |= {"bufsize": 0, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
    return subprocess.Popen([sys.executable, "-c", code], **options)


def end_workers(processes: Iterable[subprocess.Popen]) -> None:
    """Kills workers, waits for them, and closes their pipes."""
    processes = list(processes)
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
