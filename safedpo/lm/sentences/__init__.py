"""A language small enough to list: its reference, its exact world, and a neural policy measured against the optimum.

`grammar` says which word may follow which; `advice` is the language of the lessons, with what a sentence is worth and why
it is unsafe; `model` is a Llama that masks illegal words in its own forward, and the exact log-probability of every
answer; `reference` loads its trained weights. `enumeration` turns prompts, answers, rewards and hazards into a
`FiniteWorld`: the only door between the two worlds. `measured` trains a policy and measures its distance to the optimum.
"""

from typing import TYPE_CHECKING

from safedpo import names_on_demand

if TYPE_CHECKING:  # the same names for type checkers and editors
    from safedpo.lm.sentences.enumeration import Sentences as Sentences
    from safedpo.lm.sentences.enumeration import list_sentences as list_sentences
    from safedpo.lm.sentences.enumeration import outside_mass as outside_mass
    from safedpo.lm.sentences.measured import STEADY as STEADY
    from safedpo.lm.sentences.measured import Distances as Distances
    from safedpo.lm.sentences.measured import fit_measured as fit_measured
    from safedpo.lm.sentences.measured import train_measured as train_measured
    from safedpo.lm.sentences.reference import load_kitchen as load_kitchen

_HOME = {
    "STEADY": "measured",
    "Distances": "measured",
    "fit_measured": "measured",
    "train_measured": "measured",
    "Sentences": "enumeration",
    "list_sentences": "enumeration",
    "outside_mass": "enumeration",
    "load_kitchen": "reference",
}
__all__ = [*_HOME]

__getattr__, __dir__ = names_on_demand(__name__, _HOME)
