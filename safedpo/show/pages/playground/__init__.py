"""The playground: preference tuning in a world that the reader edits, as one HTML file that needs no server.

    model/   the world, its optima, its pairs and the training, as `safedpo.finite` computes them
    state/   what the reader can set: its ranges, the six stories, the address, the Python cell
    view/    the words in both languages, and what is drawn

Each file is an ES module. `playground_page` puts them into one script, and style and script into one page.
"""

from safedpo.show.pages.playground.assemble import playground_page

__all__ = ["playground_page"]
