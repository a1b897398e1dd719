# SPDX-License-Identifier: Apache-2.0
"""Configuration: what is refused and how it is said, where settings come from, and changes while the gateway serves."""

import base64
import glob
import hmac
import os
import signal
import tempfile
import threading
import unittest

from harness import Gateway, TestCase, moongate, ok, route, sanitized, wait_for, write_atomically


def answering(text, uri="/*", **more):
    return {"id": "answer", "uri": uri, "plugins": {"mocking": {"response_example": text, "content_type": "text/plain"}}, **more}


@sanitized
class Check(TestCase):
    def check(self, text, *overlays, name="moongate.yaml", env=None):
        with tempfile.TemporaryDirectory() as d:
            argv = ["check"]
            for i, t in enumerate((text, *overlays)):
                path = os.path.join(d, name if i == 0 else f"overlay{i}.yaml")
                write_atomically(path, t)
                argv += ["-c", path]
            return moongate(*argv, env=env)

    def refused(self, text, *expected, **more):
        done = self.check(text, **more)
        said = done.stdout + done.stderr
        self.assertEqual(done.returncode, 1, said)
        for e in expected:
            self.assertIn(e, said)

    def test_accepts_a_good_file(self):
        done = self.check("routes:\n  - uri: /a\n    upstream: {type: roundrobin, nodes: {'127.0.0.1:80': 1}}\n")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_accepts_apisix_end_mark(self):
        self.assertEqual(self.check("routes: []\n#END\n").returncode, 0)

    def test_names_file_line_and_a_suggestion_for_an_unknown_key(self):
        self.refused("routes:\n  - uri: /a\n    upstrem: {nodes: {}}\n", "moongate.yaml:3", "upstrem", "upstream")

    def test_suggests_the_setting_that_was_meant(self):
        self.refused("moongate:\n  client:\n    header_timout: 5\nroutes: []\n", "moongate.yaml:3", "header_timeout")

    def test_names_the_line_of_a_syntax_error(self):
        self.refused("routes:\n  - uri: /a\n   bad: [\n", "moongate.yaml:3")

    def test_names_the_line_of_a_wrong_type(self):
        self.refused("routes:\n  - uri: /a\n    priority: high\n    upstream: {nodes: {'127.0.0.1:80': 1}}\n", "moongate.yaml:3", "priority")

    def test_names_the_line_of_a_repeated_key(self):
        self.refused("routes: []\nupstreams: []\nroutes: []\n", "moongate.yaml:3", "routes")

    def test_refuses_a_plugin_that_is_not_there(self):
        self.refused("routes:\n  - uri: /a\n    plugins: {key-auht: {}}\n", "moongate.yaml:3", "key-auht", "key-auth")

    def test_refuses_a_plugin_configuration_that_its_schema_refuses(self):
        self.refused("routes:\n  - uri: /a\n    plugins:\n      limit-count: {count: -1, time_window: 60}\n", "moongate.yaml:4", "limit-count", "count")

    def test_refuses_a_reference_to_nothing(self):
        self.refused("routes:\n  - uri: /a\n    upstream_id: nowhere\n", "moongate.yaml:3", "nowhere")

    def test_refuses_two_objects_of_one_id(self):
        self.refused("upstreams:\n  - {id: u, nodes: {}}\n  - {id: u, nodes: {}}\n", "moongate.yaml:3", "u")

    def test_refuses_numbers_out_of_range(self):
        self.refused("moongate: {workers: -3}\nroutes: []\n", "moongate.yaml:1", "workers")
        self.refused("moongate:\n  listen: [70000]\nroutes: []\n", "moongate.yaml:2", "70000")

    def test_refuses_a_missing_environment_variable_and_takes_a_default(self):
        self.refused("moongate: {workers: \"${MISSING_HERE}\"}\nroutes: []\n", "MISSING_HERE")
        self.assertEqual(self.check("moongate:\n  workers: ${MISSING_HERE:-2}\nroutes: []\n").returncode, 0)
        self.assertEqual(self.check("moongate:\n  workers: ${GIVEN}\nroutes: []\n", env={"GIVEN": "2"}).returncode, 0)

    def test_refuses_a_file_that_is_not_there(self):
        done = moongate("check", "-c", "/nonexistent/moongate.yaml")
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/moongate.yaml", done.stdout + done.stderr)

    def test_wrong_usage_is_exit_2(self):
        for argv in (["check", "--no-such-option"], ["no-such-command"], ["check"]):
            self.assertEqual(moongate(*argv).returncode, 2, argv)

    def test_checks_lua_files_and_names_their_lines(self):
        good = "return { routes = { { uri = '/a', plugins = { mocking = { response_example = 'x' } } } } }\n"
        self.assertEqual(self.check(good, name="moongate.lua").returncode, 0)
        self.refused("return {\n  routes = = 1\n}\n", "moongate.lua:2", name="moongate.lua")

    def test_survives_hostile_files(self):
        bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi"))
        for text in (bomb, "[" * 100_000, "\0\0\0", "routes: !!python/object:os.system {}\n", "- " * 50_000, "", "\xff" * 100):
            with self.subTest(text=text[:20]):
                self.assertEqual(self.check(text).returncode if text else 1, 1)


