# SPDX-License-Identifier: Apache-2.0
"""What bench.py and the subject files build on: processes, CPU and memory
accounting, load generators.  Python standard library only, Linux only."""

import ctypes
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HOST = "127.0.0.1"
TICK = os.sysconf("SC_CLK_TCK")

# What every request carries, as a small API client would send it.
HEADERS = [
    ("Host", "api.example.test"),
    ("User-Agent", "bench-client/1.0 (load)"),
    ("Accept", "application/json"),
    ("Accept-Language", "en-US,en;q=0.8"),
    ("apikey", "key-00500"),
    ("X-Client-Id", "7d3f0f5e-bench"),
]


class Subject:
    """One proxy configuration under test.  A file in subjects/ defines one or
    more of these; see README.md for the fields."""

    name = ""
    features = frozenset({"http"})
    needs = ()                  # executables that must be found
    about = ""
    start_seconds = 10.0
    fds_per_client = 1          # descriptors for an idle client connection

    def available(self):
        return all(find(x) for x in self.needs)

    def prepare(self, ctx):
        """Write configuration files under ctx.dir."""

    def argv(self, ctx):
        """Command that stays in the foreground."""
        raise NotImplementedError

    def env(self, ctx):
        """Extra environment variables."""
        return {}

    def pids(self, root):
        """Processes to account, given the pid that argv() became."""
        return tree(root)


class Context:
    """What a subject needs to know to write its configuration."""

    def __init__(self, directory, ports, backend_port, tls, tools, routes=0, valgrind=False):
        self.dir = directory
        self.host = HOST
        self.port, self.tls_port = ports
        self.backend_host = HOST
        self.backend_port = backend_port
        self.cert, self.key, self.pem = tls
        self.tools = tools      # directory of the built relay and backend
        self.routes = routes    # 0, or how many /svcNNNNN/ prefixes to route
        self.valgrind = valgrind  # wants a single process

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        return path


def find(tool):
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin"])
    return shutil.which(tool, path=path)


# ---------------------------------------------------------------- processes

_libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def adopt_orphans():
    """Daemons that our children leave behind become our children."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _stat_fields(pid):
    with open(f"/proc/{pid}/stat") as f:
        s = f.read()
    return s[s.rindex(")") + 2:].split()


def tree(root):
    """root and all its descendants that are alive."""
    children = {}
    for d in os.listdir("/proc"):
        if d.isdigit():
            try:
                f = _stat_fields(d)
            except (OSError, ValueError):
                continue
            if f[0] != "Z":
                children.setdefault(int(f[1]), []).append(int(d))
    out, todo = [], [root]
    while todo:
        p = todo.pop()
        if os.path.exists(f"/proc/{p}"):
            out.append(p)
        todo += children.get(p, [])
    return out


def start(argv, core, log, env=None, cwd=None):
    """Start argv on one core, in a session of its own, dying with us."""

    def child():
        os.setsid()
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if core is not None:
            os.sched_setaffinity(0, {core})

    with open(log, "ab") as f:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=f, stderr=f, cwd=cwd,
                                env={**os.environ, **(env or {})}, preexec_fn=child)


def stop(root, grace=1.5):
    """End a process that start() started, and everything below it."""
    pids = tree(root)
    for sig, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 2.0)):
        for p in pids:
            try:
                os.kill(p, sig)
            except OSError:
                pass
        end = time.monotonic() + wait
        while time.monotonic() < end:
            reap()
            pids = [p for p in pids if _alive(p)]
            if not pids:
                return
            time.sleep(0.02)


def _alive(pid):
    try:
        return _stat_fields(pid)[0] != "Z"
    except (OSError, ValueError):
        return False


def reap():
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def stop_all_descendants():
    me = os.getpid()
    for sig in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + 2
        sent = set()
        while time.monotonic() < end:
            left = [p for p in tree(me) if p != me]
            if not left:
                reap()
                return
            for p in left:
                if p not in sent:
                    sent.add(p)
                    try:
                        os.kill(p, sig)
                    except OSError:
                        pass
            time.sleep(0.02)
            reap()


def free_ports(n):
    """n ports that nobody listens on, below the ephemeral range so that an
    outgoing connection cannot take one before the subject binds it.  Random, so
    that two runs at once keep apart even where a subject binds with
    SO_REUSEPORT and would not notice the other."""
    out = []
    while len(out) < n:
        p = random.randrange(20000, 32000)
        with socket.socket() as s:
            try:
                s.bind((HOST, p))
            except OSError:
                continue
        if p not in out:
            out.append(p)
    return out


def wait_port(port, seconds, proc=None):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if proc is not None and proc.poll() is not None:
            return False
        try:
            socket.create_connection((HOST, port), 0.5).close()
            return True
        except OSError:
            time.sleep(0.03)
    return False


# --------------------------------------------------------------- accounting

class Usage:
    """CPU and scheduling counters of a set of processes at one instant."""

    def __init__(self, pids):
        self.at = time.monotonic()
        self.tasks, self.user, self.sys = {}, 0, 0
        self.vol = self.invol = 0
        for pid in pids:
            try:
                f = _stat_fields(pid)
                self.user += int(f[11])
                self.sys += int(f[12])
                for t in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{t}/schedstat") as s:
                        self.tasks[(pid, t)] = int(s.read().split()[0])
                    with open(f"/proc/{pid}/task/{t}/status") as s:
                        for line in s:
                            if line.startswith("voluntary"):
                                self.vol += int(line.split()[1])
                            elif line.startswith("nonvoluntary"):
                                self.invol += int(line.split()[1])
            except (OSError, ValueError):
                continue

    def since(self, old):
        """dict of what happened between old and self."""
        ticks = (self.user - old.user + self.sys - old.sys) / TICK
        cpu = sum(ns - old.tasks.get(k, 0) for k, ns in self.tasks.items()) / 1e9
        if any(k not in self.tasks for k in old.tasks) or not self.tasks:
            cpu = ticks         # a thread ended: only the process totals have it
        share = (self.user - old.user) / max(1, self.user - old.user + self.sys - old.sys)
        return {"cpu_s": cpu, "user_share": share, "wall_s": self.at - old.at,
                "vol": self.vol - old.vol, "invol": self.invol - old.invol}


def core_busy(core):
    """CPU seconds that one core has spent not idle, and stolen."""
    with open("/proc/stat") as f:
        for line in f:
            if line.startswith(f"cpu{core} "):
                v = [int(x) for x in line.split()[1:]]
                return (sum(v[:3]) + sum(v[5:7])) / TICK, v[7] / TICK
    return 0.0, 0.0


def memory(pids):
    """Sum of RSS and PSS in KiB."""
    rss = pss = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as f:
                for line in f:
                    if line.startswith("Rss:"):
                        rss += int(line.split()[1])
                    elif line.startswith("Pss:"):
                        pss += int(line.split()[1])
        except OSError:
            continue
    return {"rss_kb": rss, "pss_kb": pss}


# -------------------------------------------------------------------- loads

def make_certificate(directory):
    cert, key, pem = (os.path.join(directory, x) for x in ("cert.pem", "key.pem", "both.pem"))
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                    "-days", "30", "-subj", "/CN=api.example.test", "-addext",
                    "subjectAltName=DNS:api.example.test,DNS:localhost,IP:127.0.0.1"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(pem, "w") as out:
        for p in (cert, key):
            with open(p) as f:
                out.write(f.read())
    os.chmod(key, 0o644)
    os.chmod(pem, 0o644)
    return cert, key, pem


def client_openssl_conf(directory):
    """The client offers one TLS 1.3 suite and one group, so that every subject
    does the same cryptography whatever its own order of preference is."""
    path = os.path.join(directory, "client.cnf")
    with open(path, "w") as f:
        f.write("openssl_conf = top\n[top]\nssl_conf = ssl\n[ssl]\nsystem_default = def\n"
                "[def]\nMinProtocol = TLSv1.3\nCiphersuites = TLS_AES_128_GCM_SHA256\n"
                "Groups = X25519\n")
    return path


def wrk(url, seconds, connections, core, openssl_conf, close=False, method="", body=0,
        routes=0, preload=""):
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{int(seconds)}s", "--timeout", "10s",
            "-s", os.path.join(HERE, "load.lua")]
    for k, v in HEADERS + ([("Connection", "close")] if close else []):
        argv += ["-H", f"{k}: {v}"]
    env = {**os.environ, "OPENSSL_CONF": openssl_conf, "BENCH_METHOD": method,
           "BENCH_BODY_BYTES": str(body), "BENCH_ROUTES": str(routes)}
    if preload:
        env["LD_PRELOAD"] = preload
    p = subprocess.run(argv + [url], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True, timeout=seconds + 40,
                       preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    m = re.search(r"^RESULT (\{.*\})$", p.stdout, re.M)
    if not m:
        raise RuntimeError("wrk gave no result: " + p.stdout[-400:])
    r = json.loads(m.group(1))
    return {"requests": r["requests"], "seconds": r["duration_us"] / 1e6,
            "errors": r["connect"] + r["read"] + r["write"] + r["timeout"],
            "bad_status": r["status"], "p50_us": r["p50_us"], "p99_us": r["p99_us"]}


def h2load(url, seconds, connections, streams, core, openssl_conf):
    argv = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{int(seconds)}"]
    for k, v in HEADERS:
        argv += ["-H", f"{':authority' if k == 'Host' else k.lower()}: {v}"]
    p = subprocess.run(argv + [url], env={**os.environ, "OPENSSL_CONF": openssl_conf},
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       timeout=seconds + 40,
                       preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    m = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, "
                  r"(\d+) failed, (\d+) errored, (\d+) timeout", p.stdout)
    s = re.search(r"status codes: (\d+) 2xx", p.stdout)
    t = re.search(r"time for request:\s+\S+\s+\S+\s+(\S+)", p.stdout)
    proto = re.search(r"Application protocol: (\S+)", p.stdout)
    if not m or not s:
        raise RuntimeError("h2load gave no result: " + p.stdout[-400:])
    if not proto or not proto.group(1).startswith("h2"):
        raise RuntimeError("h2load did not negotiate HTTP/2")
    done = int(m.group(2))
    # what is still in flight when the time is up is reported as errored
    errors = max(0, int(m.group(4)) - connections * streams)
    mean = 0.0
    if t:
        v = re.match(r"([\d.]+)(us|ms|s)$", t.group(1))
        if v:
            mean = float(v.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[v.group(2)]
    return {"requests": done, "seconds": float(seconds), "errors": errors,
            "bad_status": max(0, done - int(s.group(1))), "p50_us": mean, "p99_us": 0}


def fetch(port, path="/api/v1/items?id=42", tls=False, method="GET", body=None, timeout=5):
    """One request through a subject; (status, headers, body)."""
    if tls:
        c = http.client.HTTPSConnection(HOST, port, timeout=timeout,
                                        context=ssl._create_unverified_context())
    else:
        c = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        c.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for k, v in HEADERS:
            c.putheader(k, v)
        if body is not None:
            c.putheader("Content-Length", str(len(body)))
        c.endheaders(body)
        r = c.getresponse()
        return r.status, r.headers, r.read()
    finally:
        c.close()


class Idle:
    """n client connections that made one request each and stay open."""

    def __init__(self, port, n, tls):
        self.socks = []
        req = "GET /api/v1/items?id=42 HTTP/1.1\r\n" + \
              "".join(f"{k}: {v}\r\n" for k, v in HEADERS) + "\r\n"
        context = ssl._create_unverified_context()
        for i in range(n):
            s = socket.socket()
            s.settimeout(10)
            s.connect((HOST, port))
            if tls:
                s = context.wrap_socket(s)
            self.socks.append(s)
            s.sendall(req.encode())
            got = b""
            while b"\r\n\r\n" not in got:
                part = s.recv(8192)
                if not part:
                    raise RuntimeError(f"connection {i} closed by the subject")
                got += part
            head, _, rest = got.partition(b"\r\n\r\n")
            if b" 200 " not in head.split(b"\r\n")[0]:
                raise RuntimeError(f"connection {i}: {head[:60]!r}")
            m = re.search(rb"content-length: *(\d+)", head, re.I)
            if m:
                left = int(m.group(1)) - len(rest)
                while left > 0:
                    left -= len(s.recv(left))
            else:
                while not rest.endswith(b"0\r\n\r\n"):
                    rest += s.recv(8192)

    def still_open(self):
        n = 0
        for s in self.socks:
            s.setblocking(False)
            try:
                n += s.recv(1) != b""
            except (BlockingIOError, ssl.SSLWantReadError):
                n += 1
            except OSError:
                pass
        return n

    def close(self):
        for s in self.socks:
            s.close()


# ------------------------------------------------------------------ syscalls

def strace_count(pids, run, directory):
    """Attach strace -c to pids while run() makes load.  Returns run()'s result
    and {syscall: calls}."""
    out = os.path.join(directory, "strace.out")
    argv = ["strace", "-c", "-f", "-qq", "-U", "calls,name", "-o", out]
    for p in pids:
        argv += ["-p", str(p)]
    log = os.path.join(directory, "strace.log")
    proc = start(argv, None, log)
    # strace is attached once each process has a tracer
    end = time.monotonic() + 5
    while time.monotonic() < end and proc.poll() is None:
        if all(_tracer(p) for p in pids):
            break
        time.sleep(0.02)
    try:
        result = run()
    finally:
        if proc.poll() is None:
            os.kill(proc.pid, signal.SIGINT)
            try:
                proc.wait(10)
            except subprocess.TimeoutExpired:
                stop(proc.pid)
    calls = {}
    with open(out) as f:
        for line in f:
            w = line.split()
            if len(w) == 2 and w[0].isdigit() and w[1] != "total":
                calls[w[1]] = int(w[0])
    return result, calls


def _tracer(pid):
    try:
        with open(f"/proc/{pid}/status") as f:
            return "TracerPid:\t0\n" not in f.read()
    except OSError:
        return True


def perf_can(events):
    """Whether perf stat can count these events here."""
    if not find("perf"):
        return False
    p = subprocess.run(["perf", "stat", "-x,", "-e", ",".join(events), "true"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return p.returncode == 0 and "<not" not in p.stdout


class PerfCount:
    """perf stat on a set of processes until stop(), which gives {event: count}."""

    def __init__(self, pids, events, directory):
        self.out = os.path.join(directory, "perf.out")
        self.p = start(["perf", "stat", "-x,", "-o", self.out, "-e", ",".join(events), "-p",
                        ",".join(map(str, pids))], None, os.path.join(directory, "perf.log"))
        time.sleep(0.2)

    def stop(self):
        os.kill(self.p.pid, signal.SIGINT)
        self.p.wait(10)
        got = {}
        with open(self.out) as f:
            for line in f:
                w = line.split(",")
                if len(w) > 2 and w[0].isdigit():
                    got[w[2]] = int(w[0])
        return got


# --------------------------------------------------------------------- tools

def build(directory):
    """Compile what is in native/; returns where it is."""
    for name, flags in (("backend", []), ("relay", []), ("noresume", ["-shared", "-fPIC"])):
        subprocess.run([os.environ.get("CC", "cc"), "-O2", *flags, "-o",
                        os.path.join(directory, name),
                        os.path.join(HERE, "native", name + ".c"), "-ldl"], check=True)
    return directory


def median(xs):
    return statistics.median(xs) if xs else float("nan")


def scratch():
    d = tempfile.mkdtemp(prefix="gwbench-", dir=os.environ.get("BENCH_TMP"))
    os.chmod(d, 0o755)
    return d
