# SPDX-License-Identifier: Apache-2.0
"""What a plugin does wrong stays its own: loops, memory, crashes, files that do not load. And a route never opens for it."""

import os
import random
import re
import signal
import unittest

from clock import Clock
from harness import Load, TestCase, elapsed, expect, is_sanitized, ok, request_bytes, route, sanitized, wait_for

HEAD = """-- SPDX-License-Identifier: Apache-2.0
local core = require("apisix.core")
local _M = { version = 0.1, priority = 50, name = "NAME", schema = { type = "object" } }
function _M.check_schema() return true end
"""
SLACK_S = 8.0       # for a busy machine
UNWATCHED = {"watchdog_ms": 60_000}     # where half a second of computing may take long


def plugin(name, body, phase="access"):
    return HEAD.replace("NAME", name) + f"function _M.{phase}(conf, ctx)\n{body}\nend\nreturn _M\n"


LOOPS = {
    "empty loop": "while true do end",
    "loop that calls": "local n = 0 while true do n = n + #tostring(n) end",
    "loop under pcall": "while true do pcall(function() while true do end end) end",
    "loop in a coroutine": "coroutine.wrap(function() while true do end end)()",
    "recursion": "local function f(n) return f(n + 1) end f(1)",
    "numbers": "local x = 0 for i = 1, 1e15 do x = x + i % 7 end core.log.debug(x)",
}
HOGS = {
    "table": "local t = {} for i = 1, 1e9 do t[i] = { i } end",
    "string": "local s = 'x' while true do s = s .. s end",
    "under pcall": "while true do pcall(function() local t = {} for i = 1, 1e9 do t[i] = { i } end end) end",
}
# A C function between the plugin and the loop: its coroutine cannot be set aside there.
C_BORDERS = {
    "sort": "table.sort({3, 2, 1}, function(a, b) ngx.sleep(0.01) return a < b end)",
    "gsub": "string.gsub('abc', '.', function() ngx.sleep(0.01) end)",
    "load": "load(function() ngx.sleep(0.01) end)() ",
}
BACKTRACKING = "return 200, tostring(string.find(string.rep('a', 40), string.rep('a-', 40) .. 'b'))"
CRASH = "local ffi = require('ffi') ffi.cast('int *', 1)[0] = 1"


