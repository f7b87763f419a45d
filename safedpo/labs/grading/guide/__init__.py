"""What the instructor reads that can be computed: outcomes, minutes, misconceptions, and slides, all from the sources."""
