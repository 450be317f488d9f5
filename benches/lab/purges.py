"""What a hit costs while many purges are remembered, in instructions."""

import http.client
import json
import re
import sys

from . import cost, hit, load, process, servers, table
from .servers import FILES, SMALL

TAGS = 16
PURGES = 10_000
REQUESTS = 1000
ROUNDS = 3
MOST = 1.02
# Long enough for every length of a prefix to be another; none of them is a part of the object's URL.
DIRECTORY = "purged-directory/" * 8


def command(number):
    """One purge of something that nobody asks for: by URL, by prefix of many lengths, by tag."""
    url = f"http://127.0.0.1/n/{SMALL}"
    match number % 3:
        case 0:
            return {"url": f"{url}/{number}.m4s"}
        case 1:
            length = number // 3 % len(DIRECTORY)
            return {"prefix": f"{url}/{number}/{DIRECTORY[:length]}"}
        case _:
            return {"tag": f"other-{number}", "site": "default"}


def purge(server, numbers):
    """Sends purges, one after another."""
    connection = http.client.HTTPConnection("127.0.0.1", server.admin, timeout=60)
    for number in numbers:
        body = json.dumps(command(number))
        connection.request("POST", "/v1/purge", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise RuntimeError(f"{body}: {answer.status} {text}")
    connection.close()


def remembered(server):
    """How many purges the node remembers."""
    connection = http.client.HTTPConnection("127.0.0.1", server.admin, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return int(float(re.search(r"^weir_purge_entries (\S+)$", text, re.M)[1]))


def instructions(server, dump):
    """Instructions of a hit in each round; `dump` numbers what callgrind has written."""
    figures = []
    for _ in range(ROUNDS):
        hit.warm(server)
        url = server.url("h1", FILES[SMALL])
        load.run(url, "h1", ["-n200"])
        cost.control(server, "-z")
        requests = load.run(url, "h1", [f"-n{REQUESTS}"])
        cost.control(server, "-d")
        dump["number"] += 1
        counted, _ = cost.counted(server.directory.parent / f"callgrind.{dump['number']}")
        figures.append(counted / requests)
    return figures


def run(directory):
    """Counts without purges and with them, in one process; ends in an error above the bound."""
    process.START_DEADLINE = 60
    tags = ",".join(f"tag-{number}" for number in range(TAGS))
    upstream = servers.origin(directory, f'add_header Cache-Tag "{tags}";')
    tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={directory / 'callgrind'}"]
    server = servers.weir(directory, upstream, "purged", wrapper=tool)
    dump = {"number": 0}
    before = instructions(server, dump)
    purge(server, range(PURGES))
    held = remembered(server)
    if held < PURGES:
        raise RuntimeError(f"{held} purges are remembered, not {PURGES}")
    after = instructions(server, dump)
    ratio = table.middle(after) / table.middle(before)
    rows = [
        [f"{count} purges", f"{table.middle(figures):.0f}", f"±{table.spread(figures) / 2:.1f} %"]
        for count, figures in ((0, before), (held, after))
    ]
    table.show(
        f"user space of a 1 KiB hit with {TAGS} tags in Weir", ["", "instructions", ""], rows,
        (f"with purges x{ratio:.3f}, at most x{MOST}",
         "counted by callgrind; purges by URL, prefix and tag in equal parts, HTTP/1.1"),
    )
    if ratio > MOST:
        sys.exit(f"a hit costs x{ratio:.3f} with {held} purges remembered, more than x{MOST}")
