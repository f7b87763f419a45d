"""Commands that load a model: sft, train, generate."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from safedpo.cli.common import LARGEST_SEED, PASS_ON, JsonFile, app, folder_target, write_json
from safedpo.cli.settings import first_process, print_sources, recipe_memory, settings_of, template_arguments
from safedpo.errors import UserError, visible
from safedpo.lm.training.recipes import RECIPES, SFT

Model = Annotated[str, Option(help="A preset (smollm2-135m, smollm2-135m-household), a folder, or a hub id.")]
Data = Annotated[
    str,
    Option(
        help="A .jsonl, .json, .csv or .parquet file, a hub id, or a shipped split: household-train, -validation, -test."
    ),
]
OutputDir = Annotated[
    Path, Option(callback=folder_target, help="Folder of this run; an interrupted run goes on when started again.")
]
Dtype = Annotated[str, Option(help="auto (measured, with its reason), float32 or bfloat16.")]
Seed = Annotated[int, Option(min=0, max=LARGEST_SEED, help="Seed of the pairs, their order, and the adapter.")]
Epochs = Annotated[float, Option(help="Passes over the data.")]
MaxSteps = Annotated[int, Option(help="Stop after so many steps (-1: no limit).")]
LearningRate = Annotated[float, Option(help="Peak learning rate.")]
LoraR = Annotated[int, Option(help="Rank of the LoRA adapter.")]
Full = Annotated[bool, Option("--full", help="Train all weights instead of a LoRA adapter.")]
MaxLength = Annotated[int, Option(help="Longest prompt + response in tokens; longer ones are cut, and counted.")]
TemplateArg = Annotated[
    list[str] | None,
    Option(help="A variable of the chat template, name=value (enable_thinking=false); may be repeated."),
]
Template = Annotated[str, Option(help="auto, chat (the tokenizer's) or plain (the paper's).")]
LONGEST, MOST_SAMPLES = 100_000, 10_000
HOUSEHOLD = RECIPES["household"]
SkipBadRows = Annotated[
    bool, Option("--skip-bad-rows", help="Leave out rows that cannot be used, counted, instead of stopping at them.")
]
Contradictions = Annotated[
    str, Option(help="Responses called safe in one row and unsafe in another: keep, drop (their rows), or majority.")
]
MORE = (
    "Other fields of transformers.TrainingArguments pass through (--weight-decay 0.01); those that cannot be honoured "
    "are refused."
)


@app.command(context_settings=PASS_ON, epilog=MORE)
def train(
    context: typer.Context,
    output_dir: OutputDir,
    recipe: Annotated[
        str, Option(help="Named settings: household, colab-t4, lora-7b, lora-7b-4bit or paper-7b.")
    ] = "household",
    model: Model = HOUSEHOLD["model"],
    data: Data = "household-train",
    beta: Annotated[float, Option(help="Strength of the tie to the reference, greater than 0.")] = HOUSEHOLD["beta"],
    delta: Annotated[float | None, Option(help="Safety margin, at least 0 (default 10 for the loss safedpo).")] = None,
    loss: Annotated[str, Option(help="safedpo, dpo, cdpo, robust_dpo, ipo or bfpo.")] = "safedpo",
    rule: Annotated[str, Option(help="Order of the pairs: safedpo (T), helpful, safebetter, harmless.")] = "safedpo",
    epochs: Epochs = 1.0,
    max_steps: MaxSteps = -1,
    max_pairs: Annotated[
        int | None,
        Option(
            help=f"Use so many of the pairs that the rule keeps (household-train: {HOUSEHOLD['max_pairs']}, --data: all)."
        ),
    ] = None,
    batch_size: Annotated[int, Option(help="Pairs a step, on each process.")] = HOUSEHOLD["batch_size"],
    learning_rate: LearningRate = HOUSEHOLD["learning_rate"],
    lora_r: LoraR = HOUSEHOLD["lora_r"],
    full: Full = False,
    max_length: MaxLength = 512,
    template: Template = "auto",
    template_arg: TemplateArg = None,
    dtype: Dtype = "auto",
    seed: Seed = 0,
    skip_bad_rows: SkipBadRows = False,
    contradictions: Contradictions = "keep",
    json_file: JsonFile = None,
) -> None:
    """Fine-tune a model with SafeDPO. The default is the recipe household, under ten minutes on two cores with `safedpo evaluate`.

    Plain DPO is --loss dpo --rule helpful. What each setting is and where it comes from is printed first.
    """
    if recipe not in RECIPES:
        raise UserError(f"no recipe {recipe!r}; there are {', '.join(RECIPES)}")
    settings = settings_of(context, f"recipe {recipe}", RECIPES[recipe])
    from safedpo.lm import train as run

    if first_process() and (named := context.get_parameter_source("recipe")) and named.name == "COMMANDLINE":
        print(recipe_memory(settings))
    _finished(run(output_dir=output_dir, **settings), json_file)


@app.command(context_settings=PASS_ON, epilog=MORE)
def sft(
    context: typer.Context,
    output_dir: OutputDir,
    model: Model = SFT["model"],
    data: Data = "household-train",
    responses: Annotated[
        str, Option(help="both (good and bad: the paper's reference), all (with repeats), better, safe.")
    ] = "both",
    adapter: Annotated[Path | None, Option(help="Go on from the adapter of an earlier run on the same model.")] = None,
    epochs: Epochs = 1.0,
    max_steps: MaxSteps = -1,
    max_examples: Annotated[int | None, Option(help="Use so many of the responses.")] = None,
    batch_size: Annotated[int, Option(help="Prompts a step, each with up to 6 of its responses.")] = SFT["batch_size"],
    learning_rate: LearningRate = SFT["learning_rate"],
    lora_r: Annotated[int | None, Option(help="Rank of the LoRA adapter (8; with --adapter, its own).")] = None,
    full: Full = False,
    max_length: MaxLength = 512,
    template: Template = "auto",
    template_arg: TemplateArg = None,
    dtype: Dtype = "auto",
    seed: Seed = 0,
    skip_bad_rows: SkipBadRows = False,
    contradictions: Contradictions = "keep",
    json_file: JsonFile = None,
) -> None:
    """Fine-tune a model on the responses of preference data: how the paper makes its reference."""
    its_own = ("lora_r",) if adapter else ()  # an adapter keeps its rank
    settings = settings_of(context, "recipe sft", {k: v for k, v in SFT.items() if k not in its_own})
    from safedpo.lm import sft as run

    _finished(run(output_dir=output_dir, **settings), json_file)


@app.command()
def merge(
    run: Annotated[Path, typer.Argument(help="A folder made by safedpo sft or safedpo train, with a LoRA adapter.")],
    out: Annotated[Path, Option(help="The new model folder.")],
) -> None:
    """Add a run's adapter to the weights of its base: a plain model folder, such as the reference of a later run."""
    from safedpo.lm.models.policies import merge_policy

    print(visible(f"{merge_policy(run, out)} holds the model; name it with --model"))


