# SPDX-License-Identifier: Apache-2.0
"""Choosing nodes, connections to them, time limits and retries: an upstream's troubles cost its own requests only."""

import collections
import select
import threading
import time
import unittest

from clock import Clock
from dns import NameServer
from harness import HOST, TestCase, elapsed, free_port, ok, request_bytes, route, sanitized, wait_for


def balanced(*nodes, **more):
    return {"uri": "/*", "upstream": {"type": "roundrobin", "nodes": {n: w for n, w in nodes}, **more}}


@sanitized
class Balancing(TestCase):
    def test_nodes_get_requests_by_their_weights(self):
        a, b = self.upstream(ok("a"), keep_log=False), self.upstream(ok("b"), keep_log=False)
        gw = self.serve({"routes": [balanced((a.node, 8), (b.node, 2))]}, workers=1)
        with gw.client() as c:
            got = collections.Counter(c.get("/").body for _ in range(1000))
        self.assertAlmostEqual(got[b"b"], 200, delta=10)

    def test_a_node_of_weight_zero_gets_nothing(self):
        a, b = self.upstream(ok("a")), self.upstream(ok("b"))
        gw = self.serve({"routes": [balanced((a.node, 1), (b.node, 0))]})
        self.assertEqual({gw.get("/").body for _ in range(30)}, {b"a"})

    def test_a_hashed_key_stays_on_its_node(self):
        ups = [self.upstream(ok(str(i))) for i in range(3)]
        r = balanced(*[(u.node, 1) for u in ups], type="chash", hash_on="header", key="x-user")
        gw = self.serve({"routes": [r]})
        places = {}
        for user in range(30):
            for _ in range(4):
                places.setdefault(user, set()).add(gw.get("/", {"X-User": f"u{user}"}).body)
        self.assertTrue(all(len(p) == 1 for p in places.values()), places)
        self.assertEqual(len(set.union(*places.values())), 3)

    def test_least_conn_prefers_the_idle_node(self):
        release = threading.Event()
        self.addCleanup(release.set)
        slow = self.upstream(lambda *_: release.wait(120) and ok("slow"))
        fast = self.upstream(ok("fast"))
        gw = self.serve({"routes": [balanced((slow.node, 1), (fast.node, 1), type="least_conn")]}, workers=1)
        held = [gw.client() for _ in range(2)]
        for c in held:                      # of two requests at once, one goes to each node
            self.addCleanup(c.close)
            c.send(request_bytes("GET", "/"))
        answered, _, _ = select.select([c.sock for c in held], [], [], 10)
        self.assertEqual([c.read().body for c in held if c.sock in answered], [b"fast"])
        slow.wait_requests(1)
        self.assertEqual({gw.get("/").body for _ in range(10)}, {b"fast"})


