"""What a session was worth, from what its page sampled; and what pairs of sessions say together.

QoE per media second is Mbit/s of the pictures seen - 4.3 x the share of time that stood still
- the sum of |Mbit/s| between pictures of one rung and the next, each over the whole window. The
window begins with the first moving picture. Time in it that was not played is stalled, whatever the
reason; start-up is told apart and costs nothing.
"""

import random
import statistics

STALL_COST = 4.3
# A position that leaps ahead of the clock by more has skipped, not played.
SLACK = 0.1
# A picture that stands for as long is a stall to be counted; samples come each 0.1 s.
STALL_SECONDS = 0.3
RESAMPLES = 10_000


def first_move(samples):
    """Index of the first sample in which pictures had moved, or None."""
    for at in range(1, len(samples)):
        if samples[at][2] and samples[at][1] > samples[at - 1][1]:
            return at
    return None


def summary(samples, rungs, seconds):
    """Figures of one session; samples as `page.html` takes them."""
    mbps = {rung["height"]: rung["kbps"] / 1000 for rung in rungs}
    first = first_move(samples)
    if first is None:
        return {"startup": None, "qoe": -STALL_COST, "mbps": 0, "stall": 1, "stalls": 1,
                "switches": 0, "switched": 0, "rungs": []}
    origin = samples[first][0] / 1000
    played = earned = switched = 0.0
    stalls, still, seen = 0, 0.0, [[0, samples[first][2]]]
    for before, after in zip(samples[first:], samples[first + 1:]):
        if after[0] / 1000 - origin > seconds:
            break
        passed = (after[0] - before[0]) / 1000
        moved = min(max(after[1] - before[1], 0), passed + SLACK)
        still = 0 if moved > 0.2 * passed else still + passed
        stalls += still - passed < STALL_SECONDS <= still
        rung = mbps.get(after[2], 0)
        played += moved
        earned += moved * rung
        if after[2] != seen[-1][1]:
            switched += abs(rung - mbps.get(seen[-1][1], 0))
            seen.append([round(after[0] / 1000 - origin, 1), after[2]])
    stall = max(0, 1 - played / seconds)
    return {
        "startup": origin, "mbps": earned / seconds, "stall": stall, "stalls": stalls,
        "switches": len(seen) - 1, "switched": switched / seconds, "rungs": seen,
        "qoe": earned / seconds - STALL_COST * stall - switched / seconds,
    }


def interval(values, seed=4):
    """Median, and the 95 % bootstrap interval of it."""
    random_ = random.Random(seed)
    medians = sorted(
        statistics.median(random_.choices(values, k=len(values))) for _ in range(RESAMPLES)
    )
    return (statistics.median(values), medians[round(0.025 * RESAMPLES)],
            medians[round(0.975 * RESAMPLES) - 1])
