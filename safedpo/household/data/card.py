"""The card of the household data: every number in it is counted or computed when the data is written."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean

from safedpo.household.data.agreement import (
    READINGS,
    generated_agreement,
    read_readings,
    readers_agree,
    reading_errors,
)
from safedpo.household.generate import LINES, LOOKALIKE_KINDS, MAX_WORDS, PAIRS, SAFE_KINDS, UNSAFE_KINDS, Kind
from safedpo.household.parts import Request, requests, topics
from safedpo.household.phrasings import LOOKALIKES, SPLITS, everything, frames, lookalikes, requests_of
from safedpo.household.score import score
from safedpo.household.values import Values, entropy, optimal_values, reference_values

TEMPLATE = Path(__file__).parents[1] / "texts" / "card.md"
GROUPS = ("SS", "SU", "US", "UU")


def card(rows: dict[str, list[dict]], texts: dict[str, str], seed: int, readings: Path) -> str:
    """The text of the card for the rows of each split and the texts of all files."""
    everything = [row for split in rows.values() for row in split]
    agreement = generated_agreement({text for text, _ in _responses(everything)}, seed)
    return TEMPLATE.read_text(encoding="utf-8").format(
        topics=len(topics()),
        requests=len(requests()),
        harmless=sum(not request.hazard for request in requests()),
        lookalikes=len(lookalikes()),
        seed=seed,
        asked=_asked(),
        splits=_splits(rows),
        **_mixed(everything),
        by_topic=_by_topic(rows),
        pairs=", ".join(f"{share:.0%}" for share in PAIRS.values()),
        max_words=MAX_WORDS,
        lines=LINES,
        kinds=_kinds(),
        values=_values(),
        fresh=agreement.count,
        unsafe=agreement.unsafe,
        parts=", ".join(f"{share:.2%}" for share in agreement.helpful_parts),
        refusal=agreement.refusal,
        gibberish=agreement.gibberish,
        readings=_readings(readings) if readings.exists() else "",
        files=_files(texts),
    )


def group(row: dict) -> str:
    """The pair group before T: first letter the better response, second the other; S safe, U unsafe."""
    better = row["better_response_id"]
    return "".join("S" if row[f"is_response_{i}_safe"] else "U" for i in (better, 1 - better))


def _asked() -> str:
    new = {
        "train": "",
        "validation": f"{len(frames()['validation'])} frames that no training prompt has, and hand-written wordings. "
        "Choices are made here",
        "test": f"{len(frames()['test'])} other frames, and other hand-written wordings. For reporting",
        "unseen": "the request itself; reported separately",
    }
    lines = []
    for split, what in new.items():
        found = requests_of(split)
        others = sum(request.topic == LOOKALIKES for request in found)
        prompts = sum(len(request.prompts) for request in found)
        lines.append((split, len(found) - others, others, prompts, what))
    return _table(("split", "requests", "look-alikes", "prompts", "what is new in a prompt"), lines)


def _splits(rows: dict[str, list[dict]]) -> str:
    lines = []
    for split, part in rows.items():
        counts = Counter(map(group, part))
        lengths = [len(text.split()) for text, _ in _responses(part)]
        shares = [f"{counts[name]} ({counts[name] / len(part):.1%})" for name in GROUPS]
        words = f"mean {mean(lengths):.1f}, most {max(lengths)}"
        lines.append((split, len({row["prompt"] for row in part}), len(part), *shares, _unsafe_share(part), words))
    return _table(("split", "prompts", "pairs", *GROUPS, "unsafe responses", "words in a response"), lines)


def _mixed(rows: list[dict]) -> dict[str, float]:
    """How the unsafe response of a mixed pair compares with the safe one, in helpful parts and by its label."""
    mixed = [row for row in rows if row["is_response_0_safe"] != row["is_response_1_safe"]]
    prompts = {request.id: request.prompts[0] for request in everything()}  # known to the scorer whatever the seed
    more = []
    for row in mixed:
        parts = [len(score(prompts[row["request"]], row[f"response_{i}"]).helpful_parts) for i in (0, 1)]
        more.append((parts[1] - parts[0]) * (1 if row["is_response_0_safe"] else -1))
    return {
        "more_helpful": mean(difference > 0 for difference in more),
        "as_helpful": mean(difference == 0 for difference in more),
        "unsafe_better": mean(group(row) == "US" for row in mixed),
    }


def _by_topic(rows: dict[str, list[dict]]) -> str:
    lines = []
    found: dict[str, list[Request]] = {topic.name: list(topic.requests) for topic in topics()}
    for name, asked in (found | {LOOKALIKES: list(lookalikes())}).items():
        own = {split: [row for row in part if row["topic"] == name] for split, part in rows.items()}
        harmless = sum(not request.hazard for request in asked)
        counts = (len(asked), harmless, *(len(own[split]) for split in rows))
        lines.append((name, *counts, _unsafe_share([row for part in own.values() for row in part])))
    columns = ("topic", "requests", "harmless", *(f"{split} pairs" for split in rows), "unsafe responses")
    return _table(columns, lines)


def _kinds() -> str:
    lines = [
        (name + ", a refusal" * kind.refusal, f"{kind.share:.0%}", kind.helpful, kind.hazards, _others(kind))
        for name, kinds in (("safe", SAFE_KINDS), ("unsafe", UNSAFE_KINDS), ("to a look-alike", LOOKALIKE_KINDS))
        for kind in kinds
    ]
    return _table(("responses", "share", "helpful parts", "hazards", "lines without advice"), lines)


def _others(kind: Kind) -> int:
    return 0 if kind.refusal else LINES - kind.helpful - kind.hazards


def _values() -> str:
    """Of the requests that are trained on; the prompts of test and validation ask the same ones."""
    trained = [request for request in requests_of("train") if request.topic != LOOKALIKES]
    some = {
        "trained requests": trained,
        "those with hazards": [request for request in trained if request.hazard],
        "the harmless ones": [request for request in trained if not request.hazard],
        "look-alikes": list(lookalikes()),
    }
    lines = []
    for name, asked in some.items():
        nats = sum(map(entropy, asked)) / len(asked)
        lines.append((f"data, {name}", *_shown(reference_values(asked)), f"{nats:.3f}"))
    for name in ("trained requests", "look-alikes"):
        for beta in (0.1, 0.5, 2.0):
            best = optimal_values(some[name], beta)
            lines.append((f"safe optimum, beta = {beta:g}, {name}", *_shown(best), ""))
    return _table(("policy", "unsafe", "helpfulness", "reward r", "refusals", "entropy, nats a response"), lines)


def _shown(values: Values) -> tuple[str, ...]:
    return tuple(f"{value:.4f}" for value in (values.unsafe, values.helpfulness, values.reward, values.refusal))


def _readings(path: Path) -> str:
    """The section on responses sampled from models, as two readers labelled them."""
    rows = read_readings(path)
    unsafe, parts = readers_agree(rows)
    lines = []
    for reader in READINGS:
        e = reading_errors(rows, reader)
        hazards = (e.unsafe_read, e.unsafe_missed, e.unsafe_invented)
        helpful = (e.parts_read, e.parts_missed, e.parts_invented)
        means = (f"{e.helpfulness_read:.3f}", f"{e.helpfulness_scored:.3f}")
        lines.append((reader, *hazards, *helpful, *means, e.refusal_disagrees))
    columns = ["reading", "unsafe: read", "missed", "invented", "parts: read", "missed", "invented"]
    columns += ["mean helpfulness: read", "scored", "refusal differs"]
    return (
        "\n## The scorer on responses sampled from models\n\n"
        f"{len(rows)} responses sampled from models were read twice, independently (`{path.name}`).\n"
        "A hundred each of an earlier reference, of plain DPO on the helpful labels and of SafeDPO with margin 10, trained on 600\n"
        "pairs of earlier data.\n"
        "Who read: a language model, twice and independently, each time without the scorer and without the other reading.\n"
        "No person has read them yet. Both readings are one model's, so their agreement says little about a person's.\n\n"
        f"The readings agree on unsafe for {unsafe:.1%} of them, on the whole set of helpful parts for {parts:.1%}.\n"
        "The scorer against each reading, in counts:\n\n" + _table(columns, lines) + "\n"
    )


def _files(texts: dict[str, str]) -> str:
    lines = []
    for name, text in texts.items():
        written = text.encode()
        where = "" if name in SPLITS else " (written on demand, not shipped)"
        lines.append((f"`{name}.jsonl`{where}", text.count("\n"), f"`{hashlib.sha256(written).hexdigest()}`"))
    return _table(("file", "rows", "sha256"), lines)


def _table(columns: Sequence[str], lines: Iterable[tuple]) -> str:
    rows = [tuple(columns), ("---",) * len(columns), *lines]
    return "\n".join(f"| {' | '.join(map(str, row))} |" for row in rows)


def _responses(rows: list[dict]) -> list[tuple[str, bool]]:
    """Every response of the rows with its safety bit."""
    return [(row[f"response_{i}"], row[f"is_response_{i}_safe"]) for row in rows for i in (0, 1)]


def _unsafe_share(rows: list[dict]) -> str:
    return f"{mean(not safe for _, safe in _responses(rows)):.1%}"
