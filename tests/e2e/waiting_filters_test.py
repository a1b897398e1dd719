# SPDX-License-Identifier: Apache-2.0
"""header_filter, body_filter and log wait as other phases do: for a gate that a test opens, reached by a socket of Lua's."""

import hashlib
import os
import random
import signal
import threading
import unittest

from harness import TestCase, chunked, elapsed, ok, request_bytes, route, sanitized, wait_for

# `pass(WORD)` comes back when the gate lets WORD through.
HEAD = """-- SPDX-License-Identifier: Apache-2.0
local core = require("apisix.core")
local _M = { version = 0.1, priority = 50, name = "slow", schema = { type = "object" } }
function _M.check_schema() return true end
local function pass(word)
  local s = ngx.socket.tcp()
  s:settimeout(60000)
  assert(s:connect("127.0.0.1", GATE))
  assert(s:send("GET /" .. word .. " HTTP/1.1\\r\\nHost: gate\\r\\nConnection: close\\r\\n\\r\\n"))
  local line = assert(s:receive("*l"))
  s:close()
  return line
end
"""


class Gate:
    """Lets words through once they are allowed; remembers who asked."""

    def __init__(self, test):
        self.opened, self.all = {}, threading.Event()
        self.lock = threading.Lock()
        self.up = test.upstream(self.answer)
        test.addCleanup(self.all.set)

    def event(self, word):
        with self.lock:
            return self.opened.setdefault(word, threading.Event())

    def answer(self, request, _connection):
        word = request.target[1:]
        event = self.event(word)
        while not event.wait(0.02) and not self.all.is_set():
            pass
        return ok("go")

    def open(self, word):
        self.event(word).set()

    def asked(self, word):
        return sum(r.target == "/" + word for r in list(self.up.requests))

    def wait_asked(self, word, count=1):
        wait_for(lambda: self.asked(word) >= count, 15, f"{word} at the gate")


class Waiting(TestCase):
    def start(self, hooks, answer=None, routes=None, plugins=None, workers=1, **script):
        """A gateway whose route /* runs `hooks` (Lua) in front of an upstream."""
        self.gate = Gate(self)
        self.up = self.upstream(answer if answer is not None else ok("inside"), keep_log=False)
        source = HEAD.replace("GATE", str(self.gate.up.port)) + hooks + "\nreturn _M\n"
        routes = routes or [{**route("/*", self.up), "id": "all", "plugins": {"slow": {}}}]
        for r in routes:
            r.setdefault("upstream", {"type": "roundrobin", "nodes": self.up.nodes})
        self.config = {"routes": routes}
        settings = {"script": {"cpu_budget_ms": 100, **script}} if script else {}
        return self.serve(self.config, plugins={"slow": source, **(plugins or {})}, workers=workers, moongate=settings)

    def ask(self, gw, target="/", **more):
        """A client with a request under way."""
        client = gw.client(**more)
        self.addCleanup(client.close)
        client.send(request_bytes("GET", target))
        return client

    def assert_sound(self, gw, pids):
        """The same workers go on serving, and no request is left in them."""
        def idle():
            text = gw.metrics().body.decode()
            return all(line.endswith(" 0") for line in text.splitlines() if line.startswith("moongate_connections") and 'state="writing"' in line)
        wait_for(idle, 10, "no request under way")
        self.assertEqual(gw.worker_pids(), pids)


HEADER = """
function _M.header_filter(conf, ctx)
  core.response.set_header("X-Before", "1")
  local line = pass("header")
  core.response.set_header("X-After", line)
end
"""
BODY = """
function _M.body_filter(conf, ctx)
  ctx.pieces = (ctx.pieces or 0) + 1
  pass("body" .. ctx.pieces)
end
"""


