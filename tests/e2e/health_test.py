# SPDX-License-Identifier: Apache-2.0
"""Health checks of upstreams: nodes that fail leave and return, for all workers at once, whoever dies meanwhile."""

import itertools
import os
import signal
import ssl
import threading
import unittest

from certificates import authority, certificate
from clock import Clock
from harness import HOST, TestCase, free_port, ok, open_files, request, sanitized, wait_for

LIMIT_S = 30


def active(**more):
    """Checks every second; the first answer of the other kind makes the verdict."""
    return {"http_path": "/up", "timeout": 10, "healthy": {"interval": 1, "successes": 1},
            "unhealthy": {"interval": 1, "http_failures": 1, "tcp_failures": 1, "timeouts": 1}, **more}


class Node:
    """What an upstream answers to checks (path /up) and to requests; a callable may wait or break off."""

    def __init__(self, name):
        self.name, self.check, self.answer = name, ok("up"), ok(name)

    def __call__(self, request, connection):
        given = self.check if request.target == "/up" else self.answer
        return given(request, connection) if callable(given) else given


class Health(TestCase):
    def node(self, name, **more):
        up = self.upstream(Node(name), **more)
        up.is_checked = lambda: any(r.target == "/up" for r in up.requests)
        return up

    def gateway(self, ups, checks, upstream=None, **more):
        self.control_port = free_port()
        settings = {"control": {"listen": f"{HOST}:{self.control_port}"}, **more.pop("moongate", {})}
        return self.serve(self.config(ups, checks, upstream), moongate=settings, **more)

    def config(self, ups, checks, upstream=None, routes=()):
        return {"routes": [{"id": "r", "uri": "/*", "upstream_id": "u"}, *routes],
                "upstreams": [{"id": "u", "type": "roundrobin", "nodes": {u.node: 1 for u in ups}, "checks": checks, **(upstream or {})}]}

    def checker(self, path="upstreams/u"):
        return request(self.control_port, "GET", "/v1/healthcheck/" + path).json()

    def statuses(self, path="upstreams/u"):
        """{port: status}"""
        return {node["port"]: node["status"] for node in self.checker(path).get("nodes", [])}

    def wait_status(self, up, status, path="upstreams/u"):
        return wait_for(lambda: self.statuses(path).get(getattr(up, "port", up)) == status, LIMIT_S, f"{up} being {status}")

    def answers(self, gw, count=24):
        """Who answered `count` requests on connections of their own, so that all workers have some."""
        return {gw.get("/x").body.decode() for _ in range(count)}

    def requests_of_workers(self, gw):
        return [w["requests"] for w in gw.status()["workers"]]


