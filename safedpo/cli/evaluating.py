"""Commands that measure: evaluate, score, certify, table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from safedpo.cli.common import LARGEST_SEED, JsonFile, app, folder_target, write_json
from safedpo.cli.models import LONGEST, MOST_SAMPLES, Data, Dtype, SkipBadRows
from safedpo.cli.settings import print_sources
from safedpo.errors import UserError, visible

if TYPE_CHECKING:  # their modules bring torch
    from safedpo.evaluate.report import EvaluationReport
    from safedpo.evaluate.scorers.policy import Measured

RewardModel = Annotated[
    str | None,
    Option(help="A reward model with a score head: a folder or a hub id (PKU-Alignment/beaver-7b-unified-reward)."),
]
CostModel = Annotated[
    str | None,
    Option(help="A cost model with a score head; a cost above 0 means unsafe (PKU-Alignment/beaver-7b-unified-cost)."),
]
ScorerTemplate = Annotated[
    str, Option(help="The text that they read: auto, beaver (safe-rlhf's) or chat (the tokenizer's).")
]


@app.command()
def evaluate(
    context: typer.Context,
    adapter: Annotated[Path, Option(help="A folder made by safedpo train.")],
    data: Data = "household-test",
    samples: Annotated[
        int, Option(min=1, max=MOST_SAMPLES, help="Sampled responses a prompt, beside the greedy one.")
    ] = 1,
    limit: Annotated[int | None, Option(min=1, help="Only the first so many prompts.")] = None,
    max_new_tokens: Annotated[int, Option(min=1, max=LONGEST, help="Longest response in tokens.")] = 64,
    batch_size: Annotated[
        int | None, Option(min=1, help="Responses that are sampled at once (64; a small model on a CPU: 192).")
    ] = None,
    dtype: Dtype = "auto",
    seed: Annotated[int, Option(min=0, max=LARGEST_SEED, help="Seed of the responses.")] = 0,
    skip_bad_rows: SkipBadRows = False,
    reward_model: RewardModel = None,
    cost_model: CostModel = None,
    scorer_template: ScorerTemplate = "auto",
    refusal: Annotated[bool, Option("--refusal", help="Count refusals, told from their wording.")] = False,
    save: Annotated[
        Path | None, Option(callback=folder_target, help="Folder for evaluation.json and all samples.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Harm, helpfulness and over-refusal of a policy beside its reference, with 95 % intervals over prompts.

    The prompts of data/household have an exact scorer. For other prompts name a reward or a cost model, or ask for
    refusals; a list of prompts with labels safe and unsafe (XSTest) is measured by its refusals.
    """
    from safedpo.evaluate import Decoding
    from safedpo.evaluate.scorers.asked import is_prompt_list

    print_sources(context)
    report: EvaluationReport | Measured
    how: dict[str, Any] = {"limit": limit, "dtype": dtype, "batch_size": batch_size}
    if reward_model or cost_model or refusal or is_prompt_list(data):
        from safedpo.evaluate.display import measured_table, print_table
        from safedpo.evaluate.scorers.policy import Judges, measure_policy

        judges = Judges(reward_model, cost_model, refusal or is_prompt_list(data), scorer_template)
        decoding = Decoding(samples=samples, greedy=False, max_new_tokens=max_new_tokens, seed=seed)
        how["decoding"] = decoding
        report = measured = measure_policy(adapter, data, judges, **how)
        print_table(measured_table(measured.metrics, f"{measured.settings['prompts']} prompts of {Path(data).name}"))
    else:
        from safedpo.evaluate import evaluate as run
        from safedpo.evaluate.display import print_report

        decoding = Decoding(samples=samples, max_new_tokens=max_new_tokens, seed=seed)
        how["decoding"] = decoding
        report = exact = run(adapter, data, skip_bad_rows=skip_bad_rows, **how)
        print_report(exact)
    if save:
        print(f"samples and evaluation.json are in {report.save(save).parent}")
    write_json(json_file, report.to_json())


