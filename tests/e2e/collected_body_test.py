# SPDX-License-Identifier: Apache-2.0
"""Bodies that a plugin looks at: whatever it makes of them, the upstream gets the whole body or none of the request."""

import unittest

from harness import TestCase, ok, request_bytes, route, sanitized

READER = """-- SPDX-License-Identifier: Apache-2.0
local core = require("apisix.core")
return {
  version = 0.1, priority = 50, name = "reader", schema = { type = "object" },
  check_schema = function() return true end,
  access = function(conf, ctx)
    local first, err = core.request.get_body(conf.first, ctx)
    local second
    if conf.second then
      second = core.request.get_body(conf.second, ctx)
    end
    core.response.set_header("X-First", first and #first or tostring(err), "X-Second", second and #second or "none")
  end,
}
"""


def pieces(body, size):
    return [body[i:i + size] for i in range(0, len(body), size)]


@sanitized
class Collected(TestCase):
    def gateway(self, **conf):
        self.up = self.upstream(ok("taken"))
        return self.serve({"routes": [{**route("/*", self.up), "plugins": {"reader": conf}}]}, plugins={"reader": READER}, workers=1)

    def ask(self, gw, body, chunk=None):
        if chunk is None:
            return gw.request("POST", "/", body=body)
        with gw.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in pieces(body, chunk):
                c.send(b"%x\r\n%s\r\n" % (len(part), part))
            c.send(b"0\r\n\r\n")
            answer = c.read()
            # The connection is in step: another request on it gets its own answer.
            c.send(request_bytes("GET", "/next"))
            self.assertEqual(c.read().status, 200)
            self.assertEqual(self.up.last().target, "/next")
            return answer

    def test_a_body_over_a_plugins_limit_still_reaches_the_upstream_whole(self):
        gw = self.gateway(first=1000)
        for size in (999, 1000, 1001, 5000, 300_000):
            body = bytes(i * 31 % 251 for i in range(size))
            for chunk in (None, 7 if size < 10_000 else 4001, 1001, 65536):
                with self.subTest(size=size, chunk=chunk):
                    answer = self.ask(gw, body, chunk)
                    self.assertEqual((answer.status, answer.body), (200, b"taken"))
                    got = [r for r in self.up.take() if r.target == "/"]
                    self.assertEqual([r.body for r in got], [body])
                    told = answer.get("X-First")
                    if size <= 1000:
                        self.assertEqual(told, str(size))
                    else:
                        self.assertRegex(told, r"request size \d+ is greater than the maximum size 1000 allowed")
        self.assertEqual(self.up.faults, [])

    def test_a_second_look_with_a_higher_limit_sees_the_whole_body(self):
        gw = self.gateway(first=100, second=50_000)
        body = bytes(i % 256 for i in range(20_000))
        answer = self.ask(gw, body, 999)
        self.assertEqual(answer.get("X-Second"), "20000")
        self.assertEqual([r.body for r in self.up.requests if r.target == "/"], [body])

    def test_a_body_that_breaks_off_while_it_is_collected_is_refused_and_never_forwarded(self):
        gw = self.gateway(first=100_000)
        answer = gw.raw(b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nnonsense\r\n")
        self.assertRegex(answer, rb"^HTTP/1\.1 400 ")
        self.assertEqual(self.up.requests, [])


if __name__ == "__main__":
    unittest.main()
