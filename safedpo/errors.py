"""The one exception for a mistake that the person at the keyboard can put right."""


class UserError(ValueError):
    """Something the user gave cannot be used: the message says what was found, where, and what to do.

    The command line prints the message alone and exits with code 2; in Python it is a ``ValueError``.

    >>> from safedpo.errors import UserError
    >>> raise UserError("beta is -1; it must be greater than 0")
    Traceback (most recent call last):
    ...
    safedpo.errors.UserError: beta is -1; it must be greater than 0
    """
