"""The figures of notebook 10, the wider field."""
