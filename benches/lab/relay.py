"""Carries packets between two TUN devices, each after a delay: `relay.py NEAR FAR NETNS DELAY_MS`.

NEAR is made here and FAR in the network namespace; both go away with this process. It prints a line
once they are there. A packet that finds the queue of its direction full is dropped, which the
shaper in front of it should never let happen.
"""

import ctypes
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x1, 0x1000
PACKET = 65536
# At 100 Mbit/s and 100 ms there are some 900 packets under way.
QUEUE = 4096
# As many packets are read at once, so that neither direction waits for the other.
BATCH = 32


def tun(name):
    """Makes a device and returns its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


def enter(namespace):
    """Moves this process into a network namespace; what is open stays where it was."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}", "rb") as handle:
        if libc.setns(handle.fileno(), 0):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def in_time():
    """Has this process served before others: a late packet is a longer round trip."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except OSError:
        print("no real-time priority: round trips vary with the load", file=sys.stderr)


def take(source, queue, due):
    """Queues what a device has."""
    for _ in range(BATCH):
        try:
            packet = os.read(source, PACKET)
        except BlockingIOError:
            return
        if len(queue) < QUEUE:
            queue.append((due, packet))


def give(target, queue, now):
    """Hands over what is due; a device that takes nothing loses the packet, as wires do."""
    while queue and queue[0][0] <= now:
        try:
            os.write(target, queue.popleft()[1])
        except (BlockingIOError, OSError):
            pass


def carry(near, far, delay):
    """Carries for ever, with `delay` seconds each way."""
    ways = {near: (far, deque()), far: (near, deque())}
    queues = [queue for _, queue in ways.values()]
    while True:
        dues = [queue[0][0] for queue in queues if queue]
        wait = max(0.0, min(dues) - time.monotonic()) if dues else None
        readable, _, _ = select.select(list(ways), [], [], wait)
        now = time.monotonic()
        for source in readable:
            take(source, ways[source][1], now + delay)
        for target, queue in ways.values():
            give(target, queue, now)


def main():
    """Makes both devices and carries."""
    near, far, namespace, delay_ms = sys.argv[1:]
    here = tun(near)
    enter(namespace)
    there = tun(far)
    in_time()
    print("ready", flush=True)
    carry(here, there, float(delay_ms) / 2000)


if __name__ == "__main__":
    main()
