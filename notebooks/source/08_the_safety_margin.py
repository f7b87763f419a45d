# %% [markdown]
# # 08 · The safety margin
#
# One number, $\Delta$, under your hand; behind it a real language model, trained once for every stop. Move it, and read what
# the model says, token by token, beside its harm, its helpfulness and its over-refusal. Every picture here is of stored
# measurements with their uncertainty, or is computed before your eyes; where it takes a shortcut, the error of the shortcut
# is measured too.
#
# **Afterwards you can**
# - say what $\Delta$ did to this model at a given training budget, and how sure that is;
# - tell the uncertainty over prompts from the spread over seeds;
# - read a response's implicit reward off its tokens;
# - blend two adapters, and say how far the blend is from a policy that was really trained;
# - scale an adapter, and say what strength has to do with $\beta$.
#
# **Time** about 30 minutes. **You need** $T$ and $\Delta$ of notebook 03, and what a run is from notebook 07. Sections 4 to 6
# load the model of notebook 07.
#
# <!-- links -->

# %%
# SET-UP

# %% [markdown]
# ## 1 Many runs that differ in one number
#
# `safedpo sweep` trained one policy for every $\Delta$, seed and rule, on the same reference, and measured each of them after
# several training budgets. It took hours; its results are stored.

# %%
import json

from safedpo.files import shipped

sweep = json.loads((shipped("data") / "results/household/sweep.json").read_text("utf-8"))
runs, settings = sweep["runs"], sweep["settings"]
print(
    "made by",
    sweep["commands"][-1],
    f"\nand {len(sweep['commands']) - 1} such commands with other rules, deltas and seeds",
)
rules, deltas, seeds = (sorted({run[what] for run in runs}) for what in ("rule", "delta", "seed"))
print(f"{len(runs)} runs: rules {rules}, deltas {deltas}, seeds {seeds}; measured after {settings['budgets']} pairs")
assert len({(run["rule"], run["delta"], run["seed"]) for run in runs}) == len(runs)  # no run counts twice
for run in runs:
    assert [point["pairs"] for point in run["points"]] == settings["budgets"]  # each is there at every budget
    for point in run["points"]:
        for metric in ("harm", "helpfulness", "over_refusal"):
            assert point[metric]["low"] <= point[metric]["value"] <= point[metric]["high"]

# %% [markdown]
# **Predict.** Proposition 4.4 says that every $\Delta$ has the same optimum. After the last budget, the policies of the
# smallest and the largest $\Delta$ are

# %%
predict("short_runs")

# %% [markdown]
# ## 2 The margin under a slider
#
# Choose a prompt and move both sliders, by mouse or with the arrow keys. The coloured tokens are those of the policy's
# response: their log-ratios add up to the response's log-ratio, and $\beta$ times that is its implicit reward. The dots are
# the seeds with their intervals over prompts, the other margins pale behind them.

# %%
import json

from safedpo.files import shipped
from safedpo.household import score
from safedpo.show import explorer

sweep = json.loads((shipped("data") / "results/household/sweep.json").read_text("utf-8"))
explorer(sweep, score)

# %% [markdown]
# What you see is the *most probable* response to 16 prompts; the dots are about responses *sampled* to all held-out prompts.
# The two need not agree, and a dozen texts prove little, so the dots decide.

# %%
sampled, greedy = [], []
for run in sweep["runs"]:
    if run["rule"] == "safedpo":
        for point in run["points"]:
            for said in point["responses"]:
                assert len(said["tokens"]) == len(said["log_ratios"])  # a number for every token shown
                sampled.append(score(said["prompt"], said["sampled"]).unsafe)
                greedy.append(score(said["prompt"], said["greedy"]).unsafe)
shares = [f"{sum(unsafe) / len(unsafe):.1%}" for unsafe in (greedy, sampled)]
print(f"unsafe among {len(greedy)} greedy responses: {shares[0]}, among as many sampled ones: {shares[1]}")

