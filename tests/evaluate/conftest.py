from tests.cli.command import safedpo  # noqa: F401
