# %% [markdown]
# # 08 · The safety margin
#
# A slider moves one number, the safety margin $\Delta$. Behind it stands a real language model, trained anew for every stop.
# Read the model's responses, token by token, beside its harm, its helpfulness and its over-refusal. Every picture shows stored
# measurements with their uncertainty, or is computed while you watch. Where a picture takes a shortcut, the error of the
# shortcut is measured too.
#
# **Afterwards you can**
# - say what $\Delta$ did to this model at a given training budget, and how sure that is;
# - tell the uncertainty over prompts from the spread over seeds;
# - read a response's implicit reward off its tokens;
# - blend two adapters, and say how far the blend is from a policy that was really trained;
# - scale an adapter, and say what strength has to do with $\beta$.
#
# **Time** about 30 minutes. **You need** $T$ and $\Delta$ of notebook 03, and notebook 07. Sections 4 to 6 load the model of
# notebook 07.
#
# <!-- links -->

# %%
# SET-UP

import functools

from safedpo import read_records
from safedpo.evaluate import cluster_interval
from safedpo.evaluate.results import METRICS, stored_results
from safedpo.household import LOOKALIKES, is_lookalike, load, requests, score
from safedpo.labs.lessons import ladder, margins
from safedpo.labs.live.prompt import LivePrompt
from safedpo.lm.blending.error import blend_error, strength_error
from safedpo.lm.rows.tokens import TokenExample, tokenize_examples, tokenize_pairs

results = stored_results()
sweep, budgets, deltas, last = results.sweep, results.budgets, results.deltas(), results.budgets[-1]
own = results.reference  # of the reference: metric -> value, low, high

# %% [markdown]
# ## 1 Many runs that differ in one number
#
# `safedpo sweep` trained one policy for each $\Delta$ and seed below, two of the $\Delta$ without $T$ too, and measured
# each of them after several training budgets. It took hours; its results are stored.

# %%
runs = sweep["runs"]
print(f"made by {sweep['commands'][-1]}\nand {len(sweep['commands']) - 1} like it: other rules, deltas and seeds")
rules, seeds = (sorted({run[what] for run in runs}) for what in ("rule", "seed"))
print(f"{len(runs)} runs: rules {rules}, deltas {deltas}, seeds {seeds}; measured after {budgets} pairs")
assert len({(run["rule"], run["delta"], run["seed"]) for run in runs}) == len(runs)  # no run counts twice
for run in runs:
    assert [point["pairs"] for point in run["points"]] == budgets  # each is there at every budget
    assert all(p[m]["low"] <= p[m]["value"] <= p[m]["high"] for p in run["points"] for m in METRICS)

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
explorer(sweep, score)

# %% [markdown]
# The texts are the *greedy* responses to 16 prompts: at each step the most probable token. The dots measure responses
# *sampled* for all held-out prompts. The two need not agree, and sixteen texts prove little, so trust the dots.

# %%
texts = [text for d in deltas for pairs in budgets for p in results.points(d, pairs=pairs) for text in p["responses"]]
assert all(len(text["tokens"]) == len(text["log_ratios"]) for text in texts)  # a number for every token shown
for how in ("greedy", "sampled"):
    share = sum(score(text["prompt"], text[how]).unsafe for text in texts) / len(texts)
    print(f"unsafe among {len(texts)} {how} responses: {share:.1%}")

# %% [markdown]
# ## 3 What is true, and how sure is it?
#
# Two different things are random here: *which prompts* the policy was asked, and *which run* it was.
#
# **Exercise 1** ●●○ 5 min. Each row of `scores` is a prompt, each column one response to it. What is the standard error of the
# mean?


# %%
def error_over_prompts(scores):
    """scores (P, S): S responses to each of P prompts -> the standard error of their mean, one number."""
    ### BEGIN SOLUTION
    return scores.mean(1).std() / math.sqrt(len(scores))
    ### END SOLUTION


# %%
check("error_over_prompts", error_over_prompts)

# %% [markdown]
# The stored intervals come from a bootstrap: it draws whole prompts again and again, with replacement, and looks how far the
# mean moves. Here is one of them beside two formulas. Yours is the right one. The other counts every response as a draw of its
# own. It claims too much precision whenever responses to one prompt resemble one another.

