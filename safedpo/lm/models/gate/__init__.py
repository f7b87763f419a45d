"""Right numbers on a model from outside, or a clear refusal before any work.

`outside` looks at a folder's JSON before anything is loaded: code, foreign kernels and weights that are no safetensors are
refused. `rules` knows by property which models a packed row cannot serve. `check` runs a packed row of the run's own data
against single sequences.
"""
