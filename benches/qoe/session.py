"""One session: a player in a fresh browser behind a link whose rate follows a script."""

import json
import os
import re
import shutil
import subprocess
import time
import urllib.parse
from pathlib import Path

from nodes import AHEAD

HERE = Path(__file__).resolve().parent
PLAYERS = HERE.parents[1] / "target/players"
# Until the first picture; afterwards a session is stalled from its beginning.
PATIENCE = 30
# Beside what is played: a browser that starts on a busy machine.
OVERHEAD = 60

# What each player is given.
MANIFESTS = {"hls.js": "", "dash.js": ".mpd", "Shaka": ".mpd", "Chromium": ""}


class NoSession(Exception):
    """The browser ended before the player asked for anything."""


def play(link, player, url, seconds, rates):
    """Plays for `seconds` after the first picture. `rates` are pairs of a share of that time and
    Mbit/s, by which the link changes."""
    job = {"player": player, "url": url, "seconds": seconds, "patience": PATIENCE,
           "players": str(PLAYERS), "chromium": shutil.which("chromium")}
    link.change(rates[0][1])
    command = link.inside([*AHEAD, "node", HERE / "session.mjs", json.dumps(job)])
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as driver:
        try:
            loading = driver.stdout.readline()
            began = time.monotonic()
            for share, rate in rates[1:]:
                wait(driver, began + share * seconds - time.monotonic())
                link.change(rate)
            told, said = driver.communicate(timeout=PATIENCE + seconds + OVERHEAD)
        except subprocess.TimeoutExpired:
            driver.kill()
            told, said = driver.communicate()
    if loading != "loading\n" or not told:
        raise NoSession(said[-2000:])
    state = json.loads(told)
    if not state["requests"]:
        raise NoSession(f"{player} asked for nothing: {state['error']}")
    return state


def wait(driver, seconds):
    """Waits, unless the driver ends."""
    try:
        driver.wait(max(0, seconds))
    except subprocess.TimeoutExpired:
        pass


def path(request):
    """Of a request's URL; players that say CMCD put it into queries."""
    return urllib.parse.urlsplit(request["url"]).path


def start_hint(player, state, lowest):
    """Whether the manifest that a session began with carried a hint that its player knows."""
    text = state["manifest"] or ""
    if player == "Shaka":
        begun = (r for r in state["requests"] if not path(r).endswith((".m4s", ".mp4")))
        return any(request.get("cmsd") for request in begun)
    if player == "dash.js":
        return re.search(r"<OperatingBandwidth[^>]*target=", text) is not None
    first = re.search(r"RESOLUTION=\d+x(\d+)", text)
    return first is not None and int(first[1]) != lowest


def load():
    """How many want to run, a processor."""
    return os.getloadavg()[0] / os.cpu_count()
