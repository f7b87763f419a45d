"""``python -m safedpo.household --out DIR --seed 0``: write the household data and its card."""

import argparse
from pathlib import Path

from safedpo.household import build

parser = argparse.ArgumentParser(prog="python -m safedpo.household", description="Write the household data.")
parser.add_argument("--out", type=Path, required=True, help="folder for train.jsonl, test.jsonl and README.md")
parser.add_argument("--seed", type=int, default=0, help="seed of the generator (the shipped data: 0)")
arguments = parser.parse_args()
for path in build(arguments.out, arguments.seed):
    print(path)
