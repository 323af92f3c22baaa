"""Faults, crowds and hostile input, tried on mlops and, where it has the same command, on DVC: tests/faults/run --help."""
