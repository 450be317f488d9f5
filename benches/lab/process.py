"""Processes under measurement: free ports, start, CPU time of a whole tree, stop by pid."""

import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
SERVER_CPU = 0
LOAD_CPU = (os.cpu_count() or 1) - 1
START_DEADLINE = 15
STARTED = []
# Ports handed out: two asked for before either is bound must differ.
GIVEN, LOCK = set(), threading.Lock()


def free_port():
    """Returns a port that was free a moment ago, another one each time."""
    with LOCK:
        while True:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            if port not in GIVEN:
                GIVEN.add(port)
                return port


def pinned(cpu, command):
    """Lets a command run on one processor only, so that server and load do not share one."""
    return ["taskset", "-c", str(cpu), *map(str, command)]


class Process:
    """A server of ours; its output goes to a file in its directory."""

    def __init__(self, command, log):
        self.log = Path(log)
        with self.log.open("wb") as out:
            self.child = subprocess.Popen(
                [*map(str, command)], stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )
        STARTED.append(self)

    @property
    def pid(self):
        """Process id of the root of the tree (`taskset` replaces itself by the command)."""
        return self.child.pid

    def wait_for(self, port):
        """Waits until a port accepts."""
        deadline = time.monotonic() + START_DEADLINE
        while time.monotonic() < deadline:
            if self.child.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError(f"{self.child.args} does not listen:\n{self.log.read_text()[-2000:]}")

    def tree(self):
        """Process ids of this process and all below it."""
        found, parents = [self.pid], {}
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
        for pid in found:
            found.extend(parents.get(pid, []))
        return found

    def cpu_seconds(self):
        """User and system time of the tree so far."""
        ticks = 0
        for pid in self.tree():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS

    def stop(self):
        """Ends the tree, kindly first."""
        STARTED.remove(self)
        pids = self.tree()
        if self.child.poll() is None:
            self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        for pid in pids[1:]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def stop_all():
    """Ends what still runs, the last started first."""
    while STARTED:
        STARTED[-1].stop()
