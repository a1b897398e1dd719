#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the parts of the test suite, adds up what they report, and ends with `N passed, N failed[, N skipped]`.

Every part is a list of commands that print their own counts: Catch2 its summary, everything else a line `N passed, N failed`. A
command that prints none, or fails although it counted no failure, is one failure. With CI set a skip is a failure.
Called by tools/test, which builds first.
"""

import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOGS = os.path.join(ROOT, "build", "test-logs")
PARTS = ("lint", "lua", "unit", "fuzz", "plugins", "e2e", "small")
# What depends on the TLS library, its ciphers and digests included, for the build with the other one.
TLS_TESTS = ("tls_test", "tls_clients_test", "tls_hostile_test", "tls_ocsp_test", "tls_rules_test", "upstream_tls_test", "http2_test.Protocol",
             "acceptance_test.JwtOrders", "encrypted_fields_test", "secrets_test", "grpc_test", "websocket_test", "websocket_limits_test",
             "redis_limits_test.OverTls", "etcd_test.OverTls")
OUR_SUMMARY = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?\s*$", re.M)
CATCH_ALL_PASSED = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)", re.M)
CATCH_NOTHING = re.compile(r"^No tests ran", re.M)     # a filter for another program's test
CATCH_CASES = re.compile(r"^test cases:\s*(\d+)(.*)$", re.M)
SHOWN_CHARS = 6000
E2E_LIMIT_S = 7200      # a tenth of it does for a machine with nothing else to do


class Command:
    """One process of a part: `count(text)` finds (passed, failed, skipped) in its output."""

    def __init__(self, name, argv, count, limit_s, env=None, is_live=False):
        self.name, self.argv, self.count, self.limit_s, self.env = name, argv, count, limit_s, env or {}
        self.is_live = is_live      # its output is short by itself and is shown as it comes


def count_ours(text):
    found = OUR_SUMMARY.findall(text)
    return tuple(int(x or 0) for x in found[-1]) if found else None


def count_catch(text):
    if m := CATCH_ALL_PASSED.search(text):
        return int(m.group(1)), 0, 0
    if m := CATCH_CASES.search(text):
        failed = sum(int(n) for n in re.findall(r"(\d+) failed", m.group(2)))
        return int(m.group(1)) - failed, failed, 0
    return (0, 0, 0) if CATCH_NOTHING.search(text) else None


def count_replay(text):
    return (1, 0, 0) if re.search(r"^replayed [1-9]\d* inputs", text, re.M) else None


def moongate(preset):
    return os.path.join(ROOT, "build", preset, "moongate")


def unit_commands(filters):
    programs = sorted(p for p in glob.glob(os.path.join(ROOT, "build", "dev", "tests", "*_test")) if os.access(p, os.X_OK))
    for program in programs:
        name = os.path.basename(program)
        folder_filters = [f for f in filters if name.startswith(f)]
        case_filters = [f for f in filters if not any(os.path.basename(p).startswith(f) for p in programs)]
        if filters and not folder_filters and not case_filters:
            continue
        patterns = [f"*{f}*" for f in case_filters]
        yield Command(name, [program, *([",".join(patterns)] if patterns else [])], count_catch, 600)


def fuzz_commands(filters):
    for corpus in sorted(glob.glob(os.path.join(ROOT, "tests", "fuzz", "corpus", "*"))):
        name = os.path.basename(corpus)
        if not filters or any(f in name for f in filters):
            yield Command(name, [os.path.join(ROOT, "build", "dev", "tests", name), corpus], count_replay, 600)


def lua_commands(filters):
    yield Command("lua", ["luajit", "tests/lua/run.lua", *filters], count_ours, 600)


def plugin_commands(filters):
    specs = sorted(glob.glob(os.path.join(ROOT, "tests", "plugins", "*_spec.lua")))
    chosen = [os.path.relpath(s, ROOT) for s in specs if any(f in os.path.basename(s) for f in filters)]
    yield Command("plugins", [moongate("release"), "plugin", "test", *(chosen or ["tests/plugins"])], count_ours, 900)


def e2e_commands(filters):
    runner = [sys.executable, "tests/e2e/run.py"]
    yield Command("e2e", [*runner, *filters], count_ours, E2E_LIMIT_S, {"MOONGATE_BIN": moongate("release")}, is_live=True)
    yield Command("e2e-sanitized", [*runner, "--sanitized", *filters], count_ours, E2E_LIMIT_S, {"MOONGATE_BIN": moongate("dev")},
                  is_live=True)


def small_commands(filters):
    """The build with mbedTLS: its unit tests and its fuzzer's corpus under the sanitizers, then the real binary."""
    programs = os.path.join(ROOT, "build", "small-dev", "tests")
    fuzzer, corpus = os.path.join(programs, "client_hello_fuzz"), os.path.join(ROOT, "tests", "fuzz", "corpus", "client_hello_fuzz")
    library = os.path.join(ROOT, "build", "small", "tests", "lua", "libmg_lua_native.so")
    e2e = [sys.executable, "tests/e2e/run.py", "--logs", os.path.join(LOGS, "e2e-small"), *(filters or TLS_TESTS)]
    if not filters:
        yield Command("plugins", [moongate("small"), "plugin", "test", "tests/plugins"], count_ours, 900)
        yield Command("tls_test", [os.path.join(programs, "tls_test")], count_catch, 600)
        yield Command("client_hello_fuzz", [fuzzer, corpus], count_replay, 600)
        yield Command("lua", ["luajit", "tests/lua/run.lua", library, "resty"], count_ours, 600)
    yield Command("e2e", e2e, count_ours, E2E_LIMIT_S, {"MOONGATE_BIN": moongate("small")}, is_live=True)


