# SPDX-License-Identifier: Apache-2.0
"""A name server for tests: answers questions for A records from a table that the test changes as it goes."""

import socket
import struct
import threading

from wire import HOST


class NameServer:
    """`records` maps names to lists of IPv4 addresses; everything else does not exist. `questions` counts by name."""

    def __init__(self, records, ttl_s=1):
        self.records, self.ttl_s, self.questions = dict(records), ttl_s, {}
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    @property
    def address(self):
        return f"{HOST}:{self.port}"

    def serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if not question:
                return
            self.socket.sendto(self.answer(question), peer)

    def answer(self, question):
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        end = at + 5
        kind = struct.unpack("!H", question[at + 1:at + 3])[0]
        name = ".".join(labels).lower()
        self.questions[name] = self.questions.get(name, 0) + 1
        known = self.records.get(name)
        addresses = known if known and kind == 1 else []
        flags = 0x8180 if known is not None else 0x8183
        head = question[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0)
        parts = [b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, self.ttl_s, 4) + socket.inet_aton(a) for a in addresses]
        return head + question[12:end] + b"".join(parts)

    def close(self):
        # A datagram to itself wakes the thread.
        self.socket.sendto(b"", (HOST, self.port))
        self.thread.join(5)
        self.socket.close()
