"""Tables of runs, in Markdown."""

import statistics

import score


def line(run):
    """A run in one line."""
    startup = "never" if run["startup"] is None else f"{run['startup']:.2f}"
    rungs = " ".join(f"{height}@{at:.0f}" for at, height in run["rungs"][:8])
    return (f"{run['player']:8} {run['link']:5} {run['arm']:4} #{run['pair']} "
            f"qoe {run['qoe']:6.2f} mbps {run['mbps']:.2f} stall {100 * run['stall']:4.1f} % "
            f"({run['stalls']}) switches {run['switches']} start {startup} "
            f"hint {run['hint']:d} cmsd {run['cmsd']} drop {run['dropped']}/{run['frames']} "
            f"load {run['load']:.1f} | {rungs}{' ' + run['error'] if run['error'] else ''}")


def table(heads, rows):
    """Prints a table."""
    print("\n| " + " | ".join(heads) + " |")
    print("|" + "|".join("---" if not at else "--:" for at in range(len(heads))) + "|")
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")


def named(values):
    """Names in the order in which they come."""
    return list(dict.fromkeys(values))


def cell(runs):
    """Figures of runs alike."""
    middle = statistics.median
    startups = [run["startup"] for run in runs if run["startup"] is not None]
    hints = sum(run["hint"] for run in runs)
    return [
        len(runs), f"{middle(r['qoe'] for r in runs):.2f}",
        f"{middle(r['mbps'] for r in runs):.2f}",
        f"{100 * statistics.mean(r['stall'] for r in runs):.1f} %",
        f"{statistics.mean(r['switches'] for r in runs):.1f}",
        f"{middle(startups):.2f} s" if startups else "never", f"{hints}/{len(runs)}",
    ]


def differences(runs, player, arm):
    """QoE of an arm less that of `off`, pair by pair."""
    by_pair = {}
    for run in runs:
        if run["player"] == player:
            by_pair.setdefault((run["link"], run["pair"]), {})[run["arm"]] = run["qoe"]
    return [
        (link, found[arm] - found["off"])
        for (link, _), found in by_pair.items()
        if arm in found and "off" in found
    ]


def compared(runs, player, arm, link=None):
    """Median paired difference with its interval, and how it compares to the other arm's QoE."""
    pairs = [gain for at, gain in differences(runs, player, arm) if link in (None, at)]
    if not pairs:
        return None
    base = statistics.median(
        run["qoe"] for run in runs
        if run["player"] == player and run["arm"] == "off" and link in (None, run["link"])
    )
    middle, low, high = score.interval(pairs)
    share = f"{100 * middle / abs(base):+.1f} %" if base else ""
    return [len(pairs), f"{middle:+.3f}", f"{low:+.3f} .. {high:+.3f}", share]


def show(runs):
    """Prints all tables."""
    players, links = named(r["player"] for r in runs), named(r["link"] for r in runs)
    arms = [arm for arm in named(r["arm"] for r in runs) if arm != "off"]
    rows = []
    for player in players:
        for arm in sorted(arms):
            for link in (None, *links):
                if found := compared(runs, player, arm, link):
                    rows.append([player, arm, link or "**all**", *found])
    table(["player", "arm", "link, Mbit/s", "pairs", "QoE less that of off, median",
           "95 % interval", "of off's QoE"], rows)
    rows = []
    for player in players:
        for link in links:
            for arm in ("off", *sorted(arms)):
                named_so = (player, link, arm)
                alike = [r for r in runs if (r["player"], r["link"], r["arm"]) == named_so]
                if alike:
                    rows.append([player, link, arm, *cell(alike)])
    table(["player", "link", "arm", "runs", "QoE", "Mbit/s", "stalled", "switches", "start-up",
           "with a hint"], rows)
    print(f"\ndropped frames {100 * dropped(runs):.2f} %, "
          f"load a processor at most {max(r['load'] for r in runs):.1f}, "
          f"players' errors {sum(bool(r['error']) for r in runs)}")


def dropped(runs):
    """Share of pictures that were decoded too late: above a few percent, the machine was slow."""
    return sum(r["dropped"] for r in runs) / max(1, sum(r["frames"] for r in runs))
