"""Entry point of `python -m cachemw`: the command line."""

from cachemw.cli import main

main()