# %%
names, scores = results.reference_scores("helpfulness")
drawn = cluster_interval(scores.flatten().tolist(), [name for name in names for _ in range(scores.shape[1])])
by_prompts = 1.96 * (scores.mean(1).std() / math.sqrt(len(scores))).item()
by_responses = 1.96 * (scores.std() / math.sqrt(scores.numel())).item()
half = (drawn.high - drawn.low) / 2
print(f"half the interval: bootstrap {half:.4f}, over prompts {by_prompts:.4f}, over responses {by_responses:.4f}")
assert math.isclose(half, by_prompts, rel_tol=0.1)
assert by_responses < by_prompts  # counting responses would claim too much

# %% [markdown]
# **Predict.** One seed of the larger margin is safer than one seed of the smaller. So

# %%
predict("one_seed")

# %% [markdown]
# With three seeds a side there are 20 ways to deal out six dots. In 2 of them the two sides lie apart: all dots of one are
# lower, or all are higher. So by chance alone two sides lie apart in 2 of 20 cases, or in 1 of 20 if somebody said beforehand
# which side should be lower. Below are 15 comparisons for each metric. By chance, one or two of each 15 would lie apart. One of
# them alone is weak evidence. Nearly all of them on the same side is strong evidence. (With one dot a side they always lie
# apart: that is no evidence at all.) The 15 are not independent, though: all use the same three seeds of $\Delta = 0$, and a
# run is measured three times on its way. So read them as fewer than 15.

# %%
assert (margins.chance(3, 3), margins.chance(1, 1)) == (2 / 20, 1)
margins.show_means(results)

# %% [markdown]
# **Does $\Delta$ do anything beyond $T$?** We compare every margin's dots with those of $\Delta = 0$, which is $T$ alone.

# %%
verdicts = margins.verdicts(results, against=0)
print(*(f"{m:13} {pairs:4} pairs, Δ = {d:<3g} {how}" for (m, pairs, d), how in verdicts.items()), sep="\n")
apart = {metric: [how for (m, *_), how in verdicts.items() if m == metric and how != "overlap"] for metric in METRICS}
expected = len(verdicts) / len(METRICS) * margins.chance(3, 3)
print(*(f"{metric}: {len(found)} of 15 apart, by chance {expected:g}" for metric, found in apart.items()), sep="\n")
assert len(apart["harm"]) >= 13 and set(apart["harm"]) == {"all lower"}  # far beyond chance, and all on one side
assert len(apart["helpfulness"]) >= 5 and set(apart["helpfulness"]) == {"all lower"}
assert all(verdicts["helpfulness", last, d] == verdicts["over_refusal", last, d] == "overlap" for d in (2, 5))
print("\nafter the last budget, the largest spread over the seeds of one margin, and the widest interval over prompts:")
margins.show_spreads(results)

# %% [markdown]
# So the margin acts beyond $T$ here, and step by step. After the last budget every seed of $\Delta = 2$, 5, 10 and 20 is less
# harmful than every seed of the stop before. $\Delta = 10$ acts early: already after 300 pairs each of its seeds is less
# harmful than any of $\Delta = 0$. Its help comes later: after 300 pairs it helps no more than the reference. After the last
# budget the help that $T$ had gained over the reference is kept up to $\Delta = 5$, and $\Delta = 10$ keeps most of it.
# $\Delta = 20$ helps about as much as the reference, and 50 less.

# %%
harm, helps = ({d: results.values(metric, d) for d in deltas} for metric in ("harm", "helpfulness"))
assert all(margins.verdict(harm[b], harm[a]) == "all lower" for a, b in ((0, 2), (2, 5), (5, 10), (10, 20)))
assert all(verdicts["harm", pairs, 10] == "all lower" for pairs in budgets)
ref = own["helpfulness"]
by_delta = {d: sum(v) / len(v) for d, v in helps.items()}
print(f"helpfulness: reference {ref['value']:.3f} ({ref['low']:.3f} to {ref['high']:.3f} over prompts)")
print(*(f"  Δ = {d:<3g} {v:.3f}, {v - ref['value']:+.3f} from the reference" for d, v in by_delta.items()), sep="\n")
early = results.values("helpfulness", 10, pairs=budgets[0])
assert abs(sum(early) / len(early) - ref["value"]) < 0.03
assert verdicts["helpfulness", last, 2] == "overlap" and abs(by_delta[5] - by_delta[0]) < 0.02
assert by_delta[10] > ref["high"] and by_delta[0] - by_delta[10] < (by_delta[0] - ref["value"]) / 2
assert ref["low"] < by_delta[20] < ref["high"] and by_delta[50] < ref["low"]

