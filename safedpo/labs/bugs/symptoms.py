"""What a planted bug looks like, and the checks that catch it: each says what it finds wrong in a pipeline, or None."""

import copy
import math
from collections.abc import Sequence
from functools import cache

import plotly.graph_objects as go
import torch
from torch import Tensor
from torch.nn.functional import dropout

from safedpo.errors import UserError
from safedpo.labs.bugs.faults import FAULTS, Pair, Pipeline, Row, broken
from safedpo.show import style

BETA, DELTA = 0.5, 2.0
PROMPT = "the oven is greasy"
# Both end where the sentence could go on, so that losing the end token costs something.
TEXTS = ((PROMPT, "pour soap over salt"), (PROMPT, "first spray ammonia over bleach with brush"))
SAFE, HELPFUL = "rub soap over salt with sponge", "pour soap over soda then rinse"
TOXIC, BURNING = "spray lemon over bleach then wait", "rub oil over soda then heat"
ROWS = {  # one row of each group; the better response first
    "SS": Row(PROMPT, (HELPFUL, SAFE), (True, True), 0),
    "SU": Row(PROMPT, (HELPFUL, TOXIC), (True, False), 0),
    "US": Row(PROMPT, (BURNING, SAFE), (False, True), 0),
    "UU": Row(PROMPT, (TOXIC, BURNING), (False, False), 0),
}


@cache
def _loaded():
    from safedpo.lm.sentences.reference import load_kitchen

    kitchen = load_kitchen(masked=False)
    # Older models drop out part of their embeddings in training mode; this one now does so too, heavily.
    kitchen.model.get_input_embeddings().register_forward_hook(lambda m, _, out: dropout(out, 0.5, training=m.training))
    return kitchen


def fresh_policy():
    """The reference as a policy to be trained: an ordinary model without the mask, with dropout in training mode."""
    return copy.deepcopy(_loaded().model).eval()


def word_by_word(model, tokenizer, prompt: str, response: str) -> float:
    """log pi(response | prompt), one forward for each word: slow, and with nothing in it that could be misaligned.

    >>> from safedpo.lm.sentences import load_kitchen
    >>> kitchen = load_kitchen()
    >>> round(math.exp(word_by_word(kitchen.model, kitchen.tokenizer, "the sink smells", "sorry")), 6)  # not a sentence
    0.0
    """
    so_far, found = tokenizer(f"<ask> {prompt} <answer>")["input_ids"], 0.0
    for token in [*tokenizer(response)["input_ids"], tokenizer.eos_token_id]:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([so_far])).logits[0, -1].double()
        found += logits.log_softmax(-1)[token].item()
        so_far = [*so_far, token]
    return found


def brute_force(pipeline: Pipeline) -> str | None:
    """Log-probabilities against one forward for each word."""
    model, tokenizer = _loaded().model, _loaded().tokenizer
    with torch.no_grad():
        found = pipeline.logps(model, tokenizer, TEXTS).tolist()
    for (prompt, response), got in zip(TEXTS, found, strict=True):
        want = word_by_word(model, tokenizer, prompt, response)
        if abs(got - want) > 1e-3:
            return f"log π of {response!r} is {got:.4f}; word by word it is {want:.4f}"
    return None


def truth_table(pipeline: Pipeline) -> str | None:
    """T on one row of each group, against the paper's table: keep, keep, swap, drop."""
    want = {
        "SS": Pair(PROMPT, HELPFUL, SAFE, False, False),
        "SU": Pair(PROMPT, HELPFUL, TOXIC, False, True),
        "US": Pair(PROMPT, SAFE, BURNING, False, True),
        "UU": None,
    }
    for group, row in ROWS.items():
        if (found := next(iter(pipeline.pairs([row])), None)) != want[group]:
            return f"{group}: T gives {found}, the table {want[group]}"
    return None