@sanitized
class Retries(TestCase):
    def test_a_failed_connection_goes_to_the_next_node(self):
        up = self.upstream()
        gw = self.serve({"routes": [balanced((f"{HOST}:{free_port()}", 1), (up.node, 1))]})
        self.assertEqual({gw.get("/").status for _ in range(20)}, {200})

    def test_a_post_whose_connection_failed_goes_to_the_next_node(self):
        up = self.upstream()
        gw = self.serve({"routes": [balanced((f"{HOST}:{free_port()}", 1), (up.node, 1))]})
        for _ in range(6):
            self.assertEqual(gw.request("POST", "/", body=b"payload").status, 200)
        self.assertEqual({r.body for r in up.requests}, {b"payload"})

    def test_no_retries_when_switched_off(self):
        up = self.upstream()
        gw = self.serve({"routes": [balanced((f"{HOST}:{free_port()}", 1), (up.node, 1), retries=0)]}, workers=1)
        self.assertEqual({gw.get("/").status for _ in range(10)}, {200, 502})

    def test_a_post_is_never_sent_twice_whatever_the_upstream_does(self):
        def close(_, c):
            c.close()

        def reset(_, c):
            c.reset()

        def half(_, c):
            c.send(b"HTTP/1.1 20")
            c.close()

        def half_body(_, c):
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab")
            c.close()
        for behaviour in (close, reset, half, half_body, ok("no", status="503 Busy"), ok("no", status="500 Broken")):
            with self.subTest(behaviour=getattr(behaviour, "__name__", behaviour)):
                a, b = self.upstream(behaviour), self.upstream(behaviour)
                gw = self.serve({"routes": [balanced((a.node, 1), (b.node, 1), retries=3)]}, workers=1)
                with gw.client() as c:
                    c.send(request_bytes("POST", "/", body=b"once"))
                    c.sock.settimeout(50)
                    c.reader.fill()
                self.assertEqual(a.request_count + b.request_count, 1)
                gw.close()

    def test_a_post_is_not_sent_twice_when_a_pooled_connection_dies(self):
        died = threading.Event()

        def answer(request, connection):
            if request.method == "POST" and connection.request_count > 1 and not died.is_set():
                died.set()
                connection.close()
                return None
            return ok("fine")
        up = self.upstream(answer)
        gw = self.serve({"routes": [balanced((up.node, 1), retries=2)]}, workers=1)
        gw.get("/warm")
        r = gw.request("POST", "/", body=b"once")
        self.assertEqual(r.status, 502)
        self.assertEqual(len([q for q in up.requests if q.method == "POST"]), 1)

    def test_a_get_survives_a_pooled_connection_that_the_upstream_has_closed(self):
        up = self.upstream()
        gw = self.serve({"routes": [route("/*", up)]}, workers=1)
        for _ in range(20):
            self.assertEqual(gw.get("/").status, 200)
            up.drop_connections()

    def test_an_answer_that_has_begun_is_not_begun_again(self):
        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
            connection.close()
        a, b = self.upstream(answer), self.upstream(answer)
        gw = self.serve({"routes": [balanced((a.node, 1), (b.node, 1), retries=3)]}, workers=1)
        self.assertEqual(gw.raw(request_bytes("GET", "/")).count(b"begun"), 1)
        self.assertEqual(a.request_count + b.request_count, 1)