@sanitized
class Sources(TestCase):
    def test_an_overlay_overrides_by_key_and_merges_lists_by_id(self):
        gw = self.serve({"routes": [{"id": "a", "uri": "/a", "plugins": {"mocking": {"response_example": "base"}}},
                                    {"id": "b", "uri": "/b", "plugins": {"mocking": {"response_example": "base"}}}]},
                        overlays=[{"routes": [{"id": "b", "uri": "/b", "plugins": {"mocking": {"response_example": "over"}}},
                                              {"id": "c", "uri": "/c", "plugins": {"mocking": {"response_example": "over"}}}]}])
        self.assertEqual([gw.get(t).body for t in ("/a", "/b", "/c")], [b"base", b"over", b"over"])

    def test_environment_variables_are_read_in_both_spellings(self):
        text = ("routes:\n  - uri: /a\n    plugins: {mocking: {response_example: '${WORD}'}}\n"
                "  - uri: /b\n    plugins: {mocking: {response_example: '${{WORD}}'}}\n")
        gw = self.serve(text, env={"WORD": "from outside"})
        self.assertEqual([gw.get(t).body for t in ("/a", "/b")], [b"from outside"] * 2)

    def test_a_lua_file_makes_routes_in_a_loop(self):
        text = ("local routes = {}\nfor i = 1, 3 do routes[i] = { uri = '/r' .. i, plugins = { mocking = { response_example = 'n' .. i } } } end\n"
                "return { routes = routes }\n")
        gw = self.serve(text, suffix=".lua")
        self.assertEqual([gw.get(f"/r{i}").body for i in (1, 2, 3)], [b"n1", b"n2", b"n3"])

    def test_other_files_are_included(self):
        gw = self.serve("include: [routes/*.yaml]\nroutes: []\n",
                        files={"routes/a.yaml": {"routes": [answering("a", "/a")]}, "routes/b.yaml": {"routes": [{**answering("b", "/b"), "id": "b"}]}})
        self.assertEqual([gw.get(t).body for t in ("/a", "/b")], [b"a", b"b"])


