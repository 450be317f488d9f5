"""What it costs to rewrite manifests, beside copies of what is written."""

import subprocess

from . import cost, table

# What is done, and how often: in a second run once more, so that what comes before cancels out.
COUNTED = {
    "read a multivariant playlist": ("hls-read", 100),
    "write it, all hints": ("hls-hint", 100),
    "copy that by line": ("hls-copy", 100),
    "rebase a media playlist of 1 MB": ("hls-media", 2),
    "copy that by line ": ("hls-media-copy", 2),
    "read a live MPD": ("dash-read-live", 20),
    "write it, all hints ": ("dash-hint-live", 20),
    "write it, all hints and a cap": ("dash-cap-live", 20),
    "copy it, hinted": ("dash-copy-live", 20),
    "read an MPD of 80 periods": ("dash-read-periods", 20),
    "write it, all hints  ": ("dash-hint-periods", 20),
    "write it, all hints and a cap ": ("dash-cap-periods", 20),
    "copy it, capped": ("dash-copy-capped-periods", 20),
}


def counted(bench, directory, what, times):
    """Instructions and allocations of doing something so often."""
    out = directory / "callgrind"
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    command = [*tool, str(bench), "count", what, str(times)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return cost.counted(out)


def run(directory, bench):
    """Prints times, then instructions and allocations below callgrind."""
    print("\n## rewriting manifests\n", flush=True)
    subprocess.run([bench], check=True)
    rows = []
    for name, (what, times) in COUNTED.items():
        once, twice = (counted(bench, directory, what, n * times) for n in (1, 2))
        each = [(more - less) / times for less, more in zip(once, twice)]
        rows.append([name, *(f"{count:.0f}" for count in each)])
    table.show(
        "user space of rewriting", ["", "instructions", "allocations"], rows,
        ("callgrind counts up to an instruction a byte of a long copy, far less of short ones: "
         "what is written in many pieces can count less than its copy",),
    )
