# SPDX-License-Identifier: Apache-2.0
"""TLS's rules one by one: handshakes and records that may not be, byte by byte, and those that may. Each ends with an alert of
the kind that RFC 8446 or 5246 names, or a close, and nobody else notices."""

import contextlib
import os
import random
import socket
import ssl
import struct
import subprocess
import unittest

from certificates import authority, certificate
from harness import HOST, need, needs_tls, sanitized
from mbedtls_client import MbedtlsClient
from tls_client import TlsClient, TlsTestCase, resource, trusting

HANDSHAKE, ALERT, CHANGE_CIPHER_SPEC, DATA = 22, 21, 20, 23
CLIENT_HELLO, SERVER_HELLO, CERTIFICATE, FINISHED, CLIENT_KEY_EXCHANGE = 1, 2, 11, 20, 16
SERVER_NAME, FRAGMENT_LENGTH, GROUPS, SIGNATURES, ALPN, TICKET, EARLY_DATA, KEY_SHARE = 0, 1, 10, 13, 16, 35, 42, 51
UNEXPECTED_MESSAGE, RECORD_OVERFLOW, HANDSHAKE_FAILURE, ILLEGAL_PARAMETER, DECODE_ERROR, PROTOCOL_VERSION, NO_APPLICATION_PROTOCOL = \
    10, 22, 40, 47, 50, 70, 120
DOWNGRADE_TO_12 = b"DOWNGRD\x01"


def sized(width, data):
    return len(data).to_bytes(width, "big") + data


def record(kind, data, version=0x0303):
    return struct.pack("!BHH", kind, version, len(data)) + data


def handshake(kind, body):
    return bytes((kind,)) + sized(3, body)


class Hello:
    """A ClientHello as OpenSSL writes it, taken apart."""

    def __init__(self, version=None, name="a.test", alpn=("http/1.1",)):
        context = trusting(version=version)
        context.set_alpn_protocols(list(alpn))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing, server_hostname=name)
        try:
            client.do_handshake()
        except ssl.SSLWantReadError:
            pass
        body, at = outgoing.read()[9:], 34
        self.version, self.random = body[:2], body[2:34]
        self.session, at = self.take(body, at, 1)
        self.ciphers, at = self.take(body, at, 2)
        self.compression, at = self.take(body, at, 1)
        rest, _ = self.take(body, at, 2)
        self.extensions, at = [], 0
        while at < len(rest):
            kind = int.from_bytes(rest[at:at + 2], "big")
            data, at = self.take(rest, at + 2, 2)
            self.extensions.append((kind, data))

    @staticmethod
    def take(data, at, width):
        size = int.from_bytes(data[at:at + width], "big")
        return data[at + width:at + width + size], at + width + size

    def set(self, kind, data):
        """With this extension in place of the one of its kind, or at its end (before a PSK there is none)."""
        had = [k for k, _ in self.extensions]
        self.extensions = [(k, data if k == kind else d) for k, d in self.extensions] + ([] if kind in had else [(kind, data)])
        return self

    def add(self, kind, data):
        self.extensions.append((kind, data))
        return self

    def change(self, **fields):
        self.__dict__.update(fields)
        return self

    def body(self):
        extensions = b"".join(struct.pack("!H", k) + sized(2, d) for k, d in self.extensions)
        return self.version + self.random + sized(1, self.session) + sized(2, self.ciphers) + sized(1, self.compression) + sized(2, extensions)

    def message(self):
        return handshake(CLIENT_HELLO, self.body())

    def bytes(self):
        return record(HANDSHAKE, self.message(), 0x0301)


def names(*list_of):
    return sized(2, b"".join(bytes((kind,)) + sized(2, name) for kind, name in list_of))


def protocols(*list_of):
    return sized(2, b"".join(sized(1, name) for name in list_of))


