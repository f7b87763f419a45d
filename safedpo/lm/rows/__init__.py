"""A pair becomes a packed row, and the row log-probabilities.

`tokens` turns a record into token ids with the model's own template; `packing` lays several prompts and responses into one
row without padding; `logprobs` runs the model once over that row, with `attention`, `fused` and `products` making it
fast on a CPU; out come summed log-probabilities of responses, (B,) in float32. `wrapped` takes the row through DDP or FSDP.
"""
