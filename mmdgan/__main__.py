"""`python -m mmdgan VERB`: see mmdgan/cli.py."""

from mmdgan.cli import main, run_main

if __name__ == "__main__":
    run_main(main)
