"""LoRA training of SmolLM2-135M on a CPU: this kit beside TRL's DPOTrainer, its default and its best configuration.

    python tests/benchmarks/trl_cpu.py                       # all of it: float32 and bfloat16, some minutes
    python tests/benchmarks/trl_cpu.py --dtype float32 --steps 4 --rounds 1

Same weights, dtype, LoRA (r = 16, all linear layers), adapter start, pairs, order, optimizer and loss (DPO, the one TRL
has). Each configuration runs in a process of its own, in turns, so that its peak memory is its own and other work on the
machine disturbs all alike; the first step warms up and is left out. Precomputing the reference is not timed on either
side. The best of the rounds counts for each step: noise only adds. On a machine that others use, --busy counts
processor seconds of one thread instead of the wall clock.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile

NAMES = ("safedpo", "trl-best", "trl-default")
SAME = {
    "max_steps": 0,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-4,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "logging_steps": 1,
    "use_cpu": True,
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "beta": 0.1,
    "max_length": 512,
}


def ours(loaded, records, settings, watch):
    from safedpo.lm import SafeDPOConfig, SafeDPOTrainer, add_lora, reference_logps, tokenize_pairs

    pairs = tokenize_pairs(records, loaded.tokenizer, rule="helpful").items
    config = SafeDPOConfig(loss="dpo", rule="helpful", **settings)
    ref_logps = reference_logps(loaded.model, pairs, fingerprint=loaded.fingerprint)
    return SafeDPOTrainer(add_lora(loaded.model, r=16), config, pairs, ref_logps, callbacks=[watch])


def theirs(loaded, records, settings, watch, *, best: bool):
    import torch
    import trl
    from datasets import Dataset
    from peft import LoraConfig

    from safedpo.lm import add_lora, load_model
    from safedpo.lm.rows.tokens import prompt_text

    rows = [
        {"prompt": prompt_text(loaded.tokenizer, r.prompt), "chosen": r.responses[0], "rejected": r.responses[1]}
        for r in records
    ]
    own = {"precompute_ref_log_probs": True, "gradient_checkpointing": False} if best else {}
    config = trl.DPOConfig(bf16=False, train_sampling_strategy="sequential", **own, **settings)
    lora = LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM")
    trainer = trl.DPOTrainer(
        loaded.model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        peft_config=lora,
        processing_class=loaded.tokenizer,
        callbacks=[watch],
    )
    twin = add_lora(load_model("smollm2-135m", dtype=loaded.dtype, device="cpu").model, r=16)
    start = {name: p for name, p in twin.named_parameters() if ".lora_" in name}
    with torch.no_grad():
        for name, parameter in trainer.model.named_parameters():
            if ".default." in name:
                parameter.copy_(start[name])
    return trainer


def measure(name: str, dtype: str, steps: int, busy: bool) -> dict:
    """Seconds, losses and peak memory of one configuration; runs in a process of its own."""
    import warnings

    import torch

    warnings.filterwarnings("ignore")
    from workload import Stopwatch, pairs_like_everyday_requests

    from safedpo.lm import load_model
    from safedpo.lm.rows.packing import n_tokens
    from safedpo.lm.rows.tokens import tokenize_pairs
    from safedpo.lm.training.steps import StepSampler

    if busy:
        torch.set_num_threads(1)
    loaded = load_model("smollm2-135m", dtype=dtype, device="cpu")
    records, watch = pairs_like_everyday_requests(4 * (steps + 1)), Stopwatch(busy)
    pairs = tokenize_pairs(records, loaded.tokenizer, rule="helpful").items
    order = [i for step in StepSampler([n_tokens(p) for p in pairs], batch_size=4, seed=0) for i in step]
    with tempfile.TemporaryDirectory() as folder:
        settings = SAME | {"max_steps": steps + 1, "output_dir": folder, "seed": 0}
        if name == "safedpo":
            trainer = ours(loaded, records, settings, watch)
        else:
            trainer = theirs(loaded, [records[i] for i in order], settings, watch, best=name == "trl-best")
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    tokens = sum(n_tokens(p) + len(p.prompt_ids) for p in pairs[: 4 * steps]) / steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"seconds": watch.seconds[1:], "losses": losses, "peak_gb": peak, "tokens": tokens}


def in_turns(dtype: str, steps: int, rounds: int, names, busy: bool) -> dict[str, dict]:
    """Measure all configurations ``rounds`` times, one after the other; the best of each step over the rounds."""
    found: dict[str, dict] = {}
    for _ in range(rounds):
        for name in names:
            command = [sys.executable, __file__, "--one", name, "--dtype", dtype, "--steps", str(steps)]
            command += ["--busy"] * busy
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "."})
            if done.returncode:
                raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
            new = json.loads(done.stdout.splitlines()[-1])
            old = found.setdefault(name, new)
            old["seconds"] = [min(pair) for pair in zip(old["seconds"], new["seconds"], strict=True)]
    return found


def show(dtype: str, found: dict[str, dict], busy: bool) -> None:
    base = found["safedpo"]
    print(
        f"\n{dtype}, 4 pairs a step, {base['tokens']:.0f} tokens a step with each prompt counted twice"
        + ("; processor seconds of one thread" if busy else "")
    )
    print(f"{'':<14}{'s / step':>10}{'x slower':>10}{'peak GB':>10}{'x memory':>10}{'largest loss difference':>26}")
    for name, row in found.items():
        seconds = sum(row["seconds"]) / len(row["seconds"])
        ratio = seconds / (sum(base["seconds"]) / len(base["seconds"]))
        difference = max(abs(a - b) for a, b in zip(row["losses"], base["losses"], strict=True))
        print(
            f"{name:<14}{seconds:>10.2f}{ratio:>10.2f}{row['peak_gb']:>10.2f}{row['peak_gb'] / base['peak_gb']:>10.2f}"
            f"{difference:>26.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], action="append")
    parser.add_argument("--steps", type=int, default=6, help="timed steps of each configuration")
    parser.add_argument("--rounds", type=int, default=2, help="how often each configuration runs")
    parser.add_argument("--names", default=",".join(NAMES), help="which configurations")
    parser.add_argument("--busy", action="store_true", help="one thread, processor seconds")
    parser.add_argument("--one", choices=NAMES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.dtype[0], given.steps, given.busy)))
        return
    for dtype in given.dtype or ["float32", "bfloat16"]:
        show(dtype, in_turns(dtype, given.steps, given.rounds, given.names.split(","), given.busy), given.busy)


if __name__ == "__main__":
    main()
