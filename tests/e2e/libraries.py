# SPDX-License-Identifier: Apache-2.0
"""The programs of peers/ that play client and server with other people's libraries. tools/setup makes them ready."""

import functools
import os
import unittest

from harness import ROOT, need

PEERS = os.path.join(ROOT, "tests", "e2e", "peers")
NODE_MODULES = os.path.join(ROOT, "build", "peers", "node_modules")


def need_file(path, what):
    """Skips the test without the file, and fails it in CI."""
    if os.path.exists(path):
        return
    if os.environ.get("CI"):
        raise AssertionError(f"{what} is not there: run tools/setup --dev")
    raise unittest.SkipTest(f"{what} is not there: run tools/setup --dev")


@functools.lru_cache(maxsize=None)
def node_peer(program):
    """How a program of Node's is begun. The registry's packages are in the build folder and not beside it."""
    need_file(NODE_MODULES, "build/peers")
    return ["env", f"NODE_PATH={NODE_MODULES}", need("node"), os.path.join(PEERS, program)]


@functools.lru_cache(maxsize=None)
def grpc_cpp_peer():
    program = os.path.join(ROOT, "build", "release", "tests", "grpc_peer")
    need_file(program, "build/release/tests/grpc_peer")
    return [program]


@functools.lru_cache(maxsize=None)
def http3_peer():
    program = os.path.join(ROOT, "build", "peers", "http3_peer")
    need_file(program, "build/peers/http3_peer")
    return program
