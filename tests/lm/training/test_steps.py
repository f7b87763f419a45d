from hypothesis import given
from hypothesis import strategies as st

from safedpo.lm.training.steps import StepLoader, StepSampler


@given(st.lists(st.integers(1, 99), min_size=1, max_size=40), st.integers(1, 5), st.integers(1, 3), st.integers(0, 9))
def test_processes_share_each_global_step(lengths, batch_size, world, seed):
    """Together the processes meet, step by step, the pairs that one process with the global batch meets."""
    ranks = [StepSampler(lengths, batch_size=batch_size, seed=seed, rank=r, world=world) for r in range(world)]
    alone = StepSampler(lengths, batch_size=batch_size * world, seed=seed)
    assert [sorted(sum(step, [])) for step in zip(*ranks, strict=True)] == [sorted(step) for step in alone]
    assert len(alone) == len(list(alone)) == len(ranks[0])
    assert sorted(i for step in alone for i in step) == list(range(len(lengths)))


def test_epochs_and_seeds_differ_and_repeat():
    sampler = StepSampler([1] * 20, batch_size=4, seed=3)
    first = list(sampler)
    loader = StepLoader(sampler, collate=list)
    loader.set_epoch(1)
    assert list(loader) == list(sampler) != first
    sampler.set_epoch(0)
    assert list(sampler) == first != list(StepSampler([1] * 20, batch_size=4, seed=4))


def test_work_is_dealt_evenly():
    lengths = [100, 90, 20, 10]
    shares = [next(iter(StepSampler(lengths, batch_size=2, seed=0, rank=r, world=2))) for r in (0, 1)]
    assert [sum(lengths[i] for i in share) for share in shares] == [110, 110]
