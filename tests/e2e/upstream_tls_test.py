# SPDX-License-Identifier: Apache-2.0
"""TLS to upstreams: who is believed, what is shown, and that nothing verified for one name serves another."""

import os
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

from certificates import authority, certificate
from clock import Clock
from harness import HOST, TestCase, Upstream, free_port, moongate, needs_tls, ok, route, sanitized, tls_versions, wait_for

NAMES = ("a.test", "b.test")
UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
           "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}


def server_context(issued=None, version=None, clients=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued = issued or certificate("a.test", NAMES)
    context.load_cert_chain(issued.cert_path, issued.key_path)
    if version:
        context.minimum_version = context.maximum_version = version
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority(clients).cert_path)
    return context


def describe_tls(request, connection):
    """The connection as the server sees it."""
    sock = connection.sock
    peer = sock.getpeercert() if sock.context.verify_mode == ssl.CERT_REQUIRED else None
    subject = ",".join(v for rdn in (peer or {}).get("subject", ()) for _, v in rdn)
    return ok(f"{connection.number} {getattr(sock, 'asked_name', '')} {sock.version()} {sock.session_reused} {subject}")


class Names:
    """Keeps the names that clients asked for, in order."""

    def __init__(self, context):
        self.asked = []
        context.sni_callback = self.note

    def note(self, sock, name, _context):
        sock.asked_name = name
        self.asked.append(name)