class RulesTestCase(TlsTestCase):
    def setUp(self):
        self.gw = self.serve_tls([resource("1", ["a.test"], certificate("a.test"))])

    def answer(self, data):
        """(kind of the first record, its bytes) that come back; (None, b"") for a connection that is closed."""
        with socket.create_connection((HOST, self.tls_port), 50) as sock:
            try:
                sock.sendall(data)
                return self.read_record(sock)
            except ConnectionError:
                return None, b""

    @staticmethod
    def read_record(sock):
        head = b""
        while len(head) < 5:
            part = sock.recv(5 - len(head))
            if not part:
                return None, b""
            head += part
        size, data = int.from_bytes(head[3:], "big"), b""
        while len(data) < size:
            part = sock.recv(size - len(data))
            if not part:
                return None, b""
            data += part
        return head[0], data

    def assert_refused(self, cases):
        for what, data in cases.items():
            with self.subTest(what):
                kind, said = self.answer(data)
                self.assertIn(kind, (ALERT, None))
                if kind == ALERT:
                    self.assertEqual(said[0], 2, "a fatal alert")
        self.assert_serving()

    def assert_agreed(self, cases):
        for what, data in cases.items():
            with self.subTest(what):
                kind, said = self.answer(data)
                self.assertEqual((kind, said[:1]), (HANDSHAKE, bytes((SERVER_HELLO,))))

    def assert_serving(self):
        with TlsClient(self.tls_port) as client:
            self.assertEqual(client.get("/who").status, 200)


