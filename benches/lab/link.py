"""A link of a chosen rate and round trip to a network namespace; `python3 -m lab.link` tests it.

    with Link(rate=2.2, round_trip_ms=40) as link:
        subprocess.run(link.inside(["curl", f"http://{link.server}:8080/"]))
        link.change(rate=1)

Servers listen in the root namespace, at `link.server` or everywhere; clients run inside. What goes
to the client passes `tbf` in the root namespace and is delayed behind it, so that the queue of the
bottleneck is the kernel's own and TCP stays end to end. Without a round trip the two ends are a
veth pair; with one they are TUN devices and `relay.py` between them, since not every kernel has
netem.

Links are numbered by locked files: a lock that nobody holds is a link that nobody has, and what an
earlier run left behind under its number is removed. Needs root.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

LOCKS = Path(tempfile.gettempdir())
LINKS = 64
# Of the shaper: what passes at once, and how long a full queue takes to drain.
BURST = "16kb"
QUEUE_MS = 250
# As Ethernet has it.
MTU = 1500


def sh(*words):
    """Runs a command that must succeed."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


def name_of(number):
    """Namespace of a link; devices have it with a letter behind."""
    return f"weir-link{number}"


def locked(number):
    """Open file of a link that nobody has, or None."""
    lock = open(LOCKS / f"{name_of(number)}.lock", "a", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def clear(number):
    """Removes what stands under a number whose lock is held, with the processes inside."""
    name = name_of(number)
    if not Path(f"/run/netns/{name}").exists():
        return
    for pid in sh("ip", "netns", "pids", name).split():
        try:
            os.kill(int(pid), signal.SIGKILL)
        except ProcessLookupError:
            pass
    # The kernel takes a namespace's devices away some time after it, and the name would be taken.
    subprocess.run(["ip", "link", "delete", f"{name}s"], capture_output=True)
    sh("ip", "netns", "delete", name)


class Link:
    """A namespace, the link to it, and the lock of its number.

    `rate` is in Mbit/s towards the client; None leaves it unshaped. `congestion` names the
    congestion control of servers on this link; the machine's own by default.
    """

    def __init__(self, rate=None, round_trip_ms=0, congestion=None):
        self.rate = rate
        self.round_trip_ms = round_trip_ms
        self.congestion = congestion
        self.number = self.lock = self.relay = None

    @property
    def name(self):
        """The namespace."""
        return name_of(self.number)

    @property
    def near(self):
        """The device in the root namespace."""
        return f"{self.name}s"

    @property
    def far(self):
        """The device inside."""
        return f"{self.name}c"

    @property
    def server(self):
        """Address in the root namespace."""
        return f"10.213.{self.number}.1"

    @property
    def client(self):
        """Address inside."""
        return f"10.213.{self.number}.2"

    def __enter__(self):
        for number in range(LINKS):
            if lock := locked(number):
                if self.lock:
                    clear(number)
                    lock.close()
                else:
                    self.number, self.lock = number, lock
                    clear(number)
        if not self.lock:
            raise RuntimeError(f"{LINKS} links are in use")
        try:
            self.build()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.relay:
            self.relay.kill()
            self.relay.wait()
        clear(self.number)
        self.lock.close()

    def build(self):
        """Makes namespace, devices and shaper."""
        sh("ip", "netns", "add", self.name)
        if self.round_trip_ms:
            self.connect_by_relay()
        else:
            sh("ip", "link", "add", self.near, "type", "veth",
               "peer", "name", self.far, "netns", self.name)
            # No packet larger than the wire's: the shaper would let bursts of 64 kB pass.
            sh("ip", "link", "set", self.near, "gso_max_segs", 1)
        inside = ("ip", "-n", self.name)
        for ip, device, own, peer in (
            (("ip",), self.near, self.server, self.client),
            (inside, self.far, self.client, self.server),
        ):
            sh(*ip, "address", "add", own, "peer", peer, "dev", device)
            sh(*ip, "link", "set", device, "mtu", MTU, "up")
        sh(*inside, "link", "set", "lo", "up")
        sh(*inside, "route", "add", "default", "dev", self.far)
        if self.congestion:
            sh("ip", "route", "replace", self.client, "dev", self.near, "src", self.server,
               "congctl", self.congestion)
        if self.rate:
            self.change(self.rate)

    def connect_by_relay(self):
        """Starts the relay and waits for its devices."""
        script = Path(__file__).with_name("relay.py")
        # It ends with the thread that made the link, however that ends.
        command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-B", script,
                   self.near, self.far, self.name, str(self.round_trip_ms)]
        self.relay = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        if self.relay.stdout.readline() != b"ready\n":
            raise RuntimeError("the relay did not start")

    def change(self, rate):
        """Sets another rate, at once; what is queued stays."""
        sh("tc", "qdisc", "replace", "dev", self.near, "root", "tbf",
           "rate", f"{round(rate * 1e6)}bit", "burst", BURST, "latency", f"{QUEUE_MS}ms")
        self.rate = rate

    def inside(self, command):
        """The command that runs another one inside."""
        return ["ip", "netns", "exec", self.name, *map(str, command)]


class Source:
    """A server that sends zeros to whoever connects, or echoes to those whose first byte is `e`."""

    def __init__(self, address):
        self.listener = socket.create_server((address, 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        """Serves each connection by a thread."""
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        """Serves until the client leaves."""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        zeros = bytes(65536)
        try:
            if connection.recv(1) == b"e":
                while byte := connection.recv(1):
                    connection.sendall(byte)
            while True:
                connection.sendall(zeros)
        except OSError:
            connection.close()


# Prints bytes received in each tenth of a second, after the fastest of twenty echoes.
CLIENT = """
import socket, sys, time
def connect(first):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    s.sendall(first)
    return s
s, trips = connect(b"e"), []
for _ in range(20):
    start = time.perf_counter(); s.sendall(b"x"); s.recv(1)
    trips.append(time.perf_counter() - start)
print(*(1000 * t for t in sorted(trips)), flush=True)
s.close()
s = connect(b"b")
start, counts = time.monotonic(), [0] * int(10 * float(sys.argv[3]))
while (at := int(10 * (time.monotonic() - start))) < len(counts):
    counts[at] += len(s.recv(65536))
print(*counts)
"""


def measured(link, then, seconds=6):
    """Median round trip in ms; Mbit/s at the first rate and, `seconds` later, at the other."""
    source = Source(link.server)
    command = link.inside([sys.executable, "-c", CLIENT, link.server, source.port, 2 * seconds])
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
        trips = [float(trip) for trip in client.stdout.readline().split()]
        time.sleep(seconds)
        link.change(then)
        counts = [int(count) for count in client.stdout.readline().split()]
    source.listener.shutdown(socket.SHUT_RDWR)
    source.listener.close()
    # The first seconds at a rate belong to TCP's search for it.
    spans = counts[20:10 * seconds], counts[10 * seconds + 20:]
    return trips[len(trips) // 2], *(sum(span) * 8e-5 / len(span) for span in spans)


def main():
    """Prints what links are like, beside what they should be."""
    print("RTT wanted, got (ms); rate wanted, got; then wanted, got (Mbit/s, goodput is 4 % less)")
    for round_trip in (0, 40):
        for rate, then in ((1, 3), (2.5, 1), (5, 2.2), (20, 5)):
            with Link(rate, round_trip) as link:
                trip, first, second = measured(link, then)
            print(f"{round_trip:4} {trip:6.2f}   {rate:5} {first:6.2f}   {then:4} {second:6.2f}",
                  flush=True)


if __name__ == "__main__":
    main()