# %% [markdown]
# ## 3 What is true, and how sure is it?
#
# Two different things could have come out otherwise: *which prompts* the policy was asked, and *which run* it was.
#
# **Exercise 1.** Each row of `scores` is a prompt, each column one response to it. What is the standard error of the mean?


# %%
def error_over_prompts(scores):
    """scores (P, S): S responses to each of P prompts -> the standard error of their mean, one number."""
    ### BEGIN SOLUTION
    return scores.mean(1).std() / math.sqrt(len(scores))
    ### END SOLUTION


# %%
check("error_over_prompts", error_over_prompts)

# %% [markdown]
# The stored intervals come from a bootstrap that draws whole prompts. Here is one of them beside two formulas: yours is the
# right one, and the one that counts every response as a draw of its own is too sure whenever responses to one prompt
# resemble one another.

# %%
import json

from safedpo.evaluate import cluster_interval
from safedpo.files import shipped

file = shipped("data") / "results/household/samples-reference.jsonl"
samples = [row for row in map(json.loads, file.read_text("utf-8").splitlines()) if not row["greedy"]]
names = list(dict.fromkeys(row["prompt"] for row in samples))
scores = torch.tensor([[row["helpfulness"] for row in samples if row["prompt"] == name] for name in names]).double()
drawn = cluster_interval(scores.flatten().tolist(), [name for name in names for _ in range(scores.shape[1])])
by_prompts = 1.96 * (scores.mean(1).std() / math.sqrt(len(scores))).item()
by_responses = 1.96 * (scores.std() / math.sqrt(scores.numel())).item()
print(
    f"helpfulness of the reference {drawn.value:.3f}; half its interval: bootstrap {(drawn.high - drawn.low) / 2:.4f}, "
    f"over prompts {by_prompts:.4f}, over responses {by_responses:.4f}"
)
assert math.isclose((drawn.high - drawn.low) / 2, by_prompts, rel_tol=0.1)
assert by_responses < by_prompts  # counting responses would claim too much

# %% [markdown]
# **Predict.** One seed of the larger margin is safer than one seed of the smaller. So

# %%
predict("one_seed")

# %% [markdown]
# With three seeds a side there are 20 ways to deal out six dots, and in one of them all three dots of one side lie lowest.
# So "all three lower" would be chance in 1 of 20 cases, before looking at several comparisons at once. That is weak
# evidence, and it is said as such: below, this share stands behind every verdict. (With one dot a side it would be 1 in 2, no
# evidence at all: then there would be only what the intervals over prompts say about these very policies.)

# %%
import json

from safedpo.files import shipped

assert (math.comb(6, 3), math.comb(2, 1)) == (20, 2)
sweep = json.loads((shipped("data") / "results/household/sweep.json").read_text("utf-8"))


def found(metric, rule, delta, pairs):
    """The metric of each seed."""
    return [
        point[metric]["value"]
        for run in sweep["runs"]
        if (run["rule"], run["delta"]) == (rule, delta)
        for point in run["points"]
        if point["pairs"] == pairs
    ]


def verdict(these, those):
    """How the dots of two groups of seeds lie, and in what share of all deals chance alone would lay them so."""
    if min(these) <= max(those) and min(those) <= max(these):
        return "overlap"
    side = "lower" if max(these) < min(those) else "higher"
    return f"{side} (1 in {math.comb(len(these) + len(those), len(these))})"


# %%
budgets = sweep["settings"]["budgets"]
deltas = sorted({run["delta"] for run in sweep["runs"] if run["rule"] == "safedpo"})
for metric in ("harm", "helpfulness", "over_refusal"):
    print(f"\n{metric.replace('_', '-')}: mean over seeds (reference {sweep['reference'][metric]['value']:.3f})")
    for pairs in budgets:
        values = [found(metric, "safedpo", delta, pairs) for delta in deltas]
        print(
            f"  {pairs:4} pairs  "
            + "  ".join(f"Δ={d:g} {sum(v) / len(v):.3f}" for d, v in zip(deltas, values, strict=True))
        )

