#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the end-to-end tests: two files at a time, a process for each file, a time limit for each test.

    tests/e2e/run.py [--sanitized] [--jobs N] [--logs DIR] [FILTER ...]

A filter is part of `file.Class.test`; any of several will do. --sanitized runs only the tests marked with @sanitized. The
last line is `N passed, N failed`, with `, N skipped` when there are any. Full output goes to DIR (build/test-logs/e2e).
"""

import argparse
import concurrent.futures
import faulthandler
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TEST_LIMIT_S = 300     # a test that hangs; those of a busy machine take minutes
FILE_LIMIT_S = 7200 if os.environ.get("MOONGATE_FULL") == "1" else 1800
RESULT = "@@result "


class TestTimeout(Exception):
    pass


def on_alarm(*_):
    faulthandler.dump_traceback()
    raise TestTimeout("the test ran into its time limit")


class Recorder(unittest.TestResult):
    """Prints one line of JSON for each test as it ends; the parent process reads them."""

    def startTest(self, test):
        super().startTest(test)
        self.began, self.subtest_failures = time.monotonic(), []
        signal.alarm(int(getattr(getattr(test, test._testMethodName), "limit_s", TEST_LIMIT_S)))
        print(f"\n=== {test.id()}", flush=True)

    def stopTest(self, test):
        signal.alarm(0)
        if self.subtest_failures:
            self.report(test, "failed", f"{len(self.subtest_failures)} cases failed\n" + "\n".join(self.subtest_failures[:8]))
        super().stopTest(test)

    def report(self, test, outcome, detail=""):
        seconds = round(time.monotonic() - getattr(self, "began", time.monotonic()), 2)
        print("\n" + RESULT + json.dumps({"id": test.id(), "outcome": outcome, "detail": detail, "seconds": seconds}), flush=True)

    def describe(self, err):
        return "".join(traceback.format_exception(*err, limit=-6))

    def addSuccess(self, test):
        self.report(test, "passed")

    def addFailure(self, test, err):
        self.report(test, "failed", self.describe(err))

    def addError(self, test, err):
        self.report(test, "failed", self.describe(err))

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.subtest_failures.append(f"{subtest}\n{self.describe(err)}")

    def addSkip(self, test, reason):
        self.report(test, "failed" if os.environ.get("CI") else "skipped", reason)

    def addExpectedFailure(self, test, err):
        self.report(test, "failed", "no test here is expected to fail\n" + self.describe(err))

    def addUnexpectedSuccess(self, test):
        self.report(test, "failed", "marked as expected to fail")


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


def is_for_binary(test, method):
    """Whether the binary has what the test needs. What it was not built with is no fault, and no service that is missing."""
    from harness import missing_in_tls
    needed = getattr(method, "needed_tls", getattr(type(test), "needed_tls", None))
    if needed and needed in missing_in_tls():
        print(f"left out: {test.id()}: {needed} is not in this build", flush=True)
        return False
    return True


def is_wanted(test, filters, sanitized_only):
    if isinstance(test, unittest.loader._FailedTest):
        return True
    method = getattr(test, test._testMethodName)
    if sanitized_only and not (getattr(method, "is_sanitized", False) or getattr(type(test), "is_sanitized", False)):
        return False
    return (not filters or any(f in test.id() for f in filters)) and is_for_binary(test, method)


def run_file(name, filters, sanitized_only):
    """In the child process: the tests of one file."""
    sys.path.insert(0, HERE)
    signal.signal(signal.SIGALRM, on_alarm)
    suite = unittest.defaultTestLoader.loadTestsFromName(name)
    unittest.TestSuite(t for t in flatten(suite) if is_wanted(t, filters, sanitized_only)).run(Recorder())


def run_child(name, args, counts, lock):
    """In the parent: one file's process, its log, its failures on the terminal."""
    argv = [sys.executable, os.path.abspath(__file__), "--file", name, *args.filters]
    if args.sanitized:
        argv.append("--sanitized")
    started = time.monotonic()
    log = os.path.join(args.logs, name + (".sanitized" if args.sanitized else "") + ".log")
    with open(log, "w") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=HERE)
        try:
            process.wait(FILE_LIMIT_S)
            ending = f"ended with status {process.returncode}" if process.returncode else ""
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            ending = f"killed after {FILE_LIMIT_S} s"
    with open(log, errors="replace") as f:
        results = [json.loads(line[len(RESULT):]) for line in f if line.startswith(RESULT)]
    with lock:
        for r in results:
            counts[r["outcome"]] += 1
            if r["outcome"] != "passed":
                print(f"{r['outcome'].upper()}: {r['id']} ({r['seconds']} s)\n    " + r["detail"].strip()[:6000].replace("\n", "\n    "))
        if ending:
            counts["failed"] += 1
            print(f"FAILED: {name} {ending}; see {os.path.relpath(log, ROOT)}")
        if results or ending:
            print(f"{name}: {len(results)} tests, {time.monotonic() - started:.0f} s", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("filters", nargs="*", metavar="FILTER")
    p.add_argument("--sanitized", action="store_true")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--logs", default=os.path.join(ROOT, "build", "test-logs", "e2e"))
    p.add_argument("--file", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.file:
        run_file(args.file, args.filters, args.sanitized)
        return 0
    os.makedirs(args.logs, exist_ok=True)
    names = sorted(n[:-3] for n in os.listdir(HERE) if n.endswith("_test.py"))
    # A filter that names a file spares the others' processes.
    chosen = [n for n in names if any(n.startswith(f.split(".")[0]) for f in args.filters)] or names
    counts, lock = {"passed": 0, "failed": 0, "skipped": 0}, threading.Lock()
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for future in [pool.submit(run_child, n, args, counts, lock) for n in chosen]:
            future.result()
    if sum(counts.values()) == 0:
        print("no test was run")
        counts["failed"] = 1
    print(f"{counts['passed']} passed, {counts['failed']} failed" + (f", {counts['skipped']} skipped" if counts["skipped"] else ""))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
