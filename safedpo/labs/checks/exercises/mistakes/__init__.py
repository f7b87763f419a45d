"""The likely mistakes of the notebooks' exercises, each by the message that names it, where a checks module would grow too long."""