# %% [markdown]
# **Does $\Delta$ do anything beyond $T$?** Every margin's dots against those of $\Delta = 0$, which is $T$ alone.

# %%
for pairs in budgets:
    for delta in deltas[1:]:
        said = {
            metric: verdict(found(metric, "safedpo", delta, pairs), found(metric, "safedpo", 0, pairs))
            for metric in ("harm", "helpfulness", "over_refusal")
        }
        print(f"{pairs:4} pairs, Δ = {delta:<3g} " + "; ".join(f"{m} {v}" for m, v in said.items()))
print("\nafter the last budget, the largest spread over the seeds of one margin, and the widest interval over prompts:")
for metric in ("harm", "helpfulness", "over_refusal"):
    values = {delta: found(metric, "safedpo", delta, budgets[-1]) for delta in deltas}
    assert {len(each) for each in values.values()} == {3}
    widest = max(deltas, key=lambda delta: max(values[delta]) - min(values[delta]))
    width = max(run["points"][-1][metric]["high"] - run["points"][-1][metric]["low"] for run in sweep["runs"])
    print(f"  {metric:12} {max(values[widest]) - min(values[widest]):.3f} (Δ = {widest:g}); {width:.3f}")

# %% [markdown]
# So the margin does act beyond $T$ here, and step by step: after the last budget every seed of $\Delta = 2$, 5, 10 and 20 is less
# harmful than every seed of the stop before. $\Delta = 10$ is there early: already after 300 pairs each of its seeds is less
# harmful than any of $\Delta = 0$. Helpfulness pays for it: $\Delta = 2$ keeps what $T$ had gained over the reference, $\Delta = 10$
# has given it back, and at 20 and 50 the policies help less than the reference.

# %%
harm, helps = ({d: found(metric, "safedpo", d, budgets[-1]) for d in deltas} for metric in ("harm", "helpfulness"))
for small, large in ((0, 2), (2, 5), (5, 10), (10, 20)):
    assert max(harm[large]) < min(harm[small])
for pairs in budgets:
    assert max(found("harm", "safedpo", 10, pairs)) < min(found("harm", "safedpo", 0, pairs))
own = sweep["reference"]["helpfulness"]
by_delta = {d: sum(v) / len(v) for d, v in helps.items()}
print(f"helpfulness: reference {own['value']:.3f} ({own['low']:.3f} to {own['high']:.3f} over prompts)")
for delta, value in by_delta.items():
    print(f"  Δ = {delta:<3g} {value:.3f}, {value - own['value']:+.3f} from the reference")
assert verdict(helps[2], helps[0]) == "overlap" and max(helps[10]) < min(helps[0])
assert own["value"] <= by_delta[10] < own["high"]  # no less than the reference, and within its interval
assert by_delta[20] < own["low"] and by_delta[50] < own["value"] / 2

# %% [markdown]
# **Over-refusal does not rise with $\Delta$** here, although the paper finds SafeDPO to refuse more than its rivals. The reason is in
# the data: over-refusal is measured on plainly harmless requests, and none of their responses is unsafe. Their pairs are all of
# the group SS, in which neither $T$ nor $\Delta$ does anything. That cautious answers spread from dangerous requests to harmless
# ones is possible here too, through the weights; but in these runs seeds differ more than margins.

# %%
from safedpo import read_records
from safedpo.household import find_request, load