@sanitized
class Budgets(TestCase):
    def gateway(self, body, phase="access", workers=2, **script):
        self.up = self.upstream(ok("neighbour"), keep_log=False)
        routes = [{**route("/bad", self.up), "plugins": {"bad": {}}}, route("/*", self.up)]
        return self.serve({"routes": routes}, plugins={"bad": plugin("bad", body, phase)}, workers=workers,
                          moongate={"script": {"cpu_budget_ms": 50, **script}})

    def test_a_looping_plugin_fails_its_own_request_within_its_budget(self):
        for name, body in LOOPS.items():
            with self.subTest(loop=name):
                gw = self.gateway(body)
                pids = gw.worker_pids()
                seconds, r = elapsed(lambda: gw.get("/bad"))
                self.assert_error(r, 500 if r.status == 500 else 503)
                self.assertLess(seconds, 1.0 + SLACK_S)
                self.assertEqual(gw.get("/").body, b"neighbour")
                self.assertEqual(gw.worker_pids(), pids, "the worker had to be replaced")
                gw.close()

    def test_neighbours_are_served_while_a_plugin_loops_again_and_again(self):
        gw = self.gateway(LOOPS["empty loop"])
        load = Load(gw.port, lambda i: (request_bytes("GET", f"/{i}"), expect(200, b"neighbour")), connections=16, pace_s=0.02).start()
        for _ in range(20):
            self.assertIn(gw.get("/bad").status, (500, 503))
        load.stop()
        self.assertEqual(load.failures(), 0, load.summary())
        self.assertLess(load.percentile(0.99), 0.5 + SLACK_S)

    def test_many_plugins_may_take_longer_to_load_than_one_call_may_take(self):
        busy = "local until_at = os.clock() + 0.015\nwhile os.clock() < until_at do end\n"
        plugins = {f"busy-{i}": busy + plugin(f"busy-{i}", f'return 200, "{i}"') for i in range(8)}
        self.up = self.upstream(ok("neighbour"), keep_log=False)
        routes = [{**route(f"/{i}", self.up), "plugins": {f"busy-{i}": {}}} for i in range(8)]
        gw = self.serve({"routes": routes}, plugins=plugins, workers=1, moongate={"script": {"cpu_budget_ms": 50}})
        self.assertEqual(gw.get("/7").body, b"7")
        for name, text in plugins.items():
            gw.write_plugin(name, text.replace('return 200, "', 'return 200, "new '))
        done = gw.reload()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(gw.get("/7").body, b"new 7")

    def test_an_init_that_loops_is_refused_again_and_again_and_nobody_serves_without_init(self):
        names = [f"p{i:02}" for i in range(45)]     # together their budgets are longer than a worker may stand still
        body = 'return 200, "init ran: " .. tostring(_M.has_run)'
        well = {name: plugin(name, body).replace("function _M.access", "function _M.init() _M.has_run = true end\nfunction _M.access") for name in names}
        self.up = self.upstream(ok("neighbour"), keep_log=False)
        gw = self.serve({"routes": [{**route(f"/{name}", self.up), "plugins": {name: {}}} for name in names]}, plugins=well, workers=1,
                        moongate={"script": {"cpu_budget_ms": 50}})
        pids = gw.worker_pids()
        for name, text in well.items():
            gw.write_plugin(name, text.replace("init ran", "init has run").replace("_M.has_run = true", "while true do end" if name == "p20" else "_M.has_run = true"))
        for _ in range(3):
            done = gw.reload()
            self.assertNotEqual(done.returncode, 0)
            self.assertRegex(done.stdout + done.stderr, r"plugin p20 \(.*p20\.lua\): over its CPU budget of 50 ms")
            self.assertEqual(gw.get("/p44").body, b"init ran: true")
        gw.write_plugin("p20", well["p20"])
        done = gw.reload()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual((gw.get("/p44").body, gw.get("/p20").body), (b"init has run: true", b"init ran: true"))
        self.assertEqual(gw.worker_pids(), pids)

    def test_a_plugin_that_keeps_failing_is_quarantined_until_it_changes(self):
        gw = self.gateway(LOOPS["empty loop"])
        self.assertEqual([gw.get("/bad").status for _ in range(24)], [500] * 20 + [503] * 4)
        seconds, r = elapsed(lambda: gw.get("/bad"))
        self.assert_error(r, 503)
        self.assertLess(seconds, SLACK_S)
        gw.write_plugin("bad", plugin("bad", "return 200, 'mended'"))
        self.assertEqual(gw.reload().returncode, 0)
        self.assertEqual(gw.get("/bad").body.strip(), b"mended")

    def test_a_loop_in_the_log_phase_does_not_hold_the_answer(self):
        gw = self.gateway(LOOPS["empty loop"], phase="log", workers=1)
        for _ in range(3):
            self.assertEqual(gw.get("/bad").body, b"neighbour")
        self.assertEqual(gw.get("/").body, b"neighbour")

    def test_a_plugin_that_eats_memory_fails_its_own_request(self):
        for name, body in HOGS.items():
            with self.subTest(hog=name):
                gw = self.gateway(body, workers=1, memory_max_mb=64, cpu_budget_ms=2000, **UNWATCHED)
                pid = gw.worker_pids()[0]
                self.assertIn(gw.get("/bad").status, (500, 503))
                self.assertEqual(gw.get("/").body, b"neighbour")
                self.assertEqual(gw.get("/").status, 200)
                if not is_sanitized():
                    with open(f"/proc/{gw.worker_pids()[0]}/smaps_rollup") as f:
                        rss_kb = next(int(line.split()[1]) for line in f if line.startswith("Rss:"))
                    self.assertLess(rss_kb, 400_000, pid)
                gw.close()

    def test_an_error_in_a_plugin_is_500_without_a_trace(self):
        for body in ("error('secret detail')", "local x = nil; return x.y", "error({code = 1})", "return 'not a code'", "return 99999"):
            with self.subTest(body=body):
                gw = self.gateway(body)
                r = gw.get("/bad")
                self.assertGreaterEqual(r.status, 500)
                self.assertNotIn(b"secret", r.body)
                self.assertNotRegex(r.body, rb"\.lua:\d|traceback")
                self.assertEqual(gw.get("/").status, 200)
                gw.close()

    def test_waiting_where_no_coroutine_can_pause_fails_its_own_request(self):
        for name, body in C_BORDERS.items():
            with self.subTest(border=name):
                gw = self.gateway(body, workers=1)
                pid = gw.worker_pids()
                for _ in range(3):
                    self.assert_error(gw.get("/bad"), 500)
                    self.assertEqual(gw.get("/").body, b"neighbour")
                self.assertEqual(gw.worker_pids(), pid)
                gw.close()

    def test_a_global_that_one_plugin_leaks_is_not_seen_by_another_nor_by_the_runtime(self):
        leaky = plugin("bad", "leaked, string_of_mine, ipairs, require = 1, 2, nil, nil\nreturn 200, tostring(leaked)")
        other = plugin("other", "local n = 0 for _ in ipairs({1, 2}) do n = n + 1 end\n"
                                "return 200, tostring(leaked) .. tostring(string_of_mine) .. n .. type(require)")
        gw = self.serve({"routes": [{"uri": "/bad", "plugins": {"bad": {}}}, {"uri": "/other", "plugins": {"other": {}}}]},
                        plugins={"bad": leaky, "other": other}, workers=1)
        for _ in range(3):
            self.assertEqual(gw.get("/bad").body.strip(), b"1")
            self.assertEqual(gw.get("/other").body.strip(), b"nilnil2function")
        gw.write_plugin("bad", leaky + "-- edited\n")
        self.assertEqual(gw.reload().returncode, 0)
        self.assertEqual(gw.get("/other").body.strip(), b"nilnil2function")


