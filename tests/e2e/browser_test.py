#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A browser in front of the gateway: pages, requests at once, events and a WebSocket over one HTTP/2 connection."""

import json

from browser import start_browser
from certificates import certificate
from harness import HOST, TestCase, free_port, ok, route, wait_for
from websocket_limits_test import Chat

COUNT = 48
PAGE = """<!doctype html><title>waiting</title><script>
const asked = [...Array(%d).keys()].map(n =>
  fetch("/item/" + n, n %% 4 ? {} : {method: "POST", body: "x".repeat(100000)}).then(answer => answer.text()));
const heard = new Promise(done => {
  const events = new EventSource("/events"), all = [];
  events.onmessage = event => { if (all.push(event.data) == 2) { events.close(); done(all); } };
});
const echoed = new Promise((done, fail) => {
  const socket = new WebSocket("wss://" + location.host + "/socket");
  socket.onopen = () => socket.send("x".repeat(70000));
  socket.onmessage = message => { done(message.data); socket.close(); };
  socket.onerror = () => fail("the WebSocket failed");
});
Promise.all([Promise.all(asked), heard, echoed]).then(([items, events, size]) => {
  const protocols = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .map(entry => entry.nextHopProtocol);
  document.title = JSON.stringify({items, events, size, protocols: [...new Set(protocols)]});
}, reason => { document.title = JSON.stringify({reason: String(reason)}); });
</script>""" % COUNT


class Browser(TestCase):
    limit_s = 180

    def setUp(self):
        self.chat = Chat()
        self.up = self.upstream(self.answer)
        self.port, issued = free_port(), certificate("site.test")
        self.gw = self.serve({"routes": [route("/*", self.up, enable_websocket=True)],
                              "ssls": [{"id": "1", "snis": ["site.test"], "cert": issued.cert, "key": issued.key}]},
                             listen=[f"{HOST}:PORT", {"address": f"{HOST}:{self.port}", "tls": True, "http2": True}], workers=1)
        self.browser = start_browser(self, f"--host-resolver-rules=MAP site.test {HOST}", "--ignore-certificate-errors")

    def answer(self, request, connection):
        if request.target == "/socket":
            return self.chat(request, connection)
        if request.target == "/events":
            return ok("data: one\n\ndata: two\n\n", headers={"Content-Type": "text/event-stream"})
        if request.target.startswith("/item/"):
            return ok(f"{request.target[6:]} {len(request.body)}")
        return ok(PAGE, headers={"Content-Type": "text/html"})

    def result(self):
        title = self.browser.title
        return json.loads(title) if title.startswith("{") else None

    def test_everything_on_a_page_comes_over_http2(self):
        self.browser.get(f"https://site.test:{self.port}/")
        got = wait_for(self.result, 60, "the page")
        self.assertEqual(got.get("reason"), None)
        self.assertEqual(got["items"], [f"{n} {0 if n % 4 else 100000}" for n in range(COUNT)])
        self.assertEqual((got["events"], got["size"], got["protocols"]), (["one", "two"], "70000", ["h2"]))
        self.assertFalse(self.up.faults)
        handshake = next(r for r in self.up.requests if r.target == "/socket")
        self.assertEqual((handshake.method, handshake.get("Upgrade")), ("GET", "websocket"))