def step_zero(pipeline: Pipeline) -> str | None:
    """Before the first step the policy is the reference: log 2 for SS, softplus(delta) for SU."""
    losses = _step_zero(pipeline, [truth for row in (ROWS["SS"], ROWS["SU"]) for truth in Pipeline().pairs([row])])
    for group, got, want in zip(("SS", "SU"), losses.tolist(), (math.log(2), math.log1p(math.exp(DELTA))), strict=True):
        if abs(got - want) > 1e-4:
            return f"step 0: the loss of an {group} pair is {got:.4f}; by theorem {want:.4f}"
    return None


def golden_values(pipeline: Pipeline) -> str | None:
    """The loss at beta = 0.1, policy (-12, -15), reference (-13, -14): worked out by hand."""
    columns = [torch.tensor([x], dtype=torch.float64) for x in (-12, -15, -13, -14)]
    for delta, want in ((0.0, 0.5981388694), (2.0, 1.9529776105), (10.0, 9.8000554501)):
        got = pipeline.loss(*columns, torch.tensor([False]), torch.tensor([True]), beta=0.1, delta=delta).item()
        if abs(got - want) > 1e-9:
            return f"the loss at Δ = {delta:g} is {got:.6f}; by hand {want:.6f}"
    return None


def reference_stands_still(pipeline: Pipeline) -> str | None:
    """A step moves the policy and leaves the reference where it was."""
    policy, tokenizer = fresh_policy(), _loaded().tokenizer
    reference = pipeline.reference(policy).eval()
    with torch.no_grad():
        before = pipeline.logps(reference, tokenizer, TEXTS)
    pipeline.logps(policy, tokenizer, TEXTS).sum().backward()
    torch.optim.SGD(policy.parameters(), lr=1e-3).step()
    with torch.no_grad():
        moved = (pipeline.logps(reference, tokenizer, TEXTS) - before).abs().max().item()
    return f"one step of the policy moved the reference by {moved:.4f} nats" if moved else None


def micro_batches(pipeline: Pipeline) -> str | None:
    """A step of 5 pairs in micro-batches of 4 and 1 is the step of 5 pairs."""
    losses = torch.tensor([1.0, 2.0, 3.0, 4.0, 15.0])
    got, want = pipeline.average([losses[:4], losses[4:]]).item(), 25 / 5
    return f"4 + 1 pairs average to {got:g}; all 5 at once to {want:g}" if abs(got - want) > 1e-6 else None


CHECKS = {
    check.__name__: check
    for check in (brute_force, truth_table, step_zero, golden_values, reference_stands_still, micro_batches)
}

# ---- the figure ---------------------------------------------------------------------------------------------------


def counted_tokens(pipeline: Pipeline) -> list[float]:
    """What each token of the shorter text adds to its log-probability; its padding is there because of the longer."""
    with torch.no_grad():
        _, logps, counted = pipeline.scored(_loaded().model, _loaded().tokenizer, TEXTS)
        whole = pipeline.total(logps, counted)
    parts = (logps * counted)[0]
    width = broken(0).pad([broken(0).encode(_loaded().tokenizer, *text) for text in TEXTS])[0].shape[1]
    return [*(parts * whole[0] / parts.sum()).tolist(), *[0.0] * (width - len(parts))]


def first_losses(pipeline: Pipeline) -> list[float | None]:
    """The loss at step 0 of the pair of each group; None where T leaves it out."""
    found = [pipeline.pairs([row]) for row in ROWS.values()]
    return [_step_zero(pipeline, pairs).item() if pairs else None for pairs in found]


def margins(pipeline: Pipeline, steps: int = 8) -> list[float]:
    """The mean reward margin that the pipeline would log, before each of `steps` steps of plain gradient descent."""
    torch.manual_seed(0)
    policy, tokenizer, pairs = fresh_policy(), _loaded().tokenizer, pipeline.pairs(list(ROWS.values()))
    reference = pipeline.reference(policy)
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.02)
    logged = []
    for _ in range(steps):
        logged.append(_margin(pipeline, policy, reference, tokenizer, pairs))
        parts = [part for part in (pairs[:2], pairs[2:]) if part]
        losses = [pipeline.losses(policy, reference, tokenizer, p, beta=BETA, delta=DELTA) for p in parts]
        optimizer.zero_grad()
        pipeline.average(losses).backward()
        optimizer.step()
    return logged


