# SPDX-License-Identifier: Apache-2.0
"""Starts the real gateway on a configuration written inside the test, and makes sure that it ends well.

    with Upstream() as up, Gateway({"routes": [{"uri": "/*", "upstream": {"nodes": up.nodes}}]}) as gw:
        self.assertEqual(gw.get("/").status, 200)

MOONGATE_BIN names the executable; without it, build/release/moongate. At the end of every Gateway the process must have
ended by itself with status 0, and none of its logs may hold a sanitizer report, a failed assertion or a stack trace.
"""

import ctypes
import fcntl
import functools
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import unittest

from load import Load, expect
from upstream import Upstream, chunked, describe, ok
from wire import (HOST, Client, ClosedError, WireError, connect, free_port, get, raw, request, request_bytes,
                  untrusting_tls, wait_for)

__all__ = ["HOST", "Client", "ClosedError", "WireError", "connect", "free_port", "get", "raw", "request", "request_bytes",
           "untrusting_tls", "wait_for", "Load", "expect", "Upstream", "chunked", "describe", "ok", "Gateway", "TestCase",
           "IS_FULL", "FULL_LIMIT_S", "full_size", "memory_kb", "open_files", "ROOT", "need", "sanitized", "is_sanitized", "needs_tls", "missing_in_tls", "tls_versions", "route", "moongate", "moongate_bin", "Service"]

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STOP_LIMIT_S = 60.0      # on any machine, and half of what a drain may take: nothing is to end by that alone
DRAIN_LIMIT_S = 120
IS_FULL = os.environ.get("MOONGATE_FULL") == "1"
FULL_LIMIT_S = 5400
FAULTS = re.compile(r"AddressSanitizer|LeakSanitizer|UndefinedBehaviorSanitizer|ThreadSanitizer|: runtime error: |"
                    r"broken promise: |assertion failed|Assertion .* failed|terminate called|PANIC: unprotected", re.I)
_libc = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def moongate_bin():
    return os.environ.get("MOONGATE_BIN") or os.path.join(ROOT, "build", "release", "moongate")


def need(program):
    """Path of a program that a test needs; without it the test is skipped, and fails in CI."""
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        if os.environ.get("CI"):
            raise AssertionError(f"{program} is not installed")
        raise unittest.SkipTest(f"{program} is not installed")
    return path


@functools.lru_cache(maxsize=None)
def missing_in_tls():
    """What the binary says that its TLS library lacks."""
    found = re.search(r"^tls: .*; not in this build: (.*)$", moongate("version").stdout, re.M)
    return frozenset(found.group(1).split(", ")) if found else frozenset()


def needs_tls(feature):
    """Marks a test (or a class of them) that a binary without this feature of TLS is not given."""
    def mark(item):
        item.needed_tls = feature
        return item
    return mark


def tls_versions():
    """Those that the binary speaks unless it is told otherwise, as Python's ssl and as the gateway name them."""
    known = {ssl.TLSVersion.TLSv1_2: "TLSv1.2", ssl.TLSVersion.TLSv1_3: "TLSv1.3"}
    return {version: name for version, name in known.items() if name not in missing_in_tls()}


def sanitized(item):
    """Marks a test (or a class of them) that is also run with the binary of the dev preset, under the sanitizers."""
    item.is_sanitized = True
    return item


def is_sanitized():
    """True under the dev binary: limits on time are then wider."""
    return os.path.basename(os.path.dirname(moongate_bin())) in ("dev", "small-dev")


def full_size(test):
    """Marks a test that is longer under MOONGATE_FULL=1: it then has the time it needs."""
    if IS_FULL:
        test.limit_s = FULL_LIMIT_S
    return test


