#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles every header of runtime/ alone, so that each includes what it needs.

A header that passed is not compiled again until it, or anything it includes, is newer than its stamp in
build/header-check/. Exits 1 when one fails.
"""

import concurrent.futures
import glob
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STAMPS = os.path.join(ROOT, "build", "header-check")
LIBRARIES = ["libevent_core", "libcares", "yaml-0.1", "libcjson", "libpcre2-8", "libcrypto", "libssl", "luajit", "hiredis", "libnghttp2"]


def library_flags():
    flags = []
    for library in LIBRARIES:
        done = subprocess.run(["pkg-config", "--cflags", library], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        flags += done.stdout.split()
    return sorted(set(flags))


def is_fresh(stamp, depfile):
    try:
        made = os.stat(stamp).st_mtime
        with open(depfile) as f:
            names = f.read().replace("\\\n", " ").split(":", 1)[1].split()
        return all(os.stat(name).st_mtime < made for name in names)
    except (OSError, IndexError):
        return False


def check(header, flags):
    """What the compiler says, or an empty text."""
    name = os.path.relpath(header, ROOT).replace("/", "-")
    stamp, depfile = os.path.join(STAMPS, name + ".ok"), os.path.join(STAMPS, name + ".d")
    if is_fresh(stamp, depfile):
        return ""
    argv = [os.environ.get("CXX", "g++"), "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-I", os.path.join(ROOT, "runtime"), *flags, "-MD", "-MF", depfile,
            "-include", header, "-x", "c++", os.devnull]
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    if done.returncode != 0:
        return done.stdout
    with open(stamp, "w"):
        pass
    return ""


def main():
    os.makedirs(STAMPS, exist_ok=True)
    headers = sorted(glob.glob(os.path.join(ROOT, "runtime", "**", "*.h"), recursive=True))
    flags, failed = library_flags(), 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for header, said in zip(headers, pool.map(lambda h: check(h, flags), headers)):
            if said:
                failed += 1
                print(f"{os.path.relpath(header, ROOT)} does not compile alone:\n" + "\n".join(said.splitlines()[:8]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
