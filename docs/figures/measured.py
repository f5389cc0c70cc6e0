#!/usr/bin/env python3
"""Draws what `cargo xtask bench` has measured: `python3 docs/figures/measured.py target/bench/results.json…`.

Of several files each adds what it has. The plots lie beside this file.
"""

import json
import sys
from pathlib import Path

from svg import bars, lines


def main():
    results = [row for name in sys.argv[1:] for row in json.loads(Path(name).read_text())["results"]]
    here = Path(__file__).resolve().parent
    for name, drawing in {"ratios.svg": ratios(results), "durable.svg": durable(results), "contention.svg": contention(results)}.items():
        if drawing:
            (here / name).write_text(drawing)
            print(here / name)


def ratios(results):
    """What the service takes, as multiples of what the bare epoll server takes."""
    rows = []
    for row in results:
        if row["server"] == "chatbox" and row["scenario"] in ("fanout", "rooms", "drain"):
            for measure in row["measures"]:
                if measure["ratio"] is not None and ("CPU" in measure["name"] or "p99" in measure["name"] or "gone" in measure["name"]):
                    rows.append((f'{row["case"]}: {measure["name"]}', measure["ratio"]))
    return bars("chatbox ÷ bare epoll server", rows) if rows else None


def durable(results):
    rows = [row for row in results if row["scenario"] == "durable"]
    if not rows:
        return None
    # "1000 senders, 16 in flight each"
    in_flight = [int(words[0]) * int(words[2]) for words in (row["case"].split() for row in rows)]
    curves = [(name, list(zip(in_flight, values(rows, name)))) for name in ("acks a second", "fsyncs a second")]
    return lines("Messages acknowledged from disk", "messages in flight", "", curves)


def contention(results):
    """Acknowledgements a second by writers, with one replica and with several."""
    curves = []
    for replicas in ("1 replica", "3 replicas"):
        rows = [row for row in results if row["scenario"] == "contention" and row["case"].endswith(replicas)]
        if rows:
            writers = [int(row["case"].split()[0]) for row in rows]
            curves.append((f"acks a second, {replicas}", list(zip(writers, values(rows, "acks a second")))))
            curves.append((f"ack p50 in ms, {replicas}", list(zip(writers, values(rows, "ack p50")))))
    return lines("Replicas that write to one room", "writers, one message in flight each", "", curves) if curves else None


def values(rows, name):
    return [next(measure["value"] for measure in row["measures"] if measure["name"] == name) for row in rows]


if __name__ == "__main__":
    main()