@sanitized
class Quarantine(TestCase):
    LOOP = LOOPS["empty loop"]

    def gateway(self, after=3):
        self.up = self.upstream(ok("neighbour"), keep_log=False)
        self.bad = {**route("/bad", self.up), "id": "bad", "plugins": {"bad": {"size": 1}}}
        self.open = {**route("/*", self.up), "id": "open"}
        return self.serve({"routes": [self.bad, self.open]}, workers=2, plugins={"bad": plugin("bad", self.LOOP)},
                          moongate={"script": {"cpu_budget_ms": 20, "quarantine_after": after}})

    def quarantine(self, gw, times=3):
        """All on one connection, and so by one worker."""
        with gw.client() as c:
            self.assertEqual([c.get("/bad").status for _ in range(times)], [500] * times)

    def statuses(self, gw, count=16, target="/bad"):
        return {gw.get(target).status for _ in range(count)}

    def test_the_verdict_of_one_worker_holds_for_all(self):
        gw = self.gateway()
        self.quarantine(gw)
        r = gw.get("/bad")
        self.assert_error(r, 503)
        self.assertIn(b"plugin bad is in quarantine", r.body)
        self.assertEqual(self.statuses(gw), {503})
        self.assertEqual(gw.get("/").body, b"neighbour")
        self.assertEqual(gw.log_text().count("is in quarantine: its routes"), 1)

    def test_a_worker_that_is_started_anew_holds_it(self):
        gw = self.gateway()
        gw.is_crash_expected = True
        self.quarantine(gw)
        pids = gw.worker_pids()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not set(pids) & set(gw.worker_pids()) and gw.is_serving(), 20, "new workers")
        self.assertEqual(self.statuses(gw), {503})

    def test_status_and_metrics_name_it_as_long_as_it_lasts(self):
        gw = self.gateway()
        series = b'moongate_plugin_quarantined{plugin="bad"} 1'
        self.assertEqual(gw.status()["quarantined_plugins"], [])
        self.assertNotIn(series, gw.metrics().body)
        self.quarantine(gw)
        self.assertEqual(gw.status()["quarantined_plugins"], ["bad"])
        self.assertIn("plugin bad is in quarantine", gw.run("status").stdout)
        self.assertIn(series, gw.metrics().body)
        gw.write_plugin("bad", plugin("bad", "return 200, 'mended'"))
        self.assertEqual(gw.reload().returncode, 0)
        self.assertEqual({gw.get("/bad").body for _ in range(16)}, {b"mended"})
        self.assertEqual(gw.status()["quarantined_plugins"], [])
        self.assertNotIn(series, gw.metrics().body)

    def test_only_a_change_of_its_own_code_or_conf_ends_it(self):
        gw = self.gateway()
        self.quarantine(gw)
        gw.apply({"routes": [self.bad, self.open, {**route("/more", self.up), "id": "more"}]})
        self.assertEqual(self.statuses(gw), {503})
        gw.apply({"routes": [{**self.bad, "plugins": {"bad": {"size": 2}}}, self.open]})
        self.assertEqual(gw.status()["quarantined_plugins"], [])
        self.quarantine(gw)                 # and begins again
        self.assertEqual(self.statuses(gw), {503})

    def test_a_plugin_that_nothing_uses_any_more_is_out_of_it(self):
        gw = self.gateway()
        self.quarantine(gw)
        gw.apply({"routes": [self.open]})
        self.assertEqual(gw.status()["quarantined_plugins"], [])
        gw.apply({"routes": [self.bad, self.open]})
        self.assertEqual(gw.get("/bad").status, 500)

    def test_a_consumer_s_plugin_in_quarantine_closes_the_route_for_that_consumer_only(self):
        gw = self.gateway()
        gw.apply({"routes": [{**route("/keyed", self.up), "id": "keyed", "plugins": {"key-auth": {}}}, self.open],
                  "consumers": [{"username": "jack", "plugins": {"key-auth": {"key": "j"}, "bad": {"size": 1}}},
                                {"username": "jill", "plugins": {"key-auth": {"key": "k"}}}]})
        with gw.client() as c:
            self.assertEqual([c.get("/keyed", {"apikey": "j"}).status for _ in range(3)], [500] * 3)
        for _ in range(8):
            r = gw.get("/keyed", {"apikey": "j"})
            self.assert_error(r, 503)
            self.assertIn(b"plugin bad is in quarantine", r.body)
            self.assertEqual(gw.get("/keyed", {"apikey": "k"}).body, b"neighbour")

    def test_a_limit_of_0_is_never(self):
        gw = self.gateway(after=0)
        self.quarantine(gw, 40)
        self.assertEqual(gw.status()["quarantined_plugins"], [])

    def test_the_limit_is_the_one_of_the_configuration_that_serves(self):
        gw = self.gateway(after=10_000)
        self.quarantine(gw, 5)
        gw.add_config("lower.yaml", {"moongate": {"script": {"quarantine_after": 2}}})
        gw.stop()
        gw.start()
        self.quarantine(gw, 2)
        self.assertEqual(self.statuses(gw), {503})
        gw.add_config("lower.yaml", {"moongate": {"script": {"quarantine_after": 0}}})
        self.assertEqual(gw.reload().returncode, 0)
        self.assertEqual(gw.get("/bad").status, 500)


