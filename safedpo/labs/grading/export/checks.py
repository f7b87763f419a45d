"""The check of a cell: which exercise it is about, and what it is given."""

from safedpo.errors import UserError
from safedpo.labs.grading.notebook import checks_of


def only_check(source: str) -> tuple[str, str] | None:
    """(exercise, answer's expression) of the one check in a cell's code, or None; two checks are a `UserError`.

    >>> only_check('check("dpo_loss", mine)  # stuck?'), only_check("x = 1")
    (('dpo_loss', 'mine'), None)
    """
    found = list(checks_of(source))
    if len(found) > 1:
        raise UserError(
            f"a cell has {len(found)} checks, and graders give points to a cell; give each its own:\n{source}"
        )
    return found[0] if found else None
