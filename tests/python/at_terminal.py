"""Runs a program on a terminal of 80 columns, as a person does: waits for what it says, and types what is to follow.

    at_terminal.py '[["NAME", "contoso\\n"], …]' PROGRAM ARGUMENT…

Prints all that the terminal showed, and ends as the program did.
"""

import json
import os
import pty
import select
import struct
import sys
import time

import fcntl
import termios

TIMEOUT = 60


def main() -> int:
    steps = [(expected, typed) for expected, typed in json.loads(sys.argv[1])]
    child, terminal = pty.fork()
    if child == 0:
        os.execvp(sys.argv[2], sys.argv[2:])
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 80, 0, 0))
    shown, since = b"", 0
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if steps and steps[0][0].encode() in shown[since:]:
            since = len(shown)
            os.write(terminal, steps.pop(0)[1].encode())
        readable, _, _ = select.select([terminal], [], [], 0.05)
        if readable:
            try:
                more = os.read(terminal, 65536)
            except OSError:  # the program has ended, and with it the terminal
                break
            if not more:
                break
            shown += more
    sys.stdout.write(shown.decode())
    _, status = os.waitpid(child, 0)
    if steps:
        sys.stderr.write(f"never shown: {steps[0][0]}\n")
        return 99
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
