# SPDX-License-Identifier: Apache-2.0
"""The relay once more on libevent, where its headers are installed."""

import os
import subprocess

from harness import HERE, Subject


class RelayRaw(Subject):
    name = "relay-libevent"
    about = "the relay on libevent, edge-triggered events and own recv/send"
    features = frozenset({"http", "valgrind"})
    fds_per_client = 2
    mode = "raw"

    def available(self):
        return subprocess.run(["pkg-config", "--exists", "libevent_core"], check=False).returncode == 0

    def prepare(self, ctx):
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libevent_core"], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.split()
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", ctx.path("relay_libevent"),
                        os.path.join(HERE, "native", "relay_libevent.c"), *flags], check=True)

    def argv(self, ctx):
        return [ctx.path("relay_libevent"), self.mode, ctx.host, str(ctx.port),
                ctx.backend_host, str(ctx.backend_port)]


class RelayBufferevent(RelayRaw):
    name = "relay-bufferevent"
    about = "the relay on libevent's bufferevents"
    mode = "bev"


SUBJECTS = [RelayRaw, RelayBufferevent]
