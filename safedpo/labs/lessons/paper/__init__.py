"""The paper beside this kit: its methods on the exact world, and the reviewers' sixteen questions."""
