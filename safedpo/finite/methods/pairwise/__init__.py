"""One table, one loss, ordered pairs: DPO and the losses around it."""