# %% [markdown]
# **Over-refusal.** Harmless requests are of two kinds here: plain ones, and *look-alikes*, which only look unsafe ("My laptop
# froze and I want to kill the program."). In the data two of five responses to a look-alike refuse, so there is something to
# unlearn, or to overdo. A reviewer of the paper asked what $\Delta$ does to such requests.

# %%
refused = margins.show_refused(results)
unsafe = [sum(record.unsafe) for record in read_records(load("train")).records if is_lookalike(record.prompt)]
print(f"{len(unsafe)} training pairs are of look-alikes; unsafe responses among them: {sum(unsafe)}")
assert unsafe and sum(unsafe) == 0
assert all(refused[f"Δ = {d:g}"] < refused["the reference"] for d in deltas)
refusals = {d: [one["value"] for one in results.topic_values("over_refusal", LOOKALIKES, d)] for d in deltas}
assert all(margins.verdict(refusals[d], refusals[0]) == "overlap" for d in (2, 5, 10, 20))
assert max(abs(refused[f"Δ = {d}"] - refused["Δ = 0"]) for d in (2, 5, 10, 20)) < 0.03

# %% [markdown]
# No policy refuses more look-alikes than the reference. $T$ alone refuses fewer, and up to $\Delta = 20$ the margin changes
# that little: the seeds of each margin overlap with those of $T$ alone. The safe optimum keeps next to none, for a refusal
# earns no reward. The paper finds SafeDPO to refuse more than its rivals. A likely reason for the difference is in the data. No
# response to a look-alike is unsafe, so all their pairs are of the group SS, and neither $T$ nor $\Delta$ acts on them
# directly. Where a refusal is often the safe response of a mixed pair, the margin would push the other way. No run here tests
# that. And mind the last stop: at $\Delta = 50$ half of the sentences are broken, and a broken refusal is none.

# %%
broken = {d: [point["broken"]["value"] for point in results.points(d)] for d in deltas}
print("broken sentences:", *(f"Δ = {d:g} {sum(v) / len(v):.3f}" for d, v in broken.items()))
assert min(broken[50]) > 0.4 and max(max(broken[d]) for d in (0, 2, 5)) < 0.08

# %% [markdown]
# The paper sees less of an effect of $\Delta$. There $T$ alone is already very safe, and every $\Delta$ up to 20 keeps it so.
# At 50 the paper, too, finds less help. A likely reason is $\beta$. A pair stops teaching when its reward margin
# $m = \beta \cdot \text{gap}$ is well above $\Delta$: at $m - \Delta = 3$ the gradient is down to a twentieth. In nats of
# log-ratio gap that is

# %%
for beta in (0.1, results.beta):
    gaps = ", ".join(f"Δ = {delta} teaches up to a gap of {(delta + 3) / beta:.1f} nats" for delta in (0, 10))
    print(f"β = {beta:g}: {gaps}")
assert round(1 / (1 + math.exp(3)), 2) == 0.05  # sigmoid(Δ - m), the weight of the pair's gradient
assert 13 / results.beta < 3 / 0.1  # the paper's T alone goes further than our margin 10

# %% [markdown]
# With the paper's $\beta = 0.1$, $T$ alone teaches up to 30 nats, further than $\Delta = 10$ does here. So our $\Delta$ may do
# a part of what a small $\beta$ does there. **Is $T$ alone enough at a small $\beta$?** Three runs without a margin say, all
# else alike; they were trials on validation prompts.

# %%
alone = margins.show_alone()

# %% [markdown]
# One seed each: in these trials $T$ alone leaves less harm the smaller $\beta$ is. At $\beta = 0.5$ it leaves a third of what
# it leaves at 2, with hardly more broken sentences. At the paper's 0.1 it leaves about as little as $\Delta = 10$ does at 2,
# but two of three sentences are broken, so its low harm tells little. (The paper's steps are far
# smaller; whether that would save the sentences was not tested.) So a small $\beta$ can do a part of what $\Delta$ does here,
# and that may be why $\Delta$ matters less in the paper. A small margin at $\beta = 0.5$ may be better than both; it was not
# tried.

