"""Tables of text, and the statistics in them."""

import statistics


def show(title, heads, rows, notes=()):
    """Prints a table; numbers stand to the right."""
    cells = [[str(cell) for cell in row] for row in [heads, *rows]]
    widths = [max(len(row[at]) for row in cells) for at in range(len(heads))]
    print(f"\n## {title}\n")
    for row in cells:
        texts = (
            cell.ljust(width) if at == 0 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths))
        )
        print("  ".join(texts).rstrip())
    for note in notes:
        print(f"- {note}")
    print(flush=True)


def middle(values):
    """Median."""
    return statistics.median(values)


def spread(values):
    """Distance between the extremes, in percent of the median."""
    return 100 * (max(values) - min(values)) / middle(values)


def percentile(values, percent):
    """The value that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]
