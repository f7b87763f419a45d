"""Run at the start of every Python that has this folder on its path, as Colab's kernels do."""

import google.colab  # noqa: F401
