"""Drawn responses: by the seed alone, one sampled response of every model, only prompts that all were asked."""

from safedpo.evaluate.results.drawn import drawn


def rows(model, prompts, *, greedy=False):
    return [{"prompt": p, "response": f"{model} {p} {i}", "greedy": greedy} for p in prompts for i in range(2)]


def test_the_draw_is_of_common_prompts_takes_the_first_sampled_response_and_follows_the_seed():
    prompts = [f"p{i}" for i in range(50)]
    said = {"a": rows("greedy", prompts, greedy=True) + rows("a", prompts), "b": rows("b", prompts[10:])}
    found = drawn(said)
    assert len(found) == len({one["prompt"] for one in found}) == 20
    for one in found:
        assert one["prompt"] in prompts[10:]
        assert (one["a"], one["b"]) == (f"a {one['prompt']} 0", f"b {one['prompt']} 0")
    turned = {name: one[::-1] for name, one in said.items()}
    assert (
        [one["prompt"] for one in drawn(turned)]
        == [one["prompt"] for one in found]
        != [one["prompt"] for one in drawn(said, seed=1)]
    )
    assert len(drawn(said, count=100)) == 40
