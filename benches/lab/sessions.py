"""What it costs a hit that its session is known and its connection measured, in instructions."""

import re
import urllib.request

from . import cost, hit, load, process, servers, table
from .servers import FILES, SMALL

REQUESTS = 1000
ROUNDS = 3
PLAYLIST = (
    "location = /title.m3u8 {"
    " default_type application/vnd.apple.mpegurl;"
    ' return 200 "#EXTM3U\\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\\nv.m3u8\\n"; }'
)
REPORT = "?CMCD=bl%3D9000%2Cbr%3D3000%2Cd%3D4000%2Cmtp%3D9000%2Cot%3Dv%2Csid%3D%22a-player%22"


def prefix(server):
    """The beginning of a new session's paths."""
    with urllib.request.urlopen(server.url("h1", "/title.m3u8"), timeout=10) as answer:
        return re.search(r"^/~[^/]+", answer.read().decode(), re.M)[0]


def run(directory):
    """Counts, in one process and in turn: off, on, by a session's path, and with CMCD as well."""
    process.START_DEADLINE = 60
    upstream = servers.origin(directory, PLAYLIST)
    out = directory / "callgrind"
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    server = servers.weir(directory, upstream, "sessions", wrapper=tool)
    hit.warm(server)
    named = prefix(server) + FILES[SMALL]
    asked = {
        "sessions off": (FILES[SMALL], ["-H", ":authority: off.test"]),
        "by address and user agent": (FILES[SMALL], []),
        "by a session's path": (named, []),
        "by a session's path, with CMCD": (named + REPORT, []),
    }
    figures = {name: [] for name in asked}
    for number in range(ROUNDS * len(asked)):
        name = list(asked)[number % len(asked)]
        path, flags = asked[name]
        url = server.url("h1", path)
        load.run(url, "h1", ["-n200", *flags])
        cost.control(server, "-z")
        requests = load.run(url, "h1", [f"-n{REQUESTS}", *flags])
        cost.control(server, "-d")
        counted = cost.counted(out.with_suffix(f".{number + 1}"))
        figures[name].append([count / requests for count in counted])
    rows = []
    base = table.middle([instructions for instructions, _ in figures["sessions off"]])
    for name, rounds in figures.items():
        instructions, allocations = (table.middle(values) for values in zip(*rounds))
        rows.append([name, f"{instructions:.0f}", f"x{instructions / base:.3f}",
                     f"{allocations:.1f}"])
    table.show("user space of a 1 KiB hit whose session is known",
               ["", "instructions", "", "allocations"], rows,
               ("counted by callgrind, HTTP/1.1; median of "
                f"{ROUNDS} rounds of {REQUESTS} requests over 16 connections",))
