"""Keeps the workers of a run going, as systemd's Restart=on-failure does: each that fails begins again.

    python -m tests.helpers.supervisor LOGS COUNT WORD...

starts COUNT workers, in whose words {index} stands for their number; what worker i prints goes to LOGS/i.log, and the
process ids of its attempts, one a line, to LOGS/i.pids. It ends when all workers have ended well, or one has been tried
ten times.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ATTEMPTS = 10


def main(logs: Path, count: int, words: list[str]) -> int:
    workers = [_begin(logs, index, words) for index in range(count)]
    attempts = [1] * count
    while any(worker.poll() is None or worker.returncode != 0 for worker in workers):
        for index, worker in enumerate(workers):
            if worker.poll() not in (None, 0):
                if attempts[index] == ATTEMPTS:
                    for other in workers:
                        other.kill()
                    return 1
                attempts[index] += 1
                workers[index] = _begin(logs, index, words)
        time.sleep(0.5)
    return 0


def _begin(logs: Path, index: int, words: list[str]) -> subprocess.Popen:
    with (logs / f"{index}.log").open("a") as log:
        worker = subprocess.Popen([word.format(index=index) for word in words], stdout=log, stderr=subprocess.STDOUT)
    with (logs / f"{index}.pids").open("a") as pids:
        print(worker.pid, file=pids)
    return worker


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
