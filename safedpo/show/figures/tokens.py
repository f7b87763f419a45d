"""A response coloured token by token by how much the policy moved from the reference."""

import math
from collections.abc import Sequence

from safedpo.errors import UserError, visible
from safedpo.show import style


class Tokens:
    """The heatmap of log π_θ - log π_ref over the tokens of one response; made by `tokens`."""

    def __init__(self, html: str, sentence: str):
        self.html, self.sentence = html, sentence

    def __repr__(self) -> str:
        return self.sentence

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.sentence}


def tokens(pieces: Sequence[str], log_ratios: Sequence[float], *, beta: float, scale: float | None = None) -> Tokens:
    """Colour each token by its log-ratio; its number shows on hover and on keyboard focus.

    The sum of the log-ratios is the response's log-ratio and beta times it the implicit reward (Eq. 12): a sum over
    tokens, never a mean. Sign is shown twice, by hue and by a solid or dashed line under the token.

    Args:
        pieces: the response's tokens as text, in order.
        log_ratios: log π_θ - log π_ref of each token, in nats.
        beta: the KL weight, for the implicit reward in the sentence.
        scale: the log-ratio that gets the full colour; the largest one here when left out. Give one value to compare.

    Raises:
        UserError: lengths differ, no token, a number that is not finite, beta or scale not above 0.

    >>> from safedpo.show.figures.tokens import tokens
    >>> tokens(["Call", " 112"], [0.5, 1.5], beta=0.1)
    2 tokens: log-ratio 2 in all, implicit reward 0.2 at beta 0.1; largest at ' 112' (1.5).
    """
    if len(pieces) != len(log_ratios) or not len(pieces):
        raise UserError(f"{len(pieces)} tokens but {len(log_ratios)} log-ratios; give one number per token")
    for place, (piece, ratio) in enumerate(zip(pieces, log_ratios, strict=True)):
        if not math.isfinite(ratio):
            raise UserError(f"token {place} ({piece!r}) has the log-ratio {ratio}; it must be a finite number")
    scale = scale if scale is not None else max(map(abs, log_ratios)) or 1.0
    if not (beta > 0 and scale > 0):
        raise UserError(f"beta is {beta} and scale {scale}; both must be greater than 0")
    total = math.fsum(log_ratios)
    largest = max(range(len(pieces)), key=lambda place: abs(log_ratios[place]))
    sentence = (
        f"{len(pieces)} tokens: log-ratio {style.number(total)} in all, implicit reward "
        f"{style.number(beta * total)} at beta {style.number(beta)}; "
        f"largest at {pieces[largest]!r} ({style.number(log_ratios[largest])})."
    )
    spans = "".join(_span(piece, ratio, scale) for piece, ratio in zip(pieces, log_ratios, strict=True))
    return Tokens(
        f'<style>{style.asset("figures/tokens.css")}</style><div class="safedpo-tokens {style.NO_MATHS}"><div>{spans}</div>'
        f"<p>{style.escape(sentence)} Blue, solid line: more likely than under the reference; "
        "orange, dashed line: less.</p></div>",
        sentence,
    )


def _span(piece: str, ratio: float, scale: float) -> str:
    share = min(abs(ratio) / scale, 1.0)  # of the full colour, which the style sheet knows
    sign = "more" if ratio > 0 else "less" if ratio < 0 else "same"
    shown = style.escape(visible(piece)).replace("\n", "↵\n") or "∅"
    return (
        f'<span class="token {sign}" tabindex="0" data-number="{ratio:+.3f}" aria-label="{style.escape(visible(piece))} '
        f'{ratio:+.3f}" style="--share:{share:.3g}">{shown}</span>'
    )
