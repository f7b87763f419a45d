"""Things with planted faults, for the exercises in which the learner writes the check."""
