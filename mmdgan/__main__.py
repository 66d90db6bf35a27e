"""`python -m mmdgan VERB`: see mmdgan/cli/main.py."""

from mmdgan.cli.main import main, run_main


def console() -> None:
    """The console script `mmdgan`."""
    run_main(main)


if __name__ == "__main__":
    console()
