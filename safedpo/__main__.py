"""`python -m safedpo`: the command line."""

from safedpo.cli import main

main()