@sanitized
class HeaderFilter(Waiting):
    def test_an_upstream_s_answer_goes_out_whole_after_it_waited(self):
        for name, answer in {"length": ok("inside"), "chunks": chunked(b"ins", b"ide"), "close": b"HTTP/1.0 200 OK\r\n\r\ninside"}.items():
            with self.subTest(framing=name):
                gw = self.start(HEADER, (lambda bytes_: lambda r, c: (c.send(bytes_), c.close())[1])(answer) if name == "close" else answer)
                client = self.ask(gw)
                self.gate.wait_asked("header")
                self.gate.open("header")
                r = client.read()
                self.assertEqual((r.status, r.body), (200, b"inside"))
                self.assertEqual((r.get("X-Before"), r.get("X-After")), ("1", "HTTP/1.1 200 OK"))
                gw.close()

    def test_other_requests_are_served_meanwhile(self):
        gw = self.start(HEADER, routes=[{"uri": "/slow", "id": "slow", "plugins": {"slow": {}}}, {"uri": "/*", "id": "fast"}])
        client = self.ask(gw, "/slow")
        self.gate.wait_asked("header")
        self.assertEqual({gw.get("/fast").body for _ in range(10)}, {b"inside"})
        self.gate.open("header")
        self.assertEqual(client.read().body, b"inside")

    def test_an_answer_of_our_own_waits_too(self):
        mock = {"response_example": "mocked", "content_type": "text/plain"}
        gw = self.start(HEADER, routes=[{"uri": "/mock", "id": "mock", "plugins": {"slow": {}, "mocking": mock}},
                                        {"uri": "/none", "id": "none", "plugins": {"slow": {}},
                                         "upstream": {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}}])
        self.gate.open("header")
        for target, status in (("/mock", 200), ("/none", 502)):
            r = gw.get(target)
            self.assertEqual((r.status, r.get("X-After")), (status, "HTTP/1.1 200 OK"))
        self.assertEqual(gw.get("/mock").body.strip(), b"mocked")

    def test_an_error_after_the_wait_is_500(self):
        for fault in ("error('secret')", "local x = nil; x.y = 1", "while true do end"):
            with self.subTest(fault=fault):
                gw = self.start(f"function _M.header_filter() pass('header') {fault} end", cpu_budget_ms=20)
                self.gate.open("header")
                r = gw.get("/")
                self.assert_error(r, 500)
                self.assertNotIn(b"inside", r.body)
                gw.wait_log("plugin slow:")
                gw.close()

    def test_exit_after_the_wait_sets_the_status(self):
        gw = self.start("function _M.header_filter() pass('header') ngx.status = 418 return ngx.exit(418) end")
        self.gate.open("header")
        self.assertEqual(gw.get("/").status, 418)

    def test_a_client_that_goes_away_meanwhile_ends_it(self):
        gw = self.start(HEADER.replace("pass(", "ngx.log(ngx.WARN, 'began') pass(") + """
function _M.log(conf, ctx) core.log.warn("logged ", ctx.var.uri, " ", ngx.status) end
""", answer=lambda r, c: (c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"), gone.append(c.wait_closed_by_peer()))[0] and None)
        gone, pids = [], gw.worker_pids()
        for i in range(5):
            client = self.ask(gw, f"/{i}")
            self.gate.wait_asked("header", i + 1)
            client.reset()
            gw.wait_log(f"logged /{i} 499")
        wait_for(lambda: gone == [True] * 5, 15, "the upstream's connections being closed")
        self.gate.open("header")
        self.up.answer = ok("next")
        self.assertEqual({gw.get("/").body for _ in range(8)}, {b"next"})
        self.assert_sound(gw, pids)

    def test_an_upstream_that_breaks_off_meanwhile_does_not_look_complete(self):
        broken = threading.Event()

        def answer(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
            connection.close()
            broken.set()
        gw = self.start(HEADER, answer)
        client = self.ask(gw)
        self.gate.wait_asked("header")
        self.assertTrue(broken.wait(60))
        self.gate.open("header")
        client.reader.until(b"\r\n\r\n")
        self.assertLessEqual(len(client.reader.to_end()), 10)
        self.up.answer = ok("inside")
        self.assertEqual(gw.get("/").status, 200)

    def test_a_body_that_breaks_meanwhile_is_answered_at_once(self):
        gw = self.start(HEADER)
        self.up.at_head = lambda *_: b"HTTP/1.1 200 OK\r\nX-Up: 1\r\nContent-Length: 100\r\n\r\nearly"
        pids = gw.worker_pids()
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            self.gate.wait_asked("header")
            c.send(b"no chunk\r\n")
            self.gate.wait_asked("header", 2)       # the filter sees the error's head, too
            self.gate.open("header")
            r = c.read()
            self.assert_error(r, 400)
            self.assertEqual(r.get("X-Up"), None)
        self.up.at_head = None
        self.assertEqual(gw.get("/").body, b"inside")
        self.assert_sound(gw, pids)

    def test_nothing_of_a_request_shows_in_the_next_one_in_its_place(self):
        gw = self.start("""
function _M.rewrite(conf, ctx)
  if ctx.mark or ngx.arg[1] or ngx.ctx.mark then return 500, "left over" end
  ctx.mark, ngx.ctx.mark = true, true
end
function _M.body_filter(conf, ctx) if ctx.var.uri == "/slow" then pass("body") end end
""")
        for i in range(4):
            client = self.ask(gw, "/slow")
            self.gate.wait_asked("body", i + 1)
            client.reset()
            self.assertEqual({gw.get("/").body for _ in range(4)}, {b"inside"})


@sanitized
class BodyFilter(Waiting):
    def test_pieces_stay_in_order_however_they_come(self):
        rng = random.Random(7)
        parts = [bytes([65 + i % 26]) * rng.randint(1, 3000) for i in range(300)]
        body = b"".join(parts)

        def dribble(_request, connection):
            data = chunked(*parts)
            while data:
                size = rng.randint(1, 40000)
                connection.send(data[:size])
                data = data[size:]
        for name, answer in {"one write": chunked(*parts), "many writes": dribble, "length": ok(body)}.items():
            with self.subTest(upstream=name):
                gw = self.start("function _M.body_filter(conf, ctx) ngx.sleep(0.001 * (#ngx.arg[1] % 3)) end", answer)
                for _ in range(3):
                    r = gw.get("/")
                    self.assertEqual(hashlib.md5(r.body).digest(), hashlib.md5(body).digest())
                gw.close()

    def test_the_waiting_ones_see_their_own_chunk_and_request(self):
        gw = self.start("""
function _M.body_filter(conf, ctx)
  local chunk, uri = ngx.arg[1], ctx.var.uri
  for i = 1, 5 do
    ngx.sleep(0.001 * (#uri % 4))
    if ngx.arg[1] ~= chunk or ngx.var.uri ~= uri or ngx.get_phase() ~= "body_filter" then error("not mine") end
    chunk = chunk:upper()
    ngx.arg[1] = chunk
  end
end
""", answer=lambda r, _c: ok("answer to " + r.target))
        wrong = []

        def client(number):
            with gw.client() as c:
                for i in range(20):
                    target = "/" + "x" * (i % 7) + str(number)
                    r = c.get(target)
                    if r.body != ("answer to " + target).upper().encode():
                        wrong.append((target, r))
        threads = [threading.Thread(target=client, args=(n,)) for n in range(12)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        self.assertEqual(wrong, [])

    def test_the_upstream_is_not_read_while_it_waits(self):
        total, sent = 64 << 20, [0]

        def answer(_request, connection):
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
            while sent[0] < total:
                connection.send(b"x" * 65536)
                sent[0] += 65536
        gw = self.start(BODY.replace('ctx.pieces)', 'math.min(ctx.pieces, 2))'), answer)
        self.gate.open("body1")
        with gw.client(timeout=60) as c:
            c.send(request_bytes("GET", "/"))
            self.gate.wait_asked("body2")
            stalls = []

            def stalled():
                stalls.append(sent[0])
                return len(stalls) > 10 and stalls[-1] == stalls[-10]
            wait_for(stalled, 30, "the upstream being held up")
            self.assertLess(sent[0], total // 2)
            self.gate.all.set()
            c.reader.until(b"\r\n\r\n")

    def test_the_last_piece_alone_may_wait_and_an_early_end_holds(self):
        gw = self.start("""
function _M.body_filter(conf, ctx)
  ngx.sleep(0.002)
  ctx.seen = (ctx.seen or "") .. ngx.arg[1]
  if conf_end(ctx) then ngx.arg[2] = true end
end
""".replace("conf_end(ctx)", "ctx.var.uri == '/cut' and #ctx.seen >= 5"), answer=lambda r, c: (c.send(chunked(b"01234", b"56789")[:-20]), c.send(chunked(b"01234", b"56789")[-20:]))[0] and None)
        self.assertEqual(gw.get("/all").body, b"0123456789")
        cut = gw.get("/cut")
        self.assertTrue(b"0123456789".startswith(cut.body) and len(cut.body) >= 5, cut)

    def test_a_held_body_is_given_out_whole_at_its_end(self):
        gw = self.start("""
function _M.body_filter(conf, ctx)
  local body = core.response.hold_body_chunk(ctx)
  ngx.sleep(0.001)
  if body then ngx.arg[1] = body:reverse() end
end
""", answer=chunked(b"abc", b"def", b"g" * 100000))
        self.assertEqual(gw.get("/").body, b"g" * 100000 + b"fedcba")

    def test_an_answer_of_our_own_waits_too(self):
        gw = self.start("""
function _M.access() return 403, "no entry" end
function _M.header_filter() ngx.sleep(0.001) end
function _M.body_filter() ngx.sleep(0.001) ngx.arg[1] = ngx.arg[1]:upper() end
""")
        with gw.client() as c:
            for _ in range(3):
                r = c.get("/")
                self.assertEqual((r.status, r.body), (403, b"NO ENTRY"))

    def test_an_error_after_the_wait_breaks_the_answer_off(self):
        for fault in ("error('secret')", "while true do end"):
            with self.subTest(fault=fault):
                gw = self.start(f"function _M.body_filter(conf, ctx) ctx.n = (ctx.n or 0) + 1 pass('b') if ctx.n == 2 then {fault} end end",
                                answer=lambda r, c: (c.send(chunked(b"first", b"second")[:-20]), self.gate.wait_asked("b"), c.send(chunked(b"first", b"second")[-20:]))[0]
                                and None, cpu_budget_ms=20)
                self.gate.open("b")
                with gw.client() as c:
                    c.send(request_bytes("GET", "/"))
                    c.reader.until(b"\r\n\r\n")
                    rest = c.reader.to_end()
                self.assertNotIn(b"0\r\n\r\n", rest)
                self.assertNotIn(b"second", rest)
                gw.wait_log("plugin slow:")
                gw.close()

    def test_an_error_before_anything_was_sent_is_500(self):
        for fault in ("error('secret')", "pass('b') error('secret')"):
            with self.subTest(fault=fault):
                gw = self.start(f"function _M.body_filter() {fault} end")
                self.gate.open("b")
                for _ in range(3):
                    self.assert_error(gw.get("/"), 500)
                gw.close()

    def test_a_client_that_goes_away_meanwhile_ends_it(self):
        gw = self.start(BODY.replace('ctx.pieces)', 'math.min(ctx.pieces, 2))') + 'function _M.log(conf, ctx) core.log.warn("logged ", ctx.var.uri) end',
                        answer=lambda r, c: (c.send(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_000_000), gone.append(c.wait_closed_by_peer()))[0] and None)
        gone, pids = [], gw.worker_pids()
        self.gate.open("body1")
        for i in range(5):
            client = self.ask(gw, f"/{i}")
            self.gate.wait_asked("body2", i + 1)
            client.reset()
            gw.wait_log(f"logged /{i}")
        wait_for(lambda: gone == [True] * 5, 15, "the upstream's connections being closed")
        self.assert_sound(gw, pids)

    def test_a_client_too_slow_for_the_pieces_holds_them_up_and_gets_them_all(self):
        body = random.Random(3).randbytes(8 << 20)
        gw = self.start("function _M.body_filter() ngx.sleep(0.001) end", ok(body))
        with gw.client(timeout=60) as c:
            c.send(request_bytes("GET", "/"))
            self.assertEqual(hashlib.md5(c.read().body).digest(), hashlib.md5(body).digest())


LOG = """
function _M.log(conf, ctx)
  local uri, status = ctx.var.uri, ngx.status
  pass("log" .. uri:gsub("/", "-"))
  core.log.warn("logged ", uri, ctx.var.uri == uri and " same " or " other ", status, " ", ctx.var.remote_addr, " ",
    ctx.var.server_addr, " ", ctx.var.server_port, " ", ngx.get_phase())
end
"""


@sanitized
class Log(Waiting):
    def test_the_next_request_of_the_connection_is_served_at_once(self):
        gw = self.start(LOG)
        pids = gw.worker_pids()
        with gw.client() as c:
            for i in range(4):
                self.assertEqual(c.get(f"/{i}").body, b"inside")
            c.send(b"".join(request_bytes("GET", f"/p{i}") for i in range(4)))     # pipelined
            for _ in range(4):
                self.assertEqual(c.read().body, b"inside")
            words = [f"/{i}" for i in range(4)] + [f"/p{i}" for i in range(4)]
            for word in words:
                self.gate.wait_asked("log-" + word[1:])
            self.assertNotIn("logged", gw.log_text())
        for word in words:
            self.gate.open("log-" + word[1:])
            gw.wait_log(f"logged {word} same 200 127.0.0.1 127.0.0.1 {gw.port} log")
        self.assert_sound(gw, pids)

    def test_it_outlives_its_connection(self):
        gw = self.start(LOG)
        client = self.ask(gw, "/gone")
        self.assertEqual(client.read().body, b"inside")
        self.gate.wait_asked("log-gone")
        client.reset()
        for i in range(4):
            self.ask(gw, f"/{i}").read()
        self.gate.open("log-gone")
        gw.wait_log("logged /gone same 200 127.0.0.1")

    def test_it_outlives_a_client_that_went_away_before_the_answer(self):
        gw = self.start(LOG, answer=lambda *_: self.gate.all.wait(120) and None)
        client = self.ask(gw, "/gone")
        wait_for(lambda: self.up.request_count == 1, 10)
        client.reset()
        self.gate.open("log-gone")
        gw.wait_log("logged /gone same 499")

    def test_it_keeps_the_code_and_configuration_it_began_with(self):
        gw = self.start(LOG)
        self.ask(gw, "/old").read()
        self.gate.wait_asked("log-old")
        gw.write_plugin("slow", HEAD.replace("GATE", "1") + "function _M.access() return 200, 'new' end\nreturn _M\n")
        self.assertEqual(gw.reload().returncode, 0)
        self.assertEqual(gw.get("/").body, b"new")
        self.gate.open("log-old")
        gw.wait_log("logged /old same 200")

    def test_so_many_may_wait_and_no_more_and_all_requests_are_served(self):
        gw = self.start("function _M.log(conf, ctx) ngx.sleep(3600) end")
        with gw.client(timeout=60) as c:
            for _ in range(11):
                c.send(b"".join(request_bytes("GET", "/") for _ in range(100)))
                for _ in range(100):
                    self.assertEqual(c.read().body, b"inside")
        wait_for(lambda: gw.log_text().count("too many log phases wait already") >= 1100 - 1024, 10, "the last line")
        self.assertEqual(gw.log_text().count("too many log phases wait already"), 1100 - 1024)

    def test_a_drain_lets_it_end(self):
        gw = self.start(LOG)
        self.ask(gw, "/last").read()
        self.gate.wait_asked("log-last")
        gw.send_signal(signal.SIGQUIT)

        def refused():
            try:
                gw.client(timeout=1.0).close()
                return False
            except OSError:
                return True
        wait_for(refused, 10, "new connections being refused")
        self.assertIsNone(gw.process.poll())
        self.gate.open("log-last")
        self.assertEqual(gw.wait_end(), 0)
        self.assertIn("logged /last same 200", gw.log_text())

    def test_an_end_does_not_wait_for_it(self):
        gw = self.start(LOG)
        self.ask(gw, "/last").read()
        self.gate.wait_asked("log-last")
        seconds, _ = elapsed(gw.stop)
        self.assertLess(seconds, 30)

    def test_an_error_after_the_wait_is_logged(self):
        gw = self.start("function _M.log() pass('log') error('what went wrong') end")
        self.gate.open("log")
        self.assertEqual(gw.get("/").body, b"inside")
        gw.wait_log("what went wrong")


@sanitized
class WallBudget(Waiting):
    def assert_overdue(self, gw, where):
        r = gw.get("/")
        self.assert_error(r, 504, "plugin slow waited too long")
        gw.wait_log(f"plugin slow: waited longer than 100 ms in {where}")

    def test_whoever_waits_too_long_before_the_answer_is_answered_504(self):
        for phase, where in {"rewrite": "rewrite or access", "access": "rewrite or access", "before_proxy": "before_proxy",
                             "header_filter": "header_filter", "body_filter": "body_filter"}.items():
            with self.subTest(phase=phase):
                gw = self.start(f"local asked = 0 function _M.{phase}() asked = asked + 1 if asked == 1 then pass('{phase}') end end",
                                wall_budget_ms=100)
                pids = gw.worker_pids()
                self.assert_overdue(gw, where)
                self.assertEqual(gw.get("/").body, b"inside")
                self.assert_sound(gw, pids)
                wait_for(lambda: b'moongate_plugin_errors_total{plugin="slow"} 1\n' in gw.metrics().body, 10, "the error being counted")
                gw.close()

    def test_an_answer_that_has_begun_is_broken_off(self):
        gw = self.start(BODY, lambda r, c: (c.send(chunked(b"first", b"second")[:-20]), self.gate.wait_asked("body1"),
                                            c.send(chunked(b"first", b"second")[-20:]))[0] and None, wall_budget_ms=1000)
        self.gate.open("body1")
        with gw.client() as c:
            c.send(request_bytes("GET", "/"))
            c.reader.until(b"\r\n\r\n")
            self.assertNotIn(b"second", c.reader.to_end())
        gw.wait_log("waited longer than 1000 ms in body_filter")

    def test_many_short_waits_of_a_phase_add_up(self):
        gw = self.start("function _M.access() for i = 1, 1000 do ngx.sleep(0.005) end end", wall_budget_ms=100)
        self.assert_overdue(gw, "rewrite or access")

    def test_each_phase_has_its_own_time(self):
        gw = self.start("".join(f"function _M.{phase}() ngx.sleep(0.35) end " for phase in ("access", "before_proxy", "header_filter", "body_filter")),
                        wall_budget_ms=1000)
        self.assertEqual(gw.get("/").body, b"inside")

    def test_a_log_phase_is_ended(self):
        gw = self.start(LOG, wall_budget_ms=100)
        pids = gw.worker_pids()
        self.assertEqual(gw.get("/").body, b"inside")
        gw.wait_log("plugin slow: waited longer than 100 ms in log")
        self.assert_sound(gw, pids)

    def test_the_client_s_own_slowness_does_not_count(self):
        gw = self.start("""
function _M.access(conf, ctx)
  if ctx.var.uri == "/overdue" then pass("never") end
  return 200, core.request.get_body()
end
""", wall_budget_ms=100)
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
            for _ in range(3):
                self.assertEqual(gw.get("/overdue").status, 504)       # so much time has passed
            c.send(b"def")
            self.assertEqual(c.read().body, b"abcdef")

    def test_0_sets_no_limit(self):
        gw = self.start("function _M.access() ngx.sleep(0.3) end", wall_budget_ms=0)
        self.assertEqual(gw.get("/").body, b"inside")

    def test_it_is_no_reason_for_a_quarantine(self):
        gw = self.start("function _M.access() pass('never') end", wall_budget_ms=20, quarantine_after=2)
        self.assertEqual([gw.get("/").status for _ in range(5)], [504] * 5)


@sanitized
class Requests(Waiting):
    def test_a_client_that_goes_away_inside_a_hook_leaves_nothing_behind(self):
        """The body ends in the middle, and the hook that reads it finds out first."""
        gw = self.start("""
function _M.access(conf, ctx) core.request.get_body() end
function _M.log(conf, ctx) core.log.warn("logged ", ctx.var.uri, " ", ngx.status) end
""")
        pids = gw.worker_pids()
        for i in range(20):
            with gw.client() as c:
                c.send(f"POST /{i} HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\npart".encode())
                c.finish_sending()
                c.is_closed(10)
            self.assertEqual(gw.get("/").body, b"inside")
        log = gw.wait_log("logged /19 499")
        self.assertEqual(sum(f"logged /{i} 499" in log for i in range(20)), 20)
        self.assert_sound(gw, pids)

    def test_a_coroutine_that_waits_inside_a_c_callback_gets_an_error_and_the_request_goes_on(self):
        gw = self.start("""
local function inside(wait)
  return pcall(string.gsub, "a", "a", function() coroutine.wrap(function() wait() error("went on") end)() end)
end
function _M.access(conf, ctx)
  local waits = { sleep = function() ngx.sleep(0) end, socket = function() pass("never") end }
  local said = {}
  for _, name in ipairs({ "sleep", "socket" }) do
    local ok, err = inside(waits[name])
    said[#said + 1] = name .. " " .. tostring(ok) .. " " .. tostring(err:find("attempt to yield across C-call boundary", 1, true) ~= nil)
  end
  ngx.sleep(0.001)                                 -- the task itself can still wait
  coroutine.wrap(function() ngx.sleep(0.001) end)()
  return 200, table.concat(said, ", ")
end
""")
        pids = gw.worker_pids()
        for _ in range(5):
            self.assertEqual(gw.get("/").body, b"sleep false true, socket false true")
        self.assert_sound(gw, pids)

    def test_an_uncaught_one_is_500(self):
        gw = self.start("""function _M.access() string.gsub("a", "a", function() coroutine.wrap(function() ngx.sleep(1) end)() end) end""")
        for _ in range(3):
            self.assert_error(gw.get("/"), 500)
        gw.wait_log("attempt to yield across C-call boundary")

    def test_a_body_left_half_read_is_never_sent_on(self):
        gw = self.start("""
function _M.access(conf, ctx)
  pcall(string.gsub, "a", "a", function() coroutine.wrap(function() core.request.get_body() end)() end)
end
""")
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
            self.assert_error(c.read(), 500)
        self.assertEqual(self.up.request_count, 0)
        self.assertEqual(gw.get("/").body, b"inside")

    def test_a_worker_that_dies_while_a_plugin_waits_does_not_name_it(self):
        gw = self.start("function _M.access() pass('access') end", workers=2)
        gw.is_crash_expected = True
        self.ask(gw)
        self.gate.wait_asked("access")
        for pid in gw.worker_pids():
            os.kill(pid, signal.SIGKILL)
        log = gw.wait_log("was killed by SIGKILL")
        self.assertNotIn("while plugin", log)


if __name__ == "__main__":
    unittest.main()