@sanitized
class ClientHellos(RulesTestCase):
    def test_hellos_that_may_not_be_are_refused(self):
        cut = {f"cut after {size}, whole by its length": record(HANDSHAKE, handshake(CLIENT_HELLO, Hello().body()[:size]))
               for size in (0, 1, 33, 34, 35, 40, 60, 70, 100)}
        self.assert_refused({
            **cut,
            "bytes behind the extensions": record(HANDSHAKE, handshake(CLIENT_HELLO, Hello().body() + b"x")),
            "an extension longer than all": record(HANDSHAKE, handshake(CLIENT_HELLO, Hello().add(0xfafa, b"xx").body()[:-4] + b"\xff\xffxx")),
            "the same extension twice": Hello().add(GROUPS, dict(Hello().extensions)[GROUPS]).bytes(),
            "a session id of 33 bytes": Hello().change(session=b"x" * 33).bytes(),
            "no ciphers": Hello().change(ciphers=b"").bytes(),
            "half a cipher": Hello().change(ciphers=b"\x13\x01\x13").bytes(),
            "no ciphers that are known": Hello().change(ciphers=b"\xfa\xfa\xfa\xfb").bytes(),
            "no compression": Hello().change(compression=b"").bytes(),
            "compression other than none alone": Hello().change(compression=b"\x01").bytes(),
            "an empty list of groups": Hello().set(GROUPS, b"\0\0").bytes(),
            "an empty list of signatures": Hello().set(SIGNATURES, b"\0\0").bytes(),
            "a length of fragments that is none": Hello().add(FRAGMENT_LENGTH, b"\0").bytes(),
            "half a group": Hello().set(GROUPS, b"\0\3\0\x1d\0").bytes(),
            "no version that is spoken": Hello(ssl.TLSVersion.TLSv1_2).change(version=b"\x02\xff").bytes(),
            "SSL 3.0": Hello(ssl.TLSVersion.TLSv1_2).change(version=b"\x03\x00").bytes(),
            "another message than a hello": record(HANDSHAKE, handshake(FINISHED, b"x" * 32)),
            "a hello of a server": record(HANDSHAKE, handshake(SERVER_HELLO, Hello().body())),
        })

    def test_what_is_wrong_with_a_hello_is_said(self):
        of12 = ssl.TLSVersion.TLSv1_2
        for what, data, alert in (
                ("bytes behind the extensions", record(HANDSHAKE, handshake(CLIENT_HELLO, Hello().body() + b"x")), DECODE_ERROR),
                ("a session id of 33 bytes", Hello().change(session=b"x" * 33).bytes(), DECODE_ERROR),
                ("half a cipher", Hello().change(ciphers=b"\x13\x01\x13").bytes(), DECODE_ERROR),
                ("two names", Hello().set(SERVER_NAME, names((0, b"a.test"), (0, b"a.test"))).bytes(), DECODE_ERROR),
                ("an empty list of groups", Hello().set(GROUPS, b"\0\0").bytes(), DECODE_ERROR),
                ("the same extension twice", Hello().add(GROUPS, dict(Hello().extensions)[GROUPS]).bytes(), ILLEGAL_PARAMETER),
                ("a length of fragments that is none", Hello().add(FRAGMENT_LENGTH, b"\x05").bytes(), ILLEGAL_PARAMETER),
                ("no ciphers that are known", Hello().change(ciphers=b"\xfa\xfa\xfa\xfb").bytes(), HANDSHAKE_FAILURE),
                ("no signatures that are known", Hello(of12).set(SIGNATURES, b"\0\2\xfa\xfa").bytes(), HANDSHAKE_FAILURE),
                ("no protocol that is spoken", Hello().set(ALPN, protocols(b"smtp")).bytes(), NO_APPLICATION_PROTOCOL),
                ("SSL 3.0", Hello(of12).change(version=b"\x03\x00").bytes(), PROTOCOL_VERSION),
                ("SSL 3.0 and newer versions", Hello().change(version=b"\x03\x00").bytes(), PROTOCOL_VERSION),
                ("data", record(DATA, b"GET / HTTP/1.1\r\n\r\n"), UNEXPECTED_MESSAGE),
                ("a record too long", struct.pack("!BHH", HANDSHAKE, 0x0301, 0x4801) + b"\x01" + b"x" * 100, RECORD_OVERFLOW)):
            with self.subTest(what):
                self.assertEqual(self.answer(data), (ALERT, bytes((2, alert))))

    def test_keys_that_cost_a_hundred_times_as_much_are_not_made(self):
        self.assertEqual(self.answer(Hello().set(GROUPS, b"\0\x0a\1\0\1\1\1\2\1\3\1\4").set(KEY_SHARE, sized(2, b"\1\4" + sized(2, b"x" * 1024))).bytes()),
                         (ALERT, bytes((2, HANDSHAKE_FAILURE))))

    @needs_tls("TLSv1.3")
    def test_a_second_hello_wants_the_same_name(self):
        for name, wanted in ((b"a.test", SERVER_HELLO), (b"b.test", None)):
            with self.subTest(name), socket.create_connection((HOST, self.tls_port), 50) as sock:
                hello = Hello().set(KEY_SHARE, b"\0\0")  # none of the keys that are taken: another hello is asked for
                sock.sendall(hello.bytes())
                self.assertEqual(self.read_record(sock)[0], HANDSHAKE)
                self.assertEqual(self.read_record(sock)[0], CHANGE_CIPHER_SPEC)
                key = dict(Hello().extensions)[KEY_SHARE]
                sock.sendall(hello.set(KEY_SHARE, key).set(SERVER_NAME, names((0, name))).bytes())
                kind, said = self.read_record(sock)
                self.assertEqual((kind, said[:2]), (HANDSHAKE, said[:2]) if wanted else (ALERT, bytes((2, ILLEGAL_PARAMETER))))

    def test_server_names_that_may_not_be_are_refused(self):
        self.assert_refused({
            "an empty list": Hello().set(SERVER_NAME, b"\0\0").bytes(),
            "a list that is longer than its extension": Hello().set(SERVER_NAME, b"\0\x20" + names((0, b"a.test"))[2:]).bytes(),
            "bytes behind the list": Hello().set(SERVER_NAME, names((0, b"a.test")) + b"x").bytes(),
            "an empty name": Hello().set(SERVER_NAME, names((0, b""))).bytes(),
            "a name longer than the list": Hello().set(SERVER_NAME, b"\0\x09\0\0\xffa.test").bytes(),
            "two names": Hello().set(SERVER_NAME, names((0, b"a.test"), (0, b"a.test"))).bytes(),
            "a name with a NUL": Hello().set(SERVER_NAME, names((0, b"a.test\0.evil.test"))).bytes(),
            "a name of 300 bytes": Hello().set(SERVER_NAME, names((0, b"a" * 300))).bytes(),
            "one byte": Hello().set(SERVER_NAME, b"\0").bytes(),
        })

    def test_protocols_that_may_not_be_are_refused(self):
        self.assert_refused({
            "an empty list": Hello().set(ALPN, b"\0\0").bytes(),
            "nothing at all": Hello().set(ALPN, b"").bytes(),
            "an empty name": Hello().set(ALPN, protocols(b"http/1.1", b"")).bytes(),
            "a name longer than the list": Hello().set(ALPN, b"\0\x03\x08ht").bytes(),
            "a list longer than its extension": Hello().set(ALPN, b"\0\x20" + protocols(b"http/1.1")[2:]).bytes(),
        })

    def test_what_nobody_knows_is_passed_over(self):
        message = Hello().message()
        self.assert_agreed({
            "as it is": Hello().bytes(),
            "unknown extensions": Hello().add(0xfafa, b"").add(0x1234, os.urandom(500)).bytes(),
            "unknown ciphers and groups": Hello().change(ciphers=b"\xfa\xfa" + Hello().ciphers).bytes(),
            "protocols that are not spoken, and one that is": Hello().set(ALPN, protocols(b"x", b"y" * 255, b"http/1.1")).bytes(),
            "a ticket that was never given": Hello(ssl.TLSVersion.TLSv1_2).set(TICKET, os.urandom(180)).bytes(),
            "a session that was never had": Hello(ssl.TLSVersion.TLSv1_2).change(session=os.urandom(32)).bytes(),
            "further compressions": Hello(ssl.TLSVersion.TLSv1_2).change(compression=b"\0\x01").bytes(),
            **{f"a hello in records of {size}": b"".join(record(HANDSHAKE, message[i:i + size], 0x0301) for i in range(0, len(message), size))
               for size in (1, 16)},
        })

    @needs_tls("TLSv1.3")
    def test_a_fallback_to_an_older_version_is_marked(self):
        kind, said = self.answer(Hello(ssl.TLSVersion.TLSv1_2).bytes())
        self.assertEqual(kind, HANDSHAKE)
        self.assertEqual(said[6 + 24:6 + 32], DOWNGRADE_TO_12)
        kind, said = self.answer(Hello(ssl.TLSVersion.TLSv1_3).bytes())
        self.assertNotEqual(said[6 + 24:6 + 32], DOWNGRADE_TO_12)

    def test_random_changes_of_a_hello_crash_nothing(self):
        pick, good = random.Random(7), Hello().bytes()
        pids = self.gw.worker_pids()
        for _ in range(300):
            data = bytearray(good)
            for _ in range(pick.randint(1, 4)):
                data[pick.randrange(5, len(data))] = pick.randrange(256)
            with socket.create_connection((HOST, self.tls_port), 50) as sock:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                self.read_record(sock)
        self.assert_serving()
        self.assertEqual(self.gw.worker_pids(), pids)


