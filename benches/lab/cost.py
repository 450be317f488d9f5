"""What a hit costs in system calls, instructions and allocations."""

import re
import subprocess
import time

from . import hit, load, process, servers, table
from .servers import FILES, LARGE, PROTOCOLS, SMALL

REQUESTS = 2000
# Both allocators: ours, and that of the C library for OpenSSL.
ALLOCATIONS = re.compile(r"(_rjem_)?(malloc|mallocx|calloc|realloc|rallocx)(@.*)?$")


def syscalls(server, protocol, size):
    """System calls a request, by name."""
    out = server.directory / "strace"
    command = ["strace", "-c", "-f", "-o", str(out)]
    for pid in server.process.tree():
        command += ["-p", str(pid)]
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    requests = load.run(server.url(protocol, FILES[size]), protocol, [f"-n{REQUESTS}"])
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


def traced(directory, upstream):
    """Counts system calls of Weir and nginx."""
    rows = []
    for server in (servers.weir(directory, upstream), servers.nginx_cache(directory, upstream)):
        hit.warm(server)
        for size in (SMALL, LARGE):
            for protocol in PROTOCOLS:
                calls = syscalls(server, protocol, size)
                rows.append([f"{server.name}, {size // 1024} KiB, {protocol}", *described(calls)])
    table.show("system calls of a hit", ["", "calls", ""], rows)


def counted(dump):
    """Instructions and allocations in a dump of callgrind."""
    names, callee, instructions, allocations = {}, None, 0, 0
    for line in dump.read_text().splitlines():
        if match := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
            names.setdefault(match[1], match[2])
            callee = names[match[1]]
        elif line.startswith("calls=") and ALLOCATIONS.match(callee):
            allocations += int(line[len("calls="):].split()[0])
        elif line.startswith("totals:"):
            instructions = int(line.split()[1])
    return instructions, allocations


def simulated(directory, upstream):
    """Counts instructions and allocations of a small hit, run below callgrind."""
    process.START_DEADLINE = 60
    out = directory / "callgrind"
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
    server = servers.weir(directory, upstream, "simulated", wrapper=tool)
    hit.warm(server)
    rows = []
    for number, protocol in enumerate(PROTOCOLS, 1):
        url = server.url(protocol, FILES[SMALL])
        load.run(url, protocol, ["-n200"])
        control(server, "-z")
        requests = load.run(url, protocol, ["-n1000"])
        control(server, "-d")
        instructions, allocations = counted(directory / f"callgrind.{number}")
        rows.append([protocol, f"{instructions / requests:.0f}", f"{allocations / requests:.0f}"])
    table.show(
        "user space of a 1 KiB hit in Weir", ["", "instructions", "allocations"], rows,
        ("counted by callgrind, which takes a long copy for an instruction each 32 bytes or less",
         "a handshake in sixty requests is part of TLS"),
    )


def control(server, what):
    """Tells callgrind to forget (-z) or to write (-d) its counts."""
    command = ["callgrind_control", what, str(server.process.pid)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def run(directory):
    """Counts both."""
    upstream = servers.origin(directory)
    traced(directory, upstream)
    simulated(directory, upstream)
