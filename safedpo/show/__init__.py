"""Figures: pure functions from numbers to ``(plotly figure, sentence)``, and the two ways of putting them on sliders.

`slider` computes every stop before the first move and needs no kernel (reading); `live` computes on each move
(the reader's own world, prompt or parameter). Nothing here trains or knows a model: figures draw the numbers given.
"""

from safedpo.show.frames import Stops
from safedpo.show.slider import Slider, slider, still

__all__ = ["Slider", "Stops", "slider", "still"]
