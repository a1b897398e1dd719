# SPDX-License-Identifier: Apache-2.0
"""Routes that are found by the body of the request: `post_arg_*`, `post_arg.*` and `graphql_*` in `vars`."""

import json
from urllib.parse import quote

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
        for body, headers, found in ((b"a=1", FORM, "form"), (b"a=2", FORM, "rest"), (b'{"a": "1"}', JSON, "rest"), (b"b=0&a=1", FORM, "form"),
                                     (b'{"model": {"name": "small"}}', JSON, "path"), (b'{"n": 6}', JSON, "count"), (b"1", JSON, "rest"),
                                     (b'{"n": [6]}', JSON, "rest"), (b"", FORM, "rest"), (b'{"n": 6}', {}, "count"),
                                     (b'{"n": 6}', {"Content-Type": "Application/JSON; charset=utf-8"}, "count"),
                                     (b"a=1", {"Content-Type": "Application/X-WWW-Form-Urlencoded"}, "form"),
                                     (b'{"n": 6}', {"Content-Type": "application/x.y+json"}, "count"),
                                     (b'{"n": 6}', {"Content-Type": "application/octet-stream", "Content-Encoding": "gzip"}, "rest")):
            self.assertEqual(self.ask(gw, body, headers), found, body)
        self.assertEqual(gw.get("/").body, b"rest")

    @sanitized
    def test_graphql_documents_find_routes(self):
        gw = self.serve({"routes": [by("write", ["graphql_operation", "==", "mutation"]), by("named", ["graphql_name", "==", "getRepo"]),
                                    by("owners", ["graphql_root_fields", "has", "owner"]), {"id": "rest", **mocking("/*", "rest")}]})
        for document, found in (("mutation { add(x: 1) { id } }", "write"), ("query getRepo { a }", "named"), ("{ o: owner { name } }", "owners"),
                                ("{ repo { owner } }", "rest"), ('\ufeff# x\r"said" mutation { a }', "write")):
            self.assertEqual(self.ask(gw, document.encode(), GRAPHQL), found, document)
            self.assertEqual(self.ask(gw, json.dumps({"query": document}).encode(), JSON), found, document)
            self.assertEqual(self.ask(gw, b"query=" + quote(document).encode(), FORM), found, document)
            self.assertEqual(self.ask(gw, b"x", {"Content-Type": "text/plain"}, target="/?query=" + quote(document)), found, document)
        self.assertEqual(gw.get("/?query=%7Bowner%7D").body, b"owners")
        two = {"query": "{ a } mutation M { b }", "operationName": "M"}
        self.assertEqual(self.ask(gw, json.dumps(two).encode(), JSON), "write")

    @sanitized
    def test_what_cannot_be_looked_at_is_refused_and_no_route_is_taken(self):
        gw = self.serve({"routes": [by("path", ["post_arg.a", "==", "1"]), by("not", ["post_arg.a", "!", "==", "2"], priority=0)]}, workers=1)
        for body, headers, status in ((b"{", JSON, 400), (b"[" * 2000 + b"]" * 2000, JSON, 413), (b'{"a":"1"}', {**JSON, "Content-Encoding": "gzip"}, 400),
                                      (b'{"a":"1"}', {"Content-Type": "text/plain, application/json"}, 400), (b"{", {}, 400),
                                      (b"x", {"Content-Type": "multipart/form-data"}, 400), (b"[" + b"[]," * 500_000 + b"[]]", JSON, 413)):
            answer = gw.request("POST", "/", headers, body)
            self.assertEqual(answer.status, status, answer.body)
            self.assertIn("route is looked for", answer.json()["error_msg"])
        twice = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
        self.assertRegex(gw.raw(twice), rb"^HTTP/1.1 400 ")
        head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertRegex(gw.raw(head + b"120000\r\n" + b" " * 0x120000 + b"\r\n0\r\n\r\n"), rb"^HTTP/1.1 413 ")
        self.assertRegex(gw.raw(head + b"zz\r\n"), rb"^HTTP/1.1 400 ")
        self.assertEqual(self.ask(gw, b'{"a":"1"}', {**JSON, "Content-Encoding": "identity"}), "path")
        self.assertEqual(self.ask(gw, b'{"a":"3"}', JSON), "not")

    def test_a_body_that_takes_too_long_is_refused_at_the_first_route_that_asks(self):
        gw = self.serve({"routes": [by(f"r{i}", [f"post_arg.a{'..a' * 6}..b{i}", "!", "==", "2"]) for i in range(30)]}, workers=1)
        body = b'{"a":' * 900 + b"1" + b"}" * 900
        before = gw.get("/worker").status
        answer = gw.request("POST", "/", JSON, body)
        self.assertEqual((answer.status, "too much time" in answer.json()["error_msg"]), (413, True))
        self.assertEqual(gw.log_text().count("post_arg.a..a"), 1)
        self.assertEqual(gw.get("/worker").status, before)

    @sanitized
    def test_graphql_that_cannot_be_read_is_refused(self):
        gw = self.serve({"routes": [by("write", ["graphql_operation", "==", "mutation"]), {"id": "rest", **mocking("/*", "rest")}]})
        two = "query A { a } mutation B { b }"
        for body, headers, target in (("{ owner", GRAPHQL, "/"), (two, GRAPHQL, "/"), (json.dumps({"query": two, "operationName": "C"}), JSON, "/"),
                                      (json.dumps([{"query": "{ a }"}]), JSON, "/"), ("query={a}&query={b}", FORM, "/"),
                                      (json.dumps({"query": "{ a }"}), JSON, "/?query=mutation%7Bb%7D"), ("query={", FORM, "/")):
            self.assertEqual(gw.request("POST", target, headers, body.encode()).status, 400, body)
        self.assertEqual(self.ask(gw, b'{"query": {"match": 1}}', JSON), "rest")

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
            body = json.dumps({"fill": "x" * 1_000_000, "last": "1"}).encode()
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
