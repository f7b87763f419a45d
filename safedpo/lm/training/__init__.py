"""From a file of pairs to an adapter in a folder.

`data` reads and draws what is trained on; `reference` computes its log-probabilities once; `config` and `recipes` hold the
settings; `trainer` minimises the loss over the steps that `steps` deals out, after `step_zero` has checked a theorem on
the first; `metrics` and `callbacks` say what happens; `checkpoints` and `run_folder` keep it. `run` is `train()` and
`sft()`: all of it in order.
"""
