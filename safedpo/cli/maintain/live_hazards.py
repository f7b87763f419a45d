"""Hazards to look for on the live page: for each shown prompt, a seed whose sampled answer at one margin is unsafe.

    safedpo maintain live-hazards data/adapters/sweep data/results/household

The page draws its random numbers from mulberry32, a generator of a few lines that Python has here too; so a seed gives the
same answer there. The seed is the first from 0 on whose answer at the smaller margin is unsafe: it is looked for, and says
nothing about how often that happens (the sweep's table does). What the same seed gives at the larger margin is then read
off, whatever it is. The result is `live_hazards.json` beside `sweep.json`.

    {"command", "versions", "fingerprints", "from", "to", "tried",
     "prompts": [{"prompt", "seed", "before": {"text", "unsafe"}, "after": {"text", "unsafe"}}, ...],   seed null: none found
     "check": {"prompt", "delta", "text", "ids", "policy", "reference"}}

`check` is a greedy answer with log pi and log pi_ref of its tokens: the page computes them when it has loaded, and says
how far it is from Python.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, generate
from safedpo.evaluate.scorers import scorer_for
from safedpo.files import read_json, write_json
from safedpo.lm.blending.blend import Blend
from safedpo.lm.blending.load import load_adapters
from safedpo.lm.models.adapters import adapter_run
from safedpo.lm.models.load import LoadedModel, load_model
from safedpo.lm.rows.logprobs import token_logps
from safedpo.lm.rows.packing import pack
from safedpo.lm.rows.tokens import prompt_token_ids, tokenize_response
from safedpo.lm.training.on_disk.about import versions

AT_ONCE = 8  # seeds tried at once, for each prompt that has none yet


def uniform_numbers(seed: int, count: int) -> list[float]:
    """The first numbers in [0, 1) of mulberry32, which the live page draws with (`model/sampling.js`).

    >>> [round(number, 6) for number in uniform_numbers(1, 3)]
    [0.627074, 0.002736, 0.527447]
    """
    state, found = seed & 0xFFFFFFFF, []
    for _ in range(count):
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        mixed = (state ^ state >> 15) * (state | 1) & 0xFFFFFFFF
        mixed ^= mixed + (mixed ^ mixed >> 7) * (mixed | 61) & 0xFFFFFFFF
        found.append((mixed ^ mixed >> 14) / 2**32)
    return found


def sample_seeds(
    blend: Blend, loaded: LoadedModel, prompts: Sequence[str], seeds: Sequence[int], max_new_tokens: int = 64
) -> list[list[str]]:
    """The answers of the blend's present weights to each prompt, one a seed, drawn as the live page draws them."""
    rows = torch.tensor([uniform_numbers(seed, max_new_tokens) for seed in seeds], dtype=torch.float64)
    decoding = Decoding(samples=len(seeds), greedy=False, max_new_tokens=max_new_tokens)
    uniforms = rows.expand(len(prompts), -1, -1)
    found = generate(
        blend.model, loaded.tokenizer, prompts, decoding, template=blend.template, progress=False, uniforms=uniforms
    )
    return [list(one.sampled) for one in found]


def find_hazards(
    adapters: str | Path,
    results: str | Path,
    *,
    before: float = 0,
    after: float = 10,
    tries: int = 64,
    command: str = "",
) -> dict:
    """Look for the first unsafe seed of each shown prompt; writes and returns `results/live_hazards.json`.

    Raises `UserError` where the sweep is missing or one of the margins has no adapter in the folder `adapters`.
    """
    results = Path(results)
    if not (results / "sweep.json").exists():
        raise UserError(f"{results} holds no sweep.json; give the output directory of a sweep")
    sweep = read_json(results / "sweep.json")
    prompts, length = sweep["shown_prompts"], sweep["settings"]["decoding"]["max_new_tokens"]
    folders = {adapter_run(file.parent)["settings"]["delta"]: file.parent for file in Path(adapters).glob("*/run.json")}
    loaded = load_model(sweep["settings"]["model"], dtype="float32")
    blend, score = load_adapters(loaded, folders), scorer_for(prompts).score
    blend.set({before: 1.0})
    found: dict[str, tuple[int, str]] = {}
    for start in range(0, tries, AT_ONCE):
        left, seeds = [prompt for prompt in prompts if prompt not in found], range(start, min(start + AT_ONCE, tries))
        for prompt, texts in zip(left, sample_seeds(blend, loaded, left, seeds, length), strict=True):
            unsafe = [(s, text) for s, text in zip(seeds, texts, strict=True) if score(prompt, text).unsafe]
            found |= {prompt: unsafe[0]} if unsafe else {}
        print(f"seeds up to {seeds[-1]}: {len(found)} of {len(prompts)} prompts", flush=True)
    blend.set({after: 1.0})
    check = _check(blend, loaded, prompts[0], after, length)
    rows = []
    for prompt in prompts:
        seed, text = found.get(prompt, (None, None))
        row = {"prompt": prompt, "seed": seed}
        if seed is not None:
            ((later,),) = sample_seeds(blend, loaded, [prompt], [seed], length)
            row["before"] = {"text": text, "unsafe": True}
            row["after"] = {"text": later, "unsafe": score(prompt, later).unsafe}
        rows.append(row)
    content = {
        "command": command,
        "versions": versions(),
        "fingerprints": {"reference": loaded.fingerprint},
        "from": before,
        "to": after,
        "tried": tries,
        "prompts": rows,
        "check": check,
    }
    write_json(results / "live_hazards.json", content, indent=None)
    return content


def _check(blend: Blend, loaded: LoadedModel, prompt: str, delta: float, length: int) -> dict:
    """The greedy answer at the present weights, which are those of `delta`, and its tokens' log-probabilities."""
    decoding = Decoding(samples=0, max_new_tokens=length)
    (answer,) = generate(blend.model, loaded.tokenizer, [prompt], decoding, template=blend.template, progress=False)
    text = answer.greedy or ""
    start = len(prompt_token_ids(loaded.tokenizer, prompt, blend.template))
    prompt_ids, ids, _ = tokenize_response(
        loaded.tokenizer, prompt, text, max_length=start + length, template=blend.template
    )
    batch = pack([prompt_ids], [(0, ids)])
    with torch.no_grad(), blend.kept():
        policy = token_logps(blend.model, batch)
        blend.set({})
        reference = token_logps(blend.model, batch)
    rounded = {
        name: [round(number, 6) for number in found.tolist()]
        for name, found in (("policy", policy), ("reference", reference))
    }
    return {"prompt": prompt, "delta": delta, "text": text, "ids": list(ids), **rounded}
