"""The proof walker as figures for a page: one for each statement, a slider over its premises."""

import plotly.graph_objects as go

from safedpo.finite.walker import PREMISES, Walk, read_walks
from safedpo.show.figures.field.counterexample import counterexample
from safedpo.show.sliders.frames import Stops
from safedpo.show.sliders.slider import Slider, slider


def walker(walks: list[Walk] | None = None) -> dict[str, Slider]:
    """Statement -> a slider over its premises: what the search found when each was taken away.

    `walks` are results of `finite.walker.search` (the stored ones); `site.build_site(figures=walker())` makes pages.

    >>> walker()["Prop. 4.2"].sentence(0)
    'Without "safe support" (the reference never gives a safe answer): a counterexample with 1 prompt of 2 answers...'
    """
    by_statement: dict[str, dict[str, Walk]] = {}
    for walk in read_walks() if walks is None else walks:
        by_statement.setdefault(walk.statement, {})[walk.name] = walk
    return {statement: _of_statement(found) for statement, found in by_statement.items()}


def drawn(walk: Walk) -> tuple[go.Figure, str]:
    """The figure of one walk, and its sentence.

    >>> from safedpo.finite.walker import read_walks
    >>> drawn(read_walks()[0])[0].layout.yaxis.range
    (0, 1.08)
    """
    premise = PREMISES[walk.statement][walk.name]
    found = walk.sentence[0].lower() + walk.sentence[1:]
    tables: tuple[list, list, list] = ([], [], [])
    if walk.world is not None:
        tables = (walk.world.ref_logps.exp().tolist(), walk.world.reward.tolist(), walk.world.unsafe.tolist())
    return counterexample(
        *tables,
        left=(premise.left, walk.left if walk.world is not None else 0.0),
        right=(premise.right, walk.right if walk.world is not None else 0.0),
        setting=f'Without "{walk.name}" ({premise.without}): {found}',
    )


def _of_statement(found: dict[str, Walk]) -> Slider:
    return slider(lambda name: drawn(found[name]), Stops("without", list(found)))
