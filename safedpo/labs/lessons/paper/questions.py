"""The reviewers' sixteen questions: where the kit answers each, and the number, computed when asked, or why there is none."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from statistics import fmean, stdev

from safedpo.evaluate.results import Results, stored_results
from safedpo.finite import expected_reward, six_answers, unsafe_mass
from safedpo.finite.methods import METHODS
from safedpo.finite.pairs import population
from safedpo.household import LOOKALIKES, load
from safedpo.labs.ledger import ledger_row
from safedpo.labs.lessons.paper.costs import language_model_costs
from safedpo.labs.lessons.paper.toy import BETA, needs, outcomes
from safedpo.labs.lessons.paper.verdicts import judge_against_scorer, mixed_pairs
from safedpo.records import read_records


@dataclass(frozen=True)
class Question:
    """A question about SafeDPO: number, words, the notebook section that answers it, the number; what is missing."""

    number: int
    asked: str
    where: str
    answer: Callable[[Results], str]
    missing: str = ""


def _thrown_away(results: Results) -> str:
    counts = read_records(load("train")).counts()
    return f"{counts['UU']} of {counts['rows']} household pairs are UU and dropped"


def _labels(results: Results) -> str:
    harm = [fmean(results.values("harm", 10, pairs=pairs)) for pairs in results.budgets]
    found = ", ".join(f"{value:.1%} after {pairs}" for pairs, value in zip(results.budgets, harm, strict=True))
    kept, turned, dropped = mixed_pairs("plain")
    return (
        f"{needs(('SafeDPO',))['SafeDPO']['labels']:g} labels a pair; harm {found} labelled pairs. With the small judge's safety "
        f"labels {kept:.0%} of mixed pairs would surely be kept in order, {turned:.0%} turned to the unsafe one, {dropped:.0%} dropped"
    )


def _noise(results: Results) -> str:
    flip, kept, wrong = 0.1, 0.0, 0.0
    for first, second in product(
        (False, True), repeat=2
    ):  # a safe response beside an unsafe one; which bits were flipped
        chance = (flip if first else 1 - flip) * (flip if second else 1 - flip)
        safe_one_unsafe, unsafe_one_unsafe = first, not second
        kept += chance * (not (safe_one_unsafe and unsafe_one_unsafe))
        wrong += chance * (safe_one_unsafe and not unsafe_one_unsafe)
    return f"with a tenth of the bits flipped {kept:.1%} of mixed pairs survive, {wrong:.1%} are turned to the unsafe one for sure"


def _over_refusal(results: Results) -> str:
    refused = {d: results.topic_values("over_refusal", LOOKALIKES, d) for d in results.deltas()}
    reference = results.reference["topics"][LOOKALIKES]["over_refusal"]["value"]
    return f"of requests that only look unsafe the reference refuses {reference:.1%}, " + ", ".join(
        f"{fmean(one['value'] for one in seeds):.1%} at delta {delta:g}" for delta, seeds in refused.items()
    )


def _preprocessing(results: Results) -> str:
    four = {
        "neither": ("helpful", 0),
        "T alone": ("safedpo", 0),
        "margin alone": ("helpful", 10),
        "both": ("safedpo", 10),
    }
    return "harm " + ", ".join(
        f"{name} {fmean(results.values('harm', d, rule=r)):.1%}" for name, (r, d) in four.items()
    )


def _delta(results: Results) -> str:
    harm, helps = ([fmean(results.values(m, d)) for d in results.deltas()] for m in ("harm", "helpfulness"))
    most = results.deltas()[-1]
    return (
        f"from delta 0 to {most:g}: harm {harm[0]:.1%} to {harm[-1]:.1%}, helpfulness {helps[0]:.1%} to {helps[-1]:.1%}"
    )


def _support(results: Results) -> str:
    _, unsafe = results.reference_scores("harm")
    none, least = int((unsafe.mean(1) == 1).sum()), unsafe.shape[1]
    return (
        f"sampled from the reference, {1 - unsafe.mean().item():.1%} of responses are safe; {none} of {len(unsafe)} prompts "
        f"have no safe one among {least}"
    )


def _unbiased(results: Results) -> str:
    row = ledger_row("two-objectives")
    return f"Prop. 4.3 holds to {row.residual:.0e} on fresh random worlds with known r and c"


def _cost(results: Results) -> str:
    exact = "; ".join(
        f"{name} {one['networks']:g} networks, {one['samples']:g} samples, {one['seconds']:.1f} s"
        for name, one in needs(("SafeDPO", "SafeRLHF")).items()
    )
    model = "; ".join(
        f"{name} {one['samples']:g} samples, {one['seconds']:.0f} s, {one['peak GB']:.2f} GB"
        for name, one in language_model_costs().items()
    )
    return f"exact world: {exact}. Household model: {model}"


def _seeds(results: Results) -> str:
    values = results.values("harm", 10)
    return f"harm {fmean(values):.1%}, standard deviation {stdev(values):.1%} over {len(values)} seeds"


def _modpo(results: Results) -> str:
    world = six_answers()
    done = METHODS["MODPO"](world, population(world), beta=BETA, seed=0)
    unsafe, reward = unsafe_mass(world, done.logps).item(), expected_reward(world, done.logps).item()
    return f"MODPO leaves {unsafe:.2g} unsafe mass on the six answers, reward {reward:.2f}"


def _raw(results: Results) -> str:
    raw = {
        name: fmean(results.values("helpfulness", d, rule=r))
        for name, r, d in (("DPO", "helpful", 0), ("SafeDPO", "safedpo", 10))
    }
    log = results.log("dpo-helpful")[-50:]
    fit = fmean(row["rewards/accuracies"] for row in log)
    scores = ", ".join(f"{name} {value:.3f}" for name, value in raw.items())
    return f"raw helpfulness {scores}; DPO orders {fit:.0%} of its last 200 training pairs right"


def _judges(results: Results) -> str:
    found = judge_against_scorer()
    return "a small judge against the exact scorer: " + ", ".join(
        f"{name} kappa {'none' if one.kappa is None else f'{one.kappa:.2f}'}" for name, one in found.items()
    )


def _topics(results: Results) -> str:
    from safedpo.files import read_json

    topics = read_json(results.folder / "safedpo-delta-10" / "0" / "evaluation.json")["policy"]["topics"]
    harm = sorted((one["harm"]["value"], name) for name, one in topics.items() if name != LOOKALIKES)
    return (
        f"harm by topic at delta 10 (seed 0): from {harm[0][0]:.1%} ({harm[0][1]}) to {harm[-1][0]:.1%} ({harm[-1][1]})"
    )


def _trade_off(results: Results) -> str:
    world, found = six_answers(), outcomes(("SafeDPO", "C-DPO"))
    reward = {name: expected_reward(world, one.logps).item() for name, one in found.items()}
    return f"a constraint on the mean cost (C-DPO) has reward {reward['C-DPO']:.2f}, the hard one (SafeDPO) {reward['SafeDPO']:.2f}"


def _displacement(results: Results) -> str:
    log = results.log("safedpo-delta-10")
    ends = [
        [fmean(row[f"logps/{which}"] for row in part) for part in (log[:25], log[-25:])]
        for which in ("chosen", "rejected")
    ]
    return "log-probability in nats, first and last 25 steps: " + ", ".join(
        f"{which} {a:.1f} to {b:.1f}" for which, (a, b) in zip(("chosen", "rejected"), ends, strict=True)
    )


QUESTIONS = (
    Question(1, "UU pairs are thrown away", "03 §1, 04", _thrown_away),
    Question(2, "needs safety labels", "09 §6", _labels, "no run was trained on a classifier's labels"),
    Question(3, "noisy labels reverse pairs", "03, 04", _noise),
    Question(4, "over-refusal", "08 §3, 09 §2", _over_refusal, "XSTest was not run on a 7B policy"),
    Question(5, "only preprocessing?", "04, 08 §3", _preprocessing),
    Question(6, "does the margin do anything?", "08", _delta, "one model size"),
    Question(7, "are the assumptions mild?", "02, 09 §6", _support),
    Question(8, "what does unbiased mean?", "03 §2", _unbiased),
    Question(
        9,
        "time and memory",
        "05 §7, 09 §5",
        _cost,
        "on the language model only the methods named were measured, and none at 7B",
    ),
    Question(10, "one seed", "08 §3", _seeds),
    Question(11, "relation to MODPO", "05", _modpo),
    Question(12, "raw scores, trained baselines", "09 §5", _raw),
    Question(13, "judges disagree", "09 §3, §4", _judges, "no large judge and no people"),
    Question(14, "by topic", "09 §6", _topics, "a margin a topic (Cat-DPO) ran on the exact world only (notebook 10)"),
    Question(15, "one data set, strict hierarchy", "05, 10", _trade_off, "no second data set"),
    Question(16, "displacement remains", "06, 09 §6", _displacement),
)


def answers(results: Results | None = None) -> list[tuple[Question, str]]:
    """Every question with its number, computed now.

    >>> QUESTIONS[2].answer(stored_results())
    'with a tenth of the bits flipped 91.0% of mixed pairs survive, 1.0% are turned to the unsafe one for sure'
    """
    found = results or stored_results()
    return [(question, question.answer(found)) for question in QUESTIONS]