def lint_commands(filters):
    yield Command("lint", ["tools/check", *filters], count_ours, 900, is_live=True)


COMMANDS = {"unit": unit_commands, "fuzz": fuzz_commands, "lua": lua_commands, "plugins": plugin_commands,
            "e2e": e2e_commands, "small": small_commands, "lint": lint_commands}
# What a filter may rule out entirely: no test of that name in one of the two runs is no fault.
MAY_BE_EMPTY = {"e2e", "e2e-sanitized"}


def run(part, command):
    """(passed, failed, skipped, text for the terminal)"""
    log = os.path.join(LOGS, f"{part}-{command.name}.log")
    env = {**os.environ, **command.env}
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
    with open(log, "w") as out:
        try:
            done = subprocess.run(command.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT,
                                  env=env, timeout=command.limit_s)
            status = done.returncode
        except subprocess.TimeoutExpired:
            status = f"none within {command.limit_s} s"
        except OSError as e:
            out.write(str(e))
            status = str(e)
    with open(log, errors="replace") as f:
        text = f.read()
    counted = command.count(text)
    passed, failed, skipped = counted or (0, 0, 0)
    shown = text.rstrip() + "\n" if command.is_live else ""
    if counted is None or (status != 0 and failed == 0):
        failed += 1
        shown = text[-SHOWN_CHARS:] + f"\n{command.name}: exit status {status}\n"
    elif failed and not command.is_live:
        shown = text[-SHOWN_CHARS:]
    return passed, failed, skipped, shown


def run_part(part, filters):
    """Commands of unit and fuzz run two at a time; the others use both cores by themselves."""
    sums, started = [0, 0, 0], time.monotonic()
    commands = list(COMMANDS[part](filters))
    with concurrent.futures.ThreadPoolExecutor(2 if part in ("unit", "fuzz") else 1) as pool:
        for command, result in zip(commands, pool.map(lambda c: run(part, c), commands)):
            passed, failed, skipped, shown = result
            if filters and command.name in MAY_BE_EMPTY and "no test was run" in shown:
                continue
            if shown:
                print(shown.replace("\n\n", "\n"), end="", flush=True)
            sums = [a + b for a, b in zip(sums, (passed, failed, skipped))]
    if sum(sums) == 0:
        print(f"{part}: no test was run")
        sums[1] = 1
    print(f"-- {part}: {summary(sums)} ({time.monotonic() - started:.0f} s)", flush=True)
    return sums


def summary(sums):
    passed, failed, skipped = sums
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def main():
    os.makedirs(LOGS, exist_ok=True)
    part, filters = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("all", [])
    sums = [0, 0, 0]
    for p in PARTS if part == "all" else (part,):
        sums = [a + b for a, b in zip(sums, run_part(p, filters))]
    if os.environ.get("CI"):
        sums = [sums[0], sums[1] + sums[2], 0]
    print(summary(sums))
    return 1 if sums[1] else 0


if __name__ == "__main__":
    sys.exit(main())
