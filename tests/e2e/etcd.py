# SPDX-License-Identifier: Apache-2.0
"""What the tests of the shared store need: a real etcd on free ports, etcdctl, and gateways that name it."""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile

from admin import AdminCase
from harness import HOST, Gateway, free_port, need, request, start_process, wait_for


class Etcd:
    """One member on free ports; stop(), kill() and start() again keep its data."""

    def __init__(self, tls=None):
        self.program, self.ctl_program = need("etcd"), need("etcdctl")
        self.dir = tempfile.mkdtemp(prefix="moongate-etcd-")
        self.port, self.peer_port, self.tls, self.user = free_port(), free_port(), tls, None
        self.process, self.more = None, []
        self.start()

    @property
    def url(self):
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}"

    def start(self):
        peer = f"http://{HOST}:{self.peer_port}"
        argv = [self.program, "--data-dir", os.path.join(self.dir, "data"), "--listen-client-urls", self.url,
                "--advertise-client-urls", self.url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"default={peer}", "--log-level", "error"]
        if self.tls:
            argv += ["--cert-file", self.tls["cert"], "--key-file", self.tls["key"]]
        self.process = start_process(argv + self.more, os.path.join(self.dir, "etcd.log"), cwd=self.dir)
        wait_for(lambda: self.ctl("endpoint", "health", check=False).returncode == 0, 30, "etcd being healthy")

    def ctl(self, *args, check=True, input=None):
        argv = [self.ctl_program, "--endpoints", self.url, "--command-timeout", "30s"]
        if self.tls:
            argv += ["--cacert", self.tls["ca"]]
        if self.user:
            argv += ["--user", self.user]
        done = subprocess.run(argv + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, input=input,
                              env={**os.environ, "ETCDCTL_API": "3"}, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"etcdctl {args[0]}: {done.stdout}{done.stderr}")
        return done

    def put(self, name, value):
        text = value if isinstance(value, str) else json.dumps(value)
        self.ctl("put", "/apisix/" + name, input=text)

    def put_all(self, values):
        """At once: up to 128 keys in one transaction."""
        def coded(text):
            return base64.b64encode(text.encode()).decode()
        puts = [{"request_put": {"key": coded("/apisix/" + name), "value": coded(json.dumps(value))}} for name, value in values.items()]
        done = request(self.port, "POST", "/v3/kv/txn", body=json.dumps({"success": puts}).encode())
        if done.status != 200:
            raise AssertionError(f"{done} {done.body}")

    def delete(self, name):
        self.ctl("del", "/apisix/" + name)

    def get(self, name):
        """The value of a key, or None."""
        text = self.ctl("get", "--print-value-only", "/apisix/" + name).stdout
        return json.loads(text) if text.strip() else None

    def revision(self):
        return json.loads(self.ctl("get", "/apisix/", "-w", "json").stdout)["header"]["revision"]

    def end(self, number):
        self.process.send_signal(number)
        self.process.wait(60)

    def kill(self):
        self.end(signal.SIGKILL)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)


class EtcdCase(AdminCase):
    """Tests with one etcd and as many gateways as they ask for; the first is `gw`."""

    tls = None
    settings = {}

    def setUp(self):
        self.etcd = Etcd(self.tls)
        self.addCleanup(self.etcd.close)
        self.prepare_etcd()
        self.gw = self.gateway()

    def prepare_etcd(self):
        pass

    def config(self):
        return {"deployment": {"etcd": {"host": [self.etcd.url], "timeout": 20, **self.settings}}, "routes": []}

    def gateway(self, config=None, **more):
        gateway = Gateway(config or self.config(), **more)
        self.addCleanup(gateway.close)
        return gateway

    def admin_of(self, gateway, method, path, body=None, headers=None, timeout=60):
        data = None if body is None else json.dumps(body).encode()
        return request(gateway.admin_port, method, "/apisix/admin" + path,
                       {"X-API-KEY": gateway.admin_key(), **(headers or {})}, data, timeout=timeout)

    def store(self, gateway=None):
        return (gateway or self.gw).status()["store"]

    def wait_state(self, state, gateway=None):
        return wait_for(lambda: self.store(gateway)["state"] == state, 20, f"etcd being {state}")

    def wait_body(self, path, text, gateway=None):
        return wait_for(lambda: (gateway or self.gw).get(path).body == text.encode(), 20, f"{path} being {text}")

    def wait_status(self, path, status, gateway=None):
        return wait_for(lambda: (gateway or self.gw).get(path).status == status, 20, f"{path} answering {status}")

    def wait_same(self, *gateways):
        """Until all have the same, and it is what etcd has; their common hash."""
        def same():
            stores = [self.store(gateway) for gateway in gateways]
            keys = [k for k in self.etcd.ctl("get", "--prefix", "--keys-only", "/apisix/").stdout.split("\n") if k]
            is_same = len({s["hash"] for s in stores}) == 1 and all(s["resources"] == len(keys) for s in stores)
            return stores[0]["hash"] if is_same and all(s["state"] == "connected" for s in stores) else None
        return wait_for(same, 30, "the gateways having what etcd has")