@sanitized
class Active(Health):
    def test_a_node_that_fails_its_checks_leaves_and_returns_for_every_worker(self):
        a, b = self.node("a"), self.node("b")
        gw = self.gateway([a, b], {"active": active()})
        wait_for(lambda: a.is_checked() and b.is_checked(), LIMIT_S, "checks")
        self.assertEqual(self.answers(gw), {"a", "b"})
        b.answer.check = ok("down", status="500 Broken")
        self.wait_status(b, "unhealthy")
        before = self.requests_of_workers(gw)
        self.assertEqual(self.answers(gw, 40), {"a"})
        self.assertTrue(all(now > then for now, then in zip(self.requests_of_workers(gw), before)), "each worker had requests")
        gw.wait_log(f"upstream u node {b.node} is unhealthy, and is left alone: HTTP status 500 in a check, 1 in a row")
        b.answer.check = ok("up")
        self.wait_status(b, "healthy")
        self.assertEqual(self.answers(gw), {"a", "b"})
        gw.wait_log(f"upstream u node {b.node} is healthy, and is used again: HTTP status 200 in a check")

    def test_what_hangs_and_what_refuses_leaves(self):
        a, slow, gone = self.node("a"), self.node("slow"), self.node("gone")
        released = threading.Event()
        self.addCleanup(released.set)
        slow.answer.check = lambda *_: released.wait(60) and None
        gone.close()
        gw = self.gateway([a, slow, gone], {"active": active(timeout=2)})
        self.wait_status(slow, "unhealthy")
        self.wait_status(gone, "unhealthy")
        self.assertEqual(self.answers(gw), {"a"})
        counts = {n["port"]: n["counter"] for n in self.checker()["nodes"]}
        self.assertEqual(counts[slow.port], {"success": 0, "http_failure": 0, "tcp_failure": 0, "timeout_failure": 1})
        self.assertEqual(counts[gone.port], {"success": 0, "http_failure": 0, "tcp_failure": 1, "timeout_failure": 0})
        gw.wait_log("timeout in a check, 1 in a row: no answer in time")
        gw.wait_log("TCP failure in a check, 1 in a row: Connection refused")

    def test_failures_below_the_limit_do_no_harm_and_a_success_ends_their_row(self):
        a, b = self.node("a"), self.node("b")
        gw = self.gateway([a, b], {"active": active(unhealthy={"interval": 1, "http_failures": 100})})
        b.answer.check = ok("down", status="503 Away")
        self.wait_status(b, "mostly_healthy")
        self.assertEqual(self.answers(gw), {"a", "b"})
        b.answer.check = ok("up")
        self.wait_status(b, "healthy")
        self.assertEqual([n["counter"]["http_failure"] for n in self.checker()["nodes"]], [0, 0])

    def test_the_check_is_sent_as_it_is_written(self):
        a, b = self.node("a"), self.node("b")
        checks = active(http_method="POST", host="checked.test", req_headers=["X-Check: yes"], http_req_body="hello")
        self.gateway([a, b], {"active": checks})
        wait_for(a.is_checked, LIMIT_S, "a check")
        sent = a.requests[0]
        self.assertEqual((sent.line, sent.get("Host"), sent.get("X-Check")), ("POST /up HTTP/1.1", "checked.test", "yes"))
        wait_for(lambda: sent.is_complete, LIMIT_S, "the whole check")
        self.assertEqual(sent.body, b"hello")

    def test_connecting_is_enough_for_a_check_of_type_tcp(self):
        a, b, gone = self.node("a"), self.node("b"), self.node("gone")
        gone.close()
        gw = self.gateway([a, b, gone], {"active": active(type="tcp")})
        self.wait_status(gone, "unhealthy")
        self.assertEqual(self.answers(gw), {"a", "b"})
        self.assertEqual(self.checker()["type"], "tcp")
        self.assertFalse(a.is_checked() or b.is_checked())

    def test_a_port_of_its_own_is_asked_and_the_node_is_meant(self):
        a, b, witness = self.node("a"), self.node("b"), self.node("witness")
        gw = self.gateway([a, b], {"active": active(port=witness.port)})
        wait_for(witness.is_checked, LIMIT_S, "a check")
        self.assertEqual(self.answers(gw), {"a", "b"})
        witness.answer.check = ok("down", status="500 Broken")
        wait_for(lambda: set(n["status"] for n in self.checker()["nodes"]) == {"unhealthy"}, LIMIT_S, "both unhealthy")

    def test_all_nodes_are_used_when_none_is_well_and_a_single_one_always_is(self):
        a, b, single = self.node("a"), self.node("b"), self.node("single")
        for up in (a, b, single):
            up.answer.check = ok("down", status="500 Broken")
        self.control_port = free_port()
        config = self.config([a, b], {"active": active()}, routes=[
            {"id": "one", "uri": "/one", "upstream": {"nodes": single.nodes, "checks": {"active": active()}}}])
        gw = self.serve(config, moongate={"control": {"listen": f"{HOST}:{self.control_port}"}})
        self.wait_status(a, "unhealthy")
        self.wait_status(b, "unhealthy")
        self.wait_status(single, "unhealthy", "routes/one")
        self.assertEqual(self.answers(gw), {"a", "b"})
        self.assertEqual(gw.get("/one").body, b"single")

    def test_a_retry_goes_to_no_node_that_is_not_well(self):
        a, b = self.node("a"), self.node("b")
        a.answer.answer = lambda _, connection: connection.reset()
        b.answer.check = ok("down", status="500 Broken")
        gw = self.gateway([a, b], {"active": active()})
        self.wait_status(b, "unhealthy")
        self.assertEqual(gw.get("/x").status, 502)
        self.assertFalse([r for r in b.requests if r.target == "/x"])
        self.assertNotIn("moongate_retries_total 1", gw.metrics().body.decode())

    def test_names_are_looked_up_as_those_of_upstreams_are(self):
        up, port = self.node("a"), free_port()
        self.control_port = free_port()
        nodes = [{"host": "well.test", "port": up.port, "weight": 1}, {"host": "ill.test", "port": port, "weight": 1}]
        gw = self.serve(self.config([], {"active": active()}, {"nodes": nodes}),
                        moongate={"control": {"listen": f"{HOST}:{self.control_port}"}, "dns": {"hosts": {"well.test": HOST, "ill.test": HOST}}})
        self.wait_status(port, "unhealthy")
        wait_for(up.is_checked, LIMIT_S, "a check")
        self.assertEqual(self.answers(gw), {"a"})
        self.assertEqual(up.requests[0].get("Host"), f"well.test:{up.port}")
        self.assertEqual([(n["ip"], n["hostname"]) for n in self.checker()["nodes"]], [(HOST, "well.test"), (HOST, "ill.test")])

    def test_certificates_are_verified_unless_the_check_says_not_to(self):
        issued = certificate("health.test")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.cert_path, issued.key_path)
        a = self.node("a", tls=context)
        upstream = {"scheme": "https", "tls": {"verify": False}}
        routes = [{"id": str(i), "uri": f"/{i}", "upstream": {**upstream, "nodes": a.nodes, "checks": {"active": active(type="https", **more)}}}
                  for i, more in enumerate(({"host": "health.test"}, {"host": "other.test"}, {"host": "other.test", "https_verify_certificate": False},
                                          {"host": "third.test", "https_sni": "health.test"}))]
        self.control_port = free_port()
        gw = self.serve({"routes": routes}, moongate={"control": {"listen": f"{HOST}:{self.control_port}"},
                                                      "upstream": {"tls_trusted_certificate": authority().cert_path}})
        self.wait_status(a, "unhealthy", "routes/1")
        gw.wait_log("route#1 node")
        wait_for(lambda: {r.get("Host") for r in a.requests} == {"health.test", "other.test", "third.test"}, LIMIT_S, "the other checks")
        self.assertEqual([self.statuses(f"routes/{i}") for i in (0, 2, 3)], 3 * [{a.port: "healthy"}])
        self.assertEqual(self.checker("routes/0")["type"], "https")

    def test_checks_show_the_certificate_that_requests_show(self):
        issued, shown, other = certificate("health.test"), certificate("gateway.test"), certificate("gateway.test", issuer="unknown")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(issued.cert_path, issued.key_path)
        context.load_verify_locations(authority().cert_path)
        context.verify_mode = ssl.CERT_REQUIRED
        a = self.node("a", tls=context)
        ways = {"none": {}, "own": {"client_cert": shown.cert, "client_key": shown.key}, "named": {"client_cert_id": "c"}}
        checks = {"active": active(type="https", https_verify_certificate=False)}

        def config(certificate):
            routes = [{"id": way, "uri": f"/{way}", "upstream": {"scheme": "https", "tls": {"verify": False, **tls}, "nodes": a.nodes, "checks": checks}}
                      for way, tls in ways.items()]
            return {"routes": routes, "ssls": [{"id": "c", "type": "client", "cert": certificate.cert, "key": certificate.key}]}
        self.control_port = free_port()
        gw = self.serve(config(other), moongate={"control": {"listen": f"{HOST}:{self.control_port}"}})
        for way, status in (("none", "unhealthy"), ("named", "unhealthy"), ("own", "healthy")):
            self.wait_status(a, status, f"routes/{way}")
        gw.apply(config(shown))
        self.wait_status(a, "healthy", "routes/named")
        self.assertEqual((gw.get("/named").body, self.statuses("routes/none")), (b"a", {a.port: "unhealthy"}))

    def test_an_upstream_that_is_edited_all_the_time_still_finds_who_hangs(self):
        a, slow, edits = self.node("a"), self.node("slow"), itertools.count()
        released = threading.Event()
        self.addCleanup(released.set)
        slow.answer.check = lambda *_: released.wait(60) and None
        checks = {"active": active(timeout=3)}
        gw = self.gateway([a, slow], checks)

        def is_found():
            gw.apply(self.config([a, slow], checks, {"desc": str(next(edits))}))
            return self.statuses()[slow.port] == "unhealthy"
        wait_for(is_found, LIMIT_S, "the verdict")
        gw.wait_log("timeout in a check, 1 in a row: no answer in time")

    def test_intervals_may_be_fractions_of_a_second(self):
        a, b = self.node("a"), self.node("b")
        b.answer.check = ok("down", status="500 Broken")
        gw = self.gateway([a, b], {"active": active(healthy={"interval": 0.2, "successes": 1}, unhealthy={"interval": 0.1, "http_failures": 3})})
        self.wait_status(b, "unhealthy")
        self.assertEqual(self.answers(gw), {"a"})


