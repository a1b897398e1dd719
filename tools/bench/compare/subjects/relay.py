# SPDX-License-Identifier: Apache-2.0
import os

from harness import Subject


class Relay(Subject):
    name = "relay"
    about = "own raw TCP relay: the floor"
    fds_per_client = 2
    features = frozenset({"http", "valgrind"})

    def argv(self, ctx):
        return [os.path.join(ctx.tools, "relay"), ctx.host, str(ctx.port),
                ctx.backend_host, str(ctx.backend_port)]


SUBJECTS = [Relay]
