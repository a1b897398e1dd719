#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Side-by-side benchmark of HTTP proxies by CPU work per request.

See README.md.  The short form:

    bench.py --list
    bench.py --quick
    bench.py --workloads W1,W2 --subjects relay,nginx,haproxy --rounds 7
    bench.py --syscalls --workloads W1
    bench.py --instructions --workloads W1
"""

import argparse
import glob
import importlib.util
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness as H  # noqa: E402


class Workload:
    def __init__(self, name, about, needs=("http",), tls=False, connections=64, path=None,
                 close=False, resume=False, method="GET", body=0, routes=0, paths=0, streams=0,
                 idle=0):
        self.name, self.about, self.needs, self.tls = name, about, frozenset(needs), tls
        self.connections, self.close, self.method, self.body = connections, close, method, body
        self.path = path or "/api/v1/items?id=42"
        self.routes, self.streams, self.idle = routes, streams, idle
        self.resume, self.paths = resume, paths


WORKLOADS = {w.name: w for w in (
    Workload("W1", "small GET, keep-alive, 64 connections"),
    Workload("W1c1", "small GET, keep-alive, 1 connection", connections=1),
    Workload("W2", "small GET, TLS 1.3 keep-alive, 64 connections", ("tls",), True),
    Workload("W3", "small GET, full TLS 1.3 handshake for each request, 8 at a time", ("tls",),
             True, 8, close=True),
    Workload("W3r", "small GET, resumed TLS 1.3 session for each request, 8 at a time",
             ("tls",), True, 8, close=True, resume=True),
    Workload("W4", "POST of 16 KiB, keep-alive, 64 connections", method="POST", body=16384),
    Workload("W5", "GET of 1 MiB, keep-alive, 16 connections", connections=16,
             path="/bytes/1048576"),
    Workload("W6", "small GET, new TCP connection for each request, 32 at a time",
             connections=32, close=True),
    Workload("W7", "10,000 idle keep-alive connections", idle=10000),
    Workload("W7tls", "10,000 idle keep-alive TLS connections", ("tls",), True, idle=10000),
    Workload("W8", "small GET over 10,000 route prefixes", ("http", "routes"), routes=10000,
             paths=10000),
    Workload("W8one", "the requests of W8 with one route for all", ("http", "routes"),
             paths=10000),
    Workload("W9", "HTTP/2 over TLS, 8 connections of 8 streams", ("tls", "h2"), True, 8,
             streams=8),
)}


# hardware counters, where the machine has them, and tracepoints, where tracefs
# is mounted
INSTRUCTIONS = ["instructions:u", "instructions:k"]
SYSCALLS = ["raw_syscalls:sys_enter", "syscalls:sys_enter_epoll_wait",
            "syscalls:sys_enter_epoll_pwait"]


def load_subjects():
    found = {}
    for path in sorted(glob.glob(os.path.join(H.HERE, "subjects", "*.py"))):
        name = os.path.splitext(os.path.basename(path))[0]
        spec = importlib.util.spec_from_file_location("subject_" + name, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for cls in module.SUBJECTS:
            found[cls.name] = cls()
    return found


class Bench:
    """Everything that is running: backend, subjects, their scratch folders."""

    def __init__(self, args):
        self.args = args
        self.dir = H.scratch()
        self.tools = H.build(self.dir)
        self.tls = H.make_certificate(self.dir)
        self.ssl_conf = H.client_openssl_conf(self.dir)
        self.running = {}
        self.count = 0
        self.instructions = H.perf_can(INSTRUCTIONS)
        self.backend_port = H.free_ports(1)[0]
        log = os.path.join(self.dir, "backend.log")
        self.backend = H.start([os.path.join(self.tools, "backend"), H.HOST,
                                str(self.backend_port)], args.load_core, log)
        if not H.wait_port(self.backend_port, 5, self.backend):
            raise RuntimeError("the backend did not start: " + open(log).read())

    def backend_stats(self):
        return json.loads(H.fetch(self.backend_port, "/__stats")[2])

    def start(self, subject, routes=0, prefix=(), valgrind=False):
        if subject.name in self.running:
            self.stop(subject)
        ports = H.free_ports(2)
        self.count += 1
        d = os.path.join(self.dir, f"{self.count:03d}-{subject.name}")
        os.mkdir(d)
        ctx = H.Context(d, ports, self.backend_port, self.tls, self.tools, routes, valgrind)
        subject.prepare(ctx)
        log = os.path.join(d, "output.log")
        proc = H.start(list(prefix) + subject.argv(ctx), self.args.proxy_core, log,
                       env=subject.env(ctx), cwd=d)
        self.running[subject.name] = (proc, ctx)
        limit = subject.start_seconds * (10 if prefix else 1)
        if not H.wait_port(ports[0], limit, proc):
            raise RuntimeError(f"{subject.name} did not start; " + tail(log))
        end = time.monotonic() + limit
        while True:
            try:
                status, _, body = H.fetch(ports[0], timeout=20 if prefix else 5)
                if status == 200 and len(body) == 1024:
                    return ctx
                problem = f"answered {status} with {len(body)} bytes"
            except OSError as e:
                problem = str(e)
            except Exception as e:      # http.client's own errors
                problem = repr(e)
            if time.monotonic() > end:
                raise RuntimeError(f"{subject.name} {problem}; " + tail(log))
            time.sleep(0.1)

    def stop(self, subject):
        proc, ctx = self.running.pop(subject.name)
        H.stop(proc.pid)
        shutil.rmtree(ctx.dir, ignore_errors=True)

    def pids(self, subject):
        return subject.pids(self.running[subject.name][0].pid)

    def load(self, subject, w, seconds):
        ctx = self.running[subject.name][1]
        url = f"{'https' if w.tls else 'http'}://{H.HOST}:" \
              f"{ctx.tls_port if w.tls else ctx.port}{w.path}"
        if w.streams:
            return H.h2load(url, seconds, w.connections, w.streams, self.args.load_core,
                            self.ssl_conf)
        return H.wrk(url, seconds, w.connections, self.args.load_core, self.ssl_conf, w.close,
                     w.method if w.method != "GET" else "", w.body, w.paths,
                     os.path.join(self.tools, "noresume") if w.tls and w.close and
                     not w.resume else "")

    def measure(self, subject, w, seconds):
        """One sample: load for some seconds, and what the subject spent on it."""
        pids = self.pids(subject)
        core = self.args.proxy_core
        before = self.backend_stats()
        perf = H.PerfCount(pids, INSTRUCTIONS, self.dir) if self.instructions else None
        busy0, steal0 = H.core_busy(core)
        u0 = H.Usage(pids)
        r = self.load(subject, w, seconds)
        d = H.Usage(pids).since(u0)
        busy1, steal1 = H.core_busy(core)
        counted = perf.stop() if perf else {}
        after = self.backend_stats()
        n = max(1, r["requests"])
        us = d["cpu_s"] * 1e6 / n
        sample = {
            "cpu_us": us, "user_us": us * d["user_share"], "sys_us": us * (1 - d["user_share"]),
            "requests": r["requests"], "rps": r["requests"] / r["seconds"],
            "p50_us": r["p50_us"], "p99_us": r["p99_us"], "errors": r["errors"],
            "bad_status": r["bad_status"], "util": d["cpu_s"] / d["wall_s"],
            "sleeps": d["vol"] / n, "preempted": d["invol"] / d["wall_s"],
            "others": max(0.0, busy1 - busy0 - d["cpu_s"]) / d["wall_s"],
            "steal": (steal1 - steal0) / d["wall_s"],
            "upstream_requests": (after["requests"] - before["requests"]) / n,
            "upstream_connections": (after["connections"] - before["connections"]) / n,
            **H.memory(pids)}
        for k, v in counted.items():
            sample[k.replace(":", "_")] = v / n
        return sample

    def close(self):
        for name, (proc, _) in list(self.running.items()):
            H.stop(proc.pid)
        H.stop_all_descendants()
        if self.args.keep:
            print("kept", self.dir, file=sys.stderr)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def tail(path, n=600):
    try:
        with open(path, errors="replace") as f:
            return f.read()[-n:]
    except OSError:
        return ""


def note(*a):
    print(*a, file=sys.stderr, flush=True)


def warn_errors(subject, w, r):
    """A load that failed measures the failing, not the proxying."""
    if r["errors"] + r["bad_status"] > r["requests"] / 100:
        note(f"{w.name} {subject.name}: void: {r['errors']} errors and {r['bad_status']} bad "
             f"answers in {r['requests']} requests")


# ------------------------------------------------------------------- running

def run_rounds(bench, subjects, w, args):
    """Samples of every subject, interleaved: {subject: [sample of round 0, ...]}."""
    samples, live = {s.name: [] for s in subjects}, []
    for s in subjects:
        try:
            bench.start(s, w.routes)
            bench.load(s, w, args.warm)
            live.append(s)
        except (RuntimeError, OSError, NotImplementedError, subprocess.SubprocessError) as e:
            note(f"{w.name} {s.name}: left out: {e}")
            if s.name in bench.running:
                bench.stop(s)
    for r in range(args.rounds):
        k = r % max(1, len(live))
        for s in live[k:] + live[:k]:
            if r and args.restart:
                bench.start(s, w.routes)
                bench.load(s, w, args.warm)
            sample = bench.measure(s, w, args.seconds)
            sample["round"] = r
            warn_errors(s, w, sample)
            samples[s.name].append(sample)
            if args.verbose:
                note(f"{w.name} {r} {s.name:16} {sample['cpu_us']:8.2f} us/req "
                     f"{sample['rps']:9.0f}/s util {sample['util']:.2f} "
                     f"others {sample['others']:.2f} errors {sample['errors']}")
    for s in live:
        bench.stop(s)
    return {k: v for k, v in samples.items() if v}


def run_idle(bench, subjects, w, args):
    """Memory for each idle connection."""
    out = {}
    for s in subjects:
        fds = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        n = min(args.idle or w.idle, (fds - 400) // s.fds_per_client)
        try:
            ctx = bench.start(s)
            bench.load(s, WORKLOADS["W2" if w.tls else "W1"], 1)
            time.sleep(0.3)
            before = H.memory(bench.pids(s))
            idle = H.Idle(ctx.tls_port if w.tls else ctx.port, n, w.tls)
            time.sleep(3)   # for those that give memory back when they have been idle for a while
            after = H.memory(bench.pids(s))
            u = H.Usage(bench.pids(s))
            time.sleep(2)
            cpu = H.Usage(bench.pids(s)).since(u)
            out[s.name] = {"connections": n, "still_open": idle.still_open(),
                           "rss_kb_before": before["rss_kb"], "pss_kb_before": before["pss_kb"],
                           "rss_kb": after["rss_kb"], "pss_kb": after["pss_kb"],
                           "pss_bytes_each": (after["pss_kb"] - before["pss_kb"]) * 1024 / n,
                           "idle_cpu_ms_per_s": cpu["cpu_s"] * 1e3 / cpu["wall_s"]}
            idle.close()
        except (RuntimeError, OSError, NotImplementedError, subprocess.SubprocessError) as e:
            note(f"{w.name} {s.name}: left out: {e}")
        if s.name in bench.running:
            bench.stop(s)
    return out


def run_syscalls(bench, subjects, w, args):
    """System calls for each request, by name."""
    out = {}
    for s in subjects:
        try:
            bench.start(s, w.routes)
            bench.load(s, w, args.warm)
            r, calls = H.strace_count(bench.pids(s), lambda: bench.load(s, w, args.seconds),
                                      bench.dir)
            warn_errors(s, w, r)
            n = max(1, r["requests"])
            out[s.name] = {"total": sum(calls.values()) / n, "requests": n,
                           "calls": {k: v / n for k, v in calls.items()}}
            if H.perf_can(SYSCALLS):
                perf = H.PerfCount(bench.pids(s), SYSCALLS, bench.dir)
                r = bench.load(s, w, args.seconds)
                got = perf.stop()
                n = max(1, r["requests"])
                out[s.name]["unhindered_total"] = got.get(SYSCALLS[0], 0) / n
                out[s.name]["unhindered_waits"] = sum(got.get(e, 0) for e in SYSCALLS[1:]) / n
        except (RuntimeError, OSError, NotImplementedError, subprocess.SubprocessError) as e:
            note(f"{w.name} {s.name}: left out: {e}")
        if s.name in bench.running:
            bench.stop(s)
    return out


def run_instructions(bench, subjects, w, args):
    """User-space instructions for each request, counted by valgrind: slow, but
    the same number whatever else the machine does."""
    out = {}
    few, many = 4000, 24000  # what a start does besides must not show
    for s in subjects:
        if "valgrind" not in s.features or w.close or w.body or w.idle:
            continue
        try:
            got = []
            for n in (few, many):
                logs = os.path.join(bench.dir, f"vg-{w.name}-{s.name}-{n}")
                ctx = bench.start(s, w.routes, valgrind=True, prefix=[
                    "valgrind", "--tool=cachegrind", "--cache-sim=no", "--trace-children=yes",
                    "--cachegrind-out-file=" + os.devnull, f"--log-file={logs}-%p"])
                path = f"/svc{w.paths // 2:05d}/v1/items?id=42" if w.paths else w.path
                url = f"{'https' if w.tls else 'http'}://{H.HOST}:" \
                      f"{ctx.tls_port if w.tls else ctx.port}{path}"
                argv = ["h2load", "-t1", "-n", str(n), "-c8", f"-m{w.streams or 1}"]
                argv += [] if w.streams else ["--h1"]
                for k, v in H.HEADERS:
                    argv += ["-H", f"{':authority' if k == 'Host' else k.lower()}: {v}"]
                p = subprocess.run(argv + [url], stdout=subprocess.PIPE, text=True, timeout=300,
                                   stderr=subprocess.STDOUT,
                                   env={**os.environ, "OPENSSL_CONF": bench.ssl_conf})
                if f"status codes: {n} 2xx" not in p.stdout:
                    raise RuntimeError("h2load: " + p.stdout[-300:])
                bench_pid = bench.running[s.name][0].pid
                H.stop(bench_pid, grace=20)
                bench.running.pop(s.name)
                total = 0
                for log in glob.glob(logs + "-*"):
                    with open(log) as f:
                        m = re.search(r"I\s+refs:\s+([\d,]+)", f.read())
                    os.unlink(log)
                    total += int(m.group(1).replace(",", "")) if m else 0
                got.append(total)
            out[s.name] = {"user_instructions": (got[1] - got[0]) / (many - few)}
            note(f"{w.name} {s.name}: {out[s.name]['user_instructions']:.0f} instructions/request")
        except (RuntimeError, OSError, NotImplementedError, subprocess.SubprocessError) as e:
            note(f"{w.name} {s.name}: left out: {e}")
            if s.name in bench.running:
                bench.stop(s)
    return out


# ----------------------------------------------------------------- reporting

def ratios(samples, name, ref, key="cpu_us"):
    other = {x["round"]: x[key] for x in samples.get(ref, []) if x[key] > 0}
    return [x[key] / other[x["round"]] for x in samples[name] if x["round"] in other]


def summarize(samples, refs):
    out = {}
    for name, xs in samples.items():
        row = {k: H.median([x[k] for x in xs]) for k in xs[0] if k != "round"}
        row["cpu_us_min"], row["cpu_us_max"] = (f(x["cpu_us"] for x in xs) for f in (min, max))
        row["rounds"] = len(xs)
        row["errors"] = sum(x["errors"] for x in xs)
        row["bad_status"] = sum(x["bad_status"] for x in xs)
        for ref in refs:
            rs = ratios(samples, name, ref)
            if rs:
                row["ratio_" + ref] = {"median": statistics.median(rs), "min": min(rs),
                                       "max": max(rs)}
        out[name] = row
    return out


def table(head, rows):
    width = [max(len(str(r[i])) for r in [head] + rows) for i in range(len(head))]

    def line(r):
        return "| " + " | ".join(str(c).ljust(width[i]) if i == 0 else str(c).rjust(width[i])
                                 for i, c in enumerate(r)) + " |"
    return "\n".join([line(head), "|" + "|".join("-" * (x + 2) for x in width) + "|"] +
                     [line(r) for r in rows])


def show_rounds(w, summary, refs):
    refs = [r for r in refs if r in summary]
    head = ["subject", "cpu us/req", "min..max", "user", "sys"]
    head += [f"vs {r}" for r in refs] + ["ratio spread " + r for r in refs[:1]]
    head += ["util", "req/s", "p50 us", "p99 us", "RSS MiB", "PSS MiB", "up conn/req", "others",
             "errors"]
    rows = []
    for name, x in summary.items():
        row = [name, f"{x['cpu_us']:.2f}", f"{x['cpu_us_min']:.2f}..{x['cpu_us_max']:.2f}",
               f"{x['user_us']:.2f}", f"{x['sys_us']:.2f}"]
        for r in refs:
            q = x.get("ratio_" + r)
            row.append(f"{q['median']:.3f}" if q else "-")
        for r in refs[:1]:
            q = x.get("ratio_" + r)
            row.append(f"{q['min']:.2f}..{q['max']:.2f}" if q else "-")
        row += [f"{x['util']:.2f}", f"{x['rps']:.0f}", f"{x['p50_us']:.0f}",
                f"{x['p99_us']:.0f}" if x["p99_us"] else "-", f"{x['rss_kb'] / 1024:.1f}",
                f"{x['pss_kb'] / 1024:.1f}", f"{x['upstream_connections']:.3f}", f"{x['others']:.2f}",
                str(x["errors"] + x["bad_status"])]
        rows.append(row)
    rounds = max((x["rounds"] for x in summary.values()), default=0)
    return f"### {w.name}: {w.about} ({rounds} rounds)\n\n" + table(head, rows) + "\n"


def show_idle(w, got):
    rows = [[k, x["connections"], x["still_open"], f"{x['pss_bytes_each']:.0f}",
             f"{x['pss_kb_before'] / 1024:.1f}", f"{x['pss_kb'] / 1024:.1f}",
             f"{x['rss_kb'] / 1024:.1f}", f"{x['idle_cpu_ms_per_s']:.2f}"] for k, x in got.items()]
    return f"### {w.name}: {w.about}\n\n" + table(
        ["subject", "connections", "still open", "PSS bytes each", "PSS before MiB",
         "PSS after MiB", "RSS after MiB", "idle cpu ms/s"], rows) + "\n"


def show_syscalls(w, got):
    names = sorted({c for x in got.values() for c, v in x["calls"].items() if v >= 0.005},
                   key=lambda c: -max(x["calls"].get(c, 0) for x in got.values()))
    rows = [[k, f"{x['unhindered_total']:.2f}" if "unhindered_total" in x else "-",
             f"{x['unhindered_waits']:.3f}" if "unhindered_waits" in x else "-",
             f"{x['total']:.2f}"] + [f"{x['calls'].get(c, 0):.2f}" for c in names]
            for k, x in got.items()]
    return f"### {w.name} system calls for each request (two by perf tracepoints under full " \
        "load, the rest by strace -c -f)\n\n" + \
        table(["subject", "perf total", "perf epoll_wait", "strace total"] + names, rows) + "\n"


def show_instructions(w, got):
    rows = [[k, f"{x['user_instructions']:.0f}"] for k, x in got.items()]
    return f"### {w.name} user-space instructions for each request (valgrind)\n\n" + \
        table(["subject", "instructions"], rows) + "\n"


def quick_line(summary, target):
    def us(n):
        return f"{n}={summary[n]['cpu_us']:.2f}"
    order = [target] + [n for n in summary if n != target]
    line = "cpu_us_per_req " + " ".join(us(n) for n in order)
    spread = ""
    for ref in ("nginx", "haproxy", "relay"):
        q = summary[target].get("ratio_" + ref)
        if q and ref != target:
            line += f" ratio_vs_{ref}={q['median']:.3f}"
            spread = spread or f" spread={q['min']:.2f}..{q['max']:.2f}"
    return line + spread + f" target={target} rounds={summary[target]['rounds']}"


def options():
    p = argparse.ArgumentParser(description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--list", action="store_true", help="show subjects and workloads")
    p.add_argument("--subjects", help="comma-separated; default: all available")
    p.add_argument("--workloads", default="W1", help="comma-separated, or all")
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--seconds", type=int, default=3, help="of load for each sample")
    p.add_argument("--warm", type=int, default=1, help="seconds of load before the first sample")
    p.add_argument("--restart", action="store_true",
                   help="start every subject anew for each round")
    p.add_argument("--ref", default="nginx,haproxy,relay", help="subjects that ratios refer to")
    p.add_argument("--target", help="the subject the quick line and --max-ratio speak of")
    p.add_argument("--max-ratio", action="append", default=[], metavar="REF=X",
                   help="exit 1 if the target's median ratio to REF is above X")
    p.add_argument("--quick", action="store_true", help="W1 only, one line, under 55 s")
    p.add_argument("--syscalls", action="store_true", help="count system calls instead")
    p.add_argument("--instructions", action="store_true",
                   help="count user-space instructions with valgrind instead")
    p.add_argument("--idle", type=int, help="connections in the W7 workloads")
    p.add_argument("--proxy-core", type=int, default=1 if (os.cpu_count() or 1) > 1 else 0)
    p.add_argument("--load-core", type=int, default=0)
    p.add_argument("--json", metavar="FILE", help="write all samples there; - for stdout")
    p.add_argument("--keep", action="store_true", help="leave the scratch folder")
    p.add_argument("--verbose", action="store_true")
    a = p.parse_args()
    if a.quick:
        a.workloads, a.seconds, a.rounds, a.restart = "W1", 2, min(a.rounds, 5), False
    return a


def main():
    args = options()
    everything = load_subjects()
    if args.list:
        for s in everything.values():
            print(f"{s.name:16} {'yes' if s.available() else 'no ':3}  {s.about}  "
                  f"[{' '.join(sorted(s.features))}]")
        for w in WORKLOADS.values():
            print(f"{w.name:16}      {w.about}")
        return 0
    if args.subjects:
        unknown = [n for n in args.subjects.split(",") if n not in everything]
        if unknown:
            sys.exit("no such subject: " + " ".join(unknown))
        names = args.subjects.split(",")
    elif args.quick:
        names = ["moongate", "nginx", "haproxy", "relay"]
    else:
        names = list(everything)
    subjects = [everything[n] for n in names if everything[n].available()]
    missing = [n for n in names if not everything[n].available()]
    if missing:
        note("not available here: " + " ".join(missing))
    if not subjects:
        sys.exit("no subject available")
    target = args.target or subjects[0].name
    if target not in everything:
        sys.exit("no such subject: " + target)
    workloads = list(WORKLOADS.values()) if args.workloads == "all" else \
        [WORKLOADS[n] for n in args.workloads.split(",")]
    refs = args.ref.split(",")

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    H.adopt_orphans()
    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(sig, lambda *_: sys.exit(130))

    result = {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
              "rounds": args.rounds, "seconds": args.seconds, "workloads": {}}
    status = 0
    bench = None
    try:
        bench = Bench(args)
        for w in workloads:
            able = [s for s in subjects if w.needs <= s.features]
            entry = {"about": w.about}
            result["workloads"][w.name] = entry
            if args.syscalls:
                entry["syscalls"] = run_syscalls(bench, able, w, args)
                text = show_syscalls(w, entry["syscalls"])
            elif args.instructions:
                entry["instructions"] = run_instructions(bench, able, w, args)
                text = show_instructions(w, entry["instructions"])
            elif w.idle:
                entry["idle"] = run_idle(bench, able, w, args)
                text = show_idle(w, entry["idle"])
            else:
                entry["samples"] = run_rounds(bench, able, w, args)
                entry["summary"] = summarize(entry["samples"], refs)
                text = show_rounds(w, entry["summary"], refs)
                if target not in entry["summary"] and w.needs <= everything[target].features:
                    note(f"{w.name}: {target} was not measured")
                    status = 1
                elif args.quick:
                    text = quick_line(entry["summary"], target)
                for rule in args.max_ratio:
                    ref, _, limit = rule.partition("=")
                    q = entry["summary"].get(target, {}).get("ratio_" + ref)
                    if not q or q["median"] > float(limit):
                        note(f"{w.name}: {target} vs {ref} "
                             f"{q['median'] if q else 'not measured'} is above {limit}")
                        status = 1
            if args.json != "-":
                print(text, flush=True)
    finally:
        if bench:
            bench.close()
        else:
            H.stop_all_descendants()
    if args.json == "-":
        json.dump(result, sys.stdout, indent=1)
        print()
    elif args.json:
        with open(args.json, "w") as f:
            json.dump(result, f, indent=1)
    return status


if __name__ == "__main__":
    sys.exit(main())
