# SPDX-License-Identifier: Apache-2.0
"""Real Redis servers for tests: one, or a cluster of three, on loopback."""

import os
import signal
import subprocess

from harness import HOST, Service, need
from wire import free_port, wait_for


class RedisServer:
    """redis-server in a folder of its own. `arguments` as on its command line; with `tls` (a Certificate) it speaks nothing else."""

    def __init__(self, *arguments, tls=None, password=None, port=None, host=HOST):
        self.port, self.host, self.tls, self.password = port or free_port(), host, tls, password
        self.program, self.service = need("redis-server"), None
        self.arguments = ["--bind", host, "--save", "", "--appendonly", "no", "--protected-mode", "no", *arguments]
        if password:
            self.arguments += ["--requirepass", password]
        if tls:
            self.arguments += ["--port", "0", "--tls-port", str(self.port), "--tls-cert-file", tls.cert_path,
                               "--tls-key-file", tls.key_path, "--tls-ca-cert-file", tls.cert_path, "--tls-auth-clients", "no"]
        else:
            self.arguments += ["--port", str(self.port)]
        self.start()

    def start(self):
        self.service = Service([self.program, *self.arguments], self.port) if self.host == HOST else _Elsewhere(self)
        wait_for(lambda: self.command("PING") == "PONG", 15.0, "redis answering")

    def command(self, *words):
        """What redis-cli says to a command."""
        argv = [need("redis-cli"), "-h", self.host, "-p", str(self.port), "--raw"]
        if self.password:
            argv += ["-a", self.password, "--no-auth-warning"]
        if self.tls:
            argv += ["--tls", "--insecure"]
        return subprocess.run([*argv, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout.strip()

    def scripts_run(self):
        """How many scripts it has been asked to run."""
        calls = 0
        for line in self.command("INFO", "commandstats").splitlines():
            if line.startswith(("cmdstat_evalsha:", "cmdstat_eval:")):
                calls += int(line.split("calls=")[1].split(",")[0])
        return calls

    def kill(self):
        self.service.process.kill()
        self.service.process.wait()

    def restart(self):
        self.service.close()
        self.start()

    def pause(self):
        """The kernel goes on accepting connections; nothing answers."""
        os.kill(self.service.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.kill(self.service.process.pid, signal.SIGCONT)

    def close(self):
        self.service.process.kill()
        self.service.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Elsewhere(Service):
    """On a loopback address of its own, for names with fixed ports."""

    def __init__(self, server):
        self.server = server
        super().__init__([server.program, *server.arguments], server.port)

    def accepts(self):
        return self.server.command("PING") == "PONG"


class RedisCluster:
    """Three servers that share the slots."""

    def __init__(self, *arguments):
        self.servers = [RedisServer("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", "15000", *arguments)
                        for _ in range(3)]
        done = subprocess.run([need("redis-cli"), "--cluster", "create", *self.nodes, "--cluster-yes"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200)
        if done.returncode != 0:
            self.close()
            raise AssertionError(done.stdout)
        wait_for(lambda: all("cluster_state:ok" in s.command("CLUSTER", "INFO") for s in self.servers), 30.0, "the cluster being whole")

    @property
    def nodes(self):
        return [f"{HOST}:{s.port}" for s in self.servers]

    def owner(self, slot):
        """The server that has a slot, by what the first says."""
        for line in self.servers[0].command("CLUSTER", "NODES").splitlines():
            words = line.split()
            for run in words[8:]:
                if "[" not in run and int(run.split("-")[0]) <= slot <= int(run.split("-")[-1]):
                    return next(s for s in self.servers if words[1].split("@")[0] == f"{HOST}:{s.port}")
        raise AssertionError(f"nobody has slot {slot}")

    def name_of(self, server):
        return server.command("CLUSTER", "MYID")

    def begin_move(self, slot, target):
        """From now on keys of the slot that are not there yet are made at the target (ASK)."""
        source = self.owner(slot)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", self.name_of(source))
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", self.name_of(target))

    def end_move(self, slot, target):
        """Takes the keys along; the slot is the target's then (MOVED)."""
        source = self.owner(slot)
        for key in source.command("CLUSTER", "GETKEYSINSLOT", slot, 1000).splitlines():
            source.command("MIGRATE", target.host, target.port, key, 0, 5000)
        for server in (target, source, *self.servers):
            server.command("CLUSTER", "SETSLOT", slot, "NODE", self.name_of(target))

    def close(self):
        for server in self.servers:
            server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