def memory_kb(pids):
    """Memory of processes together, each shared page counted once."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    return total


def open_files(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def route(uri="/*", upstream=None, **more):
    """A route to an Upstream (or to a dict of nodes, or to none)."""
    out = {"uri": uri, **more}
    if upstream is not None:
        nodes = upstream.nodes if isinstance(upstream, Upstream) else upstream
        out["upstream"] = {"type": "roundrobin", "nodes": nodes}
    return out


def child_environment(extra=None):
    env = {**os.environ, **(extra or {})}
    # The unit tests look for leaks. Here LuaJIT's heap, which the leak checker does not scan, would make it see ghosts.
    env.setdefault("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=0:exitcode=99:detect_stack_use_after_return=1")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=99")
    return env


def moongate(*args, env=None, limit_s=60.0, input=None):
    """Runs a moongate command to its end."""
    return subprocess.run([moongate_bin(), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=limit_s, env=child_environment(env), input=input, errors="replace")


def start_process(argv, log, env=None, cwd=None):
    """A process in a session of its own that ends with this one."""
    def child():
        os.setsid()
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    with open(log, "ab") as out:
        return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd,
                                preexec_fn=child)


def read_text(path):
    try:
        with open(path, errors="replace") as f:
            return f.read()
    except OSError:
        return ""


def write_atomically(path, text):
    """Writes beside the file and renames, as careful editors and configuration tools do."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = path + ".new"
    with open(temporary, "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(temporary, path)


def as_text(config):
    """JSON is YAML, so a dict can stand for a configuration file."""
    return config if isinstance(config, str) else json.dumps(config, indent=1, ensure_ascii=False)


class Service:
    """Another program that a test needs, e.g. redis-server: started in a folder of its own, stopped at the end."""

    def __init__(self, argv, port, cwd=None):
        self.dir = cwd or tempfile.mkdtemp(prefix="moongate-service-")
        self.owns_dir = cwd is None
        self.log = os.path.join(self.dir, "service.log")
        self.process = start_process(argv, self.log, cwd=self.dir)
        self.port = port
        try:
            wait_for(self.accepts, 15.0, f"{argv[0]} accepting on {port}")
        except AssertionError:
            self.close()
            raise

    def accepts(self):
        if self.process.poll() is not None:
            raise AssertionError("ended: " + read_text(self.log)[-1000:])
        try:
            connect(self.port, timeout=1.0).close()
            return True
        except OSError:
            return False

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.owns_dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Gateway:
    """One running gateway in a temporary folder.

    config     dict or YAML text. Its `moongate:` section may be absent: listeners on free ports come from an overlay.
    overlays   more configuration (dict or text), merged in order after it.
    plugins    {name: Lua source}; kept in a folder on plugin_paths, see write_plugin().
    moongate   settings for the `moongate:` section, e.g. {"client": {"header_timeout": 1}}.
    listen     replaces the listener; PORT in strings stands for the free port.
    suffix     ".lua" when config is the text of a Lua file.
    files      {name: text} written beside the configuration before the start.
    """

    def __init__(self, config, overlays=(), workers=2, plugins=None, moongate=None, listen=None, env=None,
                 suffix=".yaml", files=None, start=True, port=None, keep_dir=None):
        self.dir = keep_dir or tempfile.mkdtemp(prefix="moongate-e2e-")
        os.chmod(self.dir, 0o755)
        self.owns_dir = keep_dir is None
        self.port, self.admin_port, self.metrics_port = port or free_port(), free_port(), free_port()
        self.run_dir, self.plugin_dir = self.path("run"), self.path("plugins")
        self.log_path, self.env, self.working_dir = self.path("output.log"), env, self.dir
        self.process, self.is_crash_expected = None, False
        os.makedirs(self.plugin_dir, exist_ok=True)
        self.config_path = self.path("moongate" + suffix)
        self.config_paths = [self.config_path]
        write_atomically(self.config_path, as_text(config))
        for name, text in (files or {}).items():
            write_atomically(self.path(name), as_text(text))
        for i, overlay in enumerate(overlays):
            self.add_config(f"overlay{i}.yaml", overlay)
        self.add_config("harness.yaml", {"moongate": self.settings(moongate or {}, workers, listen)})
        for name, source in (plugins or {}).items():
            self.write_plugin(name, source)
        if start:
            self.start()

    def settings(self, extra, workers, listen):
        listen = listen if listen is not None else [f"{HOST}:PORT"]
        listen = json.loads(json.dumps(listen).replace("PORT", str(self.port)))
        return {"workers": workers, "listen": listen, "admin": {"listen": f"{HOST}:{self.admin_port}"},
                "metrics": {"listen": f"{HOST}:{self.metrics_port}"}, "plugin_paths": [self.plugin_dir], "drain_timeout": DRAIN_LIMIT_S, **extra}

    def add_config(self, name, config):
        write_atomically(self.path(name), as_text(config))
        self.config_paths.append(self.path(name))

    def path(self, name):
        return os.path.join(self.dir, name)

    # ------------------------------------------------------------- life

    def arguments(self):
        argv = [moongate_bin(), "start"]
        for p in self.config_paths:
            argv += ["-c", p]
        return argv + ["-p", self.run_dir]

    def start(self, limit_s=30.0):
        if not os.access(moongate_bin(), os.X_OK):
            raise AssertionError(f"{moongate_bin()} is not there: build it, or set MOONGATE_BIN")
        self.process = start_process(self.arguments(), self.log_path, child_environment(self.env), self.working_dir)
        try:
            wait_for(self.accepts, limit_s, "the gateway accepting connections")
            wait_for(self.is_serving, limit_s, "every worker serving")
        except AssertionError as e:
            self.kill()
            raise AssertionError(f"{e}\n{self.log_text()[-3000:]}") from None
        return self

    def accepts(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode} at start")
        try:
            connect(self.port, timeout=1.0).close()
            return True
        except OSError:
            return False

    @property
    def pid(self):
        return self.process.pid

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def wait_end(self, limit_s=STOP_LIMIT_S):
        """The exit status of the gateway, which must come within the limit."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {limit_s} s\n{self.log_text()[-3000:]}") from None

    def stop(self, number=signal.SIGTERM):
        """Ends the gateway and checks that it ended well."""
        if self.process is None:
            return
        process = self.process
        try:
            if process.poll() is None:
                self.send_signal(number)
            status = self.wait_end()
        finally:
            self.kill()
            self.process = None
        log = self.log_text()
        if not self.is_crash_expected:
            found = FAULTS.search(log)
            if found:
                raise AssertionError(f"{found.group(0)!r} in the log:\n{log[max(0, found.start() - 500):][:6000]}")
            if status != 0:
                raise AssertionError(f"ended with status {status}:\n{log[-3000:]}")

    def kill(self):
        """Ends every process of the gateway at once."""
        if self.process is None:
            return
        children = self.descendants()
        for pid in [self.process.pid, *children]:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.process.wait()

    def close(self):
        """stop() unless a test has failed already, then removes the folder."""
        try:
            if sys.exc_info()[0] is None:
                self.stop()
            else:
                self.kill()
        finally:
            if self.owns_dir:
                shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if kind is not None and issubclass(kind, Exception) and not issubclass(kind, unittest.SkipTest):
            error.add_note("--- gateway log ---\n" + self.log_text()[-4000:])
            self.kill()
            if self.owns_dir:
                shutil.rmtree(self.dir, ignore_errors=True)
            return
        self.close()

    # ------------------------------------------------------------- looking inside

    def log_text(self):
        """Everything the gateway wrote: its output and the error logs below its folder."""
        out = read_text(self.log_path)
        for folder, _, names in os.walk(self.run_dir):
            for name in sorted(names):
                if "error" in name and name.endswith(".log"):
                    out += read_text(os.path.join(folder, name))
        return out

    def wait_log(self, text, limit_s=10.0):
        """Waits for a text (or compiled pattern) in the log; the log."""
        def there():
            log = self.log_text()
            return log if (text.search(log) if hasattr(text, "search") else text in log) else None
        try:
            return wait_for(there, limit_s, f"{text!r} in the log")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log_text()[-3000:]}") from None

    def descendants(self):
        """Pids of all processes below the gateway's first one."""
        children = {}
        for d in os.listdir("/proc"):
            if d.isdigit():
                stat = read_text(f"/proc/{d}/stat")
                if stat:
                    rest = stat[stat.rindex(")") + 2:].split()
                    if rest[0] != "Z":
                        children.setdefault(int(rest[1]), []).append(int(d))
        out, todo = [], [self.process.pid]
        while todo:
            for c in children.get(todo.pop(), []):
                out.append(c)
                todo.append(c)
        return out

    def run(self, *args, **more):
        """A moongate command on this instance."""
        return moongate(*args, "-p", self.run_dir, **more)

    def reload(self):
        return self.run("reload")

    def status(self):
        done = self.run("status", "--json")
        if done.returncode != 0:
            raise AssertionError(f"status: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def is_serving(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the gateway ended with {self.process.returncode} at start")
        done = self.run("status", "--json")
        return done.returncode == 0 and all(w["state"] == "serving" for w in json.loads(done.stdout)["workers"])

    def worker_pids(self):
        return [w["pid"] for w in self.status()["workers"] if w.get("pid")]

    def metrics(self):
        return get(self.metrics_port, "/apisix/prometheus/metrics")

    def admin_key(self):
        return wait_for(lambda: read_text(os.path.join(self.run_dir, "admin.key")).strip(), 10.0, "the admin key")

    # ------------------------------------------------------------- changing

    def write_config(self, config):
        """Replaces the main configuration file; the gateway notices by itself."""
        write_atomically(self.config_path, as_text(config))

    def apply(self, config):
        """Replaces the file and asks for a reload, which must succeed."""
        self.write_config(config)
        done = self.reload()
        if done.returncode != 0:
            raise AssertionError(f"reload refused: {done.stdout}{done.stderr}")
        return done

    def write_plugin(self, name, source):
        write_atomically(os.path.join(self.plugin_dir, name + ".lua"), source)

    # ------------------------------------------------------------- talking

    def client(self, **more):
        return Client(self.port, **more)

    def request(self, method="GET", target="/", headers=None, body=None, **more):
        return request(self.port, method, target, headers, body, **more)

    def get(self, target="/", headers=None, **more):
        return get(self.port, target, headers, **more)

    def raw(self, data, **more):
        return raw(self.port, data, **more)

    def admin(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        return request(self.admin_port, method, "/apisix/admin" + path, {"X-API-KEY": self.admin_key()}, data)


def hold_fixed_ports(test):
    """Keeps other tests that use ports written in files (8080 and the like) waiting until `test` is over."""
    if getattr(test, "fixed_ports_lock", None):
        return
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    test.fixed_ports_lock = open(os.path.join(ROOT, "build", "fixed-ports-test.lock"), "w")
    test.addCleanup(test.fixed_ports_lock.close)
    fcntl.flock(test.fixed_ports_lock, fcntl.LOCK_EX)


class TestCase(unittest.TestCase):
    """Adds what many tests ask of an answer."""

    maxDiff = 4000

    def serve(self, config, *args, **more):
        """A Gateway that ends with the test."""
        gateway = Gateway(config, *args, **more)
        self.addCleanup(gateway.close)
        return gateway

    def upstream(self, *args, **more):
        up = Upstream(*args, **more)
        self.addCleanup(up.close)
        return up

    def proxy(self, answer=None, at_head=None, upstream=None, route_more=None, **more):
        """A gateway with one route for everything, and its upstream: (gateway, upstream)."""
        up = self.upstream(answer, at_head=at_head)
        r = route("/*", up, **(route_more or {}))
        r["upstream"].update(upstream or {})
        return self.serve({"routes": [r]}, **more), up

    def assert_error(self, response, status, text=None):
        """A gateway-made error: JSON with error_msg and request_id, and nothing from inside."""
        self.assertEqual(response.status, status, response)
        body = response.json()
        self.assertIn("error_msg", body)
        self.assertTrue(body.get("request_id"), body)
        self.assertNotRegex(response.body, rb"traceback|\.lua:\d|\.cpp:\d")
        if text is not None:
            self.assertIn(text, body["error_msg"])

    def settle(self, action, condition, limit_s=10.0, what="the change taking effect"):
        """Does an action, then waits until the condition holds."""
        action()
        return wait_for(condition, limit_s, what)


def elapsed(function):
    """(seconds, result)"""
    start = time.monotonic()
    result = function()
    return time.monotonic() - start, result
