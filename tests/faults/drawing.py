"""Arguments of the numeric functions, drawn by the names of their parameters, all of one size; and how one is spoiled."""

import inspect
import math

import torch
from hypothesis import strategies as st

from safedpo.finite import FiniteWorld, population, random_world
from safedpo.finite.methods.outcome import Costs
from safedpo.lm import TokenExample, TokenPair
from safedpo.lm.models.tiny import tiny_model
from safedpo.lm.rows.packing import pack

_MODEL = tiny_model().eval()
number = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.0, 1.0, -1.0, 1e-6, 1e6]))
odd = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 0.0, 1e300, 10**30, "x", None, [], -1, 2, True])


class Draw:
    """Arguments by the names of parameters, all of one size; with `hostile`, one of them is anything."""

    def __init__(self, data, hostile: bool):
        self.data, self.hostile = data, hostile
        self.size = self.take(st.integers(1, 4))
        self.wide = self.take(st.integers(2, 6))
        self.dtype = self.take(st.sampled_from([torch.float32, torch.float64]))
        self.world: FiniteWorld = random_world(
            self.take(st.integers(0, 2**31)),
            self.size,
            self.wide,
            safe_support=self.take(st.sampled_from([None, 1e-300, 0.5])),
        )
        self.seed = self.take(st.integers(0, 2**31))
        self.random = torch.Generator().manual_seed(self.seed)

    def take(self, strategy):
        return self.data.draw(strategy)

    def normal(self, *shape, scale=1.0):
        return torch.randn(*shape, generator=self.random, dtype=torch.float64) * scale

    def flags(self, *shape):
        return torch.rand(*shape, generator=self.random) < 0.5

    def policy(self):
        return self.normal(self.size, self.wide, scale=self.take(st.sampled_from([0.1, 3.0, 300.0]))).log_softmax(-1)

    def logps(self):
        return -self.normal(self.size, scale=self.take(st.sampled_from([1e-3, 30.0, 1e4]))).abs().to(self.dtype)

    def sentence(self):
        return tuple(self.take(st.lists(st.integers(3, 30), min_size=1, max_size=5)))


