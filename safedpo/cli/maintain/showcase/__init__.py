"""`safedpo maintain showcase`: how the settings of the shipped sweep were chosen, in stages that go on where they stopped.

pairs      pairs sampled from the shipped reference, labelled by the exact scorer and Bradley-Terry
compare    generator's pairs, own pairs and both, at equal numbers, on validation
choose     beta, learning rate and rank on validation, by the rule of plan.py
alone      T alone (delta 0) at smaller betas on validation
unseen     requests that are never trained on, asked of the reference and of policies of the shipped sweep
"""