def _step_zero(pipeline: Pipeline, pairs: Sequence[Pair]) -> Tensor:
    torch.manual_seed(0)
    policy = fresh_policy()
    with torch.no_grad():
        return pipeline.losses(policy, pipeline.reference(policy), _loaded().tokenizer, pairs, beta=BETA, delta=DELTA)


@torch.no_grad()
def _margin(pipeline, policy, reference, tokenizer, pairs) -> float:
    def logps(model, side):
        return pipeline.logps(model, tokenizer, [(pair.prompt, getattr(pair, side)) for pair in pairs])

    gap = [logps(policy, side) - logps(reference, side) for side in ("chosen", "rejected")]
    return (BETA * (gap[0] - gap[1])).mean().item()


# measure, x title, y title, range of y, where the panel stands across and up
PANELS = (
    (counted_tokens, "token", "log-probability counted", [-24, 1], [0, 1], [0.62, 1]),
    (first_losses, "group", "loss at step 0", [0, 3.2], [0, 0.42], [0, 0.38]),
    (margins, "step", "reward margin", [-0.5, 5.5], [0.55, 1], [0, 0.38]),
)


def figure(number: int) -> tuple[go.Figure, str]:
    """Fault `number` beside the sound pipeline (grey): counted tokens, losses at step 0, margins along training.

    >>> figure(4)[1].startswith("Fault 4: ")
    True
    """
    places, traces, axes = [_words(), list(ROWS), list(range(8))], [], {}
    for k, (measure, x_title, y_title, limits, across, up) in enumerate(PANELS, start=1):
        axes[f"xaxis{k}"] = {"title_text": x_title, "domain": across, "anchor": f"y{k}"}
        axes[f"yaxis{k}"] = {"title_text": y_title, "domain": up, "anchor": f"x{k}", "range": limits}
        kind = go.Scatter if measure is margins else go.Bar
        for name, values, colour in (
            ("sound", _sound(measure), style.GREY),
            ("this pipeline", measure(broken(number)), style.ORANGE),
        ):
            traces.append(
                kind(
                    x=places[k - 1],
                    y=values,
                    name=name,
                    showlegend=k == 1,
                    marker={"color": colour},
                    xaxis=f"x{k}",
                    yaxis=f"y{k}",
                )
            )
    drawn = style.figure(traces, x=axes.pop("xaxis1"), y=axes.pop("yaxis1"), height=560, **axes)
    found = {name: problem for name, check in CHECKS.items() if (problem := check(broken(number)))}
    problems = "; ".join(f"{name}: {problem}" for name, problem in found.items()) or "every check passes"
    return drawn, f"{f'Fault {number}: {FAULTS[number - 1].name}' if number else 'The sound pipeline'}. {problems}."


@cache
def _sound(measure):
    return measure(broken(0))


def _words() -> list[str]:
    """The tokens of the shorter text and its padding, numbered; plotly would read <end> as HTML."""
    model, tokenizer = _loaded().model, _loaded().tokenizer
    ids = broken(0).scored(model, tokenizer, TEXTS)[0][0].tolist()
    return [f"{i} {style.escape(word)}" for i, word in enumerate(tokenizer.convert_ids_to_tokens(ids))]


def mystery(notebook: str) -> tuple[go.Figure, str]:
    """The figure of the fault that the exercise of a notebook asks for, without its name.

    >>> mystery("06")[1]
    'A pipeline with one fault, beside the sound one (grey).'
    """
    from safedpo.labs.checking import find

    if notebook != "06":
        raise UserError(f"notebook {notebook!r} has no fault to find; '06' has")
    fault = int(torch.as_tensor(find("silent_bug").right()))
    return figure(fault)[0], "A pipeline with one fault, beside the sound one (grey)."
