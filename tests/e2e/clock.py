# SPDX-License-Identifier: Apache-2.0
"""The clocks of a gateway under a test's hand: started with `env=clock.env`, it sees every change at its next turn."""

import os
import struct
import tempfile


class Clock:
    """advance() moves all clocks, set_calendar() only the one that people set."""

    def __init__(self, test):
        folder = tempfile.TemporaryDirectory(prefix="moongate-clock-")
        test.addCleanup(folder.cleanup)
        self.path, self.all_s, self.wall_s = os.path.join(folder.name, "clock"), 0, 0
        self.write()

    @property
    def env(self):
        return {"MOONGATE_TEST_CLOCK": self.path}

    def write(self):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as f:
            f.write(struct.pack("<qq", int(self.all_s * 10 ** 9), int(self.wall_s * 10 ** 9)))

    def advance(self, seconds):
        self.all_s += seconds
        self.write()

    def set_calendar(self, seconds):
        self.wall_s += seconds
        self.write()
