"""Prints houses: area and price, from a small generator of its own, so that every machine has the same."""

import sys

state = 7
print('area,price')
for _ in range(int(sys.argv[1])):
    state = state * 48271 % 2147483647
    area = 40 + state % 160
    print(f'{area},{3 * area - 20 + state % 37}')
