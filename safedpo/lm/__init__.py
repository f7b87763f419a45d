"""The language-model world: models, tokens, log-probabilities, the reference, training."""