# %%
small, half, two = ({metric: alone[beta][metric]["value"] for metric in ("harm", "broken")} for beta in (0.1, 0.5, 2.0))
assert small["harm"] < 0.02 < half["harm"] < 0.35 * two["harm"]
assert small["broken"] > 0.6 and half["broken"] - two["broken"] < 0.02

# %% [markdown]
# **Is the margin alone enough?** The rule `helpful` leaves out $T$: the same loss, with the same $\Delta$, on the pairs as
# the raters ordered them. At $\Delta = 0$ that is plain DPO. Error bars are the range of the seeds.

# %%
both = [delta for delta in results.deltas("helpful") if delta in deltas]
panels = margins.lines(results, {"with T": "safedpo", "margin alone": "helpful"}, both)
for delta in both:
    for m in ("harm", "helpfulness"):
        found = margins.verdict(results.values(m, delta), results.values(m, delta, rule="helpful"))
        print(f"Δ = {delta:g}, {m}: the seeds with T against those without: {found}")
slider(lambda delta: bands(both, panels, at=delta, x_title="safety margin Δ"), Stops("safety margin Δ", both))

# %% [markdown]
# Neither is enough alone; each leaves more than half of the harm. Together they remove nearly all of it. Without $T$ the unsafe
# response of most mixed pairs is still the *chosen* one. There the margin changes its sign: with $m + \Delta$ in the place of
# $m - \Delta$ the pair is switched off, and teaches next to nothing. Safety is taught by the few pairs that the raters had
# ordered safely. The margin alone ends more helpful than $T$ alone. A possible reason is that pairs that are switched off cost
# no help; that is not measured here. The paper, too, finds no other order that reaches the safety of $T$.

# %%
t_alone, margin_alone = results.values("harm", 0), results.values("harm", 10, rule="helpful")
together = results.values("harm", 10)
print({"T alone": t_alone, "margin alone": margin_alone, "both": together})  # harm, seed by seed
assert max(together) < 0.05  # nearly none is left; each alone leaves more than half of it:
assert own["harm"]["value"] / 2 < min(t_alone + margin_alone) <= max(t_alone + margin_alone) < own["harm"]["value"]
assert min(results.values("helpfulness", 10, rule="helpful")) > max(results.values("helpfulness", 0))

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
loaded, blend = margins.trained_policies()
margins.show_switch(blend)

# %% [markdown]
# Are these the policies of the explorer? The stored tokens of the responses at $\Delta = 10$ have a sum; the model in memory
# computes the same sum by its own route. (The adapters are shipped in bfloat16, so they agree to its rounding.)

# %%
whole = [r for r in results.responses(10) if 0 < len(r["tokens"]) < 64][: 4 if FAST else 16]  # not cut at the limit
examples = tokenize_examples([(r["prompt"], r["greedy"], i) for i, r in enumerate(whole)], loaded.tokenizer).items
blend.set({})
reference = blend.logps(examples)
blend.at(10)
computed = blend.logps(examples) - reference
stored = torch.tensor([math.fsum(one["log_ratios"]) for one in whole])
worst = (computed - stored).abs().max()
print(f"log-ratios from {stored.min():.1f} to {stored.max():.1f} nats; largest difference {worst:.2f}")
assert worst < 0.5

# %% [markdown]
# **Predict.** Half of the adapter of a small margin plus half of the adapter of a large one is

# %%
predict("half_and_half")

# %% [markdown]
# Leave one trained margin out, blend its two neighbours in its place, and measure how far the blend is from what was really
# trained. The distance is $\mathrm{KL}(\text{trained} \,\|\, \text{blend})$, the mean of the difference of the two
# log-probabilities (notebook 01), on responses of the trained policy to held-out prompts. For comparison, the same is measured
# for the two neighbours themselves and for the reference.

# %%
errors = {}
for delta in blend.deltas[1:-1][: 1 if FAST else None]:
    rows = [(r["prompt"], r["sampled"], i) for i, r in enumerate(results.responses(delta)[: 2 if FAST else 8])]
    measured = blend_error(blend, delta, tokenize_examples(rows, loaded.tokenizer).items)
    errors[delta] = {name: one.per_response[0] for name, one in measured.items()}
    print(f"Δ = {delta:g}: " + ", ".join(f"{name} {kl:.2f}" for name, kl in errors[delta].items()) + " nats a response")
    assert all(kl > 0 for kl in errors[delta].values())  # a blend is not the policy it stands for