@sanitized
class UpstreamTls(TestCase):
    def node(self, answer=describe_tls, context=None, **more):
        up = self.upstream(answer, tls=context or server_context(), **more)
        return up

    def serve_https(self, up, upstream=None, settings=None, nodes=None, resources=None, route_more=None, **more):
        r = route("/*", nodes or up, **(route_more or {}))
        r["upstream"].update({"scheme": "https", **(upstream or {})})
        trusted = {"upstream": {"tls_trusted_certificate": authority().cert_path, **(settings or {})}}
        return self.serve({"routes": [r], **(resources or {})}, moongate={**trusted, **more.pop("moongate", {})},
                          workers=more.pop("workers", 1), **more)

    def test_the_name_of_the_host_is_asked_for_and_verified(self):
        context = server_context()
        names = Names(context)
        gw = self.serve_https(self.node(context=context))
        answer = gw.get("/", host="A.Test:8443")
        self.assertEqual(answer.status, 200, answer.body)
        self.assert_error(gw.get("/", host="c.test"), 502, "certificate is not for c.test")
        self.assertEqual(names.asked, ["a.test", "c.test"])
        gw.wait_log("the server's certificate is not for c.test")

    def test_the_node_or_the_rewritten_host_is_verified_where_it_is_sent(self):
        context = server_context(certificate("localhost", ("localhost",)))
        names = Names(context)
        up = self.node(context=context)
        gw = self.serve_https(up, nodes={f"localhost:{up.port}": 1}, upstream={"pass_host": "node"},
                              moongate={"dns": {"hosts": {"localhost": HOST}}})
        self.assertEqual(gw.get("/", host="other.test").status, 200)
        gw.close()
        gw = self.serve_https(up, upstream={"pass_host": "rewrite", "upstream_host": "localhost"})
        answer = gw.get("/", host="other.test")
        self.assertEqual(answer.status, 200, answer.body + gw.log_text().encode())
        self.assertEqual(names.asked, ["localhost", "localhost"])

    def test_an_address_is_verified_and_never_sent_as_a_name(self):
        context = server_context(certificate("address", ("IP:127.0.0.1",)))
        names = Names(context)
        gw = self.serve_https(self.node(context=context), upstream={"pass_host": "node"})
        self.assertEqual(gw.get("/").status, 200)
        self.assertEqual(names.asked, [None])
        gw.close()
        gw = self.serve_https(self.node(), upstream={"pass_host": "node"})
        self.assert_error(gw.get("/"), 502, "not for 127.0.0.1")

    def test_an_unknown_authority_is_refused_unless_verification_is_off(self):
        up = self.node(context=server_context(certificate("a.test", issuer="strangers")))
        gw = self.serve_https(up)
        self.assert_error(gw.get("/", host="a.test"), 502, "not trusted")
        self.assertEqual(up.requests, [])
        gw.close()
        gw = self.serve_https(up, upstream={"tls": {"verify": False}})
        self.assertEqual(gw.get("/", host="a.test").status, 200)
        gw.close()
        gw = self.serve_https(up, settings={"tls_verify": False})
        self.assertEqual(gw.get("/", host="a.test").status, 200)
        gw.close()
        gw = self.serve_https(up, settings={"tls_verify": False}, upstream={"tls": {"verify": True}})
        self.assert_error(gw.get("/", host="a.test"), 502, "not trusted")

    def test_the_systems_authorities_do_not_know_ours(self):
        gw = self.serve_https(self.node(), settings={"tls_trusted_certificate": "off"})
        self.assert_error(gw.get("/", host="a.test"), 502, "not trusted")

    def test_the_systems_file_of_authorities_is_believed(self):
        for others in ((), ("01234567.0",)):    # in a folder beside it that has some one by one, the file is read when it is needed
            with self.subTest(others), tempfile.TemporaryDirectory() as folder:
                for name in others:
                    os.symlink(certificate("a.test").cert_path, os.path.join(folder, name))
                named = {"SSL_CERT_FILE": authority().cert_path, "SSL_CERT_DIR": folder}
                gw = self.serve_https(self.node(), settings={"tls_trusted_certificate": "off"}, env=named)
                self.assertEqual([gw.get("/", host="a.test").status for _ in range(3)], [200] * 3)
                gw.close()

    @needs_tls("SSL_CERT_DIR")
    def test_the_systems_folder_of_authorities_is_looked_into_when_one_is_needed(self):
        known = subprocess.run(["openssl", "x509", "-noout", "-hash", "-in", authority().cert_path], capture_output=True, text=True, check=True)
        with tempfile.TemporaryDirectory() as folder:
            os.symlink("/nowhere", os.path.join(folder, "01234567.0"))
            named = {"SSL_CERT_FILE": "/nowhere", "SSL_CERT_DIR": folder}
            gw = self.serve_https(self.node(), settings={"tls_trusted_certificate": "off"}, env=named)
            self.assert_error(gw.get("/", host="a.test"), 502, "not trusted")
            os.symlink(authority().cert_path, os.path.join(folder, known.stdout.strip() + ".0"))
            self.assertEqual(gw.get("/", host="a.test").status, 200)

    def test_an_expired_certificate_is_refused(self):
        gw = self.serve_https(self.node(context=server_context(certificate("a.test", days=-1))))
        self.assert_error(gw.get("/", host="a.test"), 502, "expired")

    def test_a_self_signed_certificate_serves_with_verification_off(self):
        up = self.node(context=server_context(authority("alone")))
        gw = self.serve_https(up)
        self.assert_error(gw.get("/", host="alone"), 502, "not trusted: self")
        gw.close()
        gw = self.serve_https(up, upstream={"tls": {"verify": False}})
        self.assertEqual(gw.get("/", host="alone").status, 200)

    def test_both_versions_are_spoken(self):
        for version, name in tls_versions().items():
            gw = self.serve_https(self.node(context=server_context(version=version)))
            self.assertIn(name.encode(), gw.get("/", host="a.test").body)
            gw.close()

    def test_a_server_that_knows_old_versions_only_is_refused(self):
        context = server_context()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        gw = self.serve_https(self.node(context=context), upstream={"tls": {"verify": False}})
        self.assert_error(gw.get("/", host="a.test"), 502, "the TLS handshake failed")

    def test_a_client_certificate_is_shown_where_it_is_asked_for(self):
        up = self.node(context=server_context(clients="clients"))
        known = certificate("gateway", issuer="clients")
        inline = {"tls": {"client_cert": known.cert, "client_key": known.key}}
        gw = self.serve_https(up, upstream=inline)
        self.assertTrue(gw.get("/", host="a.test").body.endswith(b" gateway"))
        gw.close()
        referred = {"client_cert": known.cert, "client_key": "$env://GATEWAY_KEY"}
        gw = self.serve_https(up, upstream={"tls": referred}, env={"GATEWAY_KEY": known.key})
        self.assertTrue(gw.get("/", host="a.test").body.endswith(b" gateway"))
        self.assertNotIn("PRIVATE KEY", gw.log_text() + gw.run("routes", "--json").stdout + gw.run("explain", "/").stdout)
        gw.close()
        gw = self.serve_https(up)
        self.assertEqual(gw.get("/", host="a.test").status, 502)

    def test_a_client_certificate_is_taken_from_an_ssl_and_follows_it(self):
        up = self.node(context=server_context(clients="clients"))

        def config(name):
            issued = certificate(name, issuer="clients")
            r = route("/*", up)
            r["upstream"].update({"scheme": "https", "tls": {"client_cert_id": "own"}})
            return {"routes": [r], "ssls": [{"id": "own", "type": "client", "cert": issued.cert, "key": issued.key}]}

        gw = self.serve(config("first"), moongate={"upstream": {"tls_trusted_certificate": authority().cert_path}}, workers=1)
        with gw.client() as client:
            self.assertTrue(client.get("/", host="a.test").body.endswith(b" first"))
            gw.apply(config("second"))
            self.assertTrue(client.get("/", host="a.test").body.endswith(b" second"))
            wait_for(lambda: up.connections[0].is_closed, 10, "the end of the connection with the old certificate")

    def test_a_reload_that_changes_nothing_keeps_the_connections(self):
        up = self.node()
        gw = self.serve_https(up)
        with gw.client() as client:
            client.get("/", host="a.test")
            r = route("/*", up)
            r["upstream"].update({"scheme": "https"})
            gw.apply({"routes": [r, route("/other", up)]})
            client.get("/", host="a.test")
        self.assertEqual(up.connection_count, 1)

    def test_a_connection_is_kept_whatever_the_size_of_the_answer(self):
        up = self.node(lambda request, _: ok(bytes(int(request.target[1:]))))
        gw = self.serve_https(up)
        with gw.client() as client:
            for size in (0, 1, 1000, 4096, 16 * 1024, 40_000, 100_000):
                self.assertEqual(len(client.get(f"/{size}", host="a.test").body), size)
        self.assertEqual((up.request_count, up.connection_count), (7, 1))

    def test_a_kept_connection_serves_after_a_pause(self):
        clock = Clock(self)
        up = self.node()
        gw = self.serve_https(up, env=clock.env)
        for _ in range(3):
            self.assertEqual(gw.get("/", host="a.test").status, 200)
            clock.advance(5)
            self.assertIn(b" 400 ", gw.raw(b"nothing\r\n\r\n"))    # a turn in which the pause is noticed
        self.assertEqual(up.connection_count, 1)

    def test_a_connection_is_kept_for_its_own_name_only(self):
        up = self.node()
        gw = self.serve_https(up)
        with gw.client() as client:
            seen = [client.get("/", host=h).body.split()[0] for h in ("a.test", "b.test", "a.test", "b.test", "a.test")]
        self.assertEqual(seen, [b"1", b"2", b"1", b"2", b"1"])

    def test_upstreams_that_verify_differently_share_no_connection(self):
        up = self.node()
        lax = route("/lax", up, id="lax")
        lax["upstream"].update({"scheme": "https", "tls": {"verify": False}})
        strict = route("/strict", up, id="strict")
        strict["upstream"].update({"scheme": "https"})
        gw = self.serve({"routes": [lax, strict]}, moongate={"upstream": {"tls_trusted_certificate": authority().cert_path}},
                        workers=1)
        with gw.client() as client:
            seen = [client.get(p, host="a.test").body.split()[0] for p in ("/lax", "/strict", "/lax")]
        self.assertEqual(seen, [b"1", b"2", b"1"])

    def test_a_session_is_resumed_with_the_same_name_only(self):
        for version in tls_versions():
            up = self.node(context=server_context(version=version))
            gw = self.serve_https(up, moongate={"upstream": {"tls_trusted_certificate": authority().cert_path, "keepalive_size": 0}})
            with gw.client() as client:
                reused = [client.get("/", host=h).body.split()[-1] for h in ("a.test", "a.test", "b.test", "a.test")]
            self.assertEqual(reused, [b"False", b"True", b"False", b"True"])
            gw.close()

    def test_a_failed_handshake_is_tried_at_the_next_node(self):
        bad = self.node(context=server_context(certificate("a.test", issuer="strangers")))
        good = self.node()
        gw = self.serve_https(good, nodes=[{"host": HOST, "port": u.port, "weight": 1, "priority": p}
                                           for u, p in ((bad, 2), (good, 1))])
        answer = gw.client().request("POST", "/", body=b"x" * 1000, host="a.test")
        self.assertEqual(answer.status, 200)
        self.assertEqual((len(bad.requests), len(good.requests)), (0, 1))

    def silent_node(self, at_accept):
        listener = socket.create_server((HOST, 0))
        self.addCleanup(listener.close)
        held = []

        def accept():
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                held.append(sock)
                at_accept(sock)
        threading.Thread(target=accept, daemon=True).start()
        self.addCleanup(lambda: [s.close() for s in held])
        return {f"{HOST}:{listener.getsockname()[1]}": 1}

    def test_a_server_that_says_nothing_ends_with_the_connect_timeout(self):
        nodes = self.silent_node(lambda sock: None)
        gw = self.serve_https(None, nodes=nodes, upstream={"timeout": {"connect": 1, "send": 30, "read": 30}})
        self.assert_error(gw.get("/", host="a.test"), 504, "the TLS handshake took too long")

    def test_a_server_that_leaves_or_speaks_clear_text_ends_the_try(self):
        nodes = self.silent_node(lambda sock: sock.close())
        gw = self.serve_https(None, nodes=nodes)
        self.assert_error(gw.get("/", host="a.test"), 502)
        gw.close()
        gw = self.serve_https(None, nodes=self.silent_node(lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
        self.assert_error(gw.get("/", host="a.test"), 502, "the TLS handshake failed")

    def test_large_bodies_pass_both_ways(self):
        size = 16 * 1024 * 1024
        body = os.urandom(1024) * (size // 1024)
        up = self.node(lambda request, _: ok(request.body))
        gw = self.serve_https(up)
        with gw.client(timeout=60) as client:
            for _ in range(2):
                self.assertTrue(client.request("POST", "/", body=body, host="a.test").body == body)
        self.assertEqual((up.connection_count, up.faults), (1, []))

    def test_an_answer_without_length_ends_with_close_notify_only(self):
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"

        def polite(_request, connection):
            connection.send(head + b"whole")
            connection.sock.unwrap()

        def rude(_request, connection):
            connection.send(head + b"half")
            connection.close()

        gw = self.serve_https(self.node(polite))
        self.assertEqual(gw.get("/", host="a.test").body, b"whole")
        gw.close()
        gw = self.serve_https(self.node(rude))
        with self.assertRaises(Exception):
            gw.get("/", host="a.test")
        gw.close()

        def rude_with_length(_request, connection):
            connection.send(ok(b"whole"))
            connection.close()
        gw = self.serve_https(self.node(rude_with_length))
        self.assertEqual([gw.get("/", host="a.test").body for _ in range(3)], [b"whole"] * 3)

    def test_a_kept_connection_that_the_node_closed_is_replaced(self):
        up = self.node()
        gw = self.serve_https(up)
        with gw.client() as client:
            client.get("/", host="a.test")
            up.drop_connections()
            self.assertEqual(client.get("/", host="a.test").status, 200)

    def test_a_tunnel_goes_through(self):
        def echoing(request, connection):
            connection.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
            while True:
                data = connection.sock.recv(65536)
                if not data:
                    return
                connection.send(data)

        gw = self.serve_https(self.node(echoing), route_more={"enable_websocket": True})
        with gw.client() as client:
            self.assertEqual(client.request("GET", "/", UPGRADE, host="a.test").status, 101)
            self.assertEqual(client.reader.exactly(5), b"hello")
            data = os.urandom(300000)
            threading.Thread(target=client.sock.sendall, args=(data,), daemon=True).start()
            self.assertEqual(client.reader.exactly(len(data)), data)
            client.sock.shutdown(socket.SHUT_WR)
            self.assertEqual(client.sock.recv(10), b"")

    def test_a_plugin_chooses_the_scheme(self):
        secure, plain = self.node(), self.upstream(ok("plain"))
        code = "return function(conf, ctx) ctx.var.upstream_scheme = '%s' end"
        routes = [route("/" + scheme, up, id=scheme, plugins={"serverless-pre-function": {"phase": phase, "functions": [code % scheme]}})
                  for scheme, up, phase in (("https", secure, "rewrite"), ("http", plain, "before_proxy"), ("ftp", plain, "access"))]
        routes[1]["upstream"]["scheme"] = "https"
        gw = self.serve({"routes": routes}, moongate={"upstream": {"tls_trusted_certificate": authority().cert_path}}, workers=1)
        with gw.client() as client:
            for _ in range(3):
                self.assertIn(b"TLSv1", client.get("/https", host="a.test").body)
                self.assertEqual(client.get("/http", host="a.test").body, b"plain")
        self.assertEqual((secure.connection_count, plain.connection_count), (1, 1))
        self.assert_error(gw.get("/ftp"), 500, "none of http, https, grpc and grpcs")

    def test_a_trusted_file_that_changes_counts_after_the_reload(self):
        r = route("/*", self.node(context=server_context(certificate("a.test", issuer="later"))))
        r["upstream"].update({"scheme": "https"})
        gw = self.serve({"routes": [r]}, files={"trusted.pem": authority().cert},
                        moongate={"upstream": {"tls_trusted_certificate": "trusted.pem"}}, workers=1)
        self.assertEqual(gw.get("/", host="a.test").status, 502)
        with open(gw.path("trusted.pem"), "a") as f:
            f.write(authority("later").cert)
        self.assertEqual(gw.reload().returncode, 0)
        answer = gw.get("/", host="a.test")
        self.assertEqual(answer.status, 200, answer.body)


ASK = """return function(conf, ctx)
  local client = require("resty.http").new()
  local out = {}
  for _, params in ipairs({ %s }) do
    params.headers = { Host = "a.test" }
    local res, err = client:request_uri("https://127.0.0.1:%d/", params)
    out[#out + 1] = res and res.status .. " " .. res.body or err
  end
  return 200, table.concat(out, ";")
end"""

TALK = """return function(conf, ctx)
  local sock = ngx.socket.tcp()
  sock:settimeout(%d)
  assert(sock:connect("127.0.0.1", %d))
  local ok, err = sock:sslhandshake(nil, %s)
  if not ok then return 200, err end
  sock:send("GET / HTTP/1.0\\r\\n\\r\\n")
  return 200, tostring(ok) .. " " .. tostring(sock:receive("*l"))
end"""


@sanitized
class PluginsTls(TestCase):
    def run_code(self, code, **more):
        r = route("/", plugins={"serverless-pre-function": {"phase": "access", "functions": [code]}})
        gw = self.serve({"routes": [r]}, moongate={"upstream": {"tls_trusted_certificate": authority().cert_path}}, workers=1, **more)
        return gw.get("/").body.decode()

    def test_the_client_of_plugins_verifies_unless_told_not_to(self):
        context = server_context()
        names = Names(context)
        up = self.upstream(describe_tls, tls=context)
        params = '{ ssl_server_name = "a.test" }, {}, { ssl_verify = false }, { ssl_server_name = "b.test" }, { ssl_server_name = "A.test" }'
        answers = self.run_code(ASK % (params, up.port)).split(";")
        self.assertRegex(answers[0], "^200 1 a.test %s False" % max(tls_versions().values()))
        self.assertEqual(answers[1], "handshake failed: the server's certificate is not for 127.0.0.1")
        self.assertRegex(answers[2], "^200 [23] None")
        self.assertRegex(answers[3], "^200 [34] b.test")
        self.assertRegex(answers[4], "^200 1 a.test|^200 [45] a.test")
        self.assertEqual(set(names.asked), {"a.test", "b.test", None})

    def test_an_unknown_authority_is_refused(self):
        up = self.upstream(ok("never"), tls=server_context(certificate("a.test", issuer="strangers")))
        self.assertIn("not trusted", self.run_code(ASK % ('{ ssl_server_name = "a.test" }', up.port)))
        self.assertEqual(up.requests, [])

    def test_a_kept_connection_serves_its_own_name_and_verification_only(self):
        up = self.upstream(describe_tls, tls=server_context())
        same = '{ ssl_server_name = "a.test" }, { ssl_server_name = "a.test" }, { ssl_server_name = "b.test" }, { ssl_verify = false }'
        answers = self.run_code(ASK % (same, up.port)).split(";")
        self.assertEqual([a.split()[1] for a in answers], ["1", "1", "2", "3"])
        forced = '{ ssl_verify = false, pool = "p" }, { ssl_server_name = "a.test", pool = "p" }'
        answers = self.run_code(ASK % (forced, up.port)).split(";")
        self.assertIn("verified for another server", answers[1])

    def test_a_socket_verifies_when_it_is_asked_to(self):
        up = self.upstream(ok("hello"), tls=server_context())
        self.assertEqual(self.run_code(TALK % (10000, up.port, '"a.test", true')), "true HTTP/1.1 200 OK")
        self.assertEqual(self.run_code(TALK % (10000, up.port, '"c.test"')), "true HTTP/1.1 200 OK")
        self.assertIn("not for c.test", self.run_code(TALK % (10000, up.port, '"c.test", true')))

    def test_a_server_that_says_nothing_ends_the_handshake_with_the_timeout(self):
        listener = socket.create_server((HOST, 0))
        self.addCleanup(listener.close)
        self.assertEqual(self.run_code(TALK % (500, listener.getsockname()[1], '"a.test", true')), "timeout")

    def test_large_answers_come_whole(self):
        body = os.urandom(1024) * 4096
        up = self.upstream(ok(body), tls=server_context())
        code = ASK.replace('.. res.body', '.. #res.body') % ('{ ssl_server_name = "a.test" }, { ssl_server_name = "a.test" }', up.port)
        self.assertEqual(self.run_code(code), f"200 {len(body)};200 {len(body)}")


class Refusals(TestCase):
    def check(self, config, settings=None):
        import json
        import tempfile
        folder = tempfile.TemporaryDirectory(prefix="moongate-check-")
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "moongate.yaml")
        with open(path, "w") as f:
            json.dump({**config, "moongate": settings or {}}, f, indent=1)
        done = moongate("check", "-c", path)
        return done.returncode, done.stdout + done.stderr

    def upstream_with(self, tls, ssls=()):
        return {"upstreams": [{"id": "u", "scheme": "https", "nodes": {"127.0.0.1:1": 1}, "tls": tls}], "ssls": list(ssls)}

    def refused(self, config, text, settings=None):
        status, output = self.check(config, settings)
        self.assertNotEqual(status, 0, output)
        self.assertRegex(output, text)
        self.assertNotIn("PRIVATE KEY", output)

    def test_certificates_that_cannot_be_shown_are_named_with_their_line(self):
        first, second = certificate("first"), certificate("second")
        ssl_of = lambda **more: {"id": "s", "cert": first.cert, "key": first.key, **more}
        line = r"moongate\.yaml:\d+: upstreams\[0\]\.tls\."
        refer = {"client_cert_id": "s"}
        self.refused(self.upstream_with(refer), line + "client_cert_id: failed to fetch ssl info by ssl id .s., response code: 404")
        self.refused(self.upstream_with(refer, [ssl_of(snis=["first"])]), line + "client_cert_id: failed to fetch ssl info by ssl id .s., wrong ssl type")
        self.refused(self.upstream_with(refer, [ssl_of(type="client", status=0)]), line + "client_cert_id: the ssl s is switched off")
        self.refused(self.upstream_with(refer, [ssl_of(type="client", key=second.key)]),
                     r"moongate\.yaml:\d+: ssls\[0\]\.key: the key does not belong to the certificate")
        self.refused(self.upstream_with({"client_cert": first.cert, "client_key": second.key}),
                     line + "client_key: the key does not belong")
        self.refused(self.upstream_with({"client_cert": "no certificate" * 20, "client_key": first.key}),
                     line + "client_cert: it holds no certificate")
        self.refused(self.upstream_with({"client_cert": first.cert, "client_key": "$env://NOT_THERE"}),
                     line + "client_key: the environment variable NOT_THERE is not set")

    def test_an_expired_certificate_is_warned_about(self):
        old = certificate("old", days=-1)
        status, output = self.check(self.upstream_with({"client_cert": old.cert, "client_key": old.key}))
        self.assertEqual(status, 0, output)
        self.assertRegex(output, r"moongate\.yaml:\d+: upstreams\[0\]\.tls\.client_cert: .* expired on")

    def test_a_trusted_file_that_cannot_be_used_is_named_with_its_line(self):
        for path, text in (("/nonexistent.pem", "cannot be read"), (__file__, "no certificate in PEM form")):
            self.refused({"routes": []}, r"moongate\.yaml:\d+: moongate\.upstream\.tls_trusted_certificate: .*" + text,
                         {"upstream": {"tls_trusted_certificate": path}})


if __name__ == "__main__":
    unittest.main()
