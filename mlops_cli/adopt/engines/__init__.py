"""Hands the graph to another engine: that one says when and where, ``mlops run --only STAGE`` what has to run."""