still(*margins.divergences(errors))

# %% [markdown]
# A blend is worth showing where its bar is lower than those of both neighbours; elsewhere the nearest trained margin would be
# the better stand-in. Here it is lower at every margin left out. Between 10 and 50, the widest gap, several nats are left even
# so.

# %%
for row in errors.values():
    assert row["blend"] < min(kl for name, kl in row.items() if name.startswith("delta"))
assert FAST or errors[20]["blend"] > 3

# %% [markdown]
# And harm and helpfulness, which the sliders above show? Each blend, too, answered all held-out prompts, sampled with the
# random numbers that the trained policy had. The two are compared prompt by prompt, so that what they share cancels.

# %%
print("made by", results.blends["command"])
panels = margins.blend_lines(results)
for place, one in enumerate(results.blends["blends"]):
    for metric, gap in one["minus_trained"].items():
        if metric in METRICS:
            (trained, *_), (blended, *_) = (panels[margins.title(metric)][name][place] for name in ("trained", "blend"))
            assert math.isclose(blended - trained, gap["value"], abs_tol=1e-9)
            interval = f"95 % between {gap['low']:+.3f} and {gap['high']:+.3f}"
            print(f"Δ = {one['delta']:<3g} {metric:12} blend minus trained {gap['value']:+.3f}, {interval}")
inner = [one["delta"] for one in results.blends["blends"]]
drawn = functools.partial(bands, inner, panels, x_title="safety margin Δ", log_x=True)
slider(lambda delta: drawn(at=delta), Stops("safety margin Δ", inner))

# %% [markdown]
# By these measurements the inner blends stand in well. At 5 and 10 no difference in harm or helpfulness can be told from 0, and
# the intervals leave room for three percentage points at most. At 2 the blend of 0 and 5 is the safer one, by four points. At
# 20, blended from 10 and 50, it is another policy: it helps more by eight points, is more harmful by one and breaks more
# sentences by five. Those neighbours are the farthest apart. So the sliders below may show blends, and they say so.

# %%
for one in results.blends["blends"]:
    room = {metric: (gap["low"], gap["high"]) for metric, gap in one["minus_trained"].items()}
    (safer, riskier), (worse, better) = room["harm"], room["helpfulness"]
    assert (riskier < 0) == (one["delta"] == 2) and (safer > 0) == (one["delta"] == 20) and max(-safer, riskier) < 0.07
    assert (better > worse > 0) == (room["broken"][0] > 0) == (one["delta"] == 20) and worse > -0.03
    assert one["delta"] not in (5, 10) or max(-safer, riskier, -worse, better) <= 0.031

# %% [markdown]
# ## 5 Strength
#
# Scale one adapter by $x$. If the policy is a table of logits, that multiplies the change of every logit by $x$, and gives
#
# $$
# \pi_x \propto \pi_{\mathrm{ref}}^{\,1 - x} \, \pi_1^{\,x} .
# $$
#
# **Exercise 2** ●●○ 10 min. Write it in log-probabilities.


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
# If $\pi_1$ is the optimum for $\beta$, then $\log \pi_1 - \log \pi_{\mathrm{ref}} = r_c / \beta - \log Z$, and $x$ times that
# is the same with $\beta / x$ in the place of $\beta$, up to a constant that the softmax removes. So **strength is an effective
# $\beta$**: on the six answers, exactly.

# %%
world, beta = six_answers(), 0.5
trained = optimal_policy(world, beta)
for x in (0.25, 0.5, 2.0):
    left = (world.ref_logps + x * (trained - world.ref_logps)).log_softmax(-1)
    right = optimal_policy(world, beta / x)
    residual = (left.exp() - right.exp()).abs().max().item()
    print(f"strength {x:4g} of the optimum at β = {beta:g} is the optimum at β = {beta / x:g}, to {residual:.0e}")
    assert residual < 1e-12

# %% [markdown]
# Move the strength. At 0 stands the reference, at 1 the optimum for $\beta = 0.5$; beyond 1 the policy goes on towards the best
# safe answer.


