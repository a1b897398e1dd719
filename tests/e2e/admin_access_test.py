#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may call the Admin API, from where, and what its HTTP server takes."""

import json
import os
import unittest

from admin import AdminCase, mocking
from harness import Client, connect, free_port, moongate, raw, request, request_bytes, sanitized

CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true"}


class Keys(AdminCase):
    more = {"moongate": {}}

    def call(self, headers=(), path="/routes", method="GET", **more):
        return request(self.gw.admin_port, method, "/apisix/admin" + path, dict(headers), **more)

    def assert_token(self, answer, description):
        self.assertEqual((answer.status, answer.json()), (401, {"error_msg": "failed to check token", "description": description}))

    def test_a_key_is_made_that_only_its_owner_can_read(self):
        key = self.gw.admin_key()
        self.assertGreaterEqual(len(key), 32)
        self.assertEqual(os.stat(os.path.join(self.gw.run_dir, "admin.key")).st_mode & 0o777, 0o600)
        self.assertNotIn(key, self.gw.log_text())
        self.restart()
        self.assertEqual(self.gw.admin_key(), key)

    def test_the_key_is_asked_for_in_header_query_and_cookie(self):
        key = self.gw.admin_key()
        self.assertEqual(self.call({"X-API-KEY": key}).status, 200)
        self.assertEqual(self.call(path="/routes?api_key=" + key).status, 200)
        self.assertEqual(self.call({"Cookie": "a=b; x_api_key=" + key}).status, 200)
        self.assert_token(self.call(), "missing apikey")
        self.assert_token(self.call({"X-API-KEY": key[:-1]}), "wrong apikey")
        self.assert_token(self.call({"X-API-KEY": key + "x"}), "wrong apikey")
        self.assert_token(self.call({"X-API-KEY": "edd1c9f034335f136f87ad84b625c8f1"}), "wrong apikey")
        self.assert_token(self.call(path="/nothing"), "missing apikey")

    def test_a_probe_needs_no_key(self):
        for path in ("/apisix/admin", "/apisix/admin/"):
            self.assertEqual(request(self.gw.admin_port, "HEAD", path).status, 200, path)
        self.assertEqual(request(self.gw.admin_port, "HEAD", "/apisix/admin/routes").status, 401)
        self.assertEqual(request(self.gw.admin_port, "HEAD", "/apisix/admin", {"Host": "elsewhere.test"}).status, 403)
        self.assert_token(request(self.gw.admin_port, "GET", "/apisix/admin"), "missing apikey")

    def test_the_api_is_not_on_the_other_ports(self):
        headers = {"X-API-KEY": self.gw.admin_key()}
        for port in (self.gw.port, self.gw.metrics_port):
            self.assertEqual(request(port, "GET", "/apisix/admin/routes", headers).status, 404)

    def test_well_known_keys_are_refused(self):
        for key in ("edd1c9f034335f136f87ad84b625c8f1", "4054f7cf07e344346cd3f287985e76a2"):
            for admin in ({"key": key}, {"admin_key": [{"name": "admin", "key": key, "role": "admin"}]}):
                path = self.gw.path("known.yaml")
                with open(path, "w") as f:
                    json.dump({"moongate": {"admin": admin}}, f)
                done = moongate("check", "-c", path)
                self.assertEqual(done.returncode, 1, done)
                self.assertIn("moongate.admin.", done.stdout + done.stderr)


class Roles(AdminCase):
    def setUp(self):
        self.port = free_port()
        keys = [{"name": "ops", "key": "o" * 32, "role": "admin"}, {"name": "eyes", "key": "v" * 32, "role": "viewer"}]
        self.gw = self.serve({"routes": []}, moongate={"admin": {"listen": f"127.0.0.1:{self.port}", "admin_key": keys, "hosts": ["admin.example"]}})
        self.gw.admin_port = self.port

    def call(self, method, key, path="/routes/1", body=None, headers=None):
        return request(self.port, method, "/apisix/admin" + path, {"X-API-KEY": key, **(headers or {})},
                       None if body is None else json.dumps(body).encode())

    def test_a_viewer_may_only_read(self):
        self.assertEqual(self.call("PUT", "o" * 32, body=mocking("/a", "a")).status, 201)
        self.assertEqual(self.call("GET", "v" * 32).status, 200)
        for method in ("PUT", "DELETE", "PATCH", "POST"):
            answer = self.call(method, "v" * 32, body=mocking("/a", "b"))
            self.assertEqual((answer.status, answer.json()["description"]), (401, "invalid method for role viewer"))
        self.assertEqual(self.gw.get("/a").body, b"a")
        with open(os.path.join(self.gw.run_dir, "audit.log")) as f:
            self.assertEqual(json.loads(f.readline())["actor"], "ops")

    def test_browsers_that_were_led_here_are_refused(self):
        key, own = "o" * 32, f"127.0.0.1:{self.port}"
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example"):
            self.assertEqual(self.call("GET", key, "/routes", headers={"Host": host}).status, 403, host)
        for host in (own, f"localhost:{self.port}", "[::1]", "admin.example"):
            self.assertEqual(self.call("GET", key, "/routes", headers={"Host": host}).status, 200, host)
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", f"http://localhost:{self.port}", "file://"):
            answer = self.call("PUT", key, body=mocking("/evil", "e"), headers={"Host": own, "Origin": origin})
            self.assertEqual(answer.status, 403, origin)
            self.assertIsNone(answer.get("Access-Control-Allow-Origin"), origin)
        for origin in (f"http://{own}", "https://admin.example", "https://admin.example:9000"):
            answer = self.call("GET", key, "/routes", headers={"Host": own, "Origin": origin})
            self.assertEqual(answer.status, 200, origin)
            self.assertEqual({k: answer.get(k) for k in CORS}, CORS)
        preflight = self.call("OPTIONS", "", headers={"Host": own, "Origin": "https://admin.example"})
        self.assertEqual((preflight.status, preflight.get("Access-Control-Allow-Methods")), (200, "POST, GET, PUT, OPTIONS, DELETE, PATCH"))
        self.assertEqual(self.gw.get("/evil").status, 404)

    def test_keys_and_addresses_change_with_a_reload(self):
        harness = self.gw.path("harness.yaml")
        with open(harness) as f:
            settings = json.load(f)
        settings["moongate"]["admin"].update({"admin_key": [{"name": "new", "key": "n" * 32}]})
        with open(harness, "w") as f:
            json.dump(settings, f)
        self.assertEqual(self.gw.reload().returncode, 0)
        self.assertEqual((self.call("GET", "o" * 32, "/routes").status, self.call("GET", "n" * 32, "/routes").status), (401, 200))
        settings["moongate"]["admin"].update({"allow_admin": ["10.0.0.0/8"]})
        with open(harness, "w") as f:
            json.dump(settings, f)
        self.assertEqual(self.gw.reload().returncode, 0)
        answer = self.call("GET", "n" * 32, "/routes")
        self.assertEqual(answer.status, 403)
        self.assertIn("moongate.admin.allow_admin", answer.json()["error_msg"])


