"""Do the tests see a changed formula? Small faults are put into the core, one at a time, and the unit tests are run.

    python -m tests.mutation                      all modules
    python -m tests.mutation losses finite.noise  these modules
    python -m tests.mutation --sample 20          20 mutants of each module, drawn with --seed
    python -m tests.mutation --show losses        only list the mutants

What survives is printed with its line; `tests/mutation_survivors.md` says why each of those may.
"""

import argparse
import os
import random
import sys
import time

import pytest
import torch
from hypothesis import Phase, settings

from tests.mutation.forked import OPTIONS, ROOT, Session, tests_of
from tests.mutation.mutants import mutants

MODULES = ("losses", "transform", *(f"finite.{name}" for name in ("optimum", "pairs", "noise", "slopes", "world")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=MODULES, help=f"of {', '.join(MODULES)}")
    parser.add_argument("--sample", type=int, help="so many mutants of each module, drawn with --seed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="only list the mutants")
    given = parser.parse_args()
    os.chdir(ROOT)
    torch.set_num_threads(1)
    few = {"max_examples": 20, "database": None, "deadline": None, "phases": [Phase.generate], "derandomize": True}
    settings.register_profile("mutation", **few)  # no shrinking of what fails
    settings.load_profile("mutation")
    total = killed = 0
    for module in given.modules:
        chosen = list(mutants((ROOT / "safedpo" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")))
        if given.sample and given.sample < len(chosen):
            chosen = random.Random(given.seed).sample(chosen, given.sample)
        if given.show:
            print(*(f"{module} {mutant.words}" for mutant in chosen), sep="\n")
            continue
        alive = run(module, chosen)
        total, killed = total + len(chosen), killed + len(chosen) - alive
    if total:
        print(f"{killed} of {total} mutants killed ({killed / total:.1%})")


def run(module: str, chosen: list) -> int:
    """How many of the chosen mutants survive; each is printed."""
    start, alive = time.perf_counter(), []

    def survived(mutant) -> None:
        alive.append(mutant)
        print(f"survives: {module} {mutant.words}", flush=True)

    session = Session(module, chosen, survived)
    code = pytest.main([*OPTIONS, *tests_of(module)], plugins=[session])
    if code or session.refused:
        sys.exit(f"{module}: {session.refused or f'pytest ends with {code!r}'}")
    seconds = time.perf_counter() - start
    print(f"{module}: {len(chosen) - len(alive)} of {len(chosen)} mutants killed, {seconds:.0f} s", flush=True)
    return len(alive)


if __name__ == "__main__":
    main()
