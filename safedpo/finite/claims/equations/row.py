"""What a row of the equation table is."""

from dataclasses import dataclass

NOT_FOUND = "not found in the public text"


@dataclass(frozen=True)
class Equation:
    """A statement of a paper: its number and words, the notebook that derives it, and the ids of its claims.

    `first` is its number in the first version of the paper where that is known. A statement without claims says in
    `words` what is known of it and why nothing can be checked; it has no notebook.

    >>> Equation("Eq. 9", "its closed form", "02", ("gibbs-identity",), first="").claims
    ('gibbs-identity',)
    """

    name: str
    words: str
    notebook: str
    claims: tuple[str, ...]
    first: str = ""
