# SPDX-License-Identifier: Apache-2.0
"""Changes under constant load: not one wrong or lost answer, broken edits refused with their place.

MOONGATE_FULL=1 runs the full size: 1,000 route edits and 200 plugin edits in place of 150 and 40.
One edit in ten is broken: it must be refused with its place, and what served must go on serving.
"""

import random
import re
import unittest

from harness import (IS_FULL, Load, TestCase, Upstream, full_size, is_sanitized, memory_kb, moongate, ok, open_files,
                     request_bytes, route, sanitized, wait_for)

ROUTE_EDITS, PLUGIN_EDITS = (1000, 200) if IS_FULL else (150, 40)
if is_sanitized():
    ROUTE_EDITS, PLUGIN_EDITS = 40, 12
CONNECTIONS = 64
GROWTH_MAX_KB = 12_000

PLUGIN = """-- SPDX-License-Identifier: Apache-2.0
local core = require("apisix.core")
local version = "VERSION"
return {
  version = 0.1, priority = 50, name = "stamp", schema = { type = "object" },
  check_schema = function() return true end,
  access = function(conf, ctx)
    core.response.set_header("X-Stamp", version)
  end,
}
"""
BROKEN_PLUGINS = [
    (PLUGIN.replace("local version", "local local version"), r"stamp\.lua:3"),
    (PLUGIN.replace('"VERSION"', 'error("at load")'), r"stamp\.lua:3"),
    (PLUGIN.replace("priority = 50, ", ""), r"stamp"),
    ("return 42\n", r"stamp\.lua"),
    (PLUGIN.replace('schema = { type = "object" }', "schema = 7"), r"stamp\.lua"),
    (PLUGIN.replace("  access =", '  init = function() error("in init") end,\n  access ='), r"stamp\.lua:7"),
]


