# SPDX-License-Identifier: Apache-2.0
"""Decision and forwarding see one path: whatever a client writes, the upstream gets what the route's policy was asked about."""

import itertools
import unittest
from urllib.parse import unquote

from harness import TestCase, ok, raw, route, sanitized

# Spellings of a request for /admin/secret, and of things that must not become one.
SPELLINGS = [
    "/admin/secret", "//admin/secret", "/admin//secret", "///admin///secret", "/./admin/secret", "/admin/./secret",
    "/public/../admin/secret", "/public/x/../../admin/secret", "/public/%2e%2e/admin/secret", "/public/.%2e/admin/secret",
    "/public/%2E./admin/secret", "/%61dmin/secret", "/%61%64%6d%69%6e/secret", "/admin/%73ecret", "/admin%2fsecret",
    "/admin%2Fsecret", "/public/..%2fadmin/secret", "/public%2f..%2fadmin/secret", "/public/..%5cadmin/secret",
    "/public\\..\\admin\\secret", "/public/..\\admin/secret", "/public/..;/admin/secret", "/admin;x=1/secret", "/admin/secret;x",
    "/admin/secret%00", "/admin/secret%00.html", "/public/%00/../admin/secret", "/admin/secret/", "/admin/secret/.",
    "/admin/x/../secret", "/ADMIN/secret", "/admin/secret?x=/public/", "/public/?/../admin/secret", "/admin/secret%20",
    "/admin/secret%09", "/admin/secret%23", "/admin/secret#x", "/%2561dmin/secret", "/public/%252e%252e/admin/secret",
    "/public/%c0%ae%c0%ae/admin/secret", "/public/%u002e%u002e/admin/secret", "/admin/secret%2e", "/admin/%2e/secret",
    "/..//admin/secret", "/public/.../admin/secret", "http://localhost/admin/secret", "http://localhost//admin/secret",
    "http://localhost/public/../admin/secret",
]

GUARD = {"key-auth": {}}
# Ways of saying "everything below /admin needs a key".
MATCHERS = {
    "prefix": [{"uri": "/admin/*", "plugins": GUARD}],
    "plain prefix": [{"uri": "/admin*", "plugins": GUARD}],
    "parameter": [{"uri": "/admin/:name", "plugins": GUARD}, {"uri": "/admin/*", "plugins": GUARD}],
    "exact": [{"uris": ["/admin/secret", "/admin/secret/"], "plugins": GUARD}, {"uri": "/admin/*", "plugins": GUARD}],
    "expression": [{"uri": "/*", "vars": [["uri", "~~", "^/admin"]], "priority": 10, "plugins": GUARD}],
    "host and prefix": [{"uri": "/admin/*", "host": "localhost", "plugins": GUARD}],
}
# What the open route does to the path on its way.
REWRITES = {
    "nothing": None,
    "strip a prefix": {"regex_uri": ["^/public/(.*)", "/$1"]},
    "add a prefix": {"regex_uri": ["^/(.*)", "/base/$1"]},
    "fixed": {"uri": "/fixed"},
    "by variable": {"uri": "/again$uri"},
}


@sanitized
class PathPolicy(TestCase):
    def ask(self, gw, spelling):
        data = f"GET {spelling} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1")
        answer = raw(gw.port, data)
        return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0

    def configuration(self, up, matcher, rewrite):
        open_route = route("/*", up, plugins={"proxy-rewrite": rewrite} if rewrite else {})
        guarded = [dict(r, upstream={"type": "roundrobin", "nodes": up.nodes}) for r in MATCHERS[matcher]]
        return {"routes": [*guarded, open_route], "consumers": [{"username": "c", "plugins": {"key-auth": {"key": "k"}}}]}

    def test_no_spelling_gets_past_a_guarded_path_with_any_matcher(self):
        for matcher in MATCHERS:
            up = self.upstream(ok("secret"))
            gw = self.serve(self.configuration(up, matcher, None), workers=1)
            for spelling in SPELLINGS:
                with self.subTest(matcher=matcher, spelling=spelling):
                    up.take()
                    status = self.ask(gw, spelling)
                    reached = up.take()
                    for r in reached:
                        path = unquote(r.target.split("?")[0])
                        self.assertFalse(path.startswith("/admin/") or path == "/admin", r.target)
                        self.assertNotIn("..", path.split("/"))
                        self.assertNotIn("//", path)
                    if not reached:
                        self.assertTrue(400 <= status < 500, status)
            gw.close()

    def test_a_rewrite_sends_what_it_says_and_never_climbs(self):
        for name, rewrite in REWRITES.items():
            up = self.upstream(ok("x"))
            gw = self.serve({"routes": [route("/*", up, plugins={"proxy-rewrite": rewrite} if rewrite else {})]}, workers=1)
            for spelling in SPELLINGS + ["/public/public/..", "/public//admin", "/public/./x", "/public/a%2e%2e/b"]:
                with self.subTest(rewrite=name, spelling=spelling):
                    up.take()
                    status = self.ask(gw, spelling)
                    for r in up.take():
                        path = r.target.split("?")[0]
                        segments = unquote(path).split("/")
                        self.assertFalse({"..", "."} & set(segments), r.target)
                        self.assertFalse(any(c in path for c in "\\;\0 #"), r.target)
                        self.assertTrue(path.startswith("/"), r.target)
                        if name == "fixed":
                            self.assertEqual(path, "/fixed")
                        if name == "add a prefix":
                            self.assertTrue(path.startswith("/base/"), r.target)
                    self.assertLess(status, 500)
            gw.close()

    def test_plugins_see_the_path_that_the_upstream_gets(self):
        up = self.upstream(ok("x"))
        tell = ("return function(conf, ctx) local core = require('apisix.core') "
                "core.request.set_header(ctx, 'X-Seen', ngx.escape_uri(ctx.var.uri)) end")
        gw = self.serve({"routes": [route("/*", up, plugins={"serverless-pre-function": {"functions": [tell]}})]}, workers=1)
        for spelling in SPELLINGS:
            up.take()
            self.ask(gw, spelling)
            for r in up.take():
                with self.subTest(spelling=spelling):
                    seen = unquote(r.get("X-Seen"), "latin-1")
                    # Line ends and tabs stay encoded in the path that plugins see; all else is decoded.
                    for control in ("%09", "%0A", "%0D"):
                        seen = seen.replace(control, unquote(control))
                    self.assertEqual(seen, unquote(r.target.split("?")[0], "latin-1"))

    def test_an_encoded_slash_is_refused_like_a_backslash_and_a_parameter(self):
        gw, up = self.proxy()
        for path, prefix in itertools.product(("a%2fb", "a%2Fb", "a%5Cb", "a\\b", "a;b", "a%00b"), ("/", "/x/")):
            with self.subTest(path=prefix + path):
                self.assertEqual(self.ask(gw, prefix + path), 400)
        self.assertEqual(up.request_count, 0)


if __name__ == "__main__":
    unittest.main()