@sanitized
class Reload(TestCase):
    def served(self, gw, text, target="/"):
        return wait_for(lambda: gw.get(target).body == text, 10, f"{text!r} being served")

    def test_an_edit_by_rename_takes_effect_by_itself(self):
        gw = self.serve({"routes": [answering("one")]})
        for text in ("two", "three", "four"):
            gw.write_config({"routes": [answering(text)]})
            self.served(gw, text.encode())

    def test_an_edit_in_place_takes_effect_by_itself(self):
        gw = self.serve({"routes": [answering("one")]})
        with open(gw.config_path) as f:
            text = f.read()
        with open(gw.config_path, "w") as f:
            f.write(text.replace("one", "two"))
        self.served(gw, b"two")

    def test_a_reload_tells_when_all_workers_have_it(self):
        gw = self.serve({"routes": [answering("0")]}, workers=4)
        for i in range(1, 10):
            gw.apply({"routes": [answering(str(i))]})
            self.assertEqual({gw.get("/").body for _ in range(12)}, {str(i).encode()})

    def test_a_broken_edit_keeps_serving_and_names_file_and_line(self):
        gw = self.serve({"routes": [answering("good")]})
        gw.write_config("routes:\n  - uri: /*\n    plugins: {mocking: {response_example: x}}\n    prioritty: 1\n")
        done = gw.reload()
        self.assertEqual(done.returncode, 1)
        self.assertIn("moongate.yaml:4", done.stdout + done.stderr)
        self.assertEqual({gw.get("/").body for _ in range(10)}, {b"good"})
        gw.apply({"routes": [answering("mended")]})
        self.assertEqual(gw.get("/").body, b"mended")

    def test_a_broken_edit_is_also_said_in_the_log(self):
        gw = self.serve({"routes": [answering("good")]})
        gw.write_config("routes: [\n")
        gw.wait_log("moongate.yaml:")
        self.assertEqual(gw.get("/").body, b"good")

    def test_sighup_reloads(self):
        gw = self.serve({"routes": [answering("one")]})
        gw.write_config({"routes": [answering("two")]})
        gw.send_signal(signal.SIGHUP)
        self.served(gw, b"two")

    def test_rollback_brings_the_former_version_back(self):
        gw = self.serve({"routes": [answering("one")]})
        gw.apply({"routes": [answering("two")]})
        done = gw.run("rollback")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual({gw.get("/").body for _ in range(10)}, {b"one"})

    def test_a_rollback_to_a_version_that_is_not_there_changes_nothing(self):
        gw = self.serve({"routes": [answering("one")]})
        self.assertEqual(gw.run("rollback", "9999").returncode, 1)
        self.assertEqual(gw.get("/").body, b"one")

    def test_a_route_that_did_not_change_is_judged_again_when_what_it_needs_did(self):
        node = {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}}
        config = {"routes": [answering("kept"), {"id": "r", "uri": "/r", "upstream_id": "u", "plugins": {"picky": {"word": "x"}}}],
                  "upstreams": [{"id": "u", **node}, {"id": "other", **node}]}
        picky = ("return { version = 0.1, priority = 1, name = 'picky', schema = { type = 'object' }, "
                 "check_schema = function(conf) return VERDICT end }\n")
        gw = self.serve(config, plugins={"picky": picky.replace("VERDICT", "true")})
        gw.apply({**config, "routes": [answering("kept too"), config["routes"][1]]})

        def refused(why):
            done = gw.reload()
            self.assertEqual(done.returncode, 1, why)
            self.assertIn(why, done.stdout + done.stderr)
            self.assertIn("moongate.yaml:", done.stdout + done.stderr)
            self.assertEqual({gw.get("/").body for _ in range(4)}, {b"kept too"})
        gw.write_config({**config, "upstreams": config["upstreams"][1:]})
        refused("upstream_id")
        gw.apply({**config, "routes": [answering("kept too"), config["routes"][1]]})
        gw.write_plugin("picky", picky.replace("VERDICT", "conf.word == 'y', 'wants a y'"))
        refused("wants a y")
        config["routes"][1]["plugins"]["picky"]["word"] = "y"
        gw.apply(config)
        self.assertEqual(gw.get("/").body, b"kept")

    def test_an_unchanged_file_makes_no_new_version(self):
        gw = self.serve({"routes": [answering("one")]})
        before = gw.status()["snapshot"]
        gw.apply({"routes": [answering("one")]})
        self.assertEqual(gw.status()["snapshot"], before)

    def test_at_most_16_snapshots_stay_on_disk(self):
        gw = self.serve({"routes": [answering("0")]})
        for i in range(1, 25):
            gw.apply({"routes": [answering(str(i))]})
        files = [f for f in glob.glob(os.path.join(gw.run_dir, "snapshots", "**"), recursive=True) if os.path.isfile(f)]
        self.assertTrue(1 <= len(files) <= 20, files)

    def test_a_request_ends_on_the_snapshot_it_began_with(self):
        started, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def answer(*_):
            started.set()
            release.wait(120)
            return ok("old answer")
        up = self.upstream(answer)
        mark = {"response-rewrite": {"headers": {"set": {"X-Version": "1"}}}}
        gw = self.serve({"routes": [route("/*", up, plugins=mark)]})
        got = []
        t = threading.Thread(target=lambda: got.append(gw.get("/")))
        t.start()
        started.wait(60)
        gw.apply({"routes": [answering("new")]})
        self.assertEqual(gw.get("/").body, b"new")
        release.set()
        t.join(60)
        self.assertEqual((got[0].body, got[0].get("X-Version")), (b"old answer", "1"))


