# SPDX-License-Identifier: Apache-2.0
"""`moongate plugin`: what an author of plugins types, and that the test kit fails when it must."""

import os
import shutil
import signal
import subprocess
import tempfile
import unittest

from harness import TestCase, child_environment, moongate, moongate_bin, wait_for

HEAD = 'local t = require("moongate.test")\n'


class PluginKit(TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="moongate-kit-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)

    def write(self, name, text):
        path = os.path.join(self.dir, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def specs(self, *texts, arguments=()):
        for i, text in enumerate(texts):
            self.write(f"s{i}_spec.lua", HEAD + text)
        done = moongate("plugin", "test", *arguments, self.dir)
        return done.returncode, done.stdout

    def fails(self, text, *expected):
        status, said = self.specs(text)
        self.assertEqual(status, 1, said)
        for e in expected:
            self.assertIn(e, said)
        self.assertRegex(said, r"\d+ passed, [1-9]\d* failed\n$")
        return said

    def test_a_new_plugin_passes_its_own_test(self):
        done = moongate("plugin", "new", "shiny-new", "-d", self.dir)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = moongate("plugin", "check", os.path.join(self.dir, "shiny-new.lua"))
        self.assertEqual(done.returncode, 0, done.stderr)
        done = moongate("plugin", "test", self.dir)
        self.assertEqual((done.returncode, done.stdout), (0, "2 passed, 0 failed\n"), done.stdout + done.stderr)
        self.assertEqual(moongate("plugin", "new", "shiny-new", "-d", self.dir).returncode, 1)

    def test_a_wrong_claim_tells_its_line_and_both_values(self):
        self.fails('t.describe("d", function()\n t.it("i", function()\n  t.equal(1, "one")\n end)\n end)\n',
                   's0_spec.lua:4: d: i: expected "one", got 1', "0 passed, 1 failed")

    def test_every_claim_can_fail(self):
        claims = ["t.equal(1, 2)", "t.same({ a = { 1 } }, { a = { 2 } })", "t.same({ 1 }, {})", 't.matches("a", "^b")', "t.matches(nil, '.')",
                  "t.is_true(1)", "t.is_false(nil)", "t.is_nil(false)", 't.fail("no")', 'error("no")', "local x = nil; x()"]
        tests = "\n".join(f't.it("c{i}", function() {c} end)' for i, c in enumerate(claims))
        said = self.fails(f't.describe("d", function() {tests}\n end)\n', f"0 passed, {len(claims)} failed")
        self.assertEqual(said.count("FAILED "), len(claims), said)

    def test_an_error_outside_of_any_test_is_a_failure(self):
        self.fails('error("outside")\n', "s0_spec.lua:2", "outside", "0 passed, 1 failed")
        self.fails('t.describe("d", function() error("within") end)\n', "within", "0 passed, 1 failed")
        self.fails("this is no Lua\n", "s0_spec.lua:2", "0 passed, 1 failed")

    def test_no_tests_are_a_failure(self):
        self.assertEqual(self.specs()[0], 1)
        self.fails("", "there is no test")
        self.assertEqual(moongate("plugin", "test", os.path.join(self.dir, "nowhere")).returncode, 1)

    def test_files_run_side_by_side_count_together(self):
        good = 't.describe("d", function() t.it("i", function() t.equal(1, 1) end) end)\n'
        bad = 't.describe("d", function() t.it("i", function() t.equal(1, 2) end) end)\n'
        status, said = self.specs(good, bad, good, "os.exit(7)\n", arguments=("--jobs", "3"))
        self.assertEqual(status, 1)
        self.assertIn("2 passed, 2 failed\n", said)
        self.assertIn("exit 7", said)

    def test_a_failure_shows_what_the_gateway_said(self):
        self.fails('t.describe("d", function()\n local g = t.gateway({ routes = { { id = "1", uri = "/*", plugins = { bad = {} },\n'
                   '  upstream = { nodes = { [t.echo()] = 1 } } } } }, { plugins = { bad = [[\n'
                   'return { version = 1, priority = 1, schema = { type = "object" }, access = function() error("from within") end }]] } })\n'
                   ' t.it("i", function() t.equal(g:request({ path = "/x" }).status, 200) end)\n end)\n',
                   "expected 200, got 500", "last answer: 500", "from within")

    def test_a_test_that_loops_or_waits_ends_at_its_limit(self):
        short = 'local n = require("moongate.test.native") n.limit(1)'
        said = self.fails(f't.describe("d", function() t.it("loops", function() {short} while true do end end)\n'
                          f't.it("waits", function() {short} n.pause(30) end)\n t.it("i", function() end) end)\n', "1 passed, 2 failed")
        self.assertEqual(said.count("over the time limit of 1 s"), 2, said)

    def test_a_broken_configuration_fails_at_once(self):
        self.fails('t.describe("d", function() t.gateway({ routes = { { uri = 7 } } }) t.it("i", function() end) end)\n', "ended at its start", "uri")

    def test_time_moves(self):
        status, said = self.specs('''t.describe("d", function()
          local g = t.gateway({ routes = { { id = "1", uri = "/*", plugins = { ["serverless-pre-function"] = {
            functions = { "return function() return 200, { now = ngx.time(), fired = _G.fired } end",
                          } } } } } })
          t.it("i", function()
            local before = g:request({ path = "/" }).json().now
            g:advance(3600)
            local after = g:request({ path = "/" }).json().now
            t.is_true(after - before >= 3600 and after - before < 3660)
          end)
        end)\n''')
        self.assertEqual((status, said), (0, "1 passed, 0 failed\n"))

    def test_nothing_outlives_a_killed_runner(self):
        path = self.write("s_spec.lua", HEAD + f'''t.describe("d", function()
          local g = t.gateway({{ routes = {{}} }})
          t.it("i", function()
            local f = io.open("{self.dir}/port", "w") f:write(g.port) f:close()
            t.wait_until(function() return false end, 50)
          end)
        end)\n''')
        process = subprocess.Popen([moongate_bin(), "plugin", "test", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   env=child_environment({"TMPDIR": self.dir}))
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        wait_for(lambda: os.path.exists(os.path.join(self.dir, "port")), 20, "the test to run")

        def ours():
            found = []
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline") as f:
                        if self.dir + "/moongate-test-" in f.read():
                            found.append(pid)
                except OSError:
                    pass
            return found
        self.assertTrue(ours())
        process.send_signal(signal.SIGKILL)
        process.wait()
        wait_for(lambda: not ours(), 10, "the gateway to end")

    def test_check_says_file_and_line(self):
        def check(text):
            path = self.write("p.lua", text)
            done = moongate("plugin", "check", path)
            self.assertEqual(done.returncode, 1, text)
            return done.stderr.replace(path, "p.lua")
        self.assertIn("p.lua:2:", check("local x\nlocal = 1\n"))
        self.assertIn("p.lua:2:", check("\nerror('no')\n"))
        good = "local _M = { version = 1, priority = 1, schema = {} }\nfunction _M.access() end\nreturn _M\n"
        self.assertRegex(check(good.replace("priority = 1, ", "")), r"p\.lua:3: .*priority")
        self.assertRegex(check(good.replace("version = 1, ", "")), r"p\.lua:3: .*version")
        self.assertRegex(check(good.replace("schema = {}", "schema = { type = 7 }")), r"p\.lua:1: schema")
        self.assertRegex(check(good.replace(".access", ".acess")), r"p\.lua:2: .*acess.*access")
        self.assertRegex(check(good.replace("function _M.access() end", "_M.access = 7")), r"p\.lua:2: access must be a function")
        self.assertIn("no function for any phase", check(good.replace("function _M.access() end", "")))
        self.assertRegex(check("return 7\n"), r"p\.lua:1: .*must return a table")

    def test_list_shows_shipped_and_found_plugins(self):
        self.write("mine.lua", 'return { version = "2.5", priority = 77, schema = { type = "object" }, log = function() end }\n')
        config = self.write("c.yaml", "moongate: {plugin_paths: [.]}\n")
        done = moongate("plugin", "list", "-c", config)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^mine +2\.5 +77 +- +log +\S*mine\.lua$")
        self.assertRegex(done.stdout, r"(?m)^key-auth +0\.1 +2500 +auth +rewrite +shipped$")
        self.assertNotIn("mine", moongate("plugin", "list").stdout)

    def test_wrong_usage_is_said(self):
        for arguments in ((), ("lst",), ("new",), ("new", "a", "b"), ("check",), ("test", "--jobs", "0"), ("test", "--jobs", "x")):
            done = moongate("plugin", *arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertTrue(done.stderr.strip())
        done = moongate("plugin", "new", "../x", "-d", self.dir)
        self.assertEqual(done.returncode, 1)
        self.assertIn("../x", done.stderr)


if __name__ == "__main__":
    unittest.main()
