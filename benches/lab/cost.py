"""What a hit costs in system calls, instructions and allocations."""

import re
import subprocess
import time

from . import hit, load, servers, table
from .process import LOAD_CPU
from .servers import FILES, LARGE, PROTOCOLS, SMALL

REQUESTS = 2000


def syscalls(server, protocol, size):
    """System calls a request by name."""
    out = server.directory / "strace"
    command = ["strace", "-c", "-f", "-o", str(out)]
    for pid in server.process.tree():
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    url = server.url(protocol, FILES[size])
    requests = load.run(url, protocol, [f"-n{REQUESTS}"])
    tracer.terminate()
    tracer.wait(20)
    calls = {}
    for line in out.read_text().splitlines():
        fields = line.split()
        if len(fields) >= 5 and fields[3].isdigit() and fields[-1] != "total":
            calls[fields[-1]] = int(fields[3]) / requests
    return calls


def described(calls):
    """Total, and the most frequent calls."""
    most = sorted(calls.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {count:.1f}" for name, count in most if count >= 0.1)
    return [f"{sum(calls.values()):.1f}", named]


def run(directory):
    """Counts system calls of Weir and nginx."""
    upstream = servers.origin(directory)
    candidates = [servers.weir(directory, upstream), servers.nginx_cache(directory, upstream)]
    rows = []
    try:
        for server in candidates:
            hit.warm(server)
            for size in (SMALL, LARGE):
                for protocol in PROTOCOLS:
                    calls = syscalls(server, protocol, size)
                    what = f"{server.name}, {size // 1024} KiB, {protocol}"
                    rows.append([what, *described(calls)])
    finally:
        for server in [*candidates, upstream]:
            server.stop()
    table.show("system calls of a hit", ["", "calls", ""], rows)
