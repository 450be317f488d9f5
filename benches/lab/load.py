"""Load by h2load: the same generator for every server and protocol."""

import re
import subprocess

from .process import LOAD_CPU, pinned
from .servers import SUITE


def shape(protocol):
    """Connections and streams: 16 requests under way either way."""
    if protocol.startswith("h1"):
        return ["--h1", "-c16", "-m1"]
    return ["-c4", "-m4"]


def answered(output):
    """Requests that got a 2xx answer, after checking that all of them did."""
    match = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", output)
    if not match or int(match[1]) == 0 or int(match[2]) + int(match[3]):
        raise RuntimeError(f"load failed:\n{output[-2000:]}")
    return int(match[1])


def run(url, protocol, amount):
    """Runs the load for `amount` (h2load's -D or -n) and returns the answered requests."""
    command = ["h2load", "-t1", *shape(protocol), f"--tls13-ciphers={SUITE}", *amount, url]
    done = subprocess.run(
        pinned(LOAD_CPU, command), capture_output=True, text=True, timeout=120, check=True
    )
    return answered(done.stdout)
