"""What a benchmark cannot go on from."""


class BenchError(Exception):
    """The message says what went wrong and where, for people."""
