"""Methods that bound the *expected* cost: one price on it, one price a prompt, or a penalty on what exceeds it."""
