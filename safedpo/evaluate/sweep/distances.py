"""How far each policy of a sweep is from its reference and from the safe optimum, in the terms of the objective (Eq. 6).

    safedpo maintain distances data/adapters/sweep data/results/household

    E[r]    the mean of the raters' reward, r = 8 x helpfulness + 4 x 1[hazard]
    KL      E[log pi(y|x) - log pi_ref(y|x)] over y ~ pi: the mean over the policy's own responses, in float32; also over tokens

Both over the stored responses that the policy sampled at its last budget: one a prompt, of requests that are not look-alikes.
Beside them stand the exact values of the data and of the safe optimum, whose KL is measured from the data: the reference follows
the data only roughly, so these are a mark to compare with and no bound. The result is `distances.json` beside `sweep.json`.
"""

from contextlib import suppress
from pathlib import Path
from statistics import fmean, stdev

import torch
from tqdm.auto import tqdm

from safedpo.errors import UserError
from safedpo.evaluate.stored import read_samples
from safedpo.evaluate.sweep.folder import read
from safedpo.evaluate.sweep.points import adapter_on
from safedpo.files import write_json
from safedpo.household import LOOKALIKES, is_lookalike, requests_of, reward, score
from safedpo.household.values import distance_to_optimum, optimal_values, reference_values
from safedpo.lm.models.adapters import adapter_run
from safedpo.lm.models.load import LoadedModel, load_model
from safedpo.lm.rows.fused import fused
from safedpo.lm.rows.logprobs import response_logps
from safedpo.lm.rows.packing import n_tokens, pack_examples, split_rows
from safedpo.lm.rows.tokens import RowError, TokenExample, prompt_token_ids, tokenize_response
from safedpo.lm.training.on_disk.about import versions

ROW_TOKENS = 512  # tokens computed at once


def measure_distances(
    adapters: str | Path, results: str | Path, *, model: str | None = None, command: str = ""
) -> dict:
    """Measure every adapter whose responses are stored; writes and returns `results/distances.json`.

    `adapters`: a folder of adapters of one seed, rule `safedpo`, one a margin; `results`: the sweep that they come from;
    `model`: its reference, where that has another name here. Raises `UserError` for a folder that is no sweep's, for
    missing adapters, and for adapters on another reference.
    """
    sweep = read(Path(results))
    folders = sorted(file.parent for file in Path(adapters).glob("*/run.json"))
    if sweep is None or not folders:
        raise UserError(f"{results} holds no sweep.json, or {adapters} no adapters; give a sweep and its adapters")
    settings = sweep["settings"]
    loaded = load_model(model or settings["model"], dtype="float32")
    found = []
    for folder in folders:
        run = adapter_run(folder)["settings"]
        samples = Path(results) / f"safedpo-delta-{run['delta']:g}" / str(run["seed"]) / "samples-policy.jsonl"
        said = one_a_prompt(read_samples(samples))
        with adapter_on(loaded, folder) as policy:
            found.append({"delta": run["delta"], "seed": run["seed"]} | measured(policy, said, settings))
    found.sort(key=lambda one: one["delta"])
    content = {"command": command, "versions": versions(), "exact": exact(settings["beta"]), "policies": found}
    write_json(Path(results) / "distances.json", content, indent=None, seal=True)
    return content


def one_a_prompt(samples: list[dict]) -> list[tuple[str, str]]:
    """(prompt, the first sampled response) for each prompt that is no look-alike."""
    first: dict[str, str] = {}
    for one in samples:
        if not one["greedy"] and not is_lookalike(one["prompt"]):
            first.setdefault(one["prompt"], one["response"])
    return list(first.items())


def measured(policy: LoadedModel, said: list[tuple[str, str]], settings: dict) -> dict:
    """`reward` and `kl` (nats a response) of a policy with its adapter on, each `{"value", "error", "n"}` with the standard error
    over prompts, and `kl_per_token`. A response that cannot be turned into tokens again is left out of the last two."""
    examples = tokenized(policy, said, settings["decoding"]["max_new_tokens"])
    ratios = log_ratios(policy, examples)
    return {
        "reward": mean([reward(score(prompt, response)) for prompt, response in said]),
        "kl": mean(ratios),
        "kl_per_token": sum(ratios) / sum(len(one.response_ids) for one in examples),
    }


def tokenized(policy: LoadedModel, said: list[tuple[str, str]], room: int) -> list[TokenExample]:
    """The tokens of each response of at most `room` tokens, the end of the turn included; without those that have none."""
    found: list[TokenExample] = []
    for prompt, response in said:
        longest = len(prompt_token_ids(policy.tokenizer, prompt)) + room
        with suppress(RowError):
            prompt_ids, ids, _ = tokenize_response(policy.tokenizer, prompt, response, max_length=longest)
            found.append(TokenExample(prompt_ids, ids, len(found)))
    return found


def log_ratios(policy: LoadedModel, examples: list[TokenExample]) -> list[float]:
    """log pi(y|x) - log pi_ref(y|x) of each response, in nats; `policy` with its adapter on."""
    found: dict[int, float] = {}
    rows = split_rows([n_tokens((one,)) for one in examples], ROW_TOKENS)
    for row in tqdm(rows, desc="log-ratios", unit="row"):
        batch = pack_examples([examples[i] for i in row]).to(policy.model.device)
        with torch.no_grad(), fused(policy.model):
            new = response_logps(policy.model, batch)
            with policy.model.disable_adapter():  # type: ignore[operator]
                old = response_logps(policy.model, batch)
        found |= dict(zip(row, (new - old).tolist(), strict=True))
    return [found[i] for i in range(len(examples))]


def mean(values: list[float]) -> dict[str, float]:
    """A mean with its standard error.

    >>> mean([1.0, 3.0])
    {'value': 2.0, 'error': 1.0, 'n': 2}
    """
    return {"value": fmean(values), "error": stdev(values) / len(values) ** 0.5, "n": len(values)}


def exact(beta: float) -> dict[str, dict[str, float]]:
    """E[r] of the data and of its safe optimum, and the KL of the optimum from the data, over the trained requests."""
    trained = [one for one in requests_of("train") if one.topic != LOOKALIKES]
    best, data = optimal_values(trained, beta), reference_values(trained)
    kl = fmean(distance_to_optimum(one, beta) for one in trained)
    return {"data": {"reward": data.reward, "kl": 0.0}, "optimum": {"reward": best.reward, "kl": kl}}
