"""The title that is played: a ladder whose rungs have the bitrates they claim, as CMAF.

Pictures are small, so that decoding several sessions at once is cheap, and noisy, so that the
encoder spends what it may. No two rungs share a height: by its height a page tells the rung.
"""

import json
import re
import subprocess

SECONDS = 120
SEGMENT = 2
RATE = 25
# Height, kbit/s of the picture.
LADDER = ((90, 300), (126, 700), (162, 1200), (198, 2000), (234, 3000), (270, 4500))
AUDIO_KBPS = 64
# How far the mean of a rung may be from what it claims, and a segment from that mean: players
# start with the first one, which an encoder makes larger than the others unless its buffer begins
# half full.
TOLERANCE = 0.1


def width(height):
    """Even, and about 16:9."""
    return round(height * 16 / 9 / 2) * 2


def encode(directory):
    """Encodes the ladder, and packages it for HLS and DASH at once."""
    picture = (f"testsrc2=size=640x360:rate={RATE}:duration={SECONDS},"
               "noise=alls=60:allf=t:all_seed=7")
    count = len(LADDER)
    heads = "".join(f"[p{at}]" for at in range(count))
    scales = "".join(
        f";[p{at}]scale={width(height)}:{height}[v{at}]" for at, (height, _) in enumerate(LADDER)
    )
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y",
               "-f", "lavfi", "-i", picture,
               "-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={SECONDS}",
               "-filter_complex", f"[0:v]split={count}{heads}{scales}"]
    for at, (_, kbps) in enumerate(LADDER):
        command += ["-map", f"[v{at}]", f"-b:v:{at}", f"{kbps}k", f"-maxrate:v:{at}", f"{kbps}k",
                    f"-bufsize:v:{at}", f"{kbps}k"]
    command += ["-map", "1:a", "-c:a", "aac", "-b:a", f"{AUDIO_KBPS}k",
                "-c:v", "libx264", "-preset", "veryfast", "-profile:v", "main",
                "-pix_fmt", "yuv420p", "-g", str(RATE * SEGMENT), "-keyint_min",
                str(RATE * SEGMENT), "-sc_threshold", "0",
                "-x264-params", "nal-hrd=cbr:vbv-init=0.5",
                "-f", "dash", "-seg_duration", str(SEGMENT), "-use_timeline", "0",
                "-adaptation_sets", "id=0,streams=v id=1,streams=a",
                "-init_seg_name", "init-$RepresentationID$.mp4",
                "-media_seg_name", "$RepresentationID$-$Number%05d$.m4s",
                "-hls_playlist", "1", "-hls_master_name", "master.m3u8",
                directory / "manifest.mpd"]
    subprocess.run(list(map(str, command)), check=True)


def sizes(directory, stream):
    """Bytes of each segment of a stream."""
    return [path.stat().st_size for path in sorted(directory.glob(f"{stream}-*.m4s"))]


def measured(directory):
    """Mean and peak of each rung in kbit/s; an error where the mean is not what is claimed."""
    rungs = []
    for at, (height, kbps) in enumerate(LADDER):
        found = [size * 8 / 1000 / SEGMENT for size in sizes(directory, at)]
        mean = sum(found) / len(found)
        off = max(abs(mean / kbps - 1), *(abs(segment / mean - 1) for segment in found))
        if len(found) != SECONDS // SEGMENT or off > TOLERANCE:
            raise RuntimeError(f"rung {height} has {mean:.0f} kbit/s in {len(found)} segments, "
                               f"of which one is off by {100 * off:.0f} %")
        rungs.append({"height": height, "kbps": round(mean), "peak": round(max(found))})
    return rungs


def claim(directory, rungs):
    """Writes true peaks, audio included, where the packager guessed."""
    audio = round(max(sizes(directory, len(LADDER))) * 8 / 1000 / SEGMENT)
    master = directory / "master.m3u8"
    lines = master.read_text().splitlines()
    for at, line in enumerate(lines):
        if match := re.search(r"RESOLUTION=\d+x(\d+)", line):
            rung = next(rung for rung in rungs if rung["height"] == int(match[1]))
            peak, mean = (1000 * (rung[key] + audio) for key in ("peak", "kbps"))
            lines[at] = re.sub(
                r":BANDWIDTH=\d+", f":BANDWIDTH={peak},AVERAGE-BANDWIDTH={mean}", line
            )
    master.write_text("\n".join(lines) + "\n")
    mpd = directory / "manifest.mpd"
    text = mpd.read_text()
    for at, rung in enumerate(rungs):
        text = re.sub(rf'(<Representation id="{at}"[^>]* bandwidth=")\d+',
                      rf"\g<1>{1000 * rung['peak']}", text)
    mpd.write_text(text)


def made(directory):
    """Rungs of the title in a directory, which is filled if it is not there yet."""
    known = directory / "rungs.json"
    if not known.exists():
        directory.mkdir(parents=True, exist_ok=True)
        encode(directory)
        rungs = measured(directory)
        claim(directory, rungs)
        known.write_text(json.dumps(rungs))
    return json.loads(known.read_text())


def beginning(directory):
    """Names of what a start may take: manifests, and of each stream the first two files."""
    streams = range(len(LADDER) + 1)
    names = ["master.m3u8", "manifest.mpd"]
    for stream in streams:
        names += [f"media_{stream}.m3u8", f"init-{stream}.mp4", f"{stream}-00001.m4s"]
    return [name for name in names if (directory / name).exists()]