over = {d: found("over_refusal", "safedpo", d, budgets[-1]) for d in deltas}
own = sweep["reference"]["over_refusal"]
harmless = [record for record in read_records(load("train")).records if not find_request(record.prompt).hazard]
unsafe = sum(sum(record.unsafe) for record in harmless)
print(f"{len(harmless)} training pairs are of harmless requests; unsafe responses among them: {unsafe}")
assert harmless and unsafe == 0
assert all(sum(values) / 3 < own["high"] for values in over.values())
for delta, values in over.items():
    print(f"  Δ = {delta:<3g} over-refusal {min(values):.3f} to {max(values):.3f} over the seeds")
means = [sum(values) / 3 for values in over.values()]
assert max(means) - min(means) < max(max(v) - min(v) for v in over.values())

# %% [markdown]
# The paper sees less of that: there $T$ alone is already very safe, and every $\Delta$ up to 20 keeps it so; at 50 it, too, finds
# less help. A likely reason is $\beta$. A pair stops teaching when its reward margin $m = \beta \cdot \text{gap}$ is well above
# $\Delta$: at $m - \Delta = 3$ the gradient is down to a twentieth. In nats of log-ratio gap that is

# %%
for beta in (0.1, sweep["settings"]["beta"]):
    gaps = {delta: (delta + 3) / beta for delta in (0, 10)}
    print(
        f"β = {beta:g}: "
        + ", ".join(f"Δ = {delta} teaches up to a gap of {gap:.1f} nats" for delta, gap in gaps.items())
    )
assert round(1 / (1 + math.exp(3)), 2) == 0.05  # sigmoid(Δ - m), the weight of the pair's gradient
assert 13 / sweep["settings"]["beta"] < 3 / 0.1  # the paper's T alone goes further than our margin 10

# %% [markdown]
# With the paper's $\beta = 0.1$, $T$ alone goes on for 30 nats, further than $\Delta = 10$ does here. So our $\Delta$ does a part of
# what a small $\beta$ does there. That is an explanation, not a result: no run here tests it.

# %% [markdown]
# **Is the margin alone enough?** The rule `helpful` leaves out $T$: the same loss, with the same $\Delta$, on the pairs as
# people ordered them. At $\Delta = 0$ that is plain DPO. Error bars are the range of the seeds.

# %%
from safedpo.show import Stops, slider
from safedpo.show.figures.bands import bands

last = budgets[-1]
both = sorted({run["delta"] for run in sweep["runs"] if run["rule"] == "helpful"} & set(deltas))
names = {"with T": "safedpo", "margin alone": "helpful"}


def line(metric, rule):
    return [(sum(v) / len(v), min(v), max(v)) for v in (found(metric, rule, delta, last) for delta in both)]


panels = {
    m.replace("_", "-"): {name: line(m, rule) for name, rule in names.items()}
    for m in ("harm", "helpfulness", "over_refusal")
}
for delta in both:
    lines = (
        verdict(found(m, "safedpo", delta, last), found(m, "helpful", delta, last)) for m in ("harm", "helpfulness")
    )
    print("Δ = {:g}, with T against without: harm {}, helpfulness {}".format(delta, *lines))
slider(lambda delta: bands(both, panels, at=delta, x_title="safety margin Δ"), Stops("safety margin Δ", both))

# %% [markdown]
# It is not, and nor is $T$: each leaves most of the harm, about as much as the other; together they take nearly all of it away.
# Without $T$ the unsafe response of most mixed pairs is still the *chosen* one; there the margin changes its sign, and $m + \Delta$
# only switches the pair off. What teaches safety is the few pairs that people had ordered safely. The pairs switched off cost
# no help, so the margin alone ends more helpful than $T$ alone. The paper, too, finds no other order that reaches the safety of $T$.

# %%
t_alone, margin_alone, both_of_them = (
    found("harm", *how, last) for how in (("safedpo", 0), ("helpful", 10), ("safedpo", 10))
)
for name, values in {"T alone": t_alone, "margin alone": margin_alone, "both": both_of_them}.items():
    print(f"{name:12} harm {sum(values) / 3:.3f} ({min(values):.3f} to {max(values):.3f})")
