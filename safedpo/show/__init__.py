"""Figures: pure functions from numbers to `(plotly figure, sentence)`, and the two ways of putting them on sliders.

`slider` computes every stop before the first move and needs no kernel (reading); `live` computes on each move
(the reader's own world, prompt or parameter). Nothing here trains or knows a model: figures draw the numbers given.

    policies   what each policy says to one prompt          loss     loss and slope against the reward margin
    penalty    a finite penalty next to the hard limit      path     unsafe mass and distance along training
    intervals  measured shares with their intervals         pareto   helpfulness against harm, run by run
    curves     training logs, panel by panel                tokens   one response, token by token
    explorer   stored runs and what they said, at every safety margin and training budget
    playground a world that the reader edits, trained in the page itself (`safedpo.show.pages.playground`)
"""

from safedpo.show.figures.curves import curves
from safedpo.show.figures.intervals import intervals, pareto
from safedpo.show.figures.loss import loss
from safedpo.show.figures.path import path
from safedpo.show.figures.penalty import penalty
from safedpo.show.figures.policies import policies
from safedpo.show.figures.tokens import Tokens, tokens
from safedpo.show.pages.explorer import explorer
from safedpo.show.sliders.frames import Stops, Switch
from safedpo.show.sliders.live import live
from safedpo.show.sliders.slider import Slider, slider, still

__all__ = [
    "Slider",
    "Stops",
    "Switch",
    "Tokens",
    "curves",
    "explorer",
    "intervals",
    "live",
    "loss",
    "pareto",
    "path",
    "penalty",
    "policies",
    "slider",
    "still",
    "tokens",
]
