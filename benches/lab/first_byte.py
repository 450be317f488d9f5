"""Time to the first byte: a miss beside its origin, a Redis hit beside Redis itself."""

import os
import socket
import subprocess
import time
import urllib.request

from . import servers, table
from .process import LOAD_CPU
from .servers import LARGE, SMALL

OBJECTS = 300


class Client:
    """One kept connection."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request, length_of):
        """Sends a request; returns seconds to the first byte, to the last, and the head."""
        start = time.perf_counter()
        self.socket.sendall(request)
        answer = bytearray(self.socket.recv(65536))
        first = time.perf_counter() - start
        while (length := length_of(answer)) is None or len(answer) < length:
            piece = self.socket.recv(262144)
            if not piece:
                raise RuntimeError(f"answer ended early: {bytes(answer[:300])}")
            answer += piece
        return first, time.perf_counter() - start, bytes(answer[:2048])

    def get(self, path):
        """Asks by HTTP/1.1."""
        request = f"GET {path} HTTP/1.1\r\nHost: edge\r\n\r\n".encode()
        return self.ask(request, http_length)

    def redis(self, *words):
        """Asks by the Redis protocol, for one bulk text."""
        parts = [b"*%d\r\n" % len(words)]
        parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
        return self.ask(b"".join(parts), bulk_length)


def http_length(answer):
    """Length of head and body, once the head is here."""
    head, end, _ = bytes(answer[:4096]).partition(b"\r\n\r\n")
    if not end:
        return None
    length = next(
        line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
    )
    return len(head) + 4 + int(length.split(b":")[1])


def bulk_length(answer):
    """Length of a bulk text with its frame."""
    line, end, _ = bytes(answer[:64]).partition(b"\r\n")
    return len(line) + 2 + int(line[1:]) + 2 if end else None


def expect(head, text):
    """Makes sure that an answer came the way that is measured."""
    if text not in head:
        raise RuntimeError(f"{text} not in {head[:600]}")


def misses(directory, upstream):
    """Each path once through Weir, once straight from the origin, in turns."""
    node = servers.weir(directory, upstream, "miss")
    rows = []
    for size in (SMALL, LARGE):
        edge, direct = Client(node.ports["h1"]), Client(upstream.ports["h1"])
        ours, theirs = [], []
        for number in range(OBJECTS):
            path = f"/n/{size}/{number}.m4s"
            theirs.append(direct.get(path)[0])
            first, _, head = edge.get(path)
            expect(head, b"fwd=uri-miss")
            ours.append(first)
        rows.append(["miss, " + name(size), *compared(ours, theirs)])
    return rows


def redis_hits(directory, upstream):
    """Node A fills Redis; each object then once from node B, its first chunk once from Redis."""
    store = servers.redis(directory)
    section = f'[cache.redis]\nurls = ["redis://127.0.0.1:{store.ports["redis"]}"]'
    nodes = [servers.weir(directory, upstream, name, section) for name in ("node-a", "node-b")]
    # Until a node has read the purge log, what it fills must be confirmed by others.
    time.sleep(1)
    rows = []
    for size in (SMALL, LARGE):
        keys = filled(nodes[0], store, size)
        edge, direct = Client(nodes[1].ports["h1"]), Client(store.ports["redis"])
        ours, theirs = [], []
        for number, key in enumerate(keys):
            theirs.append(direct.redis(b"GET", key)[1])
            first, _, head = edge.get(f"/n/{size}/r{number}.m4s")
            expect(head, b"detail=redis")
            ours.append(first)
        rows.append(["Redis hit, " + name(size), *compared(ours, theirs)])
    return rows


def filled(node, store, size):
    """Asks for every object once; returns the keys of their first chunks in Redis."""
    before = set(metadata(store))
    for number in range(OBJECTS):
        url = node.url("h1", f"/n/{size}/r{number}.m4s")
        with urllib.request.urlopen(url, timeout=10) as answer:
            answer.read()
    deadline = time.monotonic() + 20
    while len(new := set(metadata(store)) - before) < OBJECTS:
        # They are written behind the answers.
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {len(new)} objects came to Redis")
        time.sleep(0.1)
    return [key.removesuffix(b"m") + b"0" for key in new]


def metadata(store):
    """Keys of the metadata in Redis."""
    command = ["redis-cli", "-p", str(store.ports["redis"]), "--scan", "--pattern", "weir:1:*:m"]
    return subprocess.run(command, capture_output=True, check=True).stdout.split()


def name(size):
    """A size as tables spell it."""
    return "1 KiB" if size == SMALL else "1 MiB"


def compared(ours, theirs):
    """Cells of a row, in microseconds."""
    cells = []
    for values in (theirs, ours):
        cells += [f"{1e6 * table.middle(values):.0f}", f"{1e6 * table.percentile(values, 99):.0f}"]
    cells.append(f"{1e6 * (table.middle(ours) - table.middle(theirs)):+.0f}")
    extra = table.percentile(ours, 99) - table.percentile(theirs, 99)
    cells.append(f"{1e6 * extra:+.0f}")
    return cells


def run(directory):
    """Measures both on fresh servers."""
    # The servers share their processor; the clock must not wait for it too.
    os.sched_setaffinity(0, {LOAD_CPU})
    upstream = servers.origin(directory)
    rows = misses(directory, upstream) + redis_hits(directory, upstream)
    table.show(
        "time to the first byte, microseconds",
        ["", "direct", "p99", "weir", "p99", "extra", "p99"], rows,
        (
            f"{OBJECTS} objects in turns over one kept connection each; a client in Python on the"
            " same machine, on a processor of its own",
            "direct from Redis is the whole GET of the first chunk: Weir sends no byte of a chunk"
            " whose checksum it has not seen",
        ),
    )