@sanitized
class TimeLimits(TestCase):
    def silent(self, *_):
        self.release.wait(120)

    def setUp(self):
        self.release = threading.Event()
        self.addCleanup(self.release.set)

    def test_504_after_the_read_limit_of_the_upstream_or_the_route(self):
        up = self.upstream(self.silent)
        limits = {"connect": 5, "send": 5, "read": 1}
        by_route = {**route("/route", up), "timeout": limits}
        gw = self.serve({"routes": [by_route, balanced((up.node, 1), timeout=limits, retries=0)]})
        for target in ("/route", "/upstream"):
            seconds, r = elapsed(lambda: gw.get(target))
            self.assertEqual(r.status, 504)
            self.assertTrue(0.8 < seconds < 30, seconds)

    def test_the_limit_is_between_two_reads_not_for_the_whole_answer(self):
        def answer(_, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
            for _ in range(6):
                connection.sock.settimeout(None)
                threading.Event().wait(0.8)     # the upstream's own pace, slower than nothing, faster than the limit
                connection.send(b"x")
        up = self.upstream(answer)
        gw = self.serve({"routes": [balanced((up.node, 1), timeout={"connect": 4, "send": 4, "read": 4})]})
        self.assertEqual(gw.get("/").body, b"xxxxxx")

    def test_others_are_served_while_requests_wait_for_a_silent_upstream(self):
        dead, alive = self.upstream(self.silent), self.upstream(ok("alive"))
        gw = self.serve({"routes": [route("/dead", dead), route("/*", alive)]}, workers=1)
        waiting = [gw.client() for _ in range(100)]
        for c in waiting:
            self.addCleanup(c.close)
            c.send(request_bytes("GET", "/dead"))
        dead.wait_requests(100)
        seconds, r = elapsed(lambda: gw.get("/"))
        self.assertEqual(r.body, b"alive")
        self.assertLess(seconds, 30)


@sanitized
class Hosts(TestCase):
    def sent_host(self, **upstream):
        up = self.upstream()
        r = balanced((f"node.test:{up.port}", 1), **upstream)
        gw = self.serve({"routes": [r]}, moongate={"dns": {"hosts": {"node.test": HOST}}})
        self.assertEqual(gw.get("/", host="client.example").status, 200)
        return up.last().get("Host"), up.port

    def test_passes_the_clients_host(self):
        self.assertEqual(self.sent_host()[0], "client.example")
        self.assertEqual(self.sent_host(pass_host="pass")[0], "client.example")

    def test_passes_the_nodes_host_with_its_port(self):
        host, port = self.sent_host(pass_host="node")
        self.assertEqual(host, f"node.test:{port}")

    def test_passes_a_fixed_host(self):
        self.assertEqual(self.sent_host(pass_host="rewrite", upstream_host="fixed.example")[0], "fixed.example")

    def test_an_unknown_name_is_a_gateway_error_and_soon(self):
        gw = self.serve({"routes": [balanced(("no-such-host.invalid:80", 1), timeout={"connect": 2, "send": 2, "read": 2})]})
        seconds, r = elapsed(lambda: gw.get("/"))
        self.assertIn(r.status, (502, 503))
        self.assertLess(seconds, 30)

    def test_upstreams_are_shared_by_id(self):
        up = self.upstream()
        gw = self.serve({"upstreams": [{"id": "u", "type": "roundrobin", "nodes": up.nodes}],
                         "services": [{"id": "s", "upstream_id": "u"}],
                         "routes": [{"uri": "/a", "upstream_id": "u"}, {"uri": "/b", "service_id": "s"}]})
        self.assertEqual([gw.get("/a").status, gw.get("/b").status], [200, 200])


class Pools(TestCase):
    def test_idle_connections_are_given_up_after_their_limit(self):
        up = self.upstream()
        gw = self.serve({"routes": [balanced((up.node, 1), keepalive_pool={"size": 4, "idle_timeout": 1, "requests": 1000})]}, workers=1)
        gw.get("/")
        wait_for(lambda: up.connections[0].is_closed, 5, "the idle connection closing")

    def test_a_connection_is_retired_after_its_number_of_requests(self):
        up = self.upstream()
        gw = self.serve({"routes": [balanced((up.node, 1), keepalive_pool={"size": 4, "idle_timeout": 60, "requests": 5})]}, workers=1)
        with gw.client() as c:
            for _ in range(20):
                c.get("/")
        self.assertEqual(up.connection_count, 4)

    def test_an_upstream_that_closes_each_connection_is_fine(self):
        def answer(_, connection):
            connection.send(ok("x", headers=[("Connection", "close")]))
            connection.close()
        up = self.upstream(answer)
        gw = self.serve({"routes": [route("/*", up)]}, workers=1)
        started = time.monotonic()
        with gw.client() as c:
            self.assertEqual({c.get("/").status for _ in range(100)}, {200})
        self.assertLess(time.monotonic() - started, 60)


@sanitized
class MovingNames(TestCase):
    """A name's address goes to another service: what is connected to it must not get this one's requests any more."""

    def start(self, answer=None):
        self.clock = Clock(self)
        self.old = self.upstream(answer or ok("old"))
        self.new = self.upstream(ok("new"), host="127.0.0.2", port=self.old.port)
        self.names = NameServer({"moving.test": [HOST]})
        self.addCleanup(self.names.close)
        self.gw = self.serve({"routes": [balanced((f"moving.test:{self.old.port}", 1))]}, workers=1, env=self.clock.env,
                             moongate={"dns": {"servers": [self.names.address]}})

    def move(self):
        """The name moves, and what was learnt of it runs out; the first request afterwards has the address looked up."""
        self.names.records["moving.test"] = ["127.0.0.2"]
        self.clock.advance(2)
        wait_for(lambda: self.gw.get("/").body == b"new", 10, "the new address")

    def test_pooled_connections_to_a_vanished_address_are_retired(self):
        self.start()
        self.assertEqual(self.gw.get("/").body, b"old")
        self.assertFalse(self.old.connections[0].is_closed)
        self.move()
        wait_for(lambda: all(c.is_closed for c in self.old.connections), 10, "connections to the old address closing")
        seen = self.old.request_count
        self.assertEqual({self.gw.get("/").body for _ in range(20)}, {b"new"})
        self.assertEqual(self.old.request_count, seen)

    def test_a_connection_in_use_is_not_kept_once_its_address_has_vanished(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def answer(request, _):
            if request.target == "/slow":
                release.wait(120)
            return ok("old")
        self.start(answer)
        got = []
        slow = threading.Thread(target=lambda: got.append(self.gw.get("/slow")))
        slow.start()
        self.old.wait_requests(1)
        self.move()
        release.set()
        slow.join(60)
        self.assertEqual(got[0].body, b"old")
        wait_for(lambda: all(c.is_closed for c in self.old.connections), 10, "the connection that was in use closing")
        self.assertEqual({self.gw.get("/").body for _ in range(10)}, {b"new"})


if __name__ == "__main__":
    unittest.main()
