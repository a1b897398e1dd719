# SPDX-License-Identifier: Apache-2.0
"""Routes that are found by the body of the request: `post_arg_*`, `post_arg.*` and `graphql_*` in `vars`."""

import json
from urllib.parse import quote

from admin import mocking
from harness import TestCase, Upstream, describe, ok, route, sanitized

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}
GRAPHQL = {"Content-Type": "application/graphql"}
MULTIPART = {"Content-Type": "multipart/form-data; boundary=x"}


def by(text, *variables, **more):
    """A route of its own answer that is taken where all hold."""
    return {"id": text, **mocking("/*", text), "vars": list(variables), "priority": 1, **more}


def parts(*values, head='Content-Disposition: form-data; name="a"'):
    return ("".join(f"--x\r\n{head}\r\n\r\n{value}\r\n" for value in values) + "--x--\r\n").encode()


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
                                      (b"x", {"Content-Type": "multipart/form-data"}, 400), (b"[" + b"[]," * 340_000 + b"[]]", JSON, 413)):
            answer = gw.request("POST", "/", headers, body)
            self.assertEqual(answer.status, status, answer.body)
            self.assertIn("route is looked for", answer.json()["error_msg"])
        twice = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
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
    def test_what_upstreams_read_in_different_ways_passes_no_guard(self):
        gw = self.serve({"routes": [by("named", ["post_arg_a", "==", "1"], uri="/named"), by("path", ["post_arg.a", "==", "1"]),
                                    {"id": "rest", **mocking("/*", "rest")}]})
        other = parts("1", head="Content-Disposition: form-data; name=a").replace(b"--x", b"--y")
        for body, headers, reason in (
                (b"a=1&a=1", FORM, "several arguments"), (b"a=2&a=1", FORM, "several arguments"), (b"a[]=1", FORM, "`a[]`"), (b"A=1", FORM, "`A`"),
                (b"b=2;a=1", FORM, "%3B"), (b"%u0061=1", FORM, "percent-encoded"), (b"a=1", {"Content-Type": FORM["Content-Type"] + "; charset=utf-16"}, "charset"),
                (b"junk", MULTIPART, "boundary"), (parts("1").replace(b"\r\n", b"\n"), MULTIPART, "boundary"), (parts("2", "1"), MULTIPART, "several arguments"),
                (parts("1")[:-7], MULTIPART, "boundary"), (b"x\r\n" + parts("1"), MULTIPART, "boundary"), (parts("1") + parts("1"), MULTIPART, "boundary"),
                (parts("1", head="Content-Disposition: form-data; name*=utf-8''a"), MULTIPART, "no name"),
                (parts("MQ==", head="Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64"), MULTIPART, "Encoding"),
                (other, {"Content-Type": 'multipart/form-data; boundary="x" ; boundary=y'}, "Content-Type")):
            for target in ("/named", "/"):
                answer = gw.request("POST", target, headers, body)
                self.assertEqual((answer.status, reason in answer.json().get("error_msg", "")), (400, True), (target, body, answer.body))
        for body, reason in ((b'{"a":"1","a":"2"}', "twice"), (b'{"A":"1"}', "`A`"), (b'\xef\xbb\xbf{"a":"1"}', "no JSON"), (b'{"a":9007199254740993}', "too large")):
            self.assertIn(reason, gw.request("POST", "/", JSON, body).json()["error_msg"])
        self.assertEqual(gw.request("POST", "/", {"Content-Type": "application/json/x"}, b"{}").status, 400)

    @sanitized
    def test_what_upstreams_commonly_read_is_read(self):
        gw = self.serve({"routes": [by("named", ["post_arg_a", "==", "1"], uri="/named"), by("path", ["post_arg.a", "==", "1"]), by("list", ["post_arg.a", "has", "2"]),
                                    by("null", ["post_arg.b", "~~", ".+"]), by("big", ["post_arg.n", "==", "1000000000000001"]), {"id": "rest", **mocking("/*", "rest")}]})
        for body, headers in ((parts("1", head="X-A: ; name=z\r\ncontent-disposition: FORM-DATA; NAME=a"), MULTIPART), (b"%61=1", FORM),
                              (parts("1"), {"Content-Type": "Multipart/Form-Data; xboundary=y; Boundary=x"}), (b"x=2&&a=1", {"Content-Type": FORM["Content-Type"] + ' ; charset="UTF-8"'})):
            self.assertEqual((self.ask(gw, body, headers, target="/named"), self.ask(gw, body, headers)), ("named", "path"), body)
        for body, headers, found in ((b'{"b":null}', JSON, "rest"), (b'{"a":"1"}', {**JSON, "Content-Encoding": ""}, "path"), (b'{"n":1000000000000001}', JSON, "big"),
                                     (b'{"a":[3,2]}', JSON, "list")):
            self.assertEqual(self.ask(gw, body, headers), found, body)
        gw = self.serve({"routes": [by("list", ["post_arg.a", "has", "2"]), {"id": "rest", **mocking("/*", "rest")}]})
        for body, headers in ((b"a=2", FORM), (b"a=1&a=2", FORM), (parts("1", "2"), MULTIPART)):
            self.assertEqual(self.ask(gw, body, headers), "list", body)

    @sanitized
    def test_graphql_fields_are_found_behind_fragments_and_in_parts(self):
        gw = self.serve({"routes": [by("guard", ["graphql_root_fields", "has", "drop"]), {"id": "rest", **mocking("/*", "rest")}]})
        for document in ("mutation { ...F } fragment F on M { drop }", "mutation { ... on M { drop } }", "mutation { ... { a ... @include(if: true) { b: drop } } }",
                         "fragment G on M { ...F } mutation { ...G } fragment F on M { ...G drop }"):
            self.assertEqual(self.ask(gw, document.encode(), GRAPHQL), "guard", document)
        operations = json.dumps({"query": "mutation { drop }"})
        self.assertEqual(self.ask(gw, parts(operations, head="Content-Disposition: form-data; name=operations"), MULTIPART), "guard")
        self.assertEqual(self.ask(gw, parts("mutation { drop }", head="Content-Disposition: form-data; name=query"), MULTIPART), "guard")
        self.assertEqual(self.ask(gw, b"{ a { drop } drop: a }", GRAPHQL), "rest")
        self.assertEqual(self.ask(gw, parts("1"), MULTIPART), "rest")
        for body, headers, target in (("{ ...F }", GRAPHQL, "/"), ("{ a } fragment F on M { a } fragment F on M { drop }", GRAPHQL, "/"), ('{"Query":"mutation{drop}"}', JSON, "/"),
                                      ('{"query":"{a}","query":"mutation{drop}"}', JSON, "/"), ('{"extensions":{"persistedQuery":{}}}', JSON, "/"), ('{"documentId":"d"}', JSON, "/"),
                                      ("x=1;query=mutation{drop}", FORM, "/"), ("", {}, "/?extensions=%7B%22persistedQuery%22%3A1%7D"), ("", {}, "/?Query=mutation%7Bdrop%7D")):
            self.assertEqual(gw.request("POST", target, headers, body.encode()).status, 400, body)

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
