# SPDX-License-Identifier: Apache-2.0
"""WebSocket between the two ends of the npm library ws, with the gateway between them: in clear and in TLS."""

import unittest

from certificates import authority, certificate
from grpc_test import GrpcTestCase
from harness import HOST, free_port, memory_kb, route, sanitized, wait_for
from libraries import node_peer

WANTED = {
    "messages": [True, ""], "large": [True, ""], "deflate": [True, "permessage-deflate"], "many": True, "fragments": "one two three",
    "ping": ["pong are you there", "and you"], "protocol": "chat.v2", "early": ["early", [1000, ""]], "refused": [403, "path", "no way"],
    "closes": [[1000, "bye"], [1001, "leaving"], [4001, "own"], [1005, ""], [1006, ""], [1000, "done"], [1000, "done"], [4999, ""], [4999, ""],
               [1005, ""], [1005, ""], [1006, ""]],
    "slow_client": [True, True], "slow_server": [True, "all"],
}


class WebSocketTestCase(GrpcTestCase):
    def serve_peer(self, *pair, scheme="http", **more):
        port = self.grpc_server(*pair, peer=node_peer("ws_peer.js"))
        r = route("/*", {f"{HOST}:{port}": 1}, enable_websocket=True)
        r["upstream"].update({"scheme": scheme, **more.pop("upstream", {})})
        return self.serve({"routes": [r], **more.pop("resources", {})}, **{"workers": 1, **more})


@sanitized
class Library(WebSocketTestCase):
    def check(self, port, trusted=None):
        self.assertEqual(self.calls(port, WANTED, trusted, peer=node_peer("ws_peer.js")), WANTED)

    def test_all_that_the_library_says_arrives_both_ways(self):
        self.check(self.serve_peer().port)

    def test_in_tls_on_both_sides(self):
        issued, tls_port = certificate("a.test"), free_port()
        self.serve_peer(issued.cert_path, issued.key_path, scheme="https", upstream={"pass_host": "rewrite", "upstream_host": "a.test"},
                        resources={"ssls": [{"id": "1", "snis": ["a.test"], "cert": issued.cert, "key": issued.key}]},
                        moongate={"upstream": {"tls_trusted_certificate": authority().cert_path}},
                        listen=[f"{HOST}:PORT", {"address": f"{HOST}:{tls_port}", "tls": True}])
        self.check(tls_port, authority().cert_path)

    def test_a_route_without_websockets_takes_none(self):
        port = self.grpc_server(peer=node_peer("ws_peer.js"))
        gw = self.serve({"routes": [route("/*", {f"{HOST}:{port}": 1})]})
        got = self.calls(gw.port, ["refused"], peer=node_peer("ws_peer.js"))
        self.assertEqual(got["refused"][0], 426)


class Memory(WebSocketTestCase):
    def test_ends_that_do_not_read_cost_the_gateway_little(self):
        gw = self.serve_peer()
        self.calls(gw.port, ["messages"], peer=node_peer("ws_peer.js"))
        before = memory_kb(gw.worker_pids())
        got = self.calls(gw.port, ["slow_client", "slow_server"], peer=node_peer("ws_peer.js"))
        self.assertEqual(got, {name: WANTED[name] for name in got})
        wait_for(lambda: memory_kb(gw.worker_pids()) < before + 16 * 1024, 10, "the worker's memory")


if __name__ == "__main__":
    unittest.main()