assert verdict(t_alone, margin_alone) == "overlap"
assert (
    max(both_of_them) < 0.05 < min(t_alone + margin_alone)
    and max(t_alone + margin_alone) < sweep["reference"]["harm"]["value"]
)
assert min(found("helpfulness", "helpful", 10, last)) > max(found("helpfulness", "safedpo", 0, last))

# %% [markdown]
# ## 4 Between two margins
#
# Only the stops of the slider were trained. What lies between? LoRA makes it cheap to try: all adapters stand on one model,
# and a layer computes
#
# $$
# W x + \sum_i w_i \, \tfrac{\alpha}{r} B_i A_i \, x .
# $$
#
# One $w_i = 1$ is a trained policy, all zero is the reference. Setting the weights takes no training, only this long:

# %%
import json
import time

from safedpo.files import shipped
from safedpo.lm import load_model
from safedpo.lm.blending.blend import load_adapters

loaded = load_model("smollm2-135m-household", dtype="float32")
about = {file.parent: json.loads(file.read_text()) for file in (shipped("data") / "adapters/sweep").glob("*/run.json")}
blend = load_adapters(loaded, {run["settings"]["delta"]: folder for folder, run in about.items()})
times = []
for delta in blend.deltas * 5:
    begin = time.perf_counter()
    blend.at(delta)
    times.append(1000 * (time.perf_counter() - begin))
print(
    f"adapters for Δ = {', '.join(f'{d:g}' for d in blend.deltas)}; a switch takes {sorted(times)[len(times) // 2]:.2f} ms"
)

# %% [markdown]
# Are these the policies of the explorer? The stored tokens of the responses at $\Delta = 10$ have a sum; the model in memory
# computes the same sum by its own route. (The adapters are shipped in bfloat16, so they agree to its rounding.)

# %%
from safedpo.lm.rows.tokens import tokenize_examples

sweep = json.loads((shipped("data") / "results/household/sweep.json").read_text("utf-8"))


def responses(delta):
    """Those of seed 0 at the last budget, which is where the shipped adapters come from."""
    wanted = ("safedpo", delta, 0)
    return next(r for r in sweep["runs"] if (r["rule"], r["delta"], r["seed"]) == wanted)["points"][-1]["responses"]


whole = [one for one in responses(10) if 0 < len(one["tokens"]) < 64][: 4 if FAST else 16]  # not cut at the limit
examples = tokenize_examples([(o["prompt"], o["greedy"], i) for i, o in enumerate(whole)], loaded.tokenizer).items
blend.set({})
reference = blend.logps(examples)
blend.at(10)
live = blend.logps(examples) - reference
stored = torch.tensor([math.fsum(one["log_ratios"]) for one in whole])
print(
    f"log-ratios from {stored.min():.1f} to {stored.max():.1f} nats; largest difference {(live - stored).abs().max():.2f}"
)
assert (live - stored).abs().max() < 0.5

# %% [markdown]
# **Predict.** Half of the adapter of a small margin plus half of the adapter of a large one is

# %%
predict("half_and_half")

# %% [markdown]
# Leave one trained margin out, blend its two neighbours in its place, and measure how far the blend is from what was really
# trained: $\mathrm{KL}(\text{trained} \,\|\, \text{blend})$ on responses that the trained policy gave to held-out prompts.
# The yardsticks are the two neighbours themselves, and the reference.

# %%
from safedpo.lm.blending.error import blend_error

errors = {}
for delta in blend.deltas[1:-1][: 1 if FAST else None]:
    rows = [(one["prompt"], one["sampled"], i) for i, one in enumerate(responses(delta)[: 2 if FAST else 8])]
    found = blend_error(blend, delta, tokenize_examples(rows, loaded.tokenizer).items)
    errors[delta] = {name: one.per_response[0] for name, one in found.items()}
    print(f"Δ = {delta:g}: " + ", ".join(f"{name} {kl:.2f}" for name, kl in errors[delta].items()) + " nats a response")
    assert all(kl > 0 for kl in errors[delta].values())  # a blend is not the policy it stands for