COLUMNS = ("chosen_logps", "rejected_logps", "ref_chosen_logps", "ref_rejected_logps")
COLUMNS += ("costlier_logps", "cheaper_logps", "helpful_costlier", "helpful_cheaper", "ref_costlier", "ref_cheaper")
SMALL = {
    "rate": st.floats(0.001, 0.49),
    "flip_rate": st.floats(0, 0.49),
    "tau": st.floats(0.001, 0.999),
    "safe_wins": st.floats(0, 1),
    "safe_support": st.floats(1e-300, 1),
    "penalty": st.floats(0, 1e4),
    "beta": st.floats(1e-3, 1e3),
    "delta": st.floats(-1e3, 1e3),
    "lam": st.floats(0, 100),
    "limit": st.floats(-0.5, 2),
    "weight": st.floats(0.01, 1),
    "gamma": st.floats(0.01, 1),
    "q": st.floats(0, 1),
    "alpha": st.floats(0.001, 0.5),
    "eta": st.floats(0.001, 10),
    "target": st.floats(0, 1),
    "cost": number,
    "curvature": st.floats(0.01, 10),
    "temperature": st.floats(0.01, 100),
    "scale": st.floats(0.01, 10),
    "times": st.floats(0.1, 10),
    "low": st.floats(-2, 0),
    "high": st.floats(0.5, 2),
    "reward_gap": st.floats(-5, 5),
    "samples": st.integers(1, 50),
    "n": st.integers(1, 50),
    "seed": st.integers(0, 2**31),
    "prompts": st.integers(1, 3),
    "answers": st.integers(2, 6),
    "unsafe_answers": st.sampled_from([1, None]),
    "row_tokens": st.integers(1, 100),
    "tokens": st.integers(1, 100),
    "together": st.booleans(),
    "human_pairs": st.booleans(),
    "divided": st.booleans(),
    "rule": st.sampled_from(["safedpo", "helpful", "safebetter"]),
    "least": st.just(-math.inf),
}
MADE = {
    "world": lambda d: d.world,
    "models": lambda d: d.world,
    "pairs": lambda d: population(d.world),
    "parts": lambda d: [population(d.world)] * 2,
    "ref_logps": lambda d: d.world.ref_logps,
    "other_logps": Draw.policy,
    "policy": Draw.policy,
    "helpful": Draw.policy,
    "safe": Draw.policy,
    "logps": Draw.policy,
    "table": lambda d: d.normal(d.size, d.wide, scale=100),
    "scores": lambda d: d.normal(d.size, d.wide),
    "margin": lambda d: d.normal(d.size, scale=50).to(d.dtype),
    "like": lambda d: d.normal(d.size).to(d.dtype),
    "log_ratio": lambda d: d.normal(d.size, scale=5),
    "chosen_unsafe": lambda d: d.flags(d.size),
    "rejected_unsafe": lambda d: d.flags(d.size),
    "better": lambda d: d.flags(d.size).long(),
    "safer": lambda d: d.flags(d.size).long(),
    "answer": lambda d: d.take(st.integers(0, d.wide - 1)),
    "draw": lambda d: d.random,
    "costs": lambda d: Costs(),
    "method": lambda d: "a method",
    "hidden": lambda d: d.normal(d.size, 4).float(),
    "head": lambda d: torch.nn.Linear(4, 9).requires_grad_(d.take(st.booleans())),
    "targets": lambda d: torch.randint(0, 9, (d.size,), generator=d.random),
    "x": lambda d: d.normal(d.size, 4).float(),
    "bias": lambda d: d.normal(9).float(),
    "model": lambda d: _MODEL,
    "batch": lambda d: pack([d.sentence()], [(0, d.sentence()), (0, d.sentence())]),
    "prompt_ids": Draw.sentence,
    "response_ids": Draw.sentence,
    "prompts": lambda d: [d.sentence()],
    "responses": lambda d: [(0, d.sentence())],
    "examples": lambda d: [TokenExample(d.sentence(), d.sentence(), 1) for _ in range(d.size)],
    "item": lambda d: (TokenExample(d.sentence(), d.sentence(), 1),),
    "items": lambda d: [(TokenExample(d.sentence(), d.sentence(), 1),)],
    "lengths": lambda d: [d.take(st.integers(1, 99)) for _ in range(d.size)],
    "size": lambda d: d.take(st.integers(1, 5)),
    "logits": lambda d: d.normal(d.size, 9, scale=30),
    "uniforms": lambda d: torch.rand(d.size, generator=d.random, dtype=torch.float64),
    "values": lambda d: torch.rand(d.size, generator=d.random).tolist(),
    "these": lambda d: torch.rand(d.size, generator=d.random).tolist(),
    "those": lambda d: torch.rand(d.size, generator=d.random).tolist(),
    "clusters": lambda d: [d.take(st.integers(0, 3)) for _ in range(d.size)],
} | dict.fromkeys(COLUMNS, Draw.logps)
OWN = {
    ("losses:shift_reference", "ref_logps"): Draw.logps,
    ("losses:shift_reference", "unsafe"): lambda d: d.flags(d.size),
    ("transform", "unsafe"): lambda d: d.flags(d.size, 2),
    ("finite.hand:fates", "reward"): lambda d: d.normal(d.wide),
    ("finite.hand:fates", "unsafe"): lambda d: d.flags(d.wide),
    ("finite.hand:fates", "seen"): lambda d: d.flags(d.wide),
    ("finite.methods.adversarial:reward_loss", "reward"): lambda d: d.normal(d.size, d.wide),
    ("finite.methods.pairwise.categories:category_step", "delta"): lambda d: d.normal(d.size).abs(),
    ("finite.methods.pairwise.categories:category_step", "rate"): lambda d: d.flags(d.size).double(),
    ("lm.rows.packing:pack_pairs", "pairs"): lambda d: [
        TokenPair(d.sentence(), d.sentence(), d.sentence(), False, True, "SU", i) for i in range(d.size)
    ],
    ("lm.rows.logprobs:response_sums", "per_token"): lambda d: d.normal(3, scale=30).to(d.dtype),
    ("lm.rows.logprobs:response_sums", "batch"): lambda d: pack([d.sentence()], [(0, (3,)), (0, (4, 5))]),
    ("lm.rows.products:linear", "weight"): lambda d: d.normal(9, 4).float(),
    ("finite.world:random_world", "prompts"): lambda d: d.take(SMALL["prompts"]),
}
SHAPES = (
    {  # of a tensor result; every one of `losses` is (B,)
        "finite.optimum:modified_reward": "PA",
        "finite.optimum:optimal_policy": "PA",
        "finite.optimum:safe_part": "PA",
        "lm.rows.logprobs:response_logps": (2,),
        "lm.rows.logprobs:response_sums": (2,),
        "lm.rows.logprobs:head_logps": "P",
        "lm.logprobs:plain_response_logps": (),
        "evaluate.generation:draw": "P",
        "transform:pair_groups": "P",
    }
    | {
        f"finite.optimum:{name}": "P"
        for name in (
            "log_partition",
            "log_partition_unsafe",
            "optimal_value",
            "objective",
            "expectation",
            "expected_reward",
        )
    }
    | {f"finite.optimum:{name}": "P" for name in ("kl", "tv", "unsafe_mass", "required_penalty")}
)


def value_of(name: str, parameter: inspect.Parameter, draw: Draw):
    key = parameter.name
    for where in (name, name.partition(":")[0]):
        if (where, key) in OWN:
            return OWN[where, key](draw)
    if key in MADE:
        return MADE[key](draw)
    assert key in SMALL, f"{name} has a new argument {key!r}: say in this file how it is drawn"
    return draw.take(SMALL[key])


def spoiled(value, draw: Draw):
    """Another number, another dtype, another shape, a NaN inside; never another kind of object."""
    if isinstance(value, torch.Tensor):
        change = draw.take(st.sampled_from(["nan", "inf", "shape", "empty", "dtype", "scalar"]))
        if change in ("nan", "inf") and value.is_floating_point():
            return value.index_fill(-1, torch.tensor([0]), float(change)) if value.ndim else value
        if change == "shape":
            return torch.cat([value, value])
        if change == "empty":
            return value[:0]
        return value.to(torch.int32) if change == "dtype" else value[None]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return [] if isinstance(value, list | tuple) else value
    whole = isinstance(value, int)
    return draw.take(st.sampled_from([-1, 0, -7] if whole else [math.nan, math.inf, -math.inf, -1.0, 0.0, 1e9]))
