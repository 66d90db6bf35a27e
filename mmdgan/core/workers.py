"""Worker processes that import only what a job needs, and end with their parent; a pool of them.

The workers of `multiprocessing` import the caller's main script again, which may import TensorFlow, or start the
conversion a second time where it has no `if __name__ == "__main__"`. A worker reads jobs from its standard input; when
that ends, its parent is gone, be it by kill -9, and the worker ends too.
"""

from __future__ import annotations

import os
import pickle
import queue
import selectors
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

from mmdgan.core.errors import DataError

Job = TypeVar("Job")
Result = TypeVar("Result")
Report = Callable[[int], object]

REPORT_SECONDS = 0.25
_HEADER = struct.Struct("<Q")

THREAD_VARIABLES = (
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
)


class _EndedError(Exception):
    """A worker has ended before its job."""


def available_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_jobs(
    function: Callable[[Job, Report], Result],
    jobs: Sequence[Job],
    workers: int,
    report: Report,
    inherited: Sequence[int] = (),
    remedy: str = "run the same command again",
) -> Iterator[tuple[int, Result]]:
    """Does jobs in several processes, which end when the iteration does.

    Args:
        function: (job, report) -> result. A module's function; it, jobs and results can be pickled. It calls report(n)
            when n more images are done.
        jobs: The jobs, in the order in which they start.
        workers: Number of processes.
        report: Called in this process with what the workers report, and with 0 from time to time.
        inherited: File descriptors that the workers hold open as long as they live.
        remedy: What the user can do if a worker is killed, as the end of a sentence.

    Yields:
        (the job's number, its result), in the order in which jobs finish.

    Raises:
        DataError: A job raised it (the first one), or a worker was killed.
        RuntimeError: A job raised any other error; the message has the worker's traceback.
    """
    waiting = list(enumerate(jobs))[::-1]
    processes: list[subprocess.Popen] = []
    with selectors.DefaultSelector() as selector:
        try:
            under_way: dict[int, int] = {}
            for _ in range(min(workers, len(jobs))):
                process = _start(inherited)
                processes.append(process)
                selector.register(_pipes(process)[1], selectors.EVENT_READ, process)
                _send_next(process, function, waiting, under_way)
            while under_way:
                for key, _ in selector.select(REPORT_SECONDS):
                    process = key.data
                    kind, value = _message(process)
                    if kind == "images":
                        report(value)
                        continue
                    yield under_way.pop(process.pid), value
                    _send_next(process, function, waiting, under_way)
                report(0)
        except _EndedError as error:
            raise DataError(f"A worker process {error}, perhaps for want of memory: {remedy}.") from None
        finally:
            end_workers(processes)


def _start(inherited: Sequence[int]) -> subprocess.Popen:
    # A source that reads with TensorFlow leaves the GPU to training, and logs nothing about having none.
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "CUDA_VISIBLE_DEVICES": "-1"}
    return start_worker("mmdgan.core.workers:work", pass_fds=inherited, env=environment)


def _pipes(process: subprocess.Popen) -> tuple[Any, Any]:
    """A worker's standard input and output."""
    assert process.stdin is not None and process.stdout is not None  # `start_worker` asks for both
    return process.stdin, process.stdout


def _send_next(process: subprocess.Popen, function: Callable, waiting: list[tuple[int, Any]], under_way: dict) -> None:
    """Sends an idle worker the next job, if there is one."""
    if waiting:
        number, job = waiting.pop()
        under_way[process.pid] = number
        try:
            _send(_pipes(process)[0], (function, job))
        except BrokenPipeError:
            raise _death(process) from None


def _message(process: subprocess.Popen) -> tuple[str, Any]:
    """The next message of a worker: ("images", n) or ("done", result)."""
    content = _receive(_pipes(process)[1])
    if content is None:
        raise _death(process)
    kind, value = pickle.loads(content)
    if kind == "fault":
        raise DataError(value)
    if kind == "crash":
        raise RuntimeError(f"A worker process failed:\n{value}")
    return kind, value


def _death(process: subprocess.Popen) -> _EndedError:
    status = process.wait()
    return _EndedError(f"was killed by signal {-status}" if status < 0 else f"ended with status {status}")


def _send(stream: BinaryIO, message: object) -> None:
    content = pickle.dumps(message)
    rest = memoryview(_HEADER.pack(len(content)) + content)
    while rest:
        rest = rest[stream.write(rest) :]


def _receive(stream: BinaryIO) -> bytes | None:
    """The next message's bytes; None at the end."""
    header = _exactly(stream, _HEADER.size)
    return None if header is None else _exactly(stream, *_HEADER.unpack(header))


def _exactly(stream: BinaryIO, count: int) -> bytes | None:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            return None
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def work() -> None:
    """The worker process: does jobs until its standard input ends."""
    # What libraries print goes to standard error; the former standard output carries the messages alone.
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    jobs: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    try:
        while True:
            _send(output, _done(jobs.get(), output))
    except BrokenPipeError:  # the parent is gone; sys.exit would wait for the listening thread
        os._exit(0)


def _listen(jobs: queue.SimpleQueue[bytes]) -> None:
    while (content := _receive(sys.stdin.buffer)) is not None:
        jobs.put(content)
    os._exit(0)


def _done(content: bytes, output: BinaryIO) -> tuple[str, Any]:
    """Does one job; returns its last message."""
    unreported, last = 0, time.monotonic()

    def report(images: int) -> None:
        nonlocal unreported, last
        unreported += images
        if time.monotonic() - last >= REPORT_SECONDS:
            _send(output, ("images", unreported))
            unreported, last = 0, time.monotonic()

    try:
        function, job = pickle.loads(content)
        result = function(job, report)
        _send(output, ("images", unreported))
        return "done", result
    except DataError as error:
        return "fault", str(error)
    except Exception:
        return "crash", traceback.format_exc()


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
