# SPDX-License-Identifier: Apache-2.0
"""What tests of TLS share: a client, resources, and a route that tells what the gateway knows of the connection."""

import socket
import ssl

from certificates import authority
from harness import HOST, Client, TestCase, free_port, route
from wire import Reader


def trusting(issuer="authority", client=None, version=None):
    context = ssl.create_default_context(cafile=authority(issuer).cert_path)
    if client:
        context.load_cert_chain(client.cert_path, client.key_path)
    if version:
        context.minimum_version = context.maximum_version = version
    return context


class TlsClient(Client):
    """One TLS connection."""

    def __init__(self, port, name="a.test", context=None, session=None, before=b"", timeout=50.0):
        raw = socket.create_connection((HOST, port), timeout)
        raw.sendall(before)
        self.sock = (context or trusting()).wrap_socket(raw, server_hostname=name, session=session)
        self.reader = Reader(self.sock)
        self.name = name

    def get(self, target="/", headers=None, **more):
        return self.request("GET", target, headers, **{"host": self.name, **more})


def resource(id, names, issued, **more):
    return {"id": id, "snis": list(names), "cert": issued.cert, "key": issued.key, **more}


VARIABLES = route("/who", plugins={
    "mocking": {"response_example": "who", "content_type": "text/plain"},
    "response-rewrite": {"headers": {"set": {
        "X-Version": "$ssl_protocol", "X-Name": "$ssl_server_name", "X-Resumed": "$ssl_session_reused", "X-Scheme": "$scheme",
        "X-Verify": "$ssl_client_verify", "X-Subject": "$ssl_client_s_dn", "X-Serial": "$ssl_client_serial"}}}}, id="who")


class TlsTestCase(TestCase):
    def serve_tls(self, ssls, routes=(VARIABLES,), proxy_protocol=False, workers=2, **more):
        self.tls_port = free_port()
        listen = [f"{HOST}:PORT", {"address": f"{HOST}:{self.tls_port}", "tls": True, "proxy_protocol": proxy_protocol}]
        return self.serve({"routes": list(routes), "ssls": ssls}, listen=listen, workers=workers, **more)

    @staticmethod
    def ended(client):
        """Whether the connection is over; for wait_for, as an alert may come first."""
        try:
            return client.sock.recv(1000) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def refused(self, **more):
        """Whether the handshake fails, by an alert or a close."""
        try:
            with TlsClient(self.tls_port, **more) as client:
                client.get("/who")
            return False
        except (ssl.SSLError, ConnectionError):
            return True