@sanitized
class Passive(Health):
    CHECKS = {"active": {"enabled": False}, "passive": {"unhealthy": {"http_failures": 3, "tcp_failures": 2, "timeouts": 2}, "healthy": {"successes": 1}}}

    def test_answers_of_all_workers_add_up_to_one_verdict(self):
        a, b = self.node("a"), self.node("b")
        b.answer.answer = ok("broken", status="500 Broken")
        gw = self.gateway([a, b], self.CHECKS)
        got = [gw.get("/x").status for _ in range(60)]
        self.assertEqual(got.count(500), 3)
        self.assertEqual(self.statuses(), {a.port: "healthy", b.port: "unhealthy"})
        self.assertEqual(len([r for r in b.requests if r.target == "/x"]), 3)
        gw.wait_log(f"upstream u node {b.node} is unhealthy, and is left alone: HTTP status 500 in a request, 3 in a row")
        self.assertFalse(a.is_checked(), "nobody is asked")

    def test_a_node_that_breaks_off_is_left_alone_before_clients_notice(self):
        a, b = self.node("a"), self.node("b")
        b.answer.answer = lambda _, connection: connection.reset()
        gw = self.gateway([a, b], self.CHECKS)
        self.assertEqual({gw.get("/x").status for _ in range(40)}, {200})
        self.assertEqual(len(b.requests), 2)
        self.assertEqual(self.statuses()[b.port], "unhealthy")

    def test_a_node_that_lets_requests_wait_is_left_alone(self):
        a, b = self.node("a"), self.node("b")
        released = threading.Event()
        self.addCleanup(released.set)
        b.answer.answer = lambda *_: released.wait(60) and None
        gw = self.gateway([a, b], self.CHECKS, {"timeout": {"connect": 5, "send": 5, "read": 2}})
        self.assertEqual({gw.get("/x").status for _ in range(20)}, {200})
        self.assertEqual(len(b.requests), 2)
        self.assertEqual(self.statuses()[b.port], "unhealthy")

    def test_an_active_check_brings_back_what_requests_found_bad(self):
        a, b = self.node("a"), self.node("b")
        b.answer.answer = ok("broken", status="500 Broken")
        b.answer.check = ok("down", status="500 Broken")
        checks = {"active": active(healthy={"enabled": False, "successes": 1}), "passive": self.CHECKS["passive"]}
        gw = self.gateway([a, b], checks)
        for _ in range(40):
            gw.get("/x")
        self.assertEqual(self.statuses()[b.port], "unhealthy")
        wait_for(b.is_checked, LIMIT_S, "a check of what is not well")
        self.assertFalse(a.is_checked(), "what is well is not asked")
        b.answer.check, b.answer.answer = ok("up"), ok("b")
        self.wait_status(b, "healthy")
        self.assertEqual(self.answers(gw), {"a", "b"})

    def test_without_active_checks_a_node_is_tried_again_after_a_minute_whatever_the_calendar_says(self):
        a, b, clock = self.node("a"), self.node("b"), Clock(self)
        b.answer.answer = ok("broken", status="500 Broken")
        target = "[{target: '%s', weight: 1}, {target: '%s', weight: 1}]" % (a.node, b.node)
        self.control_port = free_port()
        gw = self.serve(f"""
_format_version: "3.0"
services: [{{name: s, host: u, routes: [{{name: r, paths: [/]}}]}}]
upstreams:
  - name: u
    targets: {target}
    healthchecks: {{passive: {{healthy: {{successes: 1}}, unhealthy: {{http_failures: 2, http_statuses: [500]}}}}}}
""", env=clock.env, moongate={"control": {"listen": f"{HOST}:{self.control_port}"}})
        got = [gw.get("/x").status for _ in range(30)]
        self.assertEqual(got.count(500), 2)
        name = request(self.control_port, "GET", "/v1/healthcheck").json()[0]["name"].removeprefix("/apisix/")
        self.assertEqual(self.statuses(name)[b.port], "unhealthy")
        b.answer.answer = ok("b")
        clock.set_calendar(-7200)
        clock.advance(61)
        self.wait_status(b, "healthy", name)
        self.assertEqual(self.answers(gw), {"a", "b"})