# %%
def at_strength(x):
    scaled = (world.ref_logps + x * (trained - world.ref_logps)).log_softmax(-1) if x else world.ref_logps
    return bars(world, {"reference": world.ref_logps, "scaled": scaled}, f"At strength {x:g}")


strengths = [0, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5]
assert rising(optimal_policy(world, beta / x)[0, 0] for x in strengths[1:])  # answer 0 is the best safe one
slider(at_strength, Stops("strength", strengths, start=1))

# %% [markdown]
# In the language model the logits, from which a softmax makes the probabilities of the next token, are not linear in the
# weights, so this holds only approximately. The error can be measured. The formula predicts $x$ times the log-ratio of each
# response, up to a constant for each prompt. The error is the rest.

# %%
loaded, blend = margins.trained_policies()
shown = results.responses(10)[: 3 if FAST else 16]
rows = [(one["prompt"], one[how], i) for i, one in enumerate(shown) for how in ("greedy", "sampled")]
examples = tokenize_examples(rows, loaded.tokenizer).items
for x in (0.5, 1.0, 1.5):
    measured = strength_error(blend, x, 10, examples)
    size, error = measured.promised.abs().mean().item(), measured.error.nanmean().abs().item()
    spread = measured.error[~measured.error.isnan()].square().mean().sqrt().item()
    print(f"strength {x:3g}: predicted {size:.2f} nats a response on average, root-mean-square error {spread:.2f} nats")
    assert error < 1e-4 and (x != 1 or spread < 1e-3)  # no constant is left; at strength 1 it is the policy itself

# %% [markdown]
# ## 6 Move it yourself
#
# First a slider that *computes*. At every stop, trained or blended, the model scores held-out pairs. The ticks under the loss
# of notebook 03 are their real reward margins. A move takes a few seconds.

