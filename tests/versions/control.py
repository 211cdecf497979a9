"""What the Python peers share: events go out as lines, commands come in as lines; see `control.rb`."""

import sys


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def named(number):
    return {75: "hixie-75", 76: "hixie-76", 7: "hybi-07", 8: "hybi-08"}.get(int(number), str(number))


class Commands:
    """Takes input as it comes, and gives each whole line to `carry_out` in words."""

    def __init__(self, carry_out):
        self.carry_out = carry_out
        self.rest = b""

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.carry_out(*line.decode().split(" "))
