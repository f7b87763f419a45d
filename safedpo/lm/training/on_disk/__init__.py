"""A run on disk: what can be killed at any moment and goes on to the same bits.

`about` is what a run says about itself; `run_folder` says whose folder it is, holds it against a second run, and puts the
result into it; `checkpoints` are whole or do not count; `resume` carries over what a checkpoint of the Trainer forgets;
`sharded` writes whole weights and a whole optimizer where every process holds a share.
"""