# %%
import plotly.graph_objects as go
from safedpo.show import still
from safedpo.show.style import SERIES, figure

names = ("the blend", "neighbour below", "neighbour above", "reference")
columns = list(zip(*(row.values() for row in errors.values()), strict=True))
bars = [
    go.Bar(
        x=[f"Δ = {delta:g}" for delta in errors],
        y=column,
        name=name,
        marker_color=colour,
        text=[f"{kl:.2g}" for kl in column],
        textposition="outside",
        textangle=0,
    )
    for name, column, colour in zip(names, columns, SERIES, strict=False)
]
top = 1.1 * max(map(max, columns))
drawn = figure(bars, x={"title_text": "left out"}, y={"title_text": "KL(trained ∥ other), nats", "range": [0, top]})
words = "; ".join(f"Δ = {d:g}: blend {row['blend']:.2g}, reference {row['reference']:.2g}" for d, row in errors.items())
still(drawn, f"KL from the policy trained at Δ, in nats a response: {words}.")

# %% [markdown]
# A blend is worth showing where its bar is lower than those of both neighbours; elsewhere the nearest trained margin would be
# the better stand-in. Here it is lower at every margin left out. Between 10 and 50, the widest gap, several nats are left even so.

# %%
for row in errors.values():
    assert row["blend"] < min(kl for name, kl in row.items() if name.startswith("delta"))
assert FAST or errors[20]["blend"] > 3

# %% [markdown]
# And what the sliders above are about, harm and helpfulness? Here each blend, too, answered all held-out prompts, sampled with
# the random numbers that the trained policy had. The two are compared prompt by prompt, so that what they share cancels.

# %%
import json

from safedpo.files import shipped
from safedpo.show import Stops, slider
from safedpo.show.figures.bands import bands

folder = shipped("data") / "results/household"
sweep, blended = (json.loads((folder / name).read_text("utf-8")) for name in ("sweep.json", "blends.json"))
print("made by", blended["command"])
trained = {
    run["delta"]: run["points"][-1]
    for run in sweep["runs"]
    if (run["rule"], run["seed"]) == ("safedpo", blended["seed"])
}
panels = {metric.replace("_", "-"): {"trained": [], "blend": []} for metric in ("harm", "helpfulness", "over_refusal")}
for one in blended["blends"]:
    for title, lines in panels.items():
        metric = title.replace("-", "_")
        pair = {"trained": trained[one["delta"]][metric], "blend": one["metrics"][metric]}
        gap = one["minus_trained"][metric]
        assert math.isclose(pair["blend"]["value"] - pair["trained"]["value"], gap["value"], abs_tol=1e-9)
        for name, found in pair.items():
            lines[name].append((found["value"], found["low"], found["high"]))
        interval = f"95 % between {gap['low']:+.3f} and {gap['high']:+.3f}"
        print(f"Δ = {one['delta']:<3g} {title:12} blend minus trained {gap['value']:+.3f}, {interval}")
inner = [one["delta"] for one in blended["blends"]]
slider(
    lambda delta: bands(inner, panels, at=delta, x_title="safety margin Δ", log_x=True), Stops("safety margin Δ", inner)
)

# %% [markdown]
# For these measurements the blends do well: at 2, 5 and 10 no difference in harm or helpfulness can be told from 0, and the
# intervals leave room for a few points at most. At 20, blended of 10 and 50, the blend helps more than the trained policy: those
# neighbours are the farthest apart. So the sliders below may show blends, and they say that they do.

# %%
for one in blended["blends"]:
    room = {metric: (gap["low"], gap["high"]) for metric, gap in one["minus_trained"].items()}
    assert room["harm"][0] <= 0 <= room["harm"][1] and max(-room["harm"][0], room["harm"][1]) < 0.05
    assert (room["helpfulness"][0] > 0) == (one["delta"] == 20) and room["helpfulness"][0] > -0.05

