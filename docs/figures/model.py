#!/usr/bin/env python3
"""What a deployment needs, from one machine to ten million connections.

`python3 docs/figures/model.py` prints the table of docs/scaling.md and draws its plots beside this file; `--check` says whether
both are up to date. Change the constants to your own measurements: `cargo xtask bench` gives those of the service. Nothing but
Python's own library is needed.
"""

import math
import sys
from pathlib import Path

from svg import lines

# --- In seconds of one core: a delivery and a send as measured (docs/performance.md), an event assumed ---
DELIVERY = 8e-6  # one message to one member, at a rate at which few leave in one write
SEND = 20e-6  # taking one message in: read, decode, queue, acknowledge
EVENT = 30e-6  # one event of the change stream, decoded and looked up, whether or not a member is here
# --- What is assumed of MongoDB: a replica set of three, one core each time ---
INSERT = 60e-6  # one message in an ordered insert, journal and replication
FOLLOW = 6e-6  # one event, sent to one follower
# --- Memory, in bytes ---
SESSION = 1_024  # a connection, joined to a room, in the process
SOCKET = 4_096  # the same in the kernel
# --- How a pod is used ---
CORES = 2.0  # of one pod, used at most to
LOAD = 0.5  # of them
PER_POD = 50_000  # connections of one pod, at most
# --- What people do ---
RATE = 1 / 60  # messages a second of one connection
ROOM = 20  # members of a room
# --- A rollout, in seconds (docs/shutdown.md) ---
LAME_DUCK, DRAIN, HANDSHAKE, FLUSH = 5.0, 15.0, 3.0, 5.0
CLOSE_RATE = 2_000.0  # closes a second, raised where they would not fit into the drain
READY_AFTER = 12.0  # start, and `minReadySeconds`
SURGE = 0.1  # share of all pods that are replaced at the same time, at least one
# --- Where one stream for every replica stops being enough: cores of a pod spent on news that is mostly for others ---
STREAM_SHARE = 0.25


def deployment(connections, partitions=1):
    """What so many connections need when the rooms are spread over so many partitions, each with replicas of its own."""
    connections /= partitions
    sends = connections * RATE
    for pods in range(max(1, math.ceil(connections / PER_POD)), 100_000):
        cpu = (sends * SEND + sends * ROOM * DELIVERY) / pods + (sends * EVENT if pods > 1 else 0)
        if cpu <= CORES * LOAD:
            break
        if sends * EVENT > CORES * LOAD:
            return None  # no number of pods helps: each is busy with the stream alone
    followers = pods if pods > 1 else 0
    each = connections / pods
    rate = max(CLOSE_RATE, each / (DRAIN - HANDSHAKE))
    at_once = max(1, math.floor(pods * partitions * SURGE))
    return {
        "pods": pods * partitions,
        "each": each,
        "cpu": cpu,
        "stream": sends * EVENT / cpu if followers else 0.0,
        "memory": each * (SESSION + SOCKET),
        "mongodb": sends * INSERT + sends * followers * FOLLOW,
        "drain": LAME_DUCK + each / rate,
        "wave": at_once * rate,
        "rollout": math.ceil(pods * partitions / at_once) * (LAME_DUCK + each / rate + READY_AFTER),
    }


def partitions_for(connections):
    """The fewest partitions in which a replica spends no more than its share on the stream."""
    partitions = 1
    while connections / partitions > PER_POD and connections / partitions * RATE * EVENT > STREAM_SHARE * CORES * LOAD:
        partitions *= 2
    return partitions


def number(value):
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def table():
    rows = [
        "| connections | partitions | pods | cores of a pod in use | of that for the stream | memory of a pod, MB "
        "| MongoDB, cores in each partition | drain of a pod, s | reconnects a second in a rollout | rollout, min |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for connections in (10_000, 50_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000):
        for partitions in sorted({1, partitions_for(connections)}):
            d = deployment(connections, partitions)
            if d is None:
                rows.append(f"| {connections:,} | {partitions} | one stream is not enough | | | | | | | |")
                continue
            cells = [
                f"{connections:,}",
                partitions,
                f"{d['pods']:,}",
                f"{d['cpu']:.2f}",
                f"{100 * d['stream']:.0f} %",
                number(d["memory"] / 1e6),
                number(d["mongodb"]),
                number(d["drain"]),
                number(d["wave"]),
                number(d["rollout"] / 60),
            ]
            rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows) + "\n"


def plots():
    sizes = [10 ** (4 + step / 8) for step in range(25)]
    one = [(size, deployment(size)) for size in sizes]
    one = [(size, d) for size, d in one if d]
    many = [(size, deployment(size, partitions_for(size))) for size in sizes]

    def curve(name, which, factor=1.0):
        return [(size, d[name] * factor) for size, d in which]

    return {
        "pods.svg": lines(
            "Pods", "connections", "", [("one stream", curve("pods", one)), ("partitioned", curve("pods", many))]
        ),
        "mongodb.svg": lines(
            "MongoDB, cores of one partition's primary", "connections", "",
            [("one stream", curve("mongodb", one)), ("partitioned", curve("mongodb", many))],
        ),
        "rollout.svg": lines(
            "A rollout", "connections", "",
            [("reconnects a second", curve("wave", many)), ("minutes", curve("rollout", many, 1 / 60)),
             ("seconds of one drain", curve("drain", many))],
        ),
    }


BEGIN, END = "<!-- model.py: begin -->\n", "<!-- model.py: end -->\n"


def main():
    here = Path(__file__).resolve().parent
    page = here.parent / "scaling.md"
    text = page.read_text()
    before, rest = text.split(BEGIN)
    files = {here / name: drawing for name, drawing in plots().items()}
    files[page] = before + BEGIN + table() + END + rest.split(END)[1]
    stale = [path.name for path, content in files.items() if not path.exists() or path.read_text() != content]
    if "--check" in sys.argv[1:]:
        if stale:
            sys.exit(f"not up to date: {', '.join(stale)}; run python3 docs/figures/model.py")
        return
    for path, content in files.items():
        path.write_text(content)
    print(table(), end="")


if __name__ == "__main__":
    main()