@sanitized
class Survival(Health):
    """Verdicts belong to the instance, and not to the process that made them."""

    def ill(self, **more):
        """A gateway with a node that is well and one that is not."""
        self.a, self.b = self.node("a"), self.node("b")
        self.b.answer.check = ok("down", status="500 Broken")
        gw = self.gateway([self.a, self.b], {"active": active()}, **more)
        self.wait_status(self.b, "unhealthy")
        return gw

    def test_a_worker_that_replaces_a_dead_one_knows_them(self):
        gw = self.ill()
        for pid in gw.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_for(gw.is_serving, LIMIT_S, "new workers")
        self.assertEqual(self.answers(gw), {"a"})

    def test_another_control_goes_on_from_them(self):
        gw = self.ill()
        former = gw.status()["control_pid"]
        self.b.take()
        os.kill(former, signal.SIGKILL)
        self.assertEqual(self.answers(gw), {"a"})
        wait_for(lambda: self.is_replaced(gw, former), LIMIT_S, "another control")
        self.assertEqual(self.statuses()[self.b.port], "unhealthy")
        self.assertEqual(self.answers(gw), {"a"})
        self.b.answer.check = ok("up")
        self.wait_status(self.b, "healthy")
        self.assertEqual(self.answers(gw), {"a", "b"})

    @staticmethod
    def is_replaced(gw, former):
        done = gw.run("status", "--json")
        return done.returncode == 0 and f'"control_pid":{former},' not in done.stdout.replace(" ", "")

    def test_a_change_of_something_else_leaves_them_and_a_change_of_checks_does_not(self):
        gw = self.ill()
        other = [{"id": "other", "uri": "/other", "upstream_id": "u"}]
        gw.apply(self.config([self.a, self.b], {"active": active()}, routes=other))
        self.assertEqual(self.answers(gw), {"a"})
        c = self.node("c")
        gw.apply(self.config([self.a, self.b, c], {"active": active()}))
        self.assertEqual(self.answers(gw), {"a", "c"})
        gw.apply(self.config([self.a, self.b, c], Passive.CHECKS))
        self.assertEqual(self.answers(gw), {"a", "b", "c"})
        gw.apply(self.config([self.a], Passive.CHECKS))
        self.assertEqual(self.statuses(), {self.a.port: "healthy"})

    def test_checks_may_be_switched_off_for_all(self):
        a, gone = self.node("a"), self.node("gone")
        gone.close()
        gw = self.gateway([a, gone], {"active": active()}, moongate={"upstream": {"health_checks": False}})
        self.assertEqual(request(self.control_port, "GET", "/v1/healthcheck").json(), [])
        self.assertEqual({gw.get("/x").status for _ in range(10)}, {200})
        self.assertFalse(a.is_checked())