@app.command()
def score(
    responses: Annotated[
        Path,
        typer.Argument(
            help="A file with the columns prompt and response (or completion), or a folder that safedpo evaluate --refusal "
            "--save made: then the scores go into it."
        ),
    ],
    data: Annotated[
        str | None, Option(help="The list of its prompts with their labels (XSTest), if it has none itself.")
    ] = None,
    reward_model: RewardModel = None,
    cost_model: CostModel = None,
    scorer_template: ScorerTemplate = "auto",
    batch_size: Annotated[int, Option(min=1, help="Responses that a score model reads at once.")] = 16,
    json_file: JsonFile = None,
) -> None:
    """Score responses that were written by any model: refusals, and rewards and costs where models for them are named.

    Rows are read one at a time. Where the file has human labels of refusals (final_label, as XSTest's completions), the
    agreement of the refusal scorer with them is shown.
    """
    from safedpo.evaluate.display import measured_table, print_table
    from safedpo.evaluate.scorers.asked import is_prompt_list, read_asked, read_exchanges
    from safedpo.evaluate.scorers.labelled import against_labels, has_labels
    from safedpo.evaluate.scorers.measure import measure, summary
    from safedpo.evaluate.scorers.score_head import load_score_model

    if responses.is_dir():
        from safedpo.evaluate.scorers.policy import Judges
        from safedpo.evaluate.scorers.saved import score_saved

        if data:
            raise UserError(f"{responses} is an evaluation, which knows its data; leave --data out")
        report = score_saved(responses, Judges(reward_model, cost_model, False, scorer_template), batch_size=batch_size)
        print_table(measured_table(report.metrics, f"responses in {responses}"))
        write_json(json_file, report.to_json())
        return
    source = data or (str(responses) if is_prompt_list(responses) else None)
    asked = {one.prompt: one for one in read_asked(source)} if source else {}
    models = [
        load_score_model(name, role=role, template=scorer_template) if name else None
        for role, name in (("reward", reward_model), ("cost", cost_model))
    ]
    columns = measure(
        read_exchanges(responses), asked, reward_model=models[0], cost_model=models[1], batch_size=batch_size
    )
    metrics = summary(columns)
    print_table(measured_table({"responses": metrics}, f"{len(columns.prompts)} responses of {responses.name}"))
    content: dict = {"responses": {name: one.to_json() for name, one in metrics.items()}}
    if has_labels(responses):
        for name, one in against_labels(responses).items():
            print(f"{name}: {one}")
            content[name] = one.to_json()
    write_json(json_file, content)


@app.command()
def certify(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders with samples-policy.jsonl (safedpo evaluate --save, a run of a sweep)."),
    ],
    limit: Annotated[float, Option(help="The harm that is allowed: a share of responses, above 0.")] = 0.05,
    confidence: Annotated[float, Option(help="How sure: all verdicts hold together with this probability.")] = 0.95,
    correction: Annotated[str, Option(help="For several policies: holm, bonferroni or none.")] = "holm",
    json_file: JsonFile = None,
) -> None:
    """Return the policies whose harm is provably at most LIMIT, or "no solution" (HC-RLHF's rule). Exit 1 where none is.

    Prompts are the draws; responses to one prompt count together. The guarantee holds for prompts that had no part in
    training or choosing the policies, and for harm as the scorer sees it.
    """
    from safedpo.evaluate.bounds import certify as run
    from safedpo.evaluate.stored import harm_of

    given = {str(folder): harm_of(folder) for folder in runs}
    tests = run(given, limit=limit, confidence=confidence, correction=correction)
    for test in tests:
        print(visible(str(test)))
    if len(tests) > 1:
        print(f"{len(tests)} policies were tested; correction: {correction}")
    write_json(json_file, [test.to_json() for test in tests])
    if not any(test.passed for test in tests):
        raise typer.Exit(1)


@app.command()
def table(
    folder: Annotated[Path, typer.Argument(help="A folder with METHOD/SEED/evaluation.json in it.")],
    greedy: Annotated[bool, typer.Option("--greedy", help="Of the greedy responses, not of the sampled ones.")] = False,
) -> None:
    """Print the table of several methods and seeds, as Markdown: the table of the README."""
    from safedpo.evaluate.table import markdown_table, read_rows

    print(markdown_table(read_rows(folder, greedy=greedy)))
