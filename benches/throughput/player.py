"""A player-like client; run inside a link's namespace: `player.py URL PROTOCOL AGENT`.

It fetches segments as players do: some ahead at once, then one as each has played, of the rung that
its own estimate allows. Each line of input is a command, each line of output its answer as JSON:

    open PATH               fetches a multivariant playlist; the prefix of its session's paths
    play PREFIX SECONDS     plays; bytes in all
    fetch PATH              fetches once; bytes and seconds, without the wait for the first

PROTOCOL is h1 or h2. Both are spoken here, since no client of a standard installation keeps an
HTTP/2 connection idle between two requests.
"""

import json
import re
import socket
import ssl
import struct
import sys
import time
from urllib.parse import urlsplit

DEADLINE = 60
SEGMENT_SECONDS = 2
AHEAD_SECONDS = 10
RUNGS = (0.4, 0.8, 1.6, 3, 6, 12)
# Of its estimate, what it plays: half-lives and factor are those of hls.js.
FACTOR, FAST, SLOW = 0.8, 3, 9


def connected(url, protocol):
    """A socket to the server, within TLS where the URL says so."""
    plain = socket.create_connection((url.hostname, url.port), timeout=DEADLINE)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if url.scheme != "https":
        return plain
    context = ssl.create_default_context()
    # What is measured is a rate, not who sends it.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2" if protocol == "h2" else "http/1.1"])
    return context.wrap_socket(plain, server_hostname=url.hostname)


class Http1:
    """A kept connection of HTTP/1.1."""

    def __init__(self, url, agent):
        self.stream = connected(url, "h1")
        self.host, self.agent = url.netloc, agent
        self.input = self.stream.makefile("rb", 262144)

    def get(self, path):
        """Asks; returns the body's length and first kilobyte, and when its first byte came."""
        head = f"GET {path} HTTP/1.1\r\nhost: {self.host}\r\nuser-agent: {self.agent}\r\n\r\n"
        self.stream.sendall(head.encode())
        status, length = int(self.input.readline().split()[1]), 0
        while line := self.input.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if status != 200:
            raise ConnectionError(f"status {status}")
        first, left, start = time.monotonic(), length, b""
        while left:
            piece = self.input.read1(min(left, 262144))
            if not piece:
                raise ConnectionError("the body ended early")
            left -= len(piece)
            start += piece[:1024 - len(start)]
        return length, start, first


class Http2:
    """A connection of HTTP/2 (RFC 9113), one stream at a time, with a browser's windows."""

    WINDOW, CREDIT = 6 << 20, 1 << 20
    DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8

    def __init__(self, url, agent):
        self.stream = connected(url, "h2")
        self.url, self.agent, self.id, self.owed = url, agent, -1, 0
        self.input = self.stream.makefile("rb", 262144)
        windows = struct.pack(">HIHI", 2, 0, 4, self.WINDOW)
        self.stream.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(self.SETTINGS, 0, 0, windows)
            + self.frame(self.WINDOW_UPDATE, 0, 0, struct.pack(">I", 15 << 20))
        )

    @staticmethod
    def frame(kind, flags, stream, payload):
        """A frame of section 4.1."""
        head = struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream)
        return head + payload

    def get(self, path):
        """Asks; returns the body's length and first kilobyte, and when its first byte came."""
        self.id += 2
        # RFC 7541: indexed method and scheme; literals of indexed names, not to be remembered.
        block = b"\x82" + (b"\x87" if self.url.scheme == "https" else b"\x86")
        for name, value in ((b"\x01", self.url.netloc), (b"\x04", path), (b"\x0f\x2b", self.agent)):
            block += name + bytes([len(value)]) + value.encode()
        self.stream.sendall(self.frame(self.HEADERS, 0x5, self.id, block))
        length, start, first = 0, b"", None
        while True:
            head = self.input.read(9)
            if len(head) < 9:
                raise ConnectionError("the connection ended early")
            size = int.from_bytes(head[:3], "big")
            kind, flags = head[3], head[4]
            payload = self.input.read(size)
            if kind == self.HEADERS:
                # Entry 8 of the static table is `:status 200`; a change of the table may precede.
                if 0x88 not in payload[:2]:
                    raise ConnectionError("another status than 200")
                first = time.monotonic()
            elif kind == self.DATA:
                length += size
                start += payload[:1024 - len(start)]
                self.credit(size)
            elif kind == self.SETTINGS and not flags & 1:
                self.stream.sendall(self.frame(self.SETTINGS, 1, 0, b""))
            elif kind == self.PING and not flags & 1:
                self.stream.sendall(self.frame(self.PING, 1, 0, payload))
            elif kind in (self.RESET, self.GOAWAY):
                raise ConnectionError(f"refused: {payload!r}")
            if kind in (self.HEADERS, self.DATA) and flags & 1:
                return length, start, first

    def credit(self, size):
        """Gives the windows back what was taken, by the megabyte."""
        self.owed += size
        if self.owed >= self.CREDIT:
            owed = struct.pack(">I", self.owed)
            for stream in (0, self.id):
                self.stream.sendall(self.frame(self.WINDOW_UPDATE, 0, stream, owed))
            self.owed = 0


class Rate:
    """What the player itself thinks of the link, in Mbit/s."""

    def __init__(self):
        self.sums = [[half, 0.0, 0.0] for half in (FAST, SLOW)]

    def sample(self, size, seconds):
        """Takes a segment in."""
        seconds = max(seconds, 0.05)
        for entry in self.sums:
            fade = 0.5 ** (seconds / entry[0])
            entry[1] = fade * entry[1] + (1 - fade) * size * 8e-6 / seconds
            entry[2] = fade * entry[2] + (1 - fade)

    def rung(self):
        """Index of the best rung that it allows."""
        rates = [mean / total for _, mean, total in self.sums if total]
        allowed = FACTOR * min(rates, default=0)
        return max((i for i, rung in enumerate(RUNGS) if rung <= allowed), default=0)


def play(client, prefix, seconds, rate):
    """Plays for so long: buffers ahead, then takes a segment for each that has played."""
    end = time.monotonic() + seconds
    buffered, since, total = 0.0, time.monotonic(), 0
    while (now := time.monotonic()) < end:
        buffered, since = max(0.0, buffered - (now - since)), now
        if buffered > AHEAD_SECONDS - SEGMENT_SECONDS:
            time.sleep(min(0.05, end - now))
            continue
        size, _, _ = client.get(f"{prefix}{rate.rung()}.m4s")
        rate.sample(size, time.monotonic() - now)
        buffered += SEGMENT_SECONDS
        total += size
    return {"bytes": total}


def obey(client, rate, words):
    """Carries a command out; returns the answer."""
    if words[0] == "play":
        return play(client, words[1], float(words[2]), rate)
    size, start, first = client.get(words[1])
    if words[0] == "fetch":
        return {"bytes": size, "secs": time.monotonic() - first}
    found = re.search(rb"^(/~[^/]+/)", start, re.MULTILINE)
    return {"prefix": found[1].decode() if found else "/"}


def main():
    """Obeys."""
    url, protocol, agent = urlsplit(sys.argv[1]), sys.argv[2], sys.argv[3]
    client = {"h1": Http1, "h2": Http2}[protocol](url, agent)
    rate = Rate()
    for line in sys.stdin:
        print(json.dumps(obey(client, rate, line.split())), flush=True)


if __name__ == "__main__":
    main()