class Credentials(TestCase):
    def config(self, secret):
        return {"routes": [route("/*", plugins={"jwt-auth": {}, "mocking": {"response_example": "in", "content_type": "text/plain"}})],
                "consumers": [{"username": "jack", "plugins": {"jwt-auth": {"key": "jack", "secret": secret}}}]}

    def test_a_token_that_was_good_is_refused_when_its_consumer_has_another_secret(self):
        def part(text):
            return base64.urlsafe_b64encode(text).rstrip(b"=")
        signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(b'{"key":"jack"}')
        token = signed + b"." + part(hmac.new(b"first-secret", signed, "sha256").digest())
        gw = self.serve(self.config("first-secret"))
        for secret, status in (("first-secret", 200), ("second-secret", 401), ("first-secret", 200)):
            gw.apply(self.config(secret))
            for _ in range(20):
                answer = gw.get("/", {"Authorization": token.decode()})
                self.assertEqual(answer.status, status, (answer.body, gw.log_text()[-800:]))


@sanitized
class LastGood(TestCase):
    def test_a_start_with_a_broken_file_serves_the_last_good_snapshot_and_says_so(self):
        gw = self.serve({"routes": [answering("good")]})
        gw.stop()
        gw.write_config("routes:\n  - uri: [\n")
        gw.start()
        self.assertEqual(gw.get("/").body, b"good")
        gw.wait_log("moongate.yaml:")

    def test_damaged_stored_snapshots_are_passed_over_for_the_newest_whole_one(self):
        gw = self.serve({"routes": [answering("one")]})
        for text in ("two", "three", "four"):
            gw.apply({"routes": [answering(text)]})
        gw.stop()
        folder = os.path.join(gw.run_dir, "snapshots")
        stored = sorted(n for n in os.listdir(folder) if n.endswith(".snap"))
        self.assertEqual(len(stored), 4)
        with open(os.path.join(folder, stored[3]), "r+b") as f:
            f.seek(200)
            f.write(b"\xff\xff\xff\xff")
        with open(os.path.join(folder, stored[2]), "r+b") as f:
            f.truncate(100)
        for name, rubbish in (("00000099.snap", b"rubbish"), ("00000098.snap", b""), ("current", b"99\n")):
            with open(os.path.join(folder, name), "wb") as f:
                f.write(rubbish)
        gw.write_config("routes:\n  - uri: [\n")
        gw.start()
        self.assertEqual(gw.get("/").body, b"two")
        gw.apply({"routes": [answering("five")]})
        self.assertEqual(gw.get("/").body, b"five")

    def test_a_first_start_with_a_broken_file_fails(self):
        gw = Gateway("routes:\n  - nonsense: 1\n", start=False)
        self.addCleanup(gw.close)
        with self.assertRaisesRegex(AssertionError, "ended with 1"):
            gw.start()
        self.assertIn("moongate.yaml:2", gw.log_text())
        gw.process = None

    def test_restarts_come_up_on_the_same_configuration(self):
        gw = self.serve({"routes": [answering("steady")]})
        for _ in range(3):
            gw.stop()
            gw.start()
            self.assertEqual(gw.get("/").body, b"steady")
        self.assertEqual(len(gw.worker_pids()), 2)


if __name__ == "__main__":
    unittest.main()
