"""Judges: models that are asked with a prompt, whose verdicts are stored, counted and compared.

wordings    how a judge is asked (wordings.yaml), and replies read strictly
ask         who is asked: an address, a local model, a word filter
items       what is judged
run         every verdict stored, interrupted runs resumed
summary     harm, wins, replies out of format, the pull of the first place, the cost
agreement   Cohen's kappa between two judges, with its interval
"""
