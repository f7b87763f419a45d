"""The language-model world: a row of preference data becomes a packed row, log-probabilities, and a trained adapter.

    models      weights come in and go out: presets, folders, hub ids; dtype; adapters; memory
    rows        a pair -> token ids -> a packed row -> log-probabilities
    training    the reference's log-probabilities, the trainer, and `train()` and `sft()` around it
    blending    several trained adapters on one base, and how good a blend of them is
    sentences   a language whose answers can all be listed: the one door to `safedpo.finite`
    logprobs    the ten lines to read first: what a response's log-probability is

Names are imported when they are first used.
"""

from typing import TYPE_CHECKING

from safedpo import names_on_demand

if TYPE_CHECKING:  # the same names for type checkers and editors
    from safedpo.lm.logprobs import plain_response_logps as plain_response_logps
    from safedpo.lm.models.adapters import add_lora as add_lora
    from safedpo.lm.models.adapters import load_adapter as load_adapter
    from safedpo.lm.models.fingerprint import weights_fingerprint as weights_fingerprint
    from safedpo.lm.models.load import LoadedModel as LoadedModel
    from safedpo.lm.models.load import load_model as load_model
    from safedpo.lm.models.memory import memory_estimate as memory_estimate
    from safedpo.lm.models.presets import PRESETS as PRESETS
    from safedpo.lm.rows.logprobs import response_logps as response_logps
    from safedpo.lm.rows.logprobs import token_logps as token_logps
    from safedpo.lm.rows.packing import TokenBatch as TokenBatch
    from safedpo.lm.rows.packing import pack as pack
    from safedpo.lm.rows.packing import pack_examples as pack_examples
    from safedpo.lm.rows.packing import pack_pairs as pack_pairs
    from safedpo.lm.rows.tokens import TokenExample as TokenExample
    from safedpo.lm.rows.tokens import TokenPair as TokenPair
    from safedpo.lm.rows.tokens import tokenize_examples as tokenize_examples
    from safedpo.lm.rows.tokens import tokenize_pairs as tokenize_pairs
    from safedpo.lm.training.config import SafeDPOConfig as SafeDPOConfig
    from safedpo.lm.training.recipes import RECIPES as RECIPES
    from safedpo.lm.training.reference import reference_logps as reference_logps
    from safedpo.lm.training.run import Run as Run
    from safedpo.lm.training.run import sft as sft
    from safedpo.lm.training.run import train as train
    from safedpo.lm.training.trainer import SafeDPOTrainer as SafeDPOTrainer
    from safedpo.lm.training.trainer import SFTTrainer as SFTTrainer

_HOME = {
    "LoadedModel": "models.load",
    "load_model": "models.load",
    "PRESETS": "models.presets",
    "load_adapter": "models.adapters",
    "add_lora": "models.adapters",
    "memory_estimate": "models.memory",
    "weights_fingerprint": "models.fingerprint",
    "TokenPair": "rows.tokens",
    "TokenExample": "rows.tokens",
    "tokenize_pairs": "rows.tokens",
    "tokenize_examples": "rows.tokens",
    "TokenBatch": "rows.packing",
    "pack": "rows.packing",
    "pack_pairs": "rows.packing",
    "pack_examples": "rows.packing",
    "response_logps": "rows.logprobs",
    "token_logps": "rows.logprobs",
    "plain_response_logps": "logprobs",
    "reference_logps": "training.reference",
    "SafeDPOConfig": "training.config",
    "SafeDPOTrainer": "training.trainer",
    "SFTTrainer": "training.trainer",
    "Run": "training.run",
    "train": "training.run",
    "sft": "training.run",
    "RECIPES": "training.recipes",
}
__all__ = [*_HOME]

__getattr__, __dir__ = names_on_demand(__name__, _HOME)