@app.command()
def generate(
    context: typer.Context,
    prompts: Annotated[list[str], typer.Argument(help="One or more prompts, each in quotation marks.")],
    model: Model = "smollm2-135m-household",
    adapter: Annotated[Path | None, Option(help="A folder made by safedpo train; its reference is used.")] = None,
    samples: Annotated[
        int, Option(min=0, max=MOST_SAMPLES, help="Sampled responses a prompt, beside the greedy one.")
    ] = 2,
    max_new_tokens: Annotated[int, Option(min=1, max=LONGEST, help="Longest response in tokens.")] = 64,
    temperature: Annotated[float, Option(help="Sampling temperature, greater than 0.")] = 1.0,
    template_arg: TemplateArg = None,
    dtype: Dtype = "auto",
    seed: Seed = 0,
    json_file: JsonFile = None,
) -> None:
    """Show what a model, or a trained policy, says to your prompts."""
    from safedpo.evaluate import Decoding
    from safedpo.evaluate import generate as sample
    from safedpo.evaluate.display import shown
    from safedpo.lm.models.gate.check import gate_prompts
    from safedpo.lm.models.load import load_model
    from safedpo.lm.models.policies import load_policy
    from safedpo.lm.rows.turns import with_template_args

    if any(not prompt.strip() for prompt in prompts):
        raise UserError("a prompt is empty; write a request in quotation marks")
    print_sources(context, unused=("model",) if adapter else ())  # an adapter names its own
    decoding = Decoding(samples=samples, temperature=temperature, max_new_tokens=max_new_tokens, seed=seed)
    if adapter:
        trained = load_policy(adapter, dtype=dtype)
        loaded, template = trained.policy, trained.template
    else:
        loaded, template = load_model(model, dtype=dtype), "auto"
    with_template_args(loaded.tokenizer, template_arguments(template_arg))
    gate_prompts(loaded, prompts, template)
    answers = sample(loaded.model, loaded.tokenizer, prompts, decoding, template=template)
    for answer in answers:
        print(f"\n{shown(answer.prompt).plain}")
        for kind, text in [("greedy", answer.greedy), *(("sampled", text) for text in answer.sampled)]:
            print(f"  {kind:8}{shown(text or '').plain}")
    write_json(json_file, [asdict(answer) for answer in answers])


def _finished(run, json_file: Path | None) -> None:
    if not first_process():
        return
    shown = ", ".join(
        f"{name} {run.metrics[name]:.4g}"
        for name in ("loss", "rewards/margins", "rewards/accuracies")
        if name in run.metrics
    )
    at_end = f", at their end {shown}" if shown else ""
    print(visible(f"{run.metrics['steps']} steps{at_end}; {run.folder} holds the weights, run.json and log.jsonl"))
    write_json(json_file, {"folder": str(run.folder), "counts": run.counts, "metrics": run.metrics})
