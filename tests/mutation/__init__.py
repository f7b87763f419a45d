"""Small faults put into the core, one at a time: do the tests see them? `python -m tests.mutation`."""
