"""Handwritten digits, from files to a chosen model.

Importing the package keeps numeric libraries to one thread, which works only before numpy is imported: the sum of many
floats depends on the order of adding, and with one thread the order, and so every byte written, is always the same.
"""
import os

for variable in ('OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'MKL_NUM_THREADS', 'VECLIB_MAXIMUM_THREADS'):
    os.environ[variable] = '1'
