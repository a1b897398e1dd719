#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a request costs over HTTP/3, beside HTTP/2 on the same listener: CPU time of the gateway.

    tools/bench/http3_bench.py [--rounds 5] [--requests 20000] [--handshakes 1500] [--upstream] [--rsa] [--json]

Workloads: `requests` on eight connections of eight streams; `handshakes`, a connection for each request; `resumed`, likewise with
a session for each. HTTP/2 is asked by h2load, HTTP/3 by tests/e2e/peers/http3_peer.go. The gateway has one worker on core 1, who
asks is on core 0; rounds alternate, so compare medians of one run. --upstream puts nginx behind the gateway, on core 0;
without, the gateway answers by itself. The certificate's key is P-256; --rsa makes it RSA, of 2,048 bits.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from certificates import certificate  # noqa: E402
from harness import HOST, Gateway, free_port, need  # noqa: E402
from libraries import http3_peer  # noqa: E402
from tls_client import resource  # noqa: E402

LOAD_CORE, GATEWAY_CORE = {0}, {1}
NAME = "site.test"


def cpu_ns(pid):
    """Run time of all threads of a process."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            total += int(f.read().split()[0])
    return total


def on_load_core():
    os.sched_setaffinity(0, LOAD_CORE)


def run(argv, **more):
    done = subprocess.run(argv, capture_output=True, check=False, preexec_fn=on_load_core, timeout=300, **more)
    if done.returncode != 0:
        raise SystemExit(f"{argv[0]}: {(done.stderr or done.stdout).decode()[-400:]}")
    return done.stdout.decode()


def over_http2(port, count, connections, streams):
    text = run([need("h2load"), "-n", str(count), "-c", str(connections), "-m", str(streams), f"--connect-to={HOST}:{port}",
                f"https://{NAME}:{port}/steady"])
    if f"{count} succeeded" not in text:
        raise SystemExit(text)


def over_http3(port, count, **more):
    wanted = {"address": f"{HOST}:{port}", "name": NAME, "url": f"https://{NAME}:{port}/steady", "requests": count, **more}
    told = json.loads(run([http3_peer(), "load"], input=json.dumps(wanted).encode()))
    if told["bad"] or (more.get("is_resumed") and told["resumed"] < count * 0.9):
        raise SystemExit(f"HTTP/3: {told}")


def start_nginx(folder, port):
    path = os.path.join(folder, "nginx.conf")
    with open(path, "w", encoding="ascii") as f:
        f.write(f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log /dev/null;
events {{}}
http {{ access_log off; keepalive_requests 1000000000; server {{ listen {HOST}:{port}; location / {{ return 200 "steady"; }} }} }}
""")
    return subprocess.Popen([need("nginx"), "-c", path], preexec_fn=on_load_core)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--handshakes", type=int, default=1500)
    parser.add_argument("--upstream", action="store_true")
    parser.add_argument("--rsa", action="store_true")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    port, node = free_port(), free_port()
    plugins = {"mocking": {"response_example": "steady", "content_type": "text/plain"}}
    steady = {"id": "steady", "uri": "/steady",
              **({"upstream": {"type": "roundrobin", "nodes": {f"{HOST}:{node}": 1}}} if args.upstream else {"plugins": plugins})}
    listen = [f"{HOST}:PORT", {"address": f"{HOST}:{port}", "tls": True, "http2": True, "http3": True}]
    issued = certificate(NAME, kind="rsa" if args.rsa else "ec")
    gateway = Gateway({"routes": [steady], "ssls": [resource("1", [NAME], issued)]}, listen=listen, workers=1)
    nginx = start_nginx(gateway.dir, node) if args.upstream else None
    worker = gateway.worker_pids()[0]
    os.sched_setaffinity(worker, GATEWAY_CORE)
    ways = {
        "http2 requests": (args.requests, lambda n: over_http2(port, n, 8, 8)),
        "http3 requests": (args.requests, lambda n: over_http3(port, n, connections=8, streams=8)),
        "http2 handshakes": (args.handshakes, lambda n: over_http2(port, n, n, 1)),
        "http3 handshakes": (args.handshakes, lambda n: over_http3(port, n, connections=8, streams=1, is_fresh=True)),
        "http3 resumed": (args.handshakes, lambda n: over_http3(port, n, connections=8, streams=1, is_fresh=True, is_resumed=True)),
    }
    samples = {name: [] for name in ways}
    try:
        for _ in range(args.rounds):
            for name, (count, ask) in ways.items():
                before = cpu_ns(worker)
                ask(count)
                samples[name].append((cpu_ns(worker) - before) / count / 1000)
    finally:
        gateway.close()
        if nginx:
            nginx.terminate()
            nginx.wait()
    if args.json:
        return print(json.dumps(samples))
    for name, values in samples.items():
        print(f"{name:18} {statistics.median(values):8.1f} us CPU each  ({min(values):.1f} .. {max(values):.1f})")
    return None


if __name__ == "__main__":
    main()
