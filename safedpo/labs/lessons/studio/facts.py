"""What a report may say about one margin of the stored household sweep: every number computed from the stored samples and logs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from operator import getitem
from pathlib import Path
from statistics import fmean

from scipy.stats import binomtest

from safedpo.evaluate.bounds import clustered_bound
from safedpo.evaluate.intervals import Interval, cluster_interval
from safedpo.evaluate.scorers.known import judged
from safedpo.files import read_lines, shipped

FIELD = {"harm": "unsafe", "helpfulness": "helpfulness", "over-refusal": "refusal"}
SEEDS = (0, 1, 2)
PLAIN = "dpo-helpful"
STEPS = 25  # at either end of a training log, over which a curve is averaged
AGAIN = "restore it, or install the kit again"


@dataclass(frozen=True)
class Facts:
    """The stored numbers about SafeDPO with the margin `delta`, in percent where they are shares."""

    delta: int
    home: Path

    @property
    def name(self) -> str:
        """The folder of these runs."""
        return f"safedpo-delta-{self.delta}"

    @cache  # noqa: B019
    def seeds(self, metric: str, name: str = "") -> list[float]:
        """A metric of each seed, over the sampled responses.

        >>> max(facts(10).seeds("harm")) < min(facts(0).seeds("harm"))
        True
        """
        return [self._mean(self._sampled(name or self.name, seed), metric) for seed in SEEDS]

    def mean(self, metric: str, name: str = "") -> float:
        """The mean over the seeds."""
        return fmean(self.seeds(metric, name))

    @cache  # noqa: B019
    def reference(self, metric: str) -> float:
        """A metric of the reference, over its sampled responses."""
        return self._mean(_sampled_rows(self.home / "samples-reference.jsonl"), metric)

    @cache  # noqa: B019
    def greedy(self, metric: str) -> float:
        """A metric of seed 0's greedy responses, one to each prompt."""
        return self._mean([row for row in _rows(self._file(self.name, 0)) if row["greedy"]], metric)

    @cache  # noqa: B019
    def interval(self, metric: str, over: str = "prompts") -> Interval:
        """Seed 0's metric with its 95 % interval, over prompts or as if every response were one of its own, in percent."""
        rows = self._of(self._sampled(self.name, 0), metric)
        clusters = [row["prompt"] for row in rows] if over == "prompts" else list(range(len(rows)))
        found = cluster_interval([float(row[FIELD[metric]]) for row in rows], clusters)
        low, high = (100 * (end or 0.0) for end in (found.low, found.high))
        return Interval(100 * (found.value or 0.0), low, high, found.n, found.prompts)

    @cache  # noqa: B019
    def quiet_topic(self) -> tuple[str, int, float] | None:
        """A topic without a harmful response of seed 0: its name, its prompts, and the harm that is left possible (95 %)."""
        rows = self._of(self._sampled(self.name, 0), "harm")
        for topic in sorted({row["topic"] for row in rows}):
            part = [row for row in rows if row["topic"] == topic]
            if not any(row["unsafe"] for row in part):
                prompts = [row["prompt"] for row in part]
                return topic, len(set(prompts)), 100 * clustered_bound([0.0] * len(part), prompts)
        return None

    @cache  # noqa: B019
    def sign_test(self) -> tuple[int, int, float, float]:
        """Seed 0 against the reference, by prompt: more helpful, less helpful, two-sided p, p of the side that was seen."""
        mine, theirs = (
            self._by_prompt(self._of(rows, "helpfulness"))
            for rows in (self._sampled(self.name, 0), _sampled_rows(self.home / "samples-reference.jsonl"))
        )
        up = sum(mine[prompt] > theirs[prompt] for prompt in mine)
        down = sum(mine[prompt] < theirs[prompt] for prompt in mine)
        two = binomtest(up, up + down).pvalue
        one = binomtest(max(up, down), up + down, alternative="greater").pvalue
        return up, down, float(two), float(one)

    @cache  # noqa: B019
    def curve(self, key: str) -> tuple[float, float]:
        """A column of seed 0's training log: its mean over the first and over the last steps."""
        rows = read_lines(self.home / self.name / "0" / "log.jsonl", way_out=AGAIN)
        values = [row[key] for row in rows if key in row]
        return fmean(values[:STEPS]), fmean(values[-STEPS:])

    def _sampled(self, name: str, seed: int) -> list[dict]:
        return _sampled_rows(self._file(name, seed))

    def _file(self, name: str, seed: int) -> Path:
        return self.home / name / str(seed) / "samples-policy.jsonl"

    @staticmethod
    def _of(rows: Sequence[dict], metric: str) -> list[dict]:
        return judged(metric.replace("-", "_"), rows, getitem)

    def _mean(self, rows: Sequence[dict], metric: str) -> float:
        return 100 * fmean(float(row[FIELD[metric]]) for row in self._of(rows, metric))

    @staticmethod
    def _by_prompt(rows: Iterable[dict]) -> dict[str, float]:
        found: dict[str, list[float]] = {}
        for row in rows:
            found.setdefault(row["prompt"], []).append(row["helpfulness"])
        return {prompt: fmean(values) for prompt, values in found.items()}


@cache
def _rows(file: Path) -> list[dict]:
    return read_lines(file, way_out=AGAIN)


def _sampled_rows(file: Path) -> list[dict]:
    return [row for row in _rows(file) if not row["greedy"]]


@cache
def facts(delta: int) -> Facts:
    """The facts of a margin of the shipped sweep.

    >>> facts(10).mean("harm") < facts(10).reference("harm") < facts(10).reference("helpfulness")
    True
    """
    return Facts(delta, shipped("data") / "results" / "household")
