# SPDX-License-Identifier: Apache-2.0
"""gRPC between libraries that users have, each as client and as server, with the gateway between them: in clear and in TLS."""

import os
import subprocess
import unittest

from certificates import authority, certificate
from grpc_test import CLEAR, GrpcTestCase, python_peer
from harness import HOST, Service, free_port, need, sanitized
from libraries import grpc_cpp_peer, node_peer

WANTED = {
    "unary": "hello", "unary+gzip": "hello", "many": True, "status": ["NOT_FOUND", "no such thing: \u00e9"],
    "details": ["INVALID_ARGUMENT", "see the details", True],
    "metadata": [{"x-before": "1"}, {"x-after": "2"}, ["1", True, True]],
    "server_stream": True, "client_stream": 1000000, "client_stream+gzip": 1000000, "both_stream": True, "both_stream+gzip": True,
    "many_streams": True, "abort_stream": ["one", "DATA_LOSS", "in the middle"], "deadline": ["DEADLINE_EXCEEDED", "yes", "yes"],
    "cancel": ["one", "yes", "yes"], "large": True,
}
PEERS = {"python": python_peer, "node": lambda: node_peer("grpc_peer.js"), "cpp": grpc_cpp_peer}


@sanitized
class Libraries(GrpcTestCase):
    def check(self, client, server):
        clients, servers = PEERS[client](), PEERS[server]()
        gw = self.serve_grpc(self.grpc_server(peer=servers))
        self.assertEqual(self.calls(gw.port, WANTED, peer=clients), WANTED)

    def check_tls(self, client, server):
        clients, servers = PEERS[client](), PEERS[server]()
        issued, tls_port = certificate("a.test"), free_port()
        gw = self.serve_grpc(self.grpc_server(issued.cert_path, issued.key_path, peer=servers), "grpcs",
                             upstream={"pass_host": "rewrite", "upstream_host": "a.test"},
                             resources={"ssls": [{"id": "1", "snis": ["a.test"], "cert": issued.cert, "key": issued.key}]},
                             settings={"upstream": {"tls_trusted_certificate": authority().cert_path}},
                             listen=[*CLEAR, {"address": f"{HOST}:{tls_port}", "tls": True, "http2": True}])
        self.assertEqual(self.calls(tls_port, WANTED, authority().cert_path, peer=clients), WANTED)

    def check_refused(self, client):
        gw = self.serve_grpc(free_port())
        self.assertEqual(self.calls(gw.port, ["refused"], peer=PEERS[client]()), {"refused": "UNAVAILABLE"})

    def test_node_calls_node(self):
        self.check("node", "node")

    def test_node_calls_python(self):
        self.check("node", "python")

    def test_python_calls_node(self):
        self.check("python", "node")

    def test_python_calls_cpp(self):
        self.check("python", "cpp")

    def test_cpp_calls_cpp(self):
        self.check("cpp", "cpp")

    def test_cpp_calls_node(self):
        self.check("cpp", "node")

    def test_node_calls_cpp(self):
        self.check("node", "cpp")

    def test_node_calls_node_in_tls(self):
        self.check_tls("node", "node")

    def test_cpp_calls_cpp_in_tls(self):
        self.check_tls("cpp", "cpp")

    def test_python_calls_node_in_tls(self):
        self.check_tls("python", "node")

    def test_a_server_that_is_not_there_is_unavailable_to_all(self):
        for client in PEERS:
            with self.subTest(client):
                self.check_refused(client)


class Programs(GrpcTestCase):
    """Whole programs that speak HTTP/2 to one another."""

    def etcdctl(self, port, *arguments, **more):
        done = subprocess.run([need("etcdctl"), f"--endpoints=http://{HOST}:{port}", "--dial-timeout=10s", *arguments],
                              capture_output=True, text=True, timeout=60, env={**os.environ, "ETCDCTL_API": "3"}, check=False, **more)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_etcd_and_its_client(self):
        port, peer_port, address = free_port(), free_port(), f"http://{HOST}"
        etcd = Service([need("etcd"), "--data-dir=data", f"--listen-client-urls={address}:{port}", f"--advertise-client-urls={address}:{port}",
                        f"--listen-peer-urls={address}:{peer_port}", f"--initial-advertise-peer-urls={address}:{peer_port}",
                        f"--initial-cluster=default={address}:{peer_port}"], port)
        self.addCleanup(etcd.close)
        gw = self.serve_grpc(port, workers=2)
        value = "x" * 100000
        self.assertEqual(self.etcdctl(gw.port, "put", "a", "1"), "OK\n")
        self.assertEqual(self.etcdctl(gw.port, "put", "large", input=value), "OK\n")
        self.assertEqual(self.etcdctl(gw.port, "get", "--print-value-only", "large"), value + "\n")
        self.assertEqual(self.etcdctl(gw.port, "txn", input='value("a") = "1"\n\nput a 2\n\nget a\n\n'), "SUCCESS\n\nOK\n")
        granted = self.etcdctl(gw.port, "lease", "grant", "60").split()[1]
        self.assertIn("keepalived", self.etcdctl(gw.port, "lease", "keep-alive", "--once", granted))
        watch = subprocess.Popen([need("etcdctl"), f"--endpoints={address}:{gw.port}", "watch", "b", "--rev=1"], stdout=subprocess.PIPE,
                                 text=True, env={**os.environ, "ETCDCTL_API": "3"})
        self.addCleanup(watch.stdout.close)
        self.addCleanup(watch.wait, 10)
        self.addCleanup(watch.terminate)
        self.etcdctl(gw.port, "put", "b", "seen")
        self.assertEqual([watch.stdout.readline() for _ in range(3)], ["PUT\n", "b\n", "seen\n"])

    def test_nghttpd_behind_h2load(self):
        port = free_port()
        nghttpd = Service([need("nghttpd"), "--no-tls", f"--address={HOST}", "--htdocs=.", "--max-concurrent-streams=7", str(port)], port)
        self.addCleanup(nghttpd.close)
        with open(os.path.join(nghttpd.dir, "file"), "wb") as f:
            f.write(b"x" * 100000)
        gw = self.serve_grpc(port, workers=2)
        done = subprocess.run([need("h2load"), "-n", "3000", "-c", "8", "-m", "20", f"http://{HOST}:{gw.port}/file"], capture_output=True,
                              text=True, timeout=250, check=False)
        self.assertIn("3000 succeeded, 0 failed, 0 errored", done.stdout)
        self.assertIn("3000 2xx", done.stdout)


if __name__ == "__main__":
    unittest.main()
