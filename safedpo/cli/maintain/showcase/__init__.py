"""`safedpo maintain showcase`: everything that the second household data leads to, in stages that go on where they stopped.

data       the files of safedpo.household.v2
reference  candidates of the reference, measured on validation; the one that the rule takes, merged into a folder
pairs      pairs sampled from that reference, labelled by the exact scorer and Bradley-Terry
compare    generator's pairs, own pairs and both, at equal numbers, on validation
choose     beta, learning rate and rank on validation, by the rule of plan.py
alone      T alone (delta 0) at smaller betas on validation
sweep      six margins, rule helpful, plain DPO, and the long recipe, three seeds each, on TEST prompts: looked at once
blends     blends of neighbouring margins beside the trained ones
table      what was measured, with broken sentences, sampled and greedy, as Markdown and JSON
"""