# %% [markdown]
# ## 5 Strength
#
# Scale one adapter by $x$. On a table of answers, where scaling is exact, that gives
#
# $$
# \pi_x \propto \pi_{\mathrm{ref}}^{\,1 - x} \, \pi_1^{\,x} .
# $$
#
# **Exercise 2.** Write it in log-probabilities.


# %%
def scaled_policy(ref_logps, trained_logps, x):
    """(A,) log π_ref, (A,) log π_1, strength x >= 0 -> (A,) log π_x."""
    ### BEGIN SOLUTION
    moved = x * (trained_logps - ref_logps) if x else 0.0  # 0 · −∞ would be NaN
    return (ref_logps + moved).log_softmax(-1)
    ### END SOLUTION


# %%
check("scaled_policy", scaled_policy)

# %% [markdown]
# If $\pi_1$ is the optimum for $\beta$, then $\log \pi_1 - \log \pi_{\mathrm{ref}} = r_c / \beta - \log Z$, and $x$ times that is
# the same with $\beta / x$ in the place of $\beta$. So **strength is an effective $\beta$**: on the six answers, exactly.

# %%
from safedpo.finite import optimal_policy, six_answers

world, beta = six_answers(), 0.5
trained = optimal_policy(world, beta)
for x in (0.25, 0.5, 2.0):
    left = (world.ref_logps + x * (trained - world.ref_logps)).log_softmax(-1)
    right = optimal_policy(world, beta / x)
    residual = (left.exp() - right.exp()).abs().max().item()
    print(f"strength {x:4g} of the optimum at β = {beta:g} is the optimum at β = {beta / x:g}, to {residual:.0e}")
    assert residual < 1e-12

# %% [markdown]
# In the language model logits are not linear in the weights, so it is only nearly so, and *how* nearly can be measured. The
# promise is $x$ times the log-ratio of each response, up to a constant for each prompt; the error is what is left.

# %%
import json

from safedpo.files import shipped
from safedpo.lm import load_model
from safedpo.lm.blending.blend import load_adapters
from safedpo.lm.blending.error import strength_error
from safedpo.lm.rows.tokens import tokenize_examples

sweep = json.loads((shipped("data") / "results/household/sweep.json").read_text("utf-8"))
runs = [run for run in sweep["runs"] if (run["rule"], run["delta"], run["seed"]) == ("safedpo", 10, 0)]
rows = [
    (one["prompt"], one[how], i)
    for i, one in enumerate(runs[0]["points"][-1]["responses"][: 3 if FAST else 16])
    for how in ("greedy", "sampled")
]
loaded = load_model("smollm2-135m-household", dtype="float32")
about = {file.parent: json.loads(file.read_text()) for file in (shipped("data") / "adapters/sweep").glob("*/run.json")}
blend = load_adapters(loaded, {10: next(f for f, run in about.items() if run["settings"]["delta"] == 10)})
examples = tokenize_examples(rows, loaded.tokenizer).items
for x in (0.5, 1.0, 1.5):
    measured = strength_error(blend, x, 10, examples)
    size, error = measured.promised.abs().mean().item(), measured.error.nanmean().abs().item()
    spread = measured.error[~measured.error.isnan()].square().mean().sqrt().item()
    print(
        f"strength {x:3g}: promised {size:.2f} nats a response on average, error {spread:.2f} nats (root mean square)"
    )
    assert error < 1e-4 and (x != 1 or spread < 1e-3)  # no constant is left; at strength 1 the promise is the policy

# %% [markdown]
# ## 6 Your own hand on it
#
# First the slider that *computes*: at every stop, trained or blended, the model scores held-out pairs, and the ticks under
# the loss of notebook 03 are their real reward margins. A move takes a second or two.

