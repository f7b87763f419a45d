"""The labs: checkers that name the likely mistake, planted bugs, and the building of notebooks from their sources."""
