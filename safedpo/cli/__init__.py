"""The command line. Each command checks its input, calls one function of the package, and prints what came back.

A user's mistake is one message on standard error and exit code 2, never a traceback. Modules that import torch are
imported inside the commands, so that `--help` is quick.
"""

import os
import sys

from safedpo.cli import basics, bundle, grade, maintain, models, sweeps  # noqa: F401  (each adds its commands)
from safedpo.cli.common import app
from safedpo.errors import UserError, visible


def main() -> None:
    """Entry point of the `safedpo` command."""
    try:
        app()
    except UserError as error:
        print(f"safedpo: {visible(str(error))}", file=sys.stderr)  # it may quote a file or a model
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nsafedpo: interrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `safedpo ... | head` is no mistake
        sys.exit(1)
