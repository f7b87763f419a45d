"""What a premise is, what a counterexample is, and the search for the smallest one."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from safedpo.errors import UserError
from safedpo.finite.fit import one_thread
from safedpo.finite.walker.candidates import candidates
from safedpo.finite.world import FiniteWorld

APART = 0.01  # two sides this far apart disagree
AGREE = 1e-9  # two sides, or two routes to one side, this close agree

Sides = tuple[Tensor, Tensor, Tensor]  # left, right, and how far two routes to them are apart, (worlds,) each


@dataclass(frozen=True)
class Premise:
    """One premise of a statement: in `words`, what is done `without` it, and the two `sides` of the statement.

    `sides(worlds, removed)` returns left and right for each candidate (`prompts` rows of the world make one), with the
    premise or without it. `left` and `right` say in words what the two numbers are.
    """

    statement: str
    name: str
    words: str
    without: str
    left: str
    right: str
    sides: Callable[[FiniteWorld, bool], Sides]
    prompts: int = 1


@dataclass(frozen=True)
class Walk:
    """What a search saw. `world` is the first candidate whose two sides disagree (None: none did), `left` and `right`
    its sides without the premise, `residual` how far two routes to them are apart. `control` is the largest
    disagreement of any candidate *with* the premise; `searched` counts candidates, `seed` drew the random ones."""

    statement: str
    name: str
    world: FiniteWorld | None
    left: float
    right: float
    residual: float
    control: float
    searched: int
    seed: int

    @property
    def sentence(self) -> str:
        """The result in words."""
        if self.world is None:
            return (
                f"No counterexample among {self.searched} worlds of up to {MOST} answers (seed {self.seed}): "
                f"the largest disagreement is {abs(self.left - self.right):.0e}."
            )
        size = f"{self.world.prompts} prompt{'s' * (self.world.prompts > 1)} of {self.world.answers} answers"
        return (
            f"A counterexample with {size}: {self.left:.4g} against {self.right:.4g}. With the premise back, all "
            f"{self.searched} worlds searched agree to {self.control:.0e}."
        )


MOST = 4  # answers


@one_thread()
def search(premise: Premise, seed: int = 0) -> Walk:
    """Go through the candidates, two answers first, and stop at the first size with a counterexample.

    The candidates of a size are in order of simplicity (`candidates`); the first whose sides are more than 0.01 apart
    is returned. Raises `UserError` where the statement fails with its premises in place, or where two routes to a
    side of the counterexample differ by more than 1e-9: then nothing was shown.

    >>> from safedpo.finite.walker import PREMISES
    >>> walk = search(PREMISES["Prop. 4.2"]["safe support"])
    >>> walk.world.answers, round(walk.left, 9), walk.right
    (2, 1.0, 0.0)
    """
    control, searched, worst = 0.0, 0, (0.0, 0.0, 0.0)
    for answers in range(2, MOST + 1):
        worlds = candidates(answers, seed, prompts=premise.prompts)
        left, right, _ = premise.sides(worlds, False)
        control = max(control, (left - right).abs().max().item())
        searched += len(left)
        left, right, residual = premise.sides(worlds, True)
        gap = (left - right).abs()
        if not control <= AGREE:
            raise UserError(f"{premise.statement} fails by {control:.1e} with all its premises: nothing can be shown")
        apart = (gap > APART).nonzero()
        if len(apart):
            at = int(apart[0])
            if not residual[at] <= AGREE:
                raise UserError(f"{premise.name}: two routes differ by {residual[at]:.1e}: nothing is shown")
            found = (left[at].item(), right[at].item(), residual[at].item())
            return Walk(
                premise.statement, premise.name, _rows(worlds, at, premise.prompts), *found, control, searched, seed
            )
        at = int(gap.argmax())
        worst = max(worst, (left[at].item(), right[at].item(), residual[at].item()), key=lambda s: abs(s[0] - s[1]))
    return Walk(premise.statement, premise.name, None, *worst, control, searched, seed)


def _rows(worlds: FiniteWorld, at: int, prompts: int) -> FiniteWorld:
    rows = slice(at * prompts, (at + 1) * prompts)
    return FiniteWorld(worlds.ref_logps[rows], worlds.reward[rows], worlds.unsafe[rows], worlds.cost[rows])
