# SPDX-License-Identifier: Apache-2.0
"""Routes that are found by the body of the request: `post_arg_*`, `post_arg.*` and `graphql_*` in `vars`."""

import json

from admin import mocking
from harness import TestCase, Upstream, describe, ok, route, sanitized

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
GRAPHQL = {"Content-Type": "application/graphql"}


def by(text, *variables, **more):
    """A route of its own answer that is taken where all hold."""
    return {"id": text, **mocking("/*", text), "vars": list(variables), "priority": 1, **more}


class RouteBody(TestCase):
    def ask(self, gw, body, headers, method="POST", target="/"):
        return gw.request(method, target, headers, body).body.decode()

    @sanitized
    def test_forms_and_json_find_routes(self):
        gw = self.serve({"routes": [by("form", ["post_arg_a", "==", "1"]), by("path", ["post_arg.model.name", "==", "small"]),
                                    by("count", ["post_arg.n", ">", 5]), {"id": "rest", **mocking("/*", "rest")}]})
        for body, headers, found in ((b"a=1", FORM, "form"), (b"a=2", FORM, "rest"), (b"a=1", JSON, "rest"), (b"b=0&a=1", FORM, "form"),
                                     (b'{"model": {"name": "small"}}', JSON, "path"), (b'{"n": 6}', JSON, "count"), (b"{", JSON, "rest"),
                                     (b'{"n": [6]}', JSON, "rest"), (b"", FORM, "rest")):
            self.assertEqual(self.ask(gw, body, headers), found, body)
        self.assertEqual(gw.get("/").body, b"rest")

    @sanitized
    def test_graphql_documents_find_routes(self):
        gw = self.serve({"routes": [by("write", ["graphql_operation", "==", "mutation"]), by("named", ["graphql_name", "==", "getRepo"]),
                                    by("owners", ["graphql_root_fields", "has", "owner"]), {"id": "rest", **mocking("/*", "rest")}]})
        for document, found in (("mutation { add(x: 1) { id } }", "write"), ("query getRepo { a }", "named"), ("{ o: owner { name } }", "owners"),
                                ("{ repo { owner } }", "rest"), ("{ owner", "rest")):
            self.assertEqual(self.ask(gw, document.encode(), GRAPHQL), found, document)
            self.assertEqual(self.ask(gw, json.dumps({"query": document}).encode(), JSON), found, document)
        self.assertEqual(gw.get("/?query=%7Bowner%7D").body, b"owners")

    @sanitized
    def test_a_body_that_comes_late_is_waited_for_and_forwarded_whole(self):
        with Upstream(lambda request, _: ok(request.body)) as up:
            gw = self.serve({"routes": [route("/*", up, vars=[["post_arg.a", "==", "1"]])]}, workers=1)
            head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
            with gw.client() as client:
                for _ in range(2):
                    client.send(head + b"5\r\n{\"a\":\r\n")
                    self.assertEqual(gw.request("POST", "/", JSON, b'{"a":"2"}').status, 404)
                    client.send(b"4\r\n\"1\"}\r\n0\r\n\r\n")
                    self.assertEqual(client.read("POST").body, b'{"a":"1"}')

    @sanitized
    def test_a_body_that_is_kept_in_a_file_is_read_and_forwarded(self):
        with Upstream(describe) as up:
            gw = self.serve({"routes": [route("/*", up, vars=[["post_arg.last", "==", "1"]])]})
            body = json.dumps({"fill": "x" * 3_000_000, "last": "1"}).encode()
            self.assertEqual(gw.request("POST", "/", JSON, body).json()["body_size"], len(body))

    @sanitized
    def test_clients_that_leave_in_the_middle_harm_nobody(self):
        with Upstream(describe) as up:
            gw = self.serve({"routes": [route("/*", up, vars=[["post_arg_a", "==", "1"]])]}, workers=1)
            for _ in range(20):
                client = gw.client()
                client.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\na=")
                client.close()
                self.assertEqual(gw.request("POST", "/", FORM, b"a=1").status, 200)
            broken = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n"
            for _ in range(2):
                self.assertRegex(gw.raw(broken + b"zz\r\n"), rb"^HTTP/1.1 4\d\d ")
                self.assertEqual(gw.request("POST", "/", FORM, b"a=1").status, 200)
