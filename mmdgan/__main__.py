"""`python -m mmdgan VERB`: see mmdgan/cli/program.py."""

from mmdgan.cli.program import main, run_main


def console() -> None:
    """The console script `mmdgan`."""
    run_main(main)


if __name__ == "__main__":
    console()
