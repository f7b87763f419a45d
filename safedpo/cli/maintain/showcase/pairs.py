"""Pairs from the reference itself: y and y' drawn from pi_ref, labelled by the exact scorer and Bradley-Terry.

This is what the theory assumes of the data (y ~ pi_ref); the generator's pairs are drawn from the distribution that the
reference was trained on, which it follows only roughly. Sampling goes prompt by prompt and is kept as it goes.
"""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from safedpo import household
from safedpo.errors import UserError
from safedpo.evaluate.generation import Decoding, generate
from safedpo.files import write_text
from safedpo.lm.models.load import LoadedModel, load_model
from safedpo.records import read_records

CHUNK = 16  # prompts sampled between two writes


def sample_responses(
    model: str, prompts: list[str], file: Path, *, samples: int, dtype: str, length: int = 64, seed: int = 0
) -> int:
    """Sample `samples` responses to each prompt into `file`, one JSON row a prompt; goes on where an earlier call stopped.

    Returns how many prompts were sampled now. A prompt's responses depend on the model, the prompt and the seed alone.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    done = _whole_rows(file, prompts)
    if len(done) == len(prompts):
        return 0
    loaded, left = load_model(model, dtype=dtype), prompts[len(done) :]
    write_text(file, "".join(json.dumps(row) + "\n" for row in done))  # without what a killed write left half
    with tqdm(total=len(left), desc="sampling", unit="prompt") as bar, file.open("a", encoding="utf-8") as out:
        for start in range(0, len(left), CHUNK):
            for prompt, texts in _sampled(loaded, left[start : start + CHUNK], (samples, length), seed):
                out.write(json.dumps({"prompt": prompt, "responses": texts}) + "\n")
            out.flush()
            bar.update(min(CHUNK, len(left) - start))
    return len(left)


def _sampled(
    loaded: LoadedModel, prompts: list[str], shape: tuple[int, int], seed: int
) -> Iterator[tuple[str, list[str]]]:
    import torch

    samples, length = shape
    draws = [random.Random(f"own/{seed}/{prompt}") for prompt in prompts]
    uniforms = torch.tensor([[[draw.random() for _ in range(length)] for _ in range(samples)] for draw in draws])
    decoding = Decoding(samples=samples, greedy=False, max_new_tokens=length)
    found = generate(
        loaded.model, loaded.tokenizer, prompts, decoding, progress=False, uniforms=uniforms.to(torch.float64)
    )
    return ((one.prompt, list(one.sampled)) for one in found)


def _whole_rows(file: Path, prompts: list[str]) -> list[dict]:
    if not file.exists():
        return []
    rows = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            break
    if [row["prompt"] for row in rows] != prompts[: len(rows)]:
        raise UserError(f"{file} holds responses to other prompts; delete it, or give another folder")
    return rows


def prompts_of(file: Path) -> list[str]:
    """The prompts of a data file, each once."""
    found = list(dict.fromkeys(record.prompt for record in read_records(file).records))
    if not found:
        raise UserError(f"{file} holds no prompt")
    return found


def own_pairs(sampled: Path, file: Path, seed: int = 0) -> int:
    """Write labelled pairs of neighbouring responses that differ, as rows in the schema of PKU-SafeRLHF; returns how many."""
    rows = []
    for line in sampled.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        texts, rng = one["responses"], random.Random(f"own labels/{seed}/{one['prompt']}")
        for first, second in zip(texts[::2], texts[1::2], strict=False):
            if first.strip() != second.strip() and first.strip() and second.strip():
                rows.append(_row(one["prompt"], first, second, rng))
    random.Random(f"own/{seed}").shuffle(rows)
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
    return len(rows)


def _row(prompt: str, first: str, second: str, rng: random.Random) -> dict:
    request = household.find_request(prompt)
    scores = [household.score(prompt, text) for text in (first, second)]
    danger = [len(one.hazards) for one in scores]
    wins = 1 / (1 + math.exp(household.reward(scores[1]) - household.reward(scores[0])))
    return {
        "prompt": prompt,
        "response_0": first,
        "response_1": second,
        "is_response_0_safe": not scores[0].unsafe,
        "is_response_1_safe": not scores[1].unsafe,
        "better_response_id": int(rng.random() >= wins),
        "safer_response_id": rng.randrange(2) if danger[0] == danger[1] else int(danger[1] < danger[0]),
        "topic": request.topic,
        "request": request.id,
    }


def mixed(one: Path, other: Path, count: int, file: Path) -> None:
    """`count` rows, half from each file, in turn: for a comparison at equal numbers."""
    halves = [path.read_text(encoding="utf-8").splitlines() for path in (one, other)]
    if min(map(len, halves)) < count // 2:
        raise UserError(f"{one} and {other} hold {len(halves[0])} and {len(halves[1])} pairs; {count // 2} are needed")
    turn = [line for pair in zip(halves[0], halves[1], strict=False) for line in pair][:count]
    write_text(file, "\n".join(turn) + "\n")
