"""The component for everything that is computed as the reader moves: their own world, prompt or parameter.

Called like `slider`, with the same figure functions and the same `Stops`; it needs a running kernel and ipywidgets
(7.7 or later), and plotly's FigureWidget, which needs anywidget since plotly 6. Only what changed is sent to the page.
"""

from safedpo.errors import UserError
from safedpo.show.sliders.frames import FigureFunction, Stops, describe, flatten, read_one
from safedpo.show.style import escape


def live(figure_function: FigureFunction, *stops: Stops):
    """An `ipywidgets.VBox`: the sliders, the figure, and the sentence, which says what is wrong if a stop fails.

    `figure_function` runs at every move and should answer within some 50 ms: never train in it. Raises `UserError`
    for no sliders, for missing widget packages, and at the first stop for what `slider` refuses; later stops write
    their problem where the sentence stands, leave the figure alone, and raise in the kernel.

    >>> import plotly.graph_objects as go
    >>> from safedpo.show import Stops, live
    >>> def bar(height):
    ...     return go.Figure(go.Bar(y=[height]), {"yaxis_range": [0, 2]}), f"The bar is {height} high."
    >>> sliders, figure, sentence = live(bar, Stops("height", [1, 2])).children
    >>> sliders.children[0].index = 1
    >>> figure.data[0].y, sentence.value[-25:]
    ((2,), 'The bar is 2 high.</span>')
    """
    widgets, figure_widget = _widgets()
    if not stops:
        raise UserError("a live figure needs at least one slider; for none use `still`")
    sliders = [_slider(widgets, one) for one in stops]
    state = _drawn(figure_function, stops, [one.start for one in stops])
    figure = figure_widget({"data": state[0], "layout": state[1]})
    sentence = widgets.HTML(_text(state[2]))

    def move(_change) -> None:
        nonlocal state
        try:
            new = _drawn(figure_function, stops, [one.index for one in sliders])
            sentence.value = _text(new[2])  # first: the page shows it while plotly draws
            _update(figure, state, new)
        except Exception as problem:
            sentence.value = _text(f"{type(problem).__name__}: {problem}", colour="#a33b00")
            raise
        state = new

    for one in sliders:
        one.observe(move, names="index")
    return widgets.VBox([widgets.VBox(sliders), figure, sentence])


def _drawn(figure_function: FigureFunction, stops: tuple[Stops, ...], places: list[int]) -> tuple[list, dict, str]:
    values = [one.values[place] for one, place in zip(stops, places, strict=True)]
    return read_one(figure_function, values, describe(stops, places))


def _update(figure, old: tuple, new: tuple) -> None:
    """Send the attributes that differ, in one message."""
    if len(old[0]) != len(new[0]) or old[1] != new[1]:
        raise UserError("the figure function changed its number of traces or its layout; let only traces move")
    with figure.batch_update():
        for trace, before, after in zip(figure.data, old[0], new[0], strict=True):
            before, after = dict(flatten(before)), dict(flatten(after))
            for path in before.keys() | after.keys():
                if before.get(path) != after.get(path):
                    trace[path] = after.get(path)


def _slider(widgets, stops: Stops):
    return widgets.SelectionSlider(
        options=list(zip(stops.texts, range(len(stops.texts)), strict=True)),
        index=stops.start,
        description=stops.label,
        continuous_update=True,
        style={"description_width": "initial"},
        layout=widgets.Layout(width="min(100%, 700px)"),
    )


def _text(sentence: str, colour: str = "inherit") -> str:
    return f'<span role="status" style="font-size:15px;line-height:1.45;color:{colour}">{escape(sentence)}</span>'


def _widgets():
    try:
        import ipywidgets
        from plotly.graph_objects import FigureWidget

        FigureWidget()
    except ImportError as missing:
        raise UserError(
            f"a live figure needs ipywidgets and anywidget ({missing}); "
            "run: pip install 'safedpo[lab]', or use `slider`, which needs neither"
        ) from missing
    return ipywidgets, FigureWidget