class Seen(Health):
    def test_every_page_tells_of_it(self):
        a, b = self.node("a"), self.node("b")
        b.answer.check = ok("down", status="500 Broken")
        gw = self.gateway([a, b], {"active": active()})
        self.wait_status(b, "unhealthy")
        call = lambda path, **headers: request(self.control_port, "GET", "/v1/healthcheck" + path, headers)
        every = call("").json()
        self.assertEqual([(c["name"], c["type"]) for c in every], [("/apisix/upstreams/u", "http")])
        node = {n["port"]: n for n in every[0]["nodes"]}[b.port]
        self.assertEqual({k: node[k] for k in ("ip", "hostname", "status")}, {"ip": HOST, "hostname": HOST, "status": "unhealthy"})
        self.assertEqual(node["counter"], {"success": 0, "http_failure": 1, "tcp_failure": 0, "timeout_failure": 0})
        self.assertEqual(call("/upstreams/u").json(), every[0])
        page = call("/upstreams/u", Accept="text/html")
        self.assertTrue(page.get("Content-Type").startswith("text/html"))
        self.assertIn(f"<td>{HOST}:{b.port}</td><td>{HOST}</td><td>unhealthy</td>".encode(), page.body)
        for path, status, text in (("/routes/r", 404, "no checker for routes[r]"), ("/routes/9", 404, "routes[9] not found"),
                                   ("/routes", 404, "missing src id for src type routes"), ("/x/1", 400, "invalid src type x")):
            refused = call(path)
            self.assertEqual((refused.status, refused.json()["error_msg"]), (status, text))
        metrics = gw.metrics().body.decode()
        for up, value in ((a, 1), (b, 0)):
            self.assertIn(f'apisix_upstream_status{{name="/apisix/upstreams/u",ip="{HOST}",port="{up.port}"}} {value}\n', metrics)
        health = gw.status()["health"]
        self.assertEqual((health["checked"], health["left_alone"]), (2, 1))
        self.assertEqual({k: health["nodes"][0][k] for k in ("upstream", "node", "status", "reason")},
                         {"upstream": "upstreams/u", "node": b.node, "status": "unhealthy", "reason": "HTTP status 500 in a check"})
        self.assertIn(f"upstreams/u node {b.node}", gw.run("status").stdout)


class Many(Health):
    def test_hundreds_of_nodes_that_do_not_answer_hold_nobody_up(self):
        silent, a = self.upstream(lambda *_: None, host="0.0.0.0"), self.node("a")
        nodes = [{"host": f"127.0.{i // 250}.{i % 250 + 1}", "port": silent.port, "weight": 1} for i in range(600)]
        gw = self.serve({"routes": [{"uri": "/*", "upstream": {"nodes": nodes, "checks": {"active": active(timeout=1, concurrency=1000)}}},
                                    {"uri": "/a", "upstream": {"nodes": a.nodes}}]})
        most = 0
        def are_found_bad():
            nonlocal most
            status = gw.status()
            most = max(most, open_files([status["control_pid"]]))
            return status["health"]["left_alone"] == len(nodes)
        wait_for(are_found_bad, LIMIT_S, "all of them found bad")
        self.assertEqual(gw.get("/a").body, b"a")
        self.assertLess(most, 256 + 64)


if __name__ == "__main__":
    unittest.main()
