"""CPU time of a hit, beside nginx and Varnish and the limits of the machine."""

import re
import subprocess
import urllib.request

from . import load, servers, table
from .process import SERVER_CPU, pinned
from .servers import FILES, LARGE, PROTOCOLS, SMALL

ROUNDS = 3
SECONDS = 2
MIB = 1024 * 1024


def warm(server):
    """Has both objects cached, and makes sure of it."""
    for path in FILES.values():
        for _ in range(3):
            with urllib.request.urlopen(server.url("h1", path), timeout=10) as answer:
                answer.read()
                fields = answer.headers
        said = (fields.get("Cache-Status") or "") + (fields.get("X-Cache") or "")
        is_hit = re.search(r"; hit|HIT", said) or " " in (fields.get("X-Varnish") or "")
        if not is_hit:
            raise RuntimeError(f"{server.name} does not cache: {fields}")


def measure(server, protocol, size):
    """Microseconds of CPU for one request."""
    url = server.url(protocol, FILES[size])
    before = server.process.cpu_seconds()
    requests = load.run(url, protocol, [f"-D{SECONDS}"])
    return 1e6 * (server.process.cpu_seconds() - before) / requests


def cells(candidates):
    """What is measured: every server by every protocol it speaks, large objects and small."""
    return [
        (server, protocol, size)
        for size in (SMALL, LARGE)
        for protocol in PROTOCOLS
        for server in candidates
        if protocol in server.ports and size in server.sizes
    ]


def aes_gcm():
    """Microseconds that AES-128-GCM takes for 1 MiB in records of 16 KiB."""
    command = ["openssl", "speed", "-seconds", "1", "-bytes", "16384", "-evp", "aes-128-gcm"]
    done = subprocess.run(
        pinned(SERVER_CPU, command), capture_output=True, text=True, timeout=60, check=True
    )
    kilobytes = float(re.findall(r"([\d.]+)k", done.stdout)[-1])
    return 1e6 * MIB / (kilobytes * 1000)


def run(directory, floor_binary):
    """Measures in rounds, each through all cells, so that a noisy moment meets everyone."""
    upstream = servers.origin(directory)
    candidates = [
        servers.weir(directory, upstream),
        servers.nginx_cache(directory, upstream),
        servers.varnish(directory, upstream),
    ]
    candidates += [servers.floor(directory, floor_binary, size) for size in (SMALL, LARGE)]
    for server in candidates[:3]:
        warm(server)
    plan = cells(candidates)
    figures = {(s.name, protocol, size): [] for s, protocol, size in plan}
    for _ in range(ROUNDS):
        for server, protocol, size in plan:
            figures[server.name, protocol, size].append(measure(server, protocol, size))
    report(figures, aes_gcm())


def report(figures, aes):
    """Prints one row for each size and protocol."""
    names = ("weir", "nginx", "varnish", "write loop")
    rows = []
    for size in (SMALL, LARGE):
        for protocol in PROTOCOLS:
            row = ["1 KiB" if size == SMALL else "1 MiB", protocol]
            ours = table.middle(figures["weir", protocol, size])
            for name in names:
                values = figures.get((name, protocol, size))
                if not values:
                    row += ["n/a", ""] if name != "weir" else []
                    continue
                row.append(f"{table.middle(values):.1f} ±{table.spread(values) / 2:.0f} %")
                if name != "weir":
                    row.append(f"x{ours / table.middle(values):.2f}")
            rows.append(row)
    heads = ["object", "protocol", "weir"]
    for name in names[1:]:
        heads += [name, "weir/it"]
    table.show(
        "CPU of a hit, microseconds a request", heads, rows,
        (
            f"user and system time of all processes of a server, one worker each, pinned; median of"
            f" {ROUNDS} rounds of {SECONDS} s, ± half the spread",
            "for 1 MiB this is also the time for each MiB; the write loop reads a head and writes"
            " one prepared answer, HTTP/1.1 without TLS",
            f"AES-128-GCM alone takes {aes:.0f} microseconds for 1 MiB on this processor",
            "Varnish has no TLS of its own",
        ),
    )
