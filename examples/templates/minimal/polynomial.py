"""Least squares, by hand.  fit.py imports this: mlops finds it, and runs the stage again when its meaning changes."""


def fit(points, degree):
    """The coefficients, the constant first, that come nearest to the points."""
    size = degree + 1
    rows = [
        [sum(x ** (row + column) for x, _ in points) for column in range(size)] + [sum(y * x**row for x, y in points)]
        for row in range(size)
    ]
    for step in range(size):
        pivot = max(range(step, size), key=lambda row: abs(rows[row][step]))
        rows[step], rows[pivot] = rows[pivot], rows[step]
        for row in range(size):
            if row != step:
                factor = rows[row][step] / rows[step][step]
                rows[row] = [value - factor * other for value, other in zip(rows[row], rows[step])]
    return [rows[row][size] / rows[row][row] for row in range(size)]


def value(coefficients, x):
    return sum(coefficient * x**power for power, coefficient in enumerate(coefficients))
