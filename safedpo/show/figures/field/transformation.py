"""T under the hand: what becomes of each pair, and both sums of Proposition 4.3."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from safedpo.errors import UserError
from safedpo.show import style

FATES = {"kept": style.BLUE, "swapped": style.ORANGE, "dropped": style.GREY}


def transformation(
    pairs: Sequence[str],
    fates: Mapping[str, Sequence[float]],
    sums: tuple[float, float],
    *,
    setting: str,
    top: float,
) -> tuple[go.Figure, str]:
    """The share of each pair's labels that T keeps, swaps and drops, and the two objectives.

    Args:
        pairs: a name for each unordered pair.
        fates: "kept", "swapped", "dropped" -> one share for each pair; the three add up to 1.
        sums: the objective under r_c, and the loss of T's pairs.
        setting: which answers are unsafe, and what T sees of it.
        top: upper end of the axis of the sums.

    Raises:
        UserError: other fates, or shares that do not add up.

    >>> from safedpo.show.figures.field.transformation import transformation
    >>> fates = {"kept": [0.7], "swapped": [0.3], "dropped": [0.0]}
    >>> transformation(["a b"], fates, (0.5, 0.5), setting="S U", top=1.0)[1]
    'S U: kept 0.7, swapped 0.3, dropped 0 of 1 pairs; under r_c 0.5, on T(D) 0.5: equal.'
    """
    if set(fates) != set(FATES) or any(abs(sum(shares) - 1) > 1e-9 for shares in zip(*fates.values(), strict=True)):
        raise UserError(f"each pair's shares of {list(FATES)} must add up to 1; got {dict(fates)}")
    traces = [
        go.Bar(name=fate, x=list(pairs), y=list(fates[fate]), marker={"color": colour}, hovertemplate="%{x}: %{y:.3g}")
        for fate, colour in FATES.items()
    ]
    traces.append(
        go.Bar(
            x=["under r_c", "on T(D)"],
            y=list(sums),
            text=[style.number(value) for value in sums],
            textposition="outside",
            cliponaxis=False,
            marker={"color": [style.RED, style.GREEN]},
            xaxis="x2",
            yaxis="y2",
            showlegend=False,
        )
    )
    drawn = style.figure(
        traces,
        x={"domain": [0, 0.62], "type": "category", "title_text": "pair"},
        y={"title_text": "share of its labels", "range": [0, 1.05]},
        xaxis2={"domain": [0.74, 1], "anchor": "y2"},
        yaxis2={"range": [0, top], "anchor": "x2", "title_text": "objective"},
        barmode="stack",
    )
    total = {fate: sum(fates[fate]) for fate in FATES}
    counted = ", ".join(f"{fate} {style.number(total[fate])}" for fate in FATES)
    verdict = "equal" if abs(sums[0] - sums[1]) < 1e-9 else "not equal"
    return drawn, (
        f"{setting}: {counted} of {len(pairs)} pairs; under r_c {style.number(sums[0])}, on T(D) "
        f"{style.number(sums[1])}: {verdict}."
    )
