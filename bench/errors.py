"""What the bench says in one line and stops for."""


class BenchError(Exception):
    """A run that cannot begin, or has no figures: the text is what the user is told."""
