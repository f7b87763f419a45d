"""Notebook 06: a response's log-probability from padded logits, the distance to pi*, a step in pieces, a silent bug."""

import math

import torch

from safedpo.labs.checking import Exercise
from safedpo.labs.predictions import Question


def _padded(seed, lengths, vocabulary=6):
    """Random logits for rows (prompt tokens, response tokens), padded on the right with the end token 0."""
    draw = torch.Generator().manual_seed(seed)
    width = max(p + r for p, r in lengths)
    ids = torch.zeros(len(lengths), width, dtype=torch.long)
    for i, (p, r) in enumerate(lengths):
        ids[i, : p + r - 1] = torch.randint(1, vocabulary, (p + r - 1,), generator=draw)  # the last one is the end
    logits = torch.randn(len(lengths), width, vocabulary, generator=draw, dtype=torch.float64)
    starts = torch.tensor([p for p, _ in lengths])
    return logits, ids, starts, starts + torch.tensor([r for _, r in lengths])


PADDED = (_padded(0, [(3, 2), (2, 5), (4, 4)]), _padded(1, [(2, 3), (5, 6)]))


def logps_in_loops(logits, ids, starts, ends):
    """Response by response, word by word, with exp and log of plain numbers."""
    found = []
    for row, tokens, start, end in zip(logits.tolist(), ids.tolist(), starts.tolist(), ends.tolist(), strict=True):
        terms = []
        for t in range(start, end):
            weights = [math.exp(z) for z in row[t - 1]]
            terms.append(math.log(weights[tokens[t]] / math.fsum(weights)))
        found.append(math.fsum(terms))
    return torch.tensor(found, dtype=torch.float64)


def _scores(logits, ids, shift=1):
    scores = logits.log_softmax(-1)
    if not shift:
        return scores.gather(-1, ids[..., None])[..., 0]
    picked = scores[:, :-1].gather(-1, ids[:, 1:, None])[..., 0]
    return torch.cat([torch.zeros_like(picked[:, :1]), picked], 1)


def _between(scores, first, last):
    place = torch.arange(scores.shape[1])
    return (scores * ((place >= first[:, None]) & (place < last[:, None]))).sum(-1)


def _tables(seed, prompts, answers):
    draw = torch.Generator().manual_seed(seed)
    best, policy = (torch.randn(prompts, answers, generator=draw, dtype=torch.float64) for _ in range(2))
    best[:, ::3] = -math.inf
    return best.log_softmax(-1), policy.log_softmax(-1)


TABLES = (_tables(0, 2, 7), _tables(1, 3, 5))


def kl_in_loops(best, logps):
    """Answer by answer; an answer that pi* never gives adds nothing."""
    rows = zip(best.tolist(), logps.tolist(), strict=True)
    sums = [math.fsum(math.exp(p) * (p - q) for p, q in zip(*row, strict=True) if p > -math.inf) for row in rows]
    return torch.tensor(sums, dtype=torch.float64)


def _weighted(weights, values):
    return torch.where(weights > 0, weights * values, 0.0).sum(-1)


def _finite(best):
    return best.clamp(min=-1e9)


def _safe_only(best, logps):
    return logps.masked_fill(best.isneginf(), -math.inf).log_softmax(-1)


STEPS = (
    (torch.tensor([1.0, 2.0, 3.0, 4.0, 15.0], dtype=torch.float64), (4, 1)),
    (torch.tensor([0.5, 0.7, 0.1, 2.0, 0.3, 0.9, 0.4], dtype=torch.float64), (2, 4, 1)),
)


def _means(losses, sizes):
    return torch.stack([part.mean() for part in losses.split(list(sizes))])


MYSTERY = 12