# %%
loaded, blend = margins.trained_policies()
pairs = tokenize_pairs(read_records(load("test")).records, loaded.tokenizer, rule="safedpo").items
pairs = pairs[:: len(pairs) // (4 if FAST else 16)]
examples = [TokenExample(p.prompt_ids, ids, i) for i, p in enumerate(pairs) for ids in (p.chosen_ids, p.rejected_ids)]
blend.set({})
reference = blend.logps(examples).view(-1, 2)


@functools.cache
def rewards(delta):
    """What the slider stands on, in words, and the reward margins by pair group."""
    label, groups = blend.at(delta).label, {}
    chosen, rejected = (blend.logps(examples).view(-1, 2) - reference).T
    for pair, m in zip(pairs, (blend.beta * (chosen - rejected)).tolist(), strict=True):
        groups.setdefault("SU" if pair.rejected_unsafe else "SS", []).append(m)
    return label, groups


# %%
def scored(delta):
    label, groups = rewards(delta)
    drawn, sentence = loss(groups, delta=delta)
    return drawn, f"{label[0].upper()}{label[1:]}. {sentence}"


logs = [math.log1p(delta) for delta in blend.deltas]  # between two trained margins one more stop, halfway in log(1 + Δ)
between = [round(math.expm1((a + b) / 2), 1) for a, b in zip(logs, logs[1:], strict=False)]
stops = sorted([*blend.deltas, *between])
live(scored, Stops("safety margin Δ", stops, start=10))

# %% [markdown]
# Then your own request. Choose a margin, trained or blended, and a strength; write; press the button. The answer is the most
# probable one, coloured like those above. (This model was taught household advice on 15 topics, and knows little else.)

# %%
assert len({one.topic for one in requests()}) == 15
live_prompt = LivePrompt(loaded, blend, stops, max_new_tokens=8 if FAST else 64)
live_prompt.prompt.value = read_records(load("test")).records[0].prompt
live_prompt.answer()
live_prompt.widget

# %% [markdown]
# ## 7 The explorer of your own runs
#
# On a GPU the whole sweep should take as many minutes as the plan below says; that is an estimate. Choose a GPU (on Colab:
# Runtime, Change runtime type), set `RUN = "t4"`, and run this cell. The runs are kept in a folder that outlives the runtime,
# so after an interruption the same cell resumes. When it is finished, the explorer shows *your* runs. With `"look"` nothing is
# started; notebook 07 has the larger models.

# %%
RUN = "look"  # or "t4"
folder = ladder.climb(RUN, tiers=["t4"])
explorer(stored_results(folder).sweep, score)

# %% [markdown]
# ## Workshop
#
# Four longer exercises, about 45 minutes together. Nothing later depends on them.
#
# **Exercise 3** ●●● 20 min. *Interpret a sweep honestly.* Two margins, $M$ metrics, a few seeds each. Which metrics differ?
# With so few seeds the exact test deals the pooled seeds into two groups in every possible way. With several metrics some
# "differ" by chance, so the smallest p-value must be at most $\alpha / M$, the next one $\alpha / (M - 1)$, and so on; the
# first that fails ends it (Holm).


# %%
def separated(a, b, alpha):
    """(p (M,), rejected (M,) bool): a, b (M, S) are M metrics of S seeds each; two-sided, on the difference of means."""
    ### BEGIN SOLUTION
    from itertools import combinations

    pool, size = torch.cat([a, b], 1), a.shape[1]
    seen = (a.mean(1) - b.mean(1)).abs()
    deals = torch.tensor(list(combinations(range(pool.shape[1]), size)))
    mine = pool[:, deals].sum(-1)  # (M, deals)
    others = pool.sum(1, keepdim=True) - mine
    gaps = (mine / size - others / b.shape[1]).abs()
    p = (gaps >= seen[:, None] - 1e-12).double().mean(1)
    rejected = torch.zeros(len(p), dtype=torch.bool)
    for place, metric in enumerate(p.argsort().tolist()):
        if p[metric] > alpha / (len(p) - place):
            break
        rejected[metric] = True
    return p, rejected
    ### END SOLUTION


# %%
check("separated", separated)

# %% [markdown]
# **Exercise 4** ●○○ 5 min. *Make the decision.* A rule is written down before the sweep is looked at: the smallest margin at
# which *no* seed has more harm than the limit and the mean helpfulness is at least so much. Where does your rule stop if harm
# does not fall with every step of $\Delta$?


# %%
def choose_margin(harm, helpfulness, limit, least):
    """The place of the margin, from 0, or −1 if there is none: harm, helpfulness (D, S), margins in rising order."""
    ### BEGIN SOLUTION
    safe = harm.max(1).values <= limit
    helpful = helpfulness.mean(1) >= least
    places = (safe & helpful).nonzero()[:, 0]
    return places[0].item() if len(places) else -1
    ### END SOLUTION


# %%
check("choose_margin", choose_margin)

# %% [markdown]
# **Exercise 5** ●●○ 10 min. *Measure a shortcut.* How far is a blend from the policy it stands for? $P$ prompts, $K$ responses
# each, drawn from the *trained* policy, scored by both.


# %%
def kl_of_blend(trained_logps, blend_logps):
    """(KL(trained‖blend) in nats a response, its standard error over prompts): both (P, K)."""
    ### BEGIN SOLUTION
    each = (trained_logps - blend_logps).mean(1)  # one number for each prompt
    error = each.std() / math.sqrt(len(each))
    return each.mean(), error
    ### END SOLUTION


# %%
check("kl_of_blend", kl_of_blend)

# %% [markdown]
# **Exercise 6** ●●○ 10 min. *Bootstrap.* Two policies answered the same prompts. Give a 95 % interval for the difference of their
# scores, by resampling. What is resampled, prompts or responses, and do both policies get the same ones?


# %%
def bootstrap_over_prompts(ours, theirs, picks):
    """(low, high) of the mean of ours − theirs: scores (P, K); picks (R, P): the prompts of each of R resamples."""
    ### BEGIN SOLUTION
    gaps = ours.mean(1) - theirs.mean(1)  # one for each prompt
    means = gaps[picks].mean(1)  # one for each resample
    ends = torch.tensor([0.025, 0.975], dtype=means.dtype)
    low, high = means.quantile(ends)
    return low, high
    ### END SOLUTION


# %%
check("bootstrap_over_prompts", bootstrap_over_prompts)

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
# rate. They are runs of a thousand pairs on 135 million parameters. Three seeds say little about the spread. The scorers know
# the hazards of this data set and no others, and a policy with few unsafe responses here is not a safe policy.

# %%
progress("08")

# %% [markdown]
# **References.** SafeDPO, arXiv 2505.20065, sections 3.3, 4 and 5 (its Figure 3 varies $\Delta$). LoRA: arXiv 2106.09685.
# Scaling a policy's log-ratio at decoding time: DeRa, arXiv 2402.02992.
