"""What the notebooks use beside the package: small helpers that would hide the lesson if a cell spelled them out.

`agreement` compares the two sides of a derivation; `answers` draws policies over a list of answers; `bandit`, `methods`
and `kitchen` hold the runs of notebooks 04, 05 and 06; `finetuning`
and `margins` show those of 07 and 08, and
`ladder` starts larger ones. Nothing in the package depends on these.
"""