class UnixSocket(AdminCase):
    def test_the_api_listens_on_a_unix_socket(self):
        gw = self.serve({"routes": []}, moongate={"admin": {"listen": "unix:admin.sock"}})
        path = gw.path("admin.sock")
        with Client(unix=path) as client:
            answer = client.request("PUT", "/apisix/admin/routes/1", {"X-API-KEY": gw.admin_key()}, json.dumps(mocking("/a", "a")).encode())
        self.assertEqual(answer.status, 201)
        gw.stop()
        self.assertFalse(os.path.exists(path))


@sanitized
class Http(AdminCase):
    def send(self, data):
        return raw(self.gw.admin_port, data)

    def test_a_connection_carries_many_requests(self):
        with Client(self.gw.admin_port) as client:
            for i in range(50):
                self.assertEqual(client.get("/apisix/admin/routes", {"X-API-KEY": self.gw.admin_key()}).status, 200)

    def test_bodies_up_to_the_limit_by_length_and_in_chunks(self):
        key = self.gw.admin_key()
        big = json.dumps({"content": "// " + "x" * 1_000_000}).encode()
        self.assertEqual(self.admin("PUT", "/protos/1", big).status, 201)
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(big[i:i + 70000]), big[i:i + 70000]) for i in range(0, len(big), 70000)) + b"0\r\n\r\n"
        head = f"PUT /apisix/admin/protos/2 HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        with Client(self.gw.admin_port) as client:
            client.send(head + chunks)
            self.assertEqual(client.read("PUT").status, 201)
            self.assertEqual(client.get("/apisix/admin/protos/2", {"X-API-KEY": key}).status, 200)

    def test_a_larger_body_is_refused_with_its_size(self):
        key = self.gw.admin_key()
        head = f"PUT /apisix/admin/protos/1 HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {key}\r\nContent-Length: 1572865\r\n\r\n".encode()
        with Client(self.gw.admin_port) as client:
            client.send(head)
            answer = client.read("PUT")
            self.assertEqual(answer.status, 400)
            self.assertEqual(answer.json()["error_msg"], "invalid request body: request size 1572865 is greater than the maximum size 1572864 allowed")
            self.assertTrue(client.is_closed())

    def test_a_client_that_waits_for_100_continue_gets_it(self):
        body = json.dumps(mocking("/a", "a")).encode()
        head = (f"PUT /apisix/admin/routes/1 HTTP/1.1\r\nHost: localhost\r\nX-API-KEY: {self.gw.admin_key()}\r\n"
                f"Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n").encode()
        with connect(self.gw.admin_port) as s:
            s.sendall(head)
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 100 "))
            s.sendall(body)
            self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 201 "))

    def test_what_is_no_http_is_refused(self):
        for data, status in ((b"nonsense\r\n\r\n", 400), (b"GET / HTTP/1.1\r\n\r\n", 400),
                             (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
                             (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                             (b"PUT /apisix/admin/routes/1 HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400)):
            with self.subTest(data=data[:60]):
                with Client(self.gw.admin_port) as client:
                    client.send(data)
                    self.assertEqual(client.read().status, status)
                    self.assertTrue(client.is_closed())

    def test_a_hundred_clients_at_once_do_not_hold_up_the_next(self):
        held = [connect(self.gw.admin_port) for _ in range(100)]
        for s in held:
            s.close()
        self.wait(self.answers, "an answer")

    def test_pipelined_requests_are_answered_in_order(self):
        one = request_bytes("GET", "/apisix/admin/routes/missing", {"X-API-KEY": self.gw.admin_key()})
        with Client(self.gw.admin_port) as client:
            client.send(one * 300)
            self.assertEqual([client.read().status for _ in range(300)], [404] * 300)


if __name__ == "__main__":
    unittest.main()
