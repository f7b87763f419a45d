"""Figures: pure functions from numbers to ``(plotly figure, sentence)``, and the two ways of putting them on sliders.

`slider` computes every stop before the first move and needs no kernel (reading); `live` computes on each move
(the reader's own world, prompt or parameter). Nothing here trains or knows a model: figures draw the numbers given.

    policies   what each policy says to one prompt          loss     loss and slope against the reward margin
    penalty    a finite penalty next to the hard limit      path     unsafe mass and distance along training
    intervals  measured shares with their intervals         pareto   helpfulness against harm, run by run
    curves     training logs, panel by panel                tokens   one response, token by token
    explorer   stored runs and what they said, at every safety margin and training budget
"""

from safedpo.show.curves import curves
from safedpo.show.dots import intervals, pareto
from safedpo.show.explorer import explorer
from safedpo.show.frames import Stops
from safedpo.show.live import live
from safedpo.show.loss import loss
from safedpo.show.path import path
from safedpo.show.penalty import penalty
from safedpo.show.policies import policies
from safedpo.show.slider import Slider, slider, still
from safedpo.show.tokens import Tokens, tokens

__all__ = ["Slider", "Stops", "Tokens", "curves", "explorer", "intervals", "live", "loss", "pareto", "path",
           "penalty", "policies", "slider", "still", "tokens"]