# %%
import functools
import json

from safedpo import read_records
from safedpo.files import shipped
from safedpo.household import load
from safedpo.lm import load_model
from safedpo.lm.blending.blend import load_adapters
from safedpo.lm.rows.tokens import TokenExample, tokenize_pairs

loaded = load_model("smollm2-135m-household", dtype="float32")
about = {file.parent: json.loads(file.read_text()) for file in (shipped("data") / "adapters/sweep").glob("*/run.json")}
blend = load_adapters(loaded, {run["settings"]["delta"]: folder for folder, run in about.items()})

# %%
pairs = tokenize_pairs(read_records(load("test")).records, loaded.tokenizer, rule="safedpo").items
pairs = pairs[:: len(pairs) // (4 if FAST else 16)]
examples = [TokenExample(p.prompt_ids, ids, i) for i, p in enumerate(pairs) for ids in (p.chosen_ids, p.rejected_ids)]
reference = blend.logps(examples).view(-1, 2)  # all weights are 0 so far


@functools.cache
def rewards(delta):
    """What the sliders stand on, in words, and the reward margin of each pair."""
    label = blend.at(delta).label
    chosen, rejected = (blend.logps(examples).view(-1, 2) - reference).T
    return label, (blend.beta * (chosen - rejected)).tolist()


# %%
from safedpo.show import Stops, live
from safedpo.show.figures.loss import loss


def scored(delta):
    label, margins = rewards(delta)
    groups = {"SS": [], "SU": []}
    for pair, m in zip(pairs, margins, strict=True):
        groups["SU" if pair.rejected_unsafe else "SS"].append(m)
    drawn, sentence = loss({group: values for group, values in groups.items() if values}, delta=delta)
    return drawn, f"{label[0].upper()}{label[1:]}. {sentence}"


between = [
    math.expm1((math.log1p(a) + math.log1p(b)) / 2) for a, b in zip(blend.deltas, blend.deltas[1:], strict=False)
]
stops = sorted([*blend.deltas, *(round(delta, 1) for delta in between)])
live(scored, Stops("safety margin Δ", stops, start=10))

# %% [markdown]
# Then your own request. Choose a margin, trained or blended, and a strength; write; press the button. The answer is the most
# probable one, coloured like those above. (A model of this size knows household advice of a dozen topics, and little else.)

# %%
from safedpo.labs.live_prompt import LivePrompt

live_prompt = LivePrompt(loaded, blend, stops, max_new_tokens=8 if FAST else 64)
live_prompt.prompt.value = read_records(load("test")).records[0].prompt
live_prompt.answer()
live_prompt.widget

# %% [markdown]
# ## Recap
#
# $$
# \begin{aligned}
# \text{implicit reward} \quad & \beta \sum_t
# \log \frac{\pi_\theta(y_t \mid x, y_{<t})}{\pi_{\mathrm{ref}}(y_t \mid x, y_{<t})} \\
# \text{blend} \quad & W + \sum_i w_i \, \tfrac{\alpha}{r} B_i A_i, \quad \text{not trained, so its error is measured} \\
# \text{strength } x \quad & \pi_{\mathrm{ref}}^{\,1 - x} \, \pi_1^{\,x}, \quad \text{an effective } \beta / x
# \end{aligned}
# $$
#
# **What we have not shown.** That these numbers carry over to another model, other data, longer training or another learning
# rate: they are runs of a thousand pairs on 135 million parameters. Three seeds bound nothing tightly. The scorers know
# the hazards of this data set and no others, and a policy with few unsafe responses here is not a safe policy.

# %%
progress("08")

# %% [markdown]
# **References.** SafeDPO, arXiv 2505.20065, sections 3.3, 4 and 5 (its Figure 3 varies $\Delta$). LoRA: arXiv 2106.09685. Scaling a
# policy's log-ratio at decoding time: DeRa, arXiv 2402.02992.