class ReloadUnderLoad(TestCase):
    def start(self):
        self.up = Upstream(lambda r, _: ok("up:" + r.target), keep_log=False)
        self.addCleanup(self.up.close)
        self.gw = self.serve(self.config(0), plugins={"stamp": PLUGIN.replace("VERSION", "p0")}, workers=2)
        self.load = Load(self.gw.port, self.make, connections=CONNECTIONS, pace_s=0.03)
        self.load.start()

    def config(self, version, extra=0):
        """Three routes that never change, one that changes in each version, and some that come and go."""
        routes = [{**route("/steady/*", self.up), "id": "steady"},
                  {**route("/chain/*", self.up), "id": "chain", "plugins": {
                      "proxy-rewrite": {"regex_uri": ["^/chain/(.*)", "/rewritten/$1"]}, "stamp": {}}},
                  {"id": "local", "uri": "/local", "plugins": {"mocking": {"response_example": "local", "content_type": "text/plain"}}},
                  {"id": "version", "uri": "/version", "plugins": {
                      "mocking": {"response_example": f"v{version}", "content_type": "text/plain"}}}]
        routes += [{"id": f"extra{i}", "uri": f"/extra/{i}", "plugins": {"mocking": {"response_example": "e"}}} for i in range(extra)]
        random.shuffle(routes)
        return {"routes": routes}

    def make(self, i):
        kind = i % 4
        if kind == 0:
            return request_bytes("GET", f"/steady/{i}"), self.exactly(b"up:/steady/%d" % i)
        if kind == 1:
            return request_bytes("POST", f"/chain/{i}", body=b"b" * (i % 5000)), self.exactly(b"up:/rewritten/%d" % i)
        if kind == 2:
            return request_bytes("GET", "/local"), self.exactly(b"local")
        return request_bytes("GET", "/version"), self.some_version

    def exactly(self, body):
        return lambda status, got: None if (status, got) == (200, body) else f"{status} {got[:200]!r} for {body!r}"

    def some_version(self, status, got):
        return None if status == 200 and re.fullmatch(rb"v\d+", got) else f"{status} {got[:200]!r} for a version"

    def finish(self):
        self.load.stop()
        print(self.load.summary(), "p99", round(self.load.percentile(0.99), 4))
        self.assertEqual((self.load.errors[:5], self.load.mismatches[:5]), ([], []))
        self.assertEqual(self.load.answered, self.load.sent)
        self.assertEqual(set(self.load.statuses), {200})
        self.assertEqual(self.up.faults, [])

    def breakage(self, i):
        """A broken configuration, and what its refusal must name."""
        good = f"routes:\n  - id: version\n    uri: /version\n    plugins: {{mocking: {{response_example: broken{i}}}}}\n"
        return [(good + "    prioritty: 3\n", "moongate.yaml:5"), (good + "  - uri: [\n", "moongate.yaml:"),
                (good + "  - id: x\n    uri: /x\n    plugins: {no-such-plugin: {}}\n", "moongate.yaml:7"),
                (good + "    upstream_id: nowhere\n", "moongate.yaml:5")][i % 4]

    def watch_growth(self, step, count):
        """Notes memory once a third of the edits is done; at the end there must be no more of it, nor of descriptors."""
        if step == count // 3:
            self.early = (memory_kb(self.gw.descendants()), open_files(self.gw.descendants()))
        if step == count and not is_sanitized():
            grown = memory_kb(self.gw.descendants()) - self.early[0]
            print(f"memory after {count // 3} edits {self.early[0]} kB, {grown} kB more after {count}")
            self.assertLess(grown, GROWTH_MAX_KB, "kB more in the last two thirds of the edits")
            self.assertLess(open_files(self.gw.descendants()) - self.early[1], 20, "more descriptors than before")

    @sanitized
    @full_size
    def test_route_edits_lose_nothing_and_broken_ones_are_refused(self):
        self.start()
        current = 0
        for i in range(1, ROUTE_EDITS + 1):
            if i % 10 == 0:
                text, place = self.breakage(i // 10)
                self.gw.write_config(text)
                done = self.gw.reload()
                self.assertEqual(done.returncode, 1, "a broken edit was taken")
                self.assertIn(place, done.stdout + done.stderr)
            else:
                self.gw.apply(self.config(i, extra=random.randrange(200)))
                current = i
            self.assertEqual({self.gw.get("/version").body for _ in range(4)}, {b"v%d" % current})
            self.watch_growth(i, ROUTE_EDITS)
        self.finish()

    @sanitized
    @full_size
    def test_plugin_edits_lose_nothing_and_broken_ones_are_refused(self):
        self.start()
        current = "p0"
        for i in range(1, PLUGIN_EDITS + 1):
            if i % 10 == 0:
                text, place = BROKEN_PLUGINS[(i // 10) % len(BROKEN_PLUGINS)]
                self.gw.write_plugin("stamp", text)
                done = self.gw.reload()
                self.assertEqual(done.returncode, 1, "a broken plugin was taken")
                self.assertRegex(done.stdout + done.stderr, place)
            else:
                current = f"p{i}"
                self.gw.write_plugin("stamp", PLUGIN.replace("VERSION", current))
                done = self.gw.reload()
                self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual({self.gw.get("/chain/x").get("X-Stamp") for _ in range(4)}, {current})
            self.watch_growth(i, PLUGIN_EDITS)
        self.finish()

    def test_edits_are_noticed_without_being_told(self):
        self.start()
        for i in range(1, 8):
            self.gw.write_config(self.config(i))
            wait_for(lambda: self.gw.get("/version").body == b"v%d" % i, 10, "the edit being served")
        self.finish()

    def test_workers_do_not_grow_with_reloads(self):
        self.start()

        for i in range(30):
            self.gw.apply(self.config(i, extra=300))
            self.gw.write_plugin("stamp", PLUGIN.replace("VERSION", f"p{i}"))
            self.gw.reload()
        before = memory_kb(self.gw.worker_pids())
        for i in range(60):
            self.gw.apply(self.config(i, extra=300))
            self.gw.write_plugin("stamp", PLUGIN.replace("VERSION", f"q{i}"))
            self.gw.reload()
        self.finish()
        self.assertLess(memory_kb(self.gw.worker_pids()) - before, GROWTH_MAX_KB, "kB more after 60 further reloads of routes and plugin")

    def test_a_rollback_under_load_loses_nothing(self):
        self.start()
        for i in range(1, 11):
            self.gw.apply(self.config(i))
            done = moongate("rollback", "-p", self.gw.run_dir)
            self.assertEqual(done.returncode, 0, done.stderr)
        self.finish()


if __name__ == "__main__":
    unittest.main()
