"""Starts a command and waits for it, as launchers of Python programs do. Takes no part in signals."""

import signal
import subprocess
import sys

signal.signal(signal.SIGINT, signal.SIG_IGN)
sys.exit(subprocess.run(sys.argv[1:], check=False).returncode)
