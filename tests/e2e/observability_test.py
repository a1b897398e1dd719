# SPDX-License-Identifier: Apache-2.0
"""What can be seen from outside: access log, metrics page, status, and the commands that explain."""

import json
import os
import re
import signal
import unittest

from harness import HOST, Load, TestCase, expect, free_port, get, ok, request_bytes, route, sanitized, wait_for

SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? '
                    r'([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|Inf|NaN))(?: -?\d+)?$')
HISTOGRAM_PARTS = ("_bucket", "_sum", "_count")


def parse_metrics(text):
    """{name: [(labels, value)]}; raises on anything that is not the text format."""
    types, out = {}, {}
    for line in text.split("\n"):
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name in types:
                raise ValueError(f"two TYPE lines for {name}")
            types[name] = kind
        elif line and not line.startswith("#"):
            m = SAMPLE.match(line)
            if not m:
                raise ValueError(f"not a sample: {line!r}")
            name, labels, value = m.groups()
            family = next((name[:-len(p)] for p in HISTOGRAM_PARTS if name.endswith(p) and name[:-len(p)] in types), name)
            if family not in types:
                raise ValueError(f"no TYPE before {name}")
            pairs = dict(re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', labels or ""))
            if any(pairs == p for p, _ in out.get(name, ())):
                raise ValueError(f"the same sample twice: {line!r}")
            out.setdefault(name, []).append((pairs, float(value)))
    return out


@sanitized
class AccessLog(TestCase):
    def gateway(self, log, **more):
        up = self.upstream(ok("hello", headers=[("X-Up", "1")]))
        gw = self.serve({"routes": [{**route("/*", up), "id": "r1"}]}, moongate={"access_log": log}, **more)
        return gw, up

    def lines(self, gw, count, name="access.log"):
        def there():
            path = os.path.join(gw.run_dir, name)
            if not os.path.exists(path):
                return None
            with open(path, encoding="utf-8", errors="replace") as f:
                found = f.read().splitlines()
            return found if len(found) >= count else None
        return wait_for(there, 10, f"{count} lines in {name}")

    def test_json_has_one_object_for_each_request(self):
        gw, _ = self.gateway({"path": "access.log", "format": "json"})
        gw.get("/a?b=c", {"User-Agent": 'quo"te\\ \x01'.replace("\x01", "")})
        gw.request("POST", "/p", body=b"x" * 10)
        records = [json.loads(line) for line in self.lines(gw, 2)]
        text = json.dumps(records)
        for expected in ("/a?b=c", "POST", "200", HOST, 'quo'):
            self.assertIn(expected, text)
        self.assertEqual(len(records), 2)

    def test_a_format_with_variables(self):
        gw, _ = self.gateway({"path": "access.log", "format": '$remote_addr "$request" $status $body_bytes_sent $http_x_mark'})
        gw.get("/a?b=c", {"X-Mark": "seen"})
        self.assertEqual(self.lines(gw, 1)[0], f'{HOST} "GET /a?b=c HTTP/1.1" 200 5 seen')

    def test_the_consumer_that_a_plugin_found_is_named(self):
        gw = self.serve({"consumers": [{"username": "ann", "plugins": {"key-auth": {"key": "k"}}}, {"username": "guest", "plugins": {}}],
                         "routes": [{"uri": "/*", "plugins": {"key-auth": {"anonymous_consumer": "guest"}, "mocking": {"response_example": "x"}}}]},
                        moongate={"access_log": {"path": "access.log", "format": "$uri $consumer_name"}}, workers=1)
        gw.get("/1", {"apikey": "k"})
        gw.get("/2")
        self.assertEqual(self.lines(gw, 2), ["/1 ann", "/2 guest"])

    def test_values_cannot_forge_lines(self):
        gw, _ = self.gateway({"path": "access.log", "format": "$request $http_x_mark $arg_a"})
        gw.get("/?a=1%0a2%0d3", {"X-Mark": 'a" \\ \x80\xff'})
        gw.get("/second")
        lines = self.lines(gw, 2)
        self.assertEqual(len(lines), 2)
        self.assertNotRegex(lines[0], r"[\x00-\x1f\x7f]")

    def test_refused_and_failed_requests_are_logged_too(self):
        gw = self.serve({"routes": [route("/dead", {f"{HOST}:{free_port()}": 1})]}, moongate={"access_log": {"path": "access.log", "format": "$status"}})
        gw.get("/dead")
        gw.get("/nothing")
        gw.raw(b"BROKEN\r\n\r\n")
        self.assertEqual(sorted(self.lines(gw, 3)), ["400", "404", "502"])  # each worker writes its own

    def test_no_line_is_lost_under_load(self):
        gw, _ = self.gateway({"path": "access.log", "format": "$request_uri"}, workers=2)
        load = Load(gw.port, lambda i: (request_bytes("GET", f"/{i}"), expect(200, b"hello")), connections=16, pace_s=0.005).run_for(2)
        self.assertEqual(load.failures(), 0, load.summary())
        lines = self.lines(gw, load.answered)
        self.assertEqual(sorted(lines), sorted(f"/{i}" for i in range(load.sent)))

    def test_reopens_its_file_on_usr1(self):
        gw, _ = self.gateway({"path": "access.log", "format": "$request_uri"})
        gw.get("/old")
        self.lines(gw, 1)
        path = os.path.join(gw.run_dir, "access.log")
        os.rename(path, path + ".1")
        gw.send_signal(signal.SIGUSR1)
        wait_for(lambda: os.path.exists(path), 10, "the new file")
        gw.get("/new")
        self.assertEqual(self.lines(gw, 1), ["/new"])
        self.assertEqual(self.lines(gw, 1, "access.log.1"), ["/old"])

    def test_off_writes_nothing(self):
        gw, _ = self.gateway("off")
        gw.get("/")
        self.assertFalse(os.path.exists(os.path.join(gw.run_dir, "access.log")))


@sanitized
class Metrics(TestCase):
    def gateway(self, **more):
        up = self.upstream(ok("hello"))
        routes = [{**route("/a", up), "id": "ra", "name": "name-a"},
                  {**route("/dead", {f"{HOST}:{free_port()}": 1}), "id": "rd"}]
        return self.serve({"routes": routes}, **more)

    def counts(self, gw):
        parsed = parse_metrics(gw.metrics().body.decode())
        return {(p.get("route"), p.get("code")): v for p, v in parsed.get("moongate_requests_total", ())}

    def test_the_page_is_valid_and_counts_by_route_and_status(self):
        gw = self.gateway()
        for _ in range(5):
            gw.get("/a")
        gw.get("/dead")
        wait_for(lambda: self.counts(gw).get(("ra", "200")) == 5 and self.counts(gw).get(("rd", "502")) == 1, 10, "the counts")
        page = gw.metrics()
        self.assertIn("text/plain", page.get("Content-Type"))
        parsed = parse_metrics(page.body.decode())
        self.assertIn("moongate_request_duration_seconds_bucket", parsed)

    def test_histograms_add_up(self):
        gw = self.gateway()
        for _ in range(7):
            gw.get("/a")
        wait_for(lambda: self.counts(gw).get(("ra", "200")) == 7, 10)
        parsed = parse_metrics(gw.metrics().body.decode())
        for name in [n[:-len("_bucket")] for n in parsed if n.endswith("_bucket")]:
            series = {}
            for labels, value in parsed[name + "_bucket"]:
                key = tuple(sorted((k, v) for k, v in labels.items() if k != "le"))
                series.setdefault(key, []).append((float(labels["le"].replace("+Inf", "inf")), value))
            for key, buckets in series.items():
                values = [v for _, v in sorted(buckets)]
                self.assertEqual(values, sorted(values), name)
                total = [v for p, v in parsed[name + "_count"] if tuple(sorted(p.items())) == key]
                self.assertEqual(total, [values[-1]], name)

    def test_counts_survive_a_worker_and_add_up_over_workers(self):
        gw = self.gateway(workers=3)
        for _ in range(30):
            gw.get("/a")
        wait_for(lambda: self.counts(gw).get(("ra", "200")) == 30, 10)
        for pid in gw.worker_pids():
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: len(gw.worker_pids()) == 3, 10)
        gw.get("/a")
        wait_for(lambda: self.counts(gw).get(("ra", "200")) == 31, 10, "31 requests counted")

    def test_calls_of_plugins_are_counted_by_phase(self):
        plugins = {"mocking": {"response_example": "m"}, "cors": {},
                   "response-rewrite": {"status_code": 201, "_meta": {"filter": [["arg_new", "==", "1"]]}}}
        gw = self.serve({"routes": [{"uri": "/m", "plugins": plugins}]})
        for target in ("/m", "/m", "/m?new=1"):
            gw.get(target)

        def calls():
            values = parse_metrics(gw.metrics().body.decode()).get("moongate_plugin_calls_total", [])
            return {(labels["plugin"], labels["phase"]): value for labels, value in values}
        wait_for(lambda: calls().get(("mocking", "access")) == 3, 10, "three calls of mocking")
        self.assertEqual({key: calls().get(key) for key in (("cors", "rewrite"), ("cors", "header_filter"), ("response-rewrite", "header_filter"))},
                         {("cors", "rewrite"): 3, ("cors", "header_filter"): 3, ("response-rewrite", "header_filter"): 1})

    def test_hostile_label_values_keep_the_page_valid_and_bounded(self):
        gw = self.gateway()
        with gw.client() as c:
            for i in range(500):
                c.get(f"/{i}%22%0a%7b", host=f"host{i}.example")
        text = gw.metrics().body.decode()
        parse_metrics(text)
        self.assertLess(len(text), 300_000)

    def test_the_page_is_not_on_the_proxy_port(self):
        gw = self.gateway()
        self.assertEqual(gw.get("/apisix/prometheus/metrics").status, 404)
        self.assertEqual(get(gw.metrics_port, "/other").status, 404)


@sanitized
class Status(TestCase):
    def test_tells_processes_and_snapshot(self):
        gw = self.serve({"routes": [{"id": "a", "uri": "/*", "plugins": {"mocking": {"response_example": "x"}}}]}, workers=3)
        status = gw.status()
        self.assertEqual(status["pid"], gw.pid)
        self.assertEqual(len({w["pid"] for w in status["workers"]}), 3)
        self.assertTrue(status["snapshot"])
        text = gw.run("status")
        self.assertEqual(text.returncode, 0)
        self.assertIn(str(gw.pid), text.stdout)


if __name__ == "__main__":
    unittest.main()
