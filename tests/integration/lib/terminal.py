#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""terminal.py COMMAND…: runs COMMAND on a terminal of 40 rows and 100 columns, as a person would sit at one.

Standard input holds one step a line: `expect TEXT` waits until TEXT was printed after what was expected last (the
terminal echoes what is typed: expect what the command prints, not what it is called), `type TEXT` types it with Enter,
`key N` sends one byte, `size ROWS COLUMNS` resizes. Prints all that the terminal showed; exits as COMMAND did.
"""
import fcntl
import os
import pty
import signal
import struct
import sys
import termios

LIMIT_S = int(os.environ.get("TERMINAL_LIMIT", "120"))


def main():
    pid, master = pty.fork()
    if pid == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        os.execvp(sys.argv[1], sys.argv[1:])
    seen, found = b"", 0

    def too_long(*_):
        sys.stdout.buffer.write(seen)
        sys.exit(f"\nterminal.py: still waiting after {LIMIT_S} s, at: {step}")

    step = "the start"
    signal.signal(signal.SIGALRM, too_long)
    signal.alarm(LIMIT_S)
    for step in sys.stdin.read().splitlines():
        word, _, rest = step.partition(" ")
        if word == "expect":
            while seen.find(rest.encode(), found) < 0:
                try:
                    data = os.read(master, 65536)
                except OSError:
                    data = b""
                if not data:
                    sys.stdout.buffer.write(seen)
                    sys.exit(f"\nterminal.py: ended before {rest!r} was printed")
                seen += data
            found = seen.find(rest.encode(), found) + len(rest.encode())
        elif word == "type":
            os.write(master, rest.encode() + b"\r")
        elif word == "key":
            os.write(master, bytes([int(rest)]))
        elif word == "size":
            rows, columns = map(int, rest.split())
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        elif word:
            sys.exit(f"terminal.py: unknown step {word}")
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        seen += data
    sys.stdout.buffer.write(seen)
    sys.stdout.flush()
    _, status = os.waitpid(pid, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


main()
