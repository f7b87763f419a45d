"""The same points in other houses: nbgrader, otter-grader, and the results.json of Gradescope and PrairieLearn."""
