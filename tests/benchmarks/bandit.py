"""How fast the bandit trains: 1,000 runs of 2,000 full-batch steps with their paths, and how the cost grows.

    python tests/benchmarks/bandit.py

The promise is under 2 s and 1 GB on 2 cores for 1,000 runs, and a cost linear in runs and in distinct pairs.
"""

import resource
import time

from safedpo.finite import fit, population, random_world, six_answers

BETAS, DELTAS = [0.05, 0.1, 0.2, 0.5, 1.0], [0, 1, 2, 3, 5, 7, 10, 15, 20, 50]


def seconds(world, deltas=DELTAS, seeds=20, steps=2000, clock=time.process_time) -> float:
    """Processor time of one fit on the population after T, the best of three: other programs may share the machine."""
    pairs, times = population(world).transform("safedpo"), []
    for _ in range(3):
        start = clock()
        run = fit(world, pairs, beta=BETAS, delta=deltas, seeds=range(seeds), spread=0.1, steps=steps, lr=0.5)
        times.append(clock() - start)
        assert run.path.tv.isfinite().all()
    return min(times)


def main() -> None:
    wall, processor = (seconds(six_answers(), clock=clock) for clock in (time.perf_counter, time.process_time))
    print(f"1,000 runs x 2,000 steps x 6 answers, path recorded: {wall:.2f} s ({processor:.2f} s of one processor)")
    print(f"peak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    print("runs     seconds  microseconds per run")
    for seeds in (20, 40, 80, 160):
        taken = seconds(six_answers(), seeds=seeds, steps=500)
        print(f"{50 * seeds:<8} {taken:<8.3f} {1e6 * taken / (50 * seeds):.1f}")
    print("pairs    seconds  microseconds per pair (100 runs; prompts of 6 answers, 3 of them unsafe)")
    for prompts in (8, 16, 32, 64):
        world = random_world(0, prompts, unsafe_answers=3)
        pairs = 12 * prompts  # distinct unordered pairs after T: 3 SS and 9 mixed ones for each prompt
        taken = seconds(world, deltas=[0.0], steps=500)
        print(f"{pairs:<8} {taken:<8.3f} {1e6 * taken / pairs:.1f}")


if __name__ == "__main__":
    main()