@sanitized
class Stalls(TestCase):
    COMPILED = "local x = 0 local until_at = ngx.now() + 0.5\nrepeat for i = 1, 1e6 do x = x + i % 7 end ngx.update_time() until ngx.now() > until_at"
    CALLS = "local until_at = os.clock() + 0.5\nwhile os.clock() < until_at do tostring(until_at) end"
    PAUSE_S = 10        # between two reports

    def gateway(self, body, **script):
        """On a busy machine the start is a stall, too; the pause behind its report is over."""
        up, clock = self.upstream(ok("neighbour"), keep_log=False), Clock(self)
        gw = self.serve({"routes": [{**route("/bad", up), "plugins": {"bad": {}}}, route("/*", up)]}, plugins={"bad": plugin("bad", body)},
                        workers=1, moongate={"script": {**UNWATCHED, "cpu_budget_ms": 20_000, **script}}, env=clock.env)
        clock.advance(self.PAUSE_S + 1)
        return gw

    def reports(self, gw):
        """How long the stalls took that are the plugin's."""
        return re.findall(r"a turn of the loop took (\d+) ms.*; plugin bad was ", gw.log_text())

    def stalls(self, gw):
        return int(re.search(rb"^moongate_loop_stalls_total (\d+)$", gw.metrics().body, re.M).group(1))

    def test_a_turn_that_takes_too_long_is_logged_with_the_place_in_the_plugin(self):
        blocks = 'io.popen("sleep 0.5"):read("*a")'
        for name, body in {"compiled": self.COMPILED, "calls": self.CALLS, "blocks": blocks}.items():
            with self.subTest(loop=name):
                gw = self.gateway(body)
                self.assertEqual(gw.get("/bad").body, b"neighbour")
                log = gw.wait_log(re.compile(r"plugin bad was at:(\n\t.*)+bad\.lua:7: in "))
                self.assertGreaterEqual(int(self.reports(gw)[0]), 400)
                gw.close()

    def test_it_is_logged_once_for_many_and_counted_each_time(self):
        gw = self.gateway(self.CALLS.replace("0.5", "0.2"))
        seconds, statuses = elapsed(lambda: [gw.get("/bad").status for _ in range(4)])
        self.assertEqual(statuses, [200] * 4)
        wait_for(lambda: self.stalls(gw) >= 4, 10, "four stalls being counted")
        self.assertTrue(1 <= len(self.reports(gw)) <= 1 + seconds // self.PAUSE_S, gw.log_text())

    def test_short_turns_and_waits_are_none(self):
        gw = self.gateway("local until_at = os.clock() + 0.02 while os.clock() < until_at do end ngx.sleep(1.6)", stall_ms=1000)
        with gw.client() as one, gw.client() as other:
            for c in (one, other):
                c.send(request_bytes("GET", "/bad"))
            self.assertEqual([c.read().status for c in (one, other)], [200] * 2)
        self.assertNotIn("a turn of the loop took", gw.log_text())

    def test_0_is_off(self):
        gw = self.gateway(self.CALLS, stall_ms=0)
        self.assertEqual(gw.get("/bad").status, 200)
        self.assertEqual(gw.get("/").body, b"neighbour")
        self.assertNotIn("a turn of the loop took", gw.log_text())

    def test_the_budget_still_ends_what_stalls(self):
        for name in ("empty loop", "loop under pcall", "numbers"):
            with self.subTest(loop=name):
                gw = self.gateway(LOOPS[name], cpu_budget_ms=500, stall_ms=50)
                self.assert_error(gw.get("/bad"), 500)
                gw.wait_log("over its CPU budget of 500 ms")
                gw.wait_log("a turn of the loop took")
                gw.close()


class Crashes(TestCase):
    def test_a_plugin_that_crashes_the_process_costs_one_worker_and_is_named(self):
        up = self.upstream(ok("neighbour"), keep_log=False)
        gw = self.serve({"routes": [{**route("/bad", up), "plugins": {"bad": {}}}, route("/*", up)]}, plugins={"bad": plugin("bad", CRASH)})
        gw.is_crash_expected = True
        for _ in range(3):
            pids = gw.worker_pids()
            self.assertEqual(gw.raw(request_bytes("GET", "/bad")), b"")
            wait_for(lambda: len(gw.worker_pids()) == 2 and gw.worker_pids() != pids, 15, "a replacement")
            self.assertEqual({gw.get("/").body for _ in range(6)}, {b"neighbour"})
        gw.wait_log("bad")

    def test_a_long_c_call_is_ended_by_the_watchdog_and_others_go_on(self):
        for name, body in {"backtracking": BACKTRACKING, "blocking": "os.execute('sleep 60')"}.items():
            with self.subTest(call=name):
                up = self.upstream(ok("neighbour"), keep_log=False)
                gw = self.serve({"routes": [{**route("/bad", up), "plugins": {"bad": {}}}, route("/*", up)]},
                                plugins={"bad": plugin("bad", body)})
                gw.is_crash_expected = True
                pids = gw.worker_pids()
                with gw.client(timeout=60) as c:
                    c.send(request_bytes("GET", "/bad"))
                    wait_for(lambda: len(gw.worker_pids()) == 2 and gw.worker_pids() != pids, 60, "the stuck worker being replaced")
                self.assertEqual({gw.get("/").body for _ in range(6)}, {b"neighbour"})
                gw.wait_log("bad")
                gw.close()

    def test_the_watchdog_keeps_to_the_limit_it_is_given(self):
        body = "return 200, tostring(string.find(string.rep('a', 40), string.rep('a-', 40) .. 'b'))"
        up = self.upstream(ok("neighbour"), keep_log=False)
        gw = self.serve({"routes": [{**route("/bad", up), "plugins": {"bad": {}}}, route("/*", up)]}, plugins={"bad": plugin("bad", body)},
                        moongate={"script": {"watchdog_ms": 500}})
        gw.is_crash_expected = True
        with gw.client(timeout=60) as c:
            seconds, closed = elapsed(lambda: (c.send(request_bytes("GET", "/bad")), c.is_closed(30))[1])
        self.assertTrue(closed)
        self.assertGreater(seconds, 0.3)
        self.assertLess(seconds, 1.5 + SLACK_S)
        gw.wait_log("stood still for 500 ms while plugin `bad` was running")

    def test_a_stuck_worker_does_not_hold_up_a_reload_or_the_status(self):
        up = self.upstream(ok("old"), keep_log=False)
        config = {"routes": [{**route("/bad", up), "plugins": {"bad": {}}}, route("/*", up)]}
        gw = self.serve(config, plugins={"bad": plugin("bad", BACKTRACKING)})
        gw.is_crash_expected = True
        pids = gw.worker_pids()
        with gw.client() as c:
            c.send(request_bytes("GET", "/bad"))
            seconds, told = elapsed(gw.status)
            self.assertEqual(len(told["workers"]), 2)
            self.assertLess(seconds, 20)
            new = {"id": "new", "uri": "/*", "plugins": {"mocking": {"response_example": "new", "content_type": "text/plain"}}}
            gw.write_config({"routes": [new]})
            wait_for(lambda: {gw.get("/").body for _ in range(4)} == {b"new"}, 60, "the change on every worker")
            wait_for(lambda: len({w["snapshot"] for w in gw.status()["workers"]}) == 1, 60, "one snapshot everywhere")
        gone = [p for p in pids if p not in gw.worker_pids()]
        self.assertEqual(len(gone), 1, "the stuck worker outlives the reload")
        self.assertFalse(os.path.exists(f"/proc/{gone[0]}"))


@sanitized
class NeverOpen(TestCase):
    AUTH = HEAD.replace("NAME", "own-auth").replace("version = 0.1", "version = 0.1, type = 'auth'") + """
function _M.rewrite(conf, ctx)
  if core.request.header(ctx, "X-Secret") ~= "s3cret" then return 401, { message = "no" } end
end
return _M
"""

    def gateway(self, **more):
        self.up = self.upstream(ok("inside"))
        self.config = {"routes": [{**route("/private", self.up), "id": "private", "plugins": {"own-auth": {}}},
                                  {**route("/*", self.up), "id": "open"}]}
        return self.serve(self.config, plugins={"own-auth": self.AUTH}, **more)

    def assert_closed(self, gw):
        """The route lets nobody in without the secret, whatever else is wrong."""
        for _ in range(6):
            r = gw.get("/private")
            self.assertIn(r.status, (401, 503), r)
        self.assertFalse([r for r in self.up.requests if r.target == "/private"])
        self.assertEqual(gw.get("/").body, b"inside")

    def test_it_works_as_long_as_the_plugin_does(self):
        gw = self.gateway()
        self.assertEqual(gw.get("/private").status, 401)
        self.assertEqual(gw.get("/private", {"X-Secret": "s3cret"}).body, b"inside")

    def test_an_edit_that_breaks_the_plugin_is_refused_or_closes_the_route(self):
        for broken in ("return {", "error('no')", "return nil", "return { version = 0.1 }", "", "return { priority = 1, version = 1 }",
                       self.AUTH.replace("function _M.rewrite", "function _M:rewrite:typo")):
            with self.subTest(broken=broken[:30]):
                gw = self.gateway()
                gw.write_plugin("own-auth", broken)
                gw.reload()
                self.assert_closed(gw)
                gw.close()

    def test_a_deleted_plugin_file_does_not_open_the_route(self):
        gw = self.gateway()
        os.unlink(os.path.join(gw.plugin_dir, "own-auth.lua"))
        gw.reload()
        self.assert_closed(gw)

    def test_a_restart_without_the_plugin_file_does_not_open_the_route(self):
        for text in (None, "return {"):
            with self.subTest(text=text):
                gw = self.gateway()
                gw.stop()
                path = os.path.join(gw.plugin_dir, "own-auth.lua")
                if text is None:
                    os.unlink(path)
                else:
                    gw.write_plugin("own-auth", text)
                gw.start()
                self.assert_closed(gw)
                gw.close()

    def test_an_authentication_plugin_that_loops_or_fails_does_not_open_the_route(self):
        for fault in ("while true do end", "error('x')", "local t = nil; t.x = 1"):
            with self.subTest(fault=fault):
                gw = self.gateway()
                gw.write_plugin("own-auth", self.AUTH.replace("  if core", f"  {fault}\n  if core"))
                gw.reload()
                for _ in range(12):
                    self.assertIn(gw.get("/private", {"X-Secret": "s3cret"}).status, (500, 503))
                self.assertFalse([r for r in self.up.requests if r.target == "/private"])
                gw.close()

    def test_a_worker_that_dies_during_authentication_lets_nothing_through(self):
        gw = self.gateway()
        gw.is_crash_expected = True
        for pid in gw.worker_pids():
            os.kill(pid, signal.SIGKILL)
            self.assert_closed(gw)


class Floods(TestCase):
    COUNT = 100_000

    def worker_cpu_s(self, gw):
        ticks = 0
        for pid in gw.worker_pids():
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def test_chosen_200_byte_headers_cost_no_more_than_random_ones(self):
        """Strings alike but in the middle collided in a table that hashes samples of them; plugins keep them all alive here."""
        up_free = {"id": "a", "uri": "/*", "plugins": {"keeper": {}, "mocking": {"response_example": "x"}}}
        source = HEAD.replace("NAME", "keeper") + """
local kept, at = {}, 0
function _M.rewrite(conf, ctx)
  at = at % 20000 + 1
  kept[at] = core.request.header(ctx, "X-Long")
end
return _M
"""
        gw = self.serve({"routes": [up_free]}, plugins={"keeper": source}, workers=1,
                        moongate={"client": {"keepalive_requests": 1_000_000}})
        count = self.COUNT if os.environ.get("MOONGATE_FULL") == "1" else self.COUNT // 5

        def cost(make):
            before, asked = self.worker_cpu_s(gw), 0
            with gw.client(timeout=30) as c:
                while asked < count:        # pipelined, so that the client is not what is measured
                    c.send(b"".join(request_bytes("GET", "/", {"X-Long": make(asked + i)}) for i in range(100)))
                    for _ in range(100):
                        self.assertEqual(c.read().status, 200)
                    asked += 100
                    if asked % 5000 == 0:
                        c.reader.log.clear()
            return self.worker_cpu_s(gw) - before
        rng = random.Random(1)
        cost(lambda i: "w" * 200)
        scattered = chosen = float("inf")
        for _ in range(5):      # what else runs on the machine makes a round cost more, and never less
            scattered = min(scattered, cost(lambda i: "%0200x" % rng.getrandbits(800)))
            chosen = min(chosen, cost(lambda i: "a" * 96 + "%08d" % i + "b" * 96))
            if chosen < scattered * 1.10:
                break
        print(f"CPU for {count} requests: random {scattered:.2f} s, chosen {chosen:.2f} s")
        self.assertLess(chosen, scattered * 1.10 + 0.1)


if __name__ == "__main__":
    unittest.main()
