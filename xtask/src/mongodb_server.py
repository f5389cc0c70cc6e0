"""Runs the MongoDB-compatible server until standard input is closed, that is until whoever started it is gone."""

import os
import signal
import sys
import threading


def end_with_parent():
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


threading.Thread(target=end_with_parent, daemon=True).start()

from secantus.cli import main

sys.exit(main())
