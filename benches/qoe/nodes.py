"""Nodes for one session: started with nothing known, sharing one Redis, gone with it."""

import os
import shutil
import tempfile
import time
import urllib.request
from pathlib import Path

from lab.process import Process, free_port

ROOT = Path(__file__).resolve().parents[2]

# What is measured goes before whatever else the machine has to do, and ends with its thread.
AHEAD = ("chrt", "--rr", "1", "setpriv", "--pdeathsig", "KILL", "--")

CONFIG = """
[listen]
http = ["{address}:{http}"]
admin = "127.0.0.1:{admin}"
[server]
node = "{name}"
threads = 1
max_connections_per_address = 10000
[log]
access = true
[cache.memory]
size = "256MiB"
{shared}
[[site]]
hosts = ["*"]
origin = "file://{origin}"
[site.lifetimes]
live_manifest = "1s"
[site.adapt]
holdout_percent = 0
"""

SHARED = """
[cache.redis]
urls = ["redis://127.0.0.1:{redis}"]
"""


def binary():
    """The program: the newest that was built, unless WEIR_BIN names one."""
    if named := os.environ.get("WEIR_BIN"):
        return Path(named)
    built = [ROOT / "target" / profile / "weir" for profile in ("release", "debug")]
    built = [path for path in built if path.exists()]
    if not built:
        raise RuntimeError("no weir is built: cargo build --release")
    return max(built, key=lambda path: path.stat().st_mtime)


def started(command, log):
    """A process that the kernel ends with the thread that started it."""
    return Process([*AHEAD, *command], log)


class Nodes:
    """Redis and nodes named as asked, all sharing it but those `apart`; `urls` says where each is
    reached from inside a link."""

    def __init__(self, names, address, origin, apart=()):
        self.names, self.address, self.origin, self.apart = names, address, origin, apart
        self.urls, self.admins, self.processes = {}, {}, []
        self.directory = None

    def __enter__(self):
        self.directory = Path(tempfile.mkdtemp(prefix="weir-qoe-"))
        try:
            redis = free_port()
            store = started(
                ["redis-server", "--port", redis, "--bind", "127.0.0.1", "--save", "",
                 "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy",
                 "volatile-lfu", "--dir", self.directory], self.directory / "redis.log")
            self.processes.append(store)
            store.wait_for(redis)
            for name in self.names:
                self.node(name, redis)
            for name in self.names:
                self.wait_until_ready(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        while self.processes:
            self.processes.pop().stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def node(self, name, redis):
        """Starts a node."""
        http, admin = free_port(), free_port()
        conf = self.directory / f"{name}.toml"
        shared = "" if name in self.apart else SHARED.format(redis=redis)
        conf.write_text(CONFIG.format(address=self.address, http=http, admin=admin, name=name,
                                      shared=shared, origin=self.origin))
        log = self.directory / f"{name}.log"
        self.processes.append(started([binary(), "run", "--config", conf], log))
        self.urls[name] = f"http://{self.address}:{http}"
        self.admins[name] = f"http://127.0.0.1:{admin}"

    def show(self, paths):
        """Has every node asked for these once by somebody else, so that they are in memory."""
        for name in self.names:
            for path in paths:
                with urllib.request.urlopen(f"{self.urls[name]}{path}", timeout=10) as answer:
                    answer.read()

    def wait_until_ready(self, name, patience=20):
        """Waits until a node says that it is ready."""
        deadline = time.monotonic() + patience
        while True:
            try:
                with urllib.request.urlopen(f"{self.admins[name]}/readyz", timeout=1):
                    return
            except OSError:
                if time.monotonic() > deadline:
                    log = (self.directory / f"{name}.log").read_text()[-2000:]
                    raise RuntimeError(f"node {name} is not ready:\n{log}") from None
                time.sleep(0.05)

    def asked(self, name, path):
        """What the admin listener of a node answers."""
        with urllib.request.urlopen(f"{self.admins[name]}{path}", timeout=5) as answer:
            return answer.read().decode()