@sanitized
class Records(RulesTestCase):
    def test_records_that_may_not_begin_a_connection_end_it(self):
        self.assert_refused({
            "of an unknown kind": record(99, b"x"),
            "longer than one may be": struct.pack("!BHH", HANDSHAKE, 0x0301, 0x4801) + b"\x01" + b"x" * 100,
            "of another version": struct.pack("!BHH", HANDSHAKE, 0x0505, 5) + b"xxxxx",
            "data": record(DATA, b"GET / HTTP/1.1\r\n\r\n"),
            "a fatal alert": record(ALERT, b"\x02\x28"),
            "a goodbye": record(ALERT, b"\x01\x00"),
            "half an alert": record(ALERT, b"\x02"),
            "a change of ciphers before all": record(CHANGE_CIPHER_SPEC, b"\x01"),
            "a change of ciphers that is none": record(CHANGE_CIPHER_SPEC, b"\x02"),
            "HTTP in clear": b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            "a hello of SSL 2": b"\x80\x2e\x01\x00\x02" + b"\0" * 43,
        })

    def test_messages_out_of_turn_end_the_handshake(self):
        for version in (ssl.TLSVersion.TLSv1_2, None):
            hello = Hello(version).bytes()
            for what, data in (("data", record(DATA, b"early")), ("a change of ciphers twice and with more", record(CHANGE_CIPHER_SPEC, b"\x01\x01")),
                               ("a second hello", hello), ("a Finished in clear", record(HANDSHAKE, handshake(FINISHED, b"x" * 12))),
                               ("an unknown message", record(HANDSHAKE, handshake(99, b""))),
                               ("a key that is none", record(HANDSHAKE, handshake(CLIENT_KEY_EXCHANGE, b"\x05xxxxx")))):
                with self.subTest(f"{version}: {what}"), socket.create_connection((HOST, self.tls_port), 50) as sock:
                    sock.sendall(hello)
                    self.read_record(sock)
                    try:
                        sock.sendall(data)
                        while sock.recv(65536):
                            pass
                    except ConnectionError:
                        pass    # within the time limit of the socket the connection is over
        self.assert_serving()

    def test_who_leaves_a_handshake_of_tls_12_says_why(self):
        for what, data, alert in (
                ("data", record(DATA, b"early"), UNEXPECTED_MESSAGE),
                ("a change of ciphers before the key", record(CHANGE_CIPHER_SPEC, b"\x01"), UNEXPECTED_MESSAGE),
                ("a Finished in place of the key", record(HANDSHAKE, handshake(FINISHED, b"x" * 12)), UNEXPECTED_MESSAGE),
                ("a certificate that nobody asked for", record(HANDSHAKE, handshake(CERTIFICATE, b"\0\0\0")), UNEXPECTED_MESSAGE),
                ("a record of an unknown kind", record(99, b"x"), UNEXPECTED_MESSAGE),
                ("an empty key", record(HANDSHAKE, handshake(CLIENT_KEY_EXCHANGE, b"\0")), ILLEGAL_PARAMETER),
                ("a key of five bytes", record(HANDSHAKE, handshake(CLIENT_KEY_EXCHANGE, sized(1, b"xxxxx"))), ILLEGAL_PARAMETER),
                ("a record too long", record(HANDSHAKE, b"x" * 18500), RECORD_OVERFLOW)):
            with self.subTest(what), socket.create_connection((HOST, self.tls_port), 50) as sock:
                sock.sendall(Hello(ssl.TLSVersion.TLSv1_2).bytes())
                for _ in range(4):  # hello, certificate, key, done
                    self.assertEqual(self.read_record(sock)[0], HANDSHAKE)
                sock.sendall(data)
                self.assertEqual(self.read_record(sock), (ALERT, bytes((2, alert))))

    def test_records_with_nothing_in_them_are_no_end(self):
        client = MbedtlsClient(self.tls_port)
        self.addCleanup(client.close)
        for _ in range(3):
            client.send(b"")
        client.send(b"GET /who HTTP/1.1\r\nHost: a.test\r\n\r\n")
        self.assertTrue(client.receive().startswith(b"HTTP/1.1 200 "))

    @needs_tls("TLSv1.3")
    def test_early_data_is_not_taken(self):
        # An offer without a session to resume is passed over; a server that took it could be replayed to.
        kind, said = self.answer(Hello().add(EARLY_DATA, b"").bytes())
        self.assertEqual((kind, said[:1]), (HANDSHAKE, bytes((SERVER_HELLO,))))
        done = subprocess.run([need("openssl"), "s_client", "-connect", f"{HOST}:{self.tls_port}", "-servername", "a.test", "-tls1_3",
                               "-ign_eof", "-CAfile", authority().cert_path], input="GET /who HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n",
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertIn("Max Early Data: 0", done.stdout)

    def s_client(self):
        client = subprocess.Popen([need("openssl"), "s_client", "-connect", f"{HOST}:{self.tls_port}", "-servername", "a.test", "-tls1_3",
                                   "-CAfile", authority().cert_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.addCleanup(client.wait, 20)
        self.addCleanup(client.stdout.close)
        self.addCleanup(client.kill)
        return client

    @needs_tls("TLSv1.3")
    def test_who_only_changes_keys_is_let_go(self):
        client, count = self.s_client(), 0
        with contextlib.suppress(BrokenPipeError), client.stdin:
            while count < 100_000:  # openssl sends on until it hears of the end
                client.stdin.write(b"K\n")
                client.stdin.flush()
                read = b""
                while b"KEYUPDATE" not in read:
                    part = client.stdout.read1(65536)
                    if not part:
                        raise BrokenPipeError
                    read += part
                count += 1
        self.assertLess(count, 100_000)
        self.assertGreater(count, 500)
        self.assert_serving()

    @needs_tls("TLSv1.3")
    def test_keys_may_be_changed(self):
        client = self.s_client()
        self.addCleanup(client.stdin.close)
        # `K` has openssl change its keys and ask for others of the server.
        for said, wanted in ((b"K\n", b"KEYUPDATE"), (b"GET /who HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n", b"200 OK")):
            client.stdin.write(said)
            client.stdin.flush()
            read = b""
            while wanted not in read:
                part = client.stdout.read1(65536)
                self.assertTrue(part, read)
                read += part


if __name__ == "__main__":
    unittest.main()
