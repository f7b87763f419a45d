"""One run on several processes: Accelerate starts them, and DDP or FSDP2 adds their gradients up.

`steps` deals the pairs of a step out; `together` is what the processes agree on and how a wrapped model runs packed rows;
`sharded` is for a model of which every process holds a share (FSDP2): its reference, its weights and its checkpoints.
"""
