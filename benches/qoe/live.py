"""A live channel: the title in a loop and in real time, as rolling HLS and DASH."""

import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
import time

import title
from nodes import AHEAD

# Segments that playlists name; all are kept, so that their dates can be read.
WINDOW = 10
KEPT = 100_000
# Of the channel, before players come.
HEAD_START = 14


def looped(directory):
    """The title as one file with all rungs, to be copied round and round."""
    whole = directory / "loop.mkv"
    if not whole.exists():
        inputs, maps = [], []
        for stream in range(len(title.LADDER) + 1):
            joined = directory / f"stream{stream}.mp4"
            parts = [directory / f"init-{stream}.mp4", *sorted(directory.glob(f"{stream}-*.m4s"))]
            joined.write_bytes(b"".join(part.read_bytes() for part in parts))
            inputs += ["-i", joined]
            maps += ["-map", stream]
        fresh = directory / "fresh.mkv"
        command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *inputs, *maps, "-c", "copy", fresh]
        subprocess.run(list(map(str, command)), check=True)
        fresh.rename(whole)
    return whole


class Channel:
    """ffmpeg that writes the channel to a directory, which goes with it."""

    def __init__(self, source, directory):
        self.source, self.directory = source, directory
        self.process = None

    def __enter__(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir()
        command = [
            *AHEAD, "ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1",
            "-i", self.source, "-map", "0", "-c", "copy", "-f", "dash",
            "-seg_duration", title.SEGMENT, "-window_size", WINDOW, "-extra_window_size", KEPT,
            "-use_timeline", "1", "-adaptation_sets", "id=0,streams=v id=1,streams=a",
            "-init_seg_name", "init-$RepresentationID$.mp4",
            "-media_seg_name", "$RepresentationID$-$Number%05d$.m4s",
            "-hls_playlist", "1", "-hls_master_name", "master.m3u8",
            self.directory / "manifest.mpd",
        ]
        self.process = subprocess.Popen(list(map(str, command)))
        time.sleep(HEAD_START)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def written(self, url):
        """When the segment of a URL was complete, in seconds since the epoch, or None."""
        name = re.search(r"/(\d+-\d+\.m4s)", url)
        path = name and self.directory / name[1]
        return path.stat().st_mtime if path and path.exists() else None


class Bare(http.server.SimpleHTTPRequestHandler):
    """Files as they are, for pages of other origins: what a player does without any edge."""

    protocol_version = "HTTP/1.1"
    extensions_map = {".m3u8": "application/vnd.apple.mpegurl", ".mpd": "application/dash+xml",
                      "": "video/mp4"}

    def end_headers(self):
        """Lets players read, and browsers keep nothing."""
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_):
        """Tells nothing."""


class BareServer(http.server.ThreadingHTTPServer):
    """A server whose clients may leave when they like."""

    def handle_error(self, request, client_address):
        """Tells of what is no leaving."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def bare(address, directory):
    """Serves a directory without an edge; returns the server."""
    handler = functools.partial(Bare, directory=directory)
    server = BareServer((address, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def stream_of(url):
    """Number of the stream that a URL is about, or None."""
    found = re.search(r"/(?:init-|media_)?(\d+)(?:-\d+)?\.(?:m4s|mp4|m3u8)", url)
    return int(found[1]) if found else None
