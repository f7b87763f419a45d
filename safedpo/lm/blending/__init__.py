"""Several adapters of one base loaded together, and a policy between them.

`load` puts them on their base; `blend` interpolates those trained with neighbouring margins, or scales one of them;
`error` measures how far such a policy is from one that was really trained, in nats.
"""