EXERCISES = {
    "response_logps": Exercise(
        gives="log π of each response, (B,)",
        cases=PADDED,
        right=logps_in_loops,
        mistakes={
            "The logits at t score the token at t; they predict the *next* one: use the logits at t − 1.": lambda z, y, s, e: (
                _between(_scores(z, y, shift=0), s, e)
            ),
            "That is the mean over tokens. The probability of a sentence is a product, so its "
            "logarithm is the sum.": lambda z, y, s, e: _between(_scores(z, y), s, e) / (e - s),
            "The prompt is counted too: begin at starts.": lambda z, y, s, e: _between(_scores(z, y), 0 * s, e),
            "The padding is counted too: stop at ends.": lambda z, y, s, e: _between(
                _scores(z, y), s, torch.full_like(e, y.shape[1])
            ),
            "The first token of the response is lost. It is predicted by the last token of the prompt.": lambda z, y, s, e: (
                _between(_scores(z, y), s + 1, e)
            ),
            "The last token, the end of text, is lost. Ending is a decision too, and counts. (It has the id of padding: go "
            "by ends, not by ids.)": lambda z, y, s, e: _between(_scores(z, y) * (y != 0), s, e),
            "These are raw logits; take log_softmax first.": lambda z, y, s, e: _between(
                torch.cat([0 * z[:, :1, 0], z[:, :-1].gather(-1, y[:, 1:, None])[..., 0]], 1), s, e
            ),
            "These are probabilities added up; add their logarithms.": lambda z, y, s, e: _between(
                _scores(z, y).exp(), s, e
            ),
            "The softmax runs over positions; it belongs over the vocabulary (dim -1).": lambda z, y, s, e: _between(
                torch.cat([0 * z[:, :1, 0], z.log_softmax(1)[:, :-1].gather(-1, y[:, 1:, None])[..., 0]], 1), s, e
            ),
            "The sign is wrong: that is the loss of supervised fine-tuning.": lambda z, y, s, e: (
                -_between(_scores(z, y), s, e)
            ),
        },
        hints=(
            "logits[:, t] predicts ids[:, t + 1]. So logits[:, :-1] and ids[:, 1:] belong together.",
            "Gather the log-softmax at the tokens; then keep the places t with starts <= t < ends and add up.",
            "place = torch.arange(1, ids.shape[1]); keep = (place >= starts[:, None]) & (place < ends[:, None])",
        ),
    ),
    "kl_to_optimum": Exercise(
        gives="KL(π*‖π) of each prompt, (P,)",
        cases=TABLES,
        right=kl_in_loops,
        mistakes={
            "The other direction, KL(π‖π*), is infinite while any unsafe mass is left.": lambda p, q: torch.full(
                (len(p),), math.inf
            ),
            "The sign is wrong: log π* − log π, weighted by π*.": lambda p, q: -kl_in_loops(p, q),
            "These are bits; we count nats (natural logarithms).": lambda p, q: kl_in_loops(p, q) / math.log(2),
            "That is the cross-entropy; the entropy of π* is missing.": lambda p, q: -_weighted(p.exp(), q),
            "That is the entropy of π*; the policy does not occur in it.": lambda p, q: -_weighted(p.exp(), _finite(p)),
            "That is total variation.": lambda p, q: (p.exp() - q.exp()).abs().sum(-1) / 2,
            "The mean over answers was taken; KL is a sum.": lambda p, q: kl_in_loops(p, q) / p.shape[1],
            "The policy was renormalised on the safe answers; then its unsafe mass costs nothing.": lambda p, q: (
                kl_in_loops(p, _safe_only(p, q))
            ),
            "The weights are π*'s, not the policy's.": lambda p, q: torch.where(
                p.isneginf(), 0.0, q.exp() * (p - q)
            ).sum(-1),
            "The log-ratios were added without weights.": lambda p, q: torch.where(p.isneginf(), 0.0, p - q).sum(-1),
        },
        hints=(
            "KL(π*‖π) = Σ π* (log π* − log π), over the answers.",
            "Where π* is 0 its logarithm is −∞ and 0 · −∞ is NaN: such an answer adds 0. torch.where chooses.",
            "return torch.where(best.isneginf(), 0.0, best.exp() * (best - logps)).sum(-1)",
        ),
    ),
    "step_loss": Exercise(
        gives="the loss of the step, one number",
        cases=STEPS,
        right=lambda losses, sizes: torch.tensor(math.fsum(losses.tolist()) / sum(sizes), dtype=torch.float64),
        mistakes={
            "The mean of the means: a pair in a small micro-batch weighs more than one in a large one.": lambda x, n: (
                _means(x, n).mean()
            ),
            "The means are added up and never divided.": lambda x, n: _means(x, n).sum(),
            "That is the sum; divide by the number of pairs.": lambda x, n: x.sum(),
            "Divided by the number of micro-batches; divide by the number of pairs.": lambda x, n: x.sum() / len(n),
            "Only the last micro-batch counts here.": lambda x, n: _means(x, n)[-1],
            "Only the first micro-batch counts here.": lambda x, n: _means(x, n)[0],
            "Divided as if every micro-batch had the size of the first.": lambda x, n: x.sum() / (n[0] * len(n)),
            "Divided as if every micro-batch were as large as the largest.": lambda x, n: x.sum() / (max(n) * len(n)),
        },
        hints=(
            "How much should one pair weigh? The same, wherever the step was cut.",
            "Add up all losses, and divide once by the number of pairs of the whole step.",
            "return sum(part.sum() for part in losses.split(list(sizes))) / sum(sizes)",
        ),
    ),
    "silent_bug": Exercise(
        gives="the number of a fault",
        cases=((),),
        right=lambda: torch.tensor(float(MYSTERY)),
        mistakes={
            "With dropout in the reference the losses at step 0 would scatter; here they are right.": lambda: (
                torch.tensor(11.0)
            ),
            "β twice slows the margin down; here it does not move at all.": lambda: torch.tensor(13.0),
            "Nothing is wrong at step 0, but the sound margin grows and this one stays at 0: not sound.": lambda: (
                torch.tensor(0.0)
            ),
            "The tokens are counted rightly here; look at the reward margin.": lambda: torch.tensor(4.0),
        },
        hints=(
            "Tokens and step 0 look sound. What is left is what changes during training.",
            "The reward margin stays exactly 0 although the policy moves. Which quantity moves with it?",
            "The reference moves along with the policy: fault 12.",
        ),
    ),
}

QUESTIONS = {
    "how_many_forwards": Question(
        ("one a sentence: about 11,500", "one for each distinct beginning", "one a prompt and depth: about 40"),
        2,
        "All beginnings of one length go through the model together, and what they share is computed once. So a step of "
        "training can be measured exactly, as often as we like.",
    ),
    "which_ends_at_optimum": Question(
        ("only Δ = 0: it has no extra force", "only Δ = 10: it is the safer one", "both, by different paths"),
        2,
        "Proposition 4.4 at work in a neural network: the optimum does not depend on Δ. What differs is how far down the "
        "unsafe mass has come by a given step, and how much the safe part was shaken on the way.",
    ),
    "where_does_mass_go": Question(
        ("to the chosen responses", "to the other responses of the data", "partly to strings that no pair mentions"),
        2,
        "The loss sees only the difference of two log-probabilities. Pushing the rejected response down satisfies it, and "
        "nothing says where the freed mass must go.",
    ),
    "rank": Question(
        (
            "rank 16 does as well as all weights in both tasks",
            "more rank imitates better; with pairs only all weights come near",
            "rank makes no difference in either task",
        ),
        1,
        "Imitation shows the room that a rank has: more rank, nearer. With pairs something else holds the adapters back too: "
        "the way back from what a large margin throws out at first, which takes many steps.",
    ),
}
