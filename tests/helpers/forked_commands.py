"""Runs commands one after the other, each in a fork of this process, which has imported TensorFlow but not started it.

    python tests/helpers/forked_commands.py < commands.json

Standard input is a JSON list; each entry is a list of words after `python` (`["-m", "mmdgan", "sample", ...]`, or
`["script.py", ...]`, or `["-c", "code"]`). A command begins as in a process of its own, without the seconds that
importing takes. The first that fails ends the program, with its status.
"""

from __future__ import annotations

import json
import os
import runpy
import sys
import traceback


def main() -> None:
    """Runs all commands, telling each before it begins."""
    import keras  # noqa: F401
    import tensorflow  # noqa: F401

    for words in json.load(sys.stdin):
        print(f"$ python {' '.join(words)}", flush=True)
        child = os.fork()
        if child == 0:
            os._exit(_run(words))
        if status := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            sys.exit(status if status > 0 else 128 - status)


def _run(words: list[str]) -> int:
    sys.orig_argv = [sys.executable, *words]
    try:
        if words[0] == "-c":
            exec(compile(words[1], "<block>", "exec"), {"__name__": "__main__"})
        elif words[0] == "-m":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
        status: object = 0
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else 0 if status is None else 1


if __name__ == "__main__":
    main()
