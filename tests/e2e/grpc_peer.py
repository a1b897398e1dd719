# SPDX-License-Identifier: Apache-2.0
"""gRPC's own library on both sides of the gateway, each in a process of its own (it has threads, and not every Python has it).

    grpc_peer.py serve [CERT KEY]                 prints its port and serves until its input ends
    grpc_peer.py calls PORT SCENARIO,SCENARIO [AUTHORITY]   prints what each gives, as JSON; with AUTHORITY in TLS

Messages are bytes, so that no compiler of messages is needed. Scenarios are the methods of Calls, `+gzip` behind one compresses. What
is in peers/ does the same with other libraries.
"""

import json
import sys
import threading
from concurrent import futures

import grpc

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
DETAILS = bytes((0, 1, 2, 255, 254))
begun, cancelled = threading.Semaphore(0), threading.Semaphore(0)  # calls that wait; those of them that were cancelled


def unary(request, context):
    if request.startswith(b"abort "):
        _, code, message = request.decode().split(" ", 2)
        context.abort(grpc.StatusCode[code], message)
    if request == b"details":
        context.set_trailing_metadata((("grpc-status-details-bin", DETAILS),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "see the details")
    if request == b"metadata":
        context.set_trailing_metadata((("x-after", "2"),))
        context.send_initial_metadata((("x-before", "1"),))
        sent = dict(context.invocation_metadata())
        return json.dumps([sent["x-one"], sent["x-two-bin"] == b"\x00\xff", context.time_remaining() <= 21]).encode()
    if request == b"wait":
        ended = threading.Event()
        is_live = context.add_callback(ended.set)
        begun.release()
        if is_live:
            ended.wait(30)
        cancelled.release()
    if request == b"begun":
        return b"yes" if begun.acquire(timeout=10) else b"no"
    if request == b"cancelled":
        return b"yes" if cancelled.acquire(timeout=10) else b"no"
    return request


def server_stream(request, context):
    for i in range(int(request)):
        yield b"%d" % i


def client_stream(requests, context):
    return b"%d" % sum(len(r) for r in requests)


def both_stream(requests, context):
    for request in requests:
        if request == b"abort":
            context.abort(grpc.StatusCode.DATA_LOSS, "in the middle")
        yield request


def serve(cert=None, key=None):
    server = grpc.server(futures.ThreadPoolExecutor(16), options=UNLIMITED)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Server": grpc.unary_stream_rpc_method_handler(server_stream),
        "Client": grpc.stream_unary_rpc_method_handler(client_stream),
        "Both": grpc.stream_stream_rpc_method_handler(both_stream),
    }),))
    if cert:
        with open(key, "rb") as k, open(cert, "rb") as c:
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(k.read(), c.read())]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(None)


class Calls:
    def __init__(self, channel):
        self.channel = channel

    def fetch(self, request, timeout=20, **more):
        return self.channel.unary_unary("/test.Echo/Unary")(request, timeout=timeout, **more)

    def unary(self):
        return self.fetch(b"hello").decode()

    def many(self):
        call = self.channel.unary_unary("/test.Echo/Unary")
        under_way = [call.future(b"%d" % i, timeout=20) for i in range(300)]
        return [int(one.result()) for one in under_way] == list(range(300))

    def status(self):
        try:
            self.fetch(b"abort NOT_FOUND no such thing: \xc3\xa9")
        except grpc.RpcError as error:
            return [error.code().name, error.details()]

    def details(self):
        try:
            self.fetch(b"details")
        except grpc.RpcError as error:
            return [error.code().name, error.details(), dict(error.trailing_metadata())["grpc-status-details-bin"] == DETAILS]

    def metadata(self):
        answer, call = self.channel.unary_unary("/test.Echo/Unary").with_call(
            b"metadata", timeout=20, metadata=(("x-one", "1"), ("x-two-bin", b"\x00\xff")))
        return [dict((k, v) for k, v in call.initial_metadata() if k == "x-before"),
                dict((k, v) for k, v in call.trailing_metadata() if k == "x-after"), json.loads(answer)]

    def server_stream(self):
        return [int(m) for m in self.channel.unary_stream("/test.Echo/Server")(b"1000", timeout=20)] == list(range(1000))

    def client_stream(self):
        return int(self.channel.stream_unary("/test.Echo/Client")((b"x" * 1000 for _ in range(1000)), timeout=20))

    def exchange(self, count):
        """Each message is sent when the one before it has come back."""
        back = threading.Semaphore(1)

        def messages():
            for i in range(count):
                back.acquire(timeout=10)
                yield b"%d" % i
        got = []
        for message in self.channel.stream_stream("/test.Echo/Both")(messages(), timeout=20):
            got.append(int(message))
            back.release()
        return got == list(range(count))

    def both_stream(self):
        return self.exchange(50)

    def many_streams(self):
        """More at a time than the server has threads would wait for each other."""
        with futures.ThreadPoolExecutor(12) as pool:
            return all(pool.map(self.exchange, [5] * 48))

    def abort_stream(self):
        got = []
        try:
            for message in self.channel.stream_stream("/test.Echo/Both")(iter((b"one", b"abort")), timeout=20):
                got.append(message.decode())
        except grpc.RpcError as error:
            return got + [error.code().name, error.details()]

    def large(self):
        message = bytes(range(256)) * (20 * 4096)
        return self.fetch(message, timeout=60) == message

    def deadline(self):
        try:
            self.fetch(b"wait", timeout=2)
        except grpc.RpcError as error:
            return [error.code().name, self.fetch(b"begun").decode(), self.fetch(b"cancelled").decode()]

    def cancel(self):
        stream = self.channel.stream_stream("/test.Echo/Both")
        first = threading.Event()

        def messages():
            yield b"one"
            first.wait(10)
        call = stream(messages(), timeout=20)
        got = next(call).decode()
        waiting = self.channel.unary_unary("/test.Echo/Unary").future(b"wait", timeout=20)
        call.cancel()
        first.set()
        begun_told = self.fetch(b"begun").decode()  # a call cancelled before would never reach its handler
        waiting.cancel()
        return [got, begun_told, self.fetch(b"cancelled").decode()]

    def refused(self):
        try:
            self.fetch(b"hello")
        except grpc.RpcError as error:
            return error.code().name


def open_channel(port, authority, compression):
    options = [*UNLIMITED, ("grpc.enable_http_proxy", 0)]
    if not authority:
        return grpc.insecure_channel(f"127.0.0.1:{port}", options, compression)
    with open(authority, "rb") as f:
        credentials = grpc.ssl_channel_credentials(f.read())
    return grpc.secure_channel(f"127.0.0.1:{port}", credentials, [*options, ("grpc.ssl_target_name_override", "a.test")], compression)


def calls(port, scenarios, authority=None):
    results = {}
    for scenario in scenarios.split(","):
        name, _, gzip = scenario.partition("+")
        with open_channel(port, authority, grpc.Compression.Gzip if gzip else None) as channel:
            results[scenario] = getattr(Calls(channel), name)()
    print(json.dumps(results))


if __name__ == "__main__":
    {"serve": serve, "calls": calls}[sys.argv[1]](*sys.argv[2:])
