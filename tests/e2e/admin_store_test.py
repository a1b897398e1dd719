#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the Admin API acknowledged is served by every worker, and again after whatever happens to the processes."""

import json
import os
import random
import resource
import signal
import socket
import threading
import unittest

from admin import AdminCase, mocking, nodes, picky
from harness import Client, ClosedError, Load, WireError, expect, request, request_bytes, sanitized, wait_for


class Writer(threading.Thread):
    """PUTs one after the other until told to stop or cut off; `acked` has the last acknowledged text by id."""

    def __init__(self, case, number):
        super().__init__(daemon=True)
        self.gw, self.key, self.number = case.gw, case.gw.admin_key(), number
        self.acked, self.in_doubt, self.is_stopping, self.failures = {}, {}, False, []

    def run(self):
        sent = 0
        while not self.is_stopping:
            try:
                with Client(self.gw.admin_port, timeout=60) as client:
                    while not self.is_stopping:
                        name, text = f"w{self.number}-{sent % 5}", f"{self.number}-{sent}"
                        self.in_doubt[name] = text
                        answer = client.request("PUT", "/apisix/admin/routes/" + name, {"X-API-KEY": self.key},
                                                json.dumps(mocking("/" + name, text)).encode())
                        if answer.status in (200, 201):
                            self.acked[name] = text
                            self.in_doubt.pop(name)
                        else:
                            self.failures.append(f"{answer} {answer.body}")
                        sent += 1
            except (OSError, ClosedError, WireError):
                if not os.path.exists(f"/proc/{self.gw.pid}"):
                    return


class Durability(AdminCase):
    def check_served(self, writers):
        for writer in writers:
            for name, text in writer.acked.items():
                served = self.gw.get("/" + name).body.decode()
                self.assertIn(served, (text, writer.in_doubt.get(name)), f"/{name}")

    def write_for_a_while(self, count=3):
        writers = [Writer(self, n) for n in range(count)]
        for w in writers:
            w.start()
        wait_for(lambda: all(len(w.acked) == 5 for w in writers), 60, "writes being acknowledged")
        return writers

    def test_a_restart_serves_exactly_what_was_acknowledged(self):
        self.put("/upstreams/u", nodes())
        self.put("/routes/1", mocking("/one", "1"))
        self.put("/routes/2", mocking("/two", "2"))
        self.admin("DELETE", "/routes/2")
        before = {p: self.admin("GET", p).json() for p in ("/routes", "/upstreams")}
        self.restart()
        self.assertEqual({p: self.admin("GET", p).json() for p in before}, before)
        self.assertEqual((self.gw.get("/one").body, self.gw.get("/two").status), (b"1", 404))

    def test_kill_9_of_everything_under_writes_loses_nothing(self):
        for _ in range(2):
            writers = self.write_for_a_while()
            self.gw.is_crash_expected = True
            self.gw.kill()
            for w in writers:
                w.is_stopping = True
                w.join(60)
            self.gw.start()
            self.check_served(writers)
            for w in writers:
                self.assertEqual(w.failures, [])

    def test_kill_9_of_control_under_writes_loses_nothing_and_brings_back_nothing_old(self):
        writers = self.write_for_a_while(2)
        for _ in range(3):
            os.kill(self.gw.status()["control_pid"], signal.SIGKILL)
            self.wait(self.gw.is_serving, "the next control process")
            self.wait(self.answers, "the Admin API being back")
        for w in writers:
            w.is_stopping = True
            w.join(60)
            self.assertEqual(w.failures, [])
        self.check_served(writers)

    def test_kill_9_of_a_worker_under_writes_loses_nothing(self):
        writers = self.write_for_a_while(2)
        for _ in range(3):
            os.kill(self.gw.worker_pids()[0], signal.SIGKILL)
            self.wait(lambda: len(self.gw.worker_pids()) == 2 and self.gw.is_serving(), "the next worker")
        for w in writers:
            w.is_stopping = True
            w.join(60)
        self.check_served(writers)

    def test_a_broken_file_at_a_restart_still_serves_what_was_acknowledged(self):
        self.put("/routes/1", mocking("/one", "1"))
        self.gw.stop()
        self.gw.write_config("routes: [")
        self.gw.start()
        self.assertEqual(self.gw.get("/one").body, b"1")
        self.gw.write_config(json.dumps({"routes": []}))
        self.wait(lambda: not self.gw.status()["is_last_good"], "the mended file")
        self.assertEqual(self.gw.get("/one").body, b"1")

    def test_a_disk_that_takes_no_more_refuses_the_change_and_changes_nothing(self):
        for _ in range(40):  # the log is to be larger than any other file that is written
            self.put("/routes/1", {**mocking("/one", "1"), "filter_func": "function(vars) return true end --" + "x" * 5000})
        self.put("/routes/1", mocking("/one", "1"))
        log = os.path.join(self.gw.run_dir, "store", "log")
        size = os.path.getsize(log)
        control = self.gw.status()["control_pid"]
        limit = resource.prlimit(control, resource.RLIMIT_FSIZE)
        resource.prlimit(control, resource.RLIMIT_FSIZE, (size, limit[1]))
        refused = self.admin("PUT", "/routes/1", mocking("/one", "2"))
        self.assert_refused(refused, 503, "store/log")
        self.assertEqual(self.gw.get("/one").body, b"1")
        resource.prlimit(control, resource.RLIMIT_FSIZE, limit)
        self.put("/routes/1", mocking("/one", "3"))
        self.restart()
        self.assertEqual(self.gw.get("/one").body, b"3")


class Together(AdminCase):
    config = {"routes": [{"id": "steady", **mocking("/steady", "steady")}]}

    def test_a_thousand_edits_under_load_give_no_wrong_and_no_lost_answer(self):
        load = Load(self.gw.port, lambda i: (request_bytes("GET", "/steady"), expect(200, b"steady")), connections=16, pace_s=0.005).start()
        key, errors = self.gw.admin_key(), []

        def edit(number):
            with Client(self.gw.admin_port, timeout=60) as client, Client(self.gw.port, timeout=60) as reader:
                for i in range(250):
                    answer = client.request("PUT", f"/apisix/admin/routes/e{number}", {"X-API-KEY": key},
                                            json.dumps(mocking(f"/e{number}", str(i))).encode())
                    served = reader.get(f"/e{number}")
                    if answer.status not in (200, 201) or served.body != str(i).encode():
                        errors.append((i, answer.status, answer.body, served.body))
        threads = [threading.Thread(target=edit, args=(n,)) for n in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(250)
        load.stop()
        self.assertEqual(errors, [])
        self.assertGreater(len(os.listdir(os.path.join(self.gw.run_dir, "snapshots"))), 3, "some of the way is there for a rollback")
        self.assertEqual(load.failures(), 0, load.summary())
        self.assertEqual(self.admin("GET", "/routes/e0").json()["value"]["plugins"]["mocking"]["response_example"], "249")

    def write_together(self, *writes):
        """Sends (method, path, body) while control stands still, which so has all of them at once; their statuses."""
        key, control = self.gw.admin_key(), self.gw.status()["control_pid"]
        clients = [Client(self.gw.admin_port, timeout=30) for _ in writes]
        os.kill(control, signal.SIGSTOP)
        for client, (method, path, body) in zip(clients, writes):
            self.addCleanup(client.close)
            client.send(request_bytes(method, "/apisix/admin" + path, {"X-API-KEY": key}, json.dumps(body).encode()))
        os.kill(control, signal.SIGCONT)
        return [client.read("PUT").status for client in clients]

    def test_writes_that_wait_together_have_a_verdict_each(self):
        bodies = [mocking(f"/t{i}", "t") if i % 2 else {"uri": i, "plugins": {}} for i in range(20)]
        statuses = self.write_together(*(("PUT", f"/routes/t{i}", body) for i, body in enumerate(bodies)))
        self.assertEqual(statuses, [400, 201] * 10)

    def test_a_change_that_a_worker_refuses_is_not_stored(self):
        self.gw.write_plugin("fussy", """local _M = {version = 1, priority = 10, name = "fussy", schema = {type = "object"}}
            function _M.init() error("not today") end function _M.access() return 200, "fussy" end return _M""")
        refused = self.admin("PUT", "/routes/1", {"uri": "/f", "plugins": {"fussy": {}}})
        self.assert_refused(refused, 400, "not today")
        self.assertEqual(self.admin("GET", "/routes/1").status, 404)
        self.put("/routes/2", mocking("/two", "2"))
        self.restart()
        self.assertEqual((self.gw.get("/two").body, self.gw.get("/f").status), (b"2", 404))

    def test_a_write_is_not_refused_for_what_comes_out_of_quarantine_beside_it(self):
        self.put_in_quarantine("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": "jacks"}, "picky": {}}})
        for i in range(2):
            self.put(f"/routes/{i}", {**mocking(f"/{i}", str(i)), "plugins": {**mocking("", str(i))["plugins"], "key-auth": {}}})
            self.assertIn("refused by worker ", self.quarantined()["consumers/jack"])
            self.assertIn("no init today", self.quarantined()["consumers/jack"])
            self.assertEqual(self.gw.request("GET", f"/{i}", {"apikey": "jacks"}).status, 401)
        self.assert_refused(self.admin("PUT", "/routes/2", {"uri": "/2", "plugins": {"picky": {}}}), 400, "no init today")
        self.assertEqual(self.admin("GET", "/routes/2").status, 404)
        self.gw.write_plugin("picky", picky())
        wait_for(lambda: not self.quarantined(), 20, "nothing in quarantine")
        self.assertEqual(self.gw.request("GET", "/0", {"apikey": "jacks"}).status, 200)

    def test_a_consumer_that_a_files_credential_belongs_to_is_not_deleted(self):
        self.put("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": "jacks"}}})
        self.gw.apply({"routes": [], "consumers": [{"id": "jack/credentials/c", "plugins": {"key-auth": {"key": "other"}}}]})
        for answer in (self.admin("DELETE", "/consumers/jack"), self.admin("DELETE", "/consumers/jack?force=true"), self.admin("PUT", "/configs", {"routes": []}, {"X-Digest": "1"})):
            self.assert_refused(answer, 400, "consumers/jack/credentials/c in ")
        self.gw.apply({"routes": []})
        self.assertEqual(self.admin("DELETE", "/consumers/jack").status, 200)

    def test_files_are_taken_beside_what_is_in_quarantine_at_once_and_at_a_start(self):
        self.put_in_quarantine("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": "jacks"}, "picky": {}}})
        for name in ("one", "two"):
            self.gw.apply({"routes": [{"id": "file", **mocking("/file", name)}]})
            self.assertIn("no init today", self.quarantined()["consumers/jack"])
            self.assertEqual(self.gw.get("/file").body, name.encode())
        self.gw.stop()
        self.gw.write_config(json.dumps({"routes": [{"id": "file", **mocking("/file", "three")}]}))
        self.gw.start()
        wait_for(lambda: self.gw.get("/file").body == b"three", 20, "the files being served")
        self.assertFalse(self.gw.status()["is_last_good"])
        self.assertIn("no init today", self.quarantined()["consumers/jack"])
        self.put("/routes/1", mocking("/1", "1"))
        self.gw.write_plugin("picky", picky())
        wait_for(lambda: not self.quarantined(), 20, "nothing in quarantine")
        # What was never in quarantine is not put there to get a mistake of the files past.
        self.gw.write_plugin("picky", picky("error('not again')"))
        self.assertNotEqual(self.gw.reload().returncode, 0)
        self.assertEqual(self.quarantined(), {})

    def quarantined(self):
        return {text.split(":")[0]: text for text in self.gw.status()["quarantined"]}

    def put_in_quarantine(self, path, body):
        """Stores what needs the plugin picky, which is then gone at a start, and fails in each worker when it is back."""
        self.gw.write_plugin("picky", picky())
        self.put(path, body)
        self.gw.stop()
        os.remove(os.path.join(self.gw.plugin_dir, "picky.lua"))
        self.gw.start()
        self.assertIn("there is no plugin `picky`", "".join(self.quarantined().values()))
        self.gw.write_plugin("picky", picky("error('no init today')"))
        self.gw.wait_log("no init today")

    def test_of_writes_that_wait_together_those_are_refused_whose_plugin_a_worker_refuses(self):
        self.gw.write_plugin("picky", picky("error('no init today')"))
        statuses = self.put_at_once([{"plugins": {"picky": {}}} if i % 3 == 0 else mocking(f"/t{i}", "t") for i in range(12)])
        self.assertEqual(statuses, [400, 201, 201] * 4)
        self.assertEqual([self.gw.get(f"/t{i}").status for i in range(12)], [404, 200, 200] * 4)

    def spoil_old(self):
        """Plugin `old` serves; plugin `guilty` brings code beside which `old` cannot begin any more."""
        self.gw.write_plugin("old", picky("if pcall(require, 'apisix.plugins.guilty.lib') then error('spoilt') end", "old"))
        self.put("/routes/served", {"uri": "/served", "plugins": {"old": {}}})
        self.gw.write_plugin("guilty/init", picky(name="guilty"))
        self.gw.write_plugin("guilty/lib", "return {}")

    def put_at_once(self, bodies):
        return self.write_together(*(("PUT", f"/routes/t{i}", {"uri": f"/t{i}", **body}) for i, body in enumerate(bodies)))

    def test_of_writes_that_wait_together_none_is_refused_for_code_that_another_spoils(self):
        self.spoil_old()
        before = self.gw.status()["snapshot"]["number"]
        bodies = [{"plugins": {"guilty" if i == 7 else "old": {}}} for i in range(12)]
        self.assertEqual(self.put_at_once(bodies), [400 if i == 7 else 201 for i in range(12)])
        self.assertEqual([self.gw.get(f"/t{i}").status for i in range(12)], [404 if i == 7 else 200 for i in range(12)])
        self.assertEqual(self.gw.get("/served").body, b"old")
        # One refusal of all of them, one of the guilty one, and those before and behind it together.
        self.assertLess(self.gw.status()["snapshot"]["number"] - before, 8)

    def test_code_of_a_write_that_is_wrong_itself_is_not_brought_by_the_others(self):
        self.spoil_old()
        self.assertEqual(self.put_at_once([{"plugins": {"guilty": 7}}, mocking("/t1", "1"), {"plugins": {"old": {}}}]), [400, 201, 201])
        self.assertEqual(self.put_at_once([{"plugins": {"guilty": {}}}]), [400])

    def test_a_deletion_is_not_refused_for_a_plugin_that_a_worker_refuses_beside_it(self):
        self.put_in_quarantine("/plugin_metadata/picky", {"a": 1})
        statuses = self.write_together(("PUT", "/routes/1", {"uri": "/1", "plugins": {"picky": {}}}), ("DELETE", "/plugin_metadata/picky", None))
        self.assertEqual(statuses, [400, 200])
        self.assertEqual(self.quarantined(), {})

    def test_without_waiting_an_answer_comes_when_the_change_is_stored(self):
        done = self.admin("PUT", "/routes/1?wait=false", mocking("/w", "w"))
        self.assertEqual(done.status, 201)
        self.wait(lambda: self.gw.get("/w").body == b"w", "the change being served")


class SingleProcess(AdminCase):
    more = {"workers": 0}

    def test_writes_are_served_and_kept_where_control_and_worker_share_a_process(self):
        for i in range(3):
            self.put("/routes/1", mocking("/a", str(i)))
            self.assertEqual(self.gw.get("/a").body, str(i).encode())
            self.assertIn("key-auth", self.admin("GET", "/plugins/list").json())
        self.assert_refused(self.admin("PUT", "/routes/1", {"uri": 1, "plugins": {}}), 400, 'property "uri"')
        self.restart()
        self.assertEqual(self.gw.get("/a").body, b"2")


class Plugins(AdminCase):
    LOOP = """local _M = {version = 1, priority = 10, name = "loop", schema = {type = "object"}}
        function _M.check_schema(conf) while conf.word == "loop" do end return true end
        function _M.access() return 200, "looped" end return _M"""

    def test_a_plugin_that_loops_in_its_check_holds_nothing_up_for_good(self):
        self.gw.write_plugin("loop", self.LOOP)
        self.put("/routes/1", {"uri": "/l", "plugins": {"loop": {}}})
        self.admin("GET", "/plugins/list")
        refused = self.admin("PUT", "/routes/1", {"uri": "/l", "plugins": {"loop": {"word": "loop"}}})
        self.assert_refused(refused, 400, "CPU budget")
        self.put("/routes/2", mocking("/two", "2"))
        self.assertEqual((self.gw.get("/two").body, b"looped" in self.gw.get("/l").body), (b"2", True))


class Files(AdminCase):
    config = {"routes": [{"id": "mine", **mocking("/mine", "file")}], "upstreams": [{"id": "u", **nodes()}]}

    def test_what_files_have_is_shown_and_not_changed(self):
        listed = self.admin("GET", "/routes").json()
        self.assertEqual([(e["key"], e["createdIndex"]) for e in listed["list"]], [("/apisix/routes/mine", 0)])
        self.assertEqual(self.admin("GET", "/routes/mine").json()["value"]["uri"], "/mine")
        for method in ("PUT", "PATCH", "DELETE"):
            answer = self.admin(method, "/routes/mine", mocking("/x", "x"))
            self.assert_refused(answer, 405, "moongate.yaml:")
            self.assertEqual(answer.get("Allow"), "GET")
        self.put("/routes/1", {"uri": "/u", "upstream_id": "u"})
        self.assertEqual(self.admin("GET", "/routes").json()["total"], 2)

    def test_a_file_cannot_take_the_id_of_what_the_api_made(self):
        self.put("/routes/1", mocking("/a", "api"))
        self.gw.write_config(json.dumps({**self.config, "routes": [{"id": "1", **mocking("/a", "file")}]}))
        refused = self.gw.reload()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("the id `1` is taken by one that was made through the Admin API", refused.stderr + refused.stdout)
        self.assertEqual(self.gw.get("/a").body, b"api")

    def test_a_consumer_that_shows_the_key_of_a_file_s_lets_nobody_in(self):
        up = self.upstream()
        self.put("/consumers", {"username": "aaron", "plugins": {"key-auth": {"key": "same"}}})
        self.put("/consumers/aaron/credentials/c1", {"plugins": {"key-auth": {"key": "other"}}})
        self.gw.stop()
        self.gw.write_config(json.dumps({"routes": [{"id": "1", "uri": "/a", "plugins": {"key-auth": {}}, "upstream": {"type": "roundrobin", "nodes": up.nodes}}],
                                         "consumers": [{"username": "bob", "plugins": {"key-auth": {"key": "same"}}}]}))
        self.gw.start()
        self.assertEqual(self.gw.get("/a", {"apikey": "same"}).status, 200)
        self.assertEqual(up.last().get("X-Consumer-Username"), "bob")
        self.assertEqual(self.gw.get("/a", {"apikey": "other"}).status, 401)
        named = " ".join(self.gw.status()["quarantined"])
        self.assertIn("duplicate key of plugin key-auth found with consumer: bob", named)
        self.assertEqual([e["key"] for e in self.admin("GET", "/consumers").json()["list"]], ["/apisix/consumers/bob", "/apisix/consumers/aaron"])
        self.put("/routes/2", mocking("/b", "b"))
        self.assertEqual(" ".join(self.gw.status()["quarantined"]), named)
        self.put("/consumers", {"username": "aaron", "plugins": {"key-auth": {"key": "another"}}})
        for key in ("another", "other"):
            self.assertEqual(self.gw.get("/a", {"apikey": key}).status, 200)
            self.assertEqual(up.last().get("X-Consumer-Username"), "aaron")
        self.assertEqual(self.gw.status()["quarantined"], [])

    def test_a_file_s_credential_of_a_consumer_in_quarantine_lets_nobody_in_and_refuses_no_start(self):
        up = self.upstream()
        self.put("/consumers", {"username": "aaron", "plugins": {"key-auth": {"key": "same"}}})
        self.gw.stop()
        consumers = [{"id": "aaron/credentials/c1", "plugins": {"key-auth": {"key": "other"}}}]
        routes = [{"id": "1", "uri": "/a", "plugins": {"key-auth": {}}, "upstream": {"type": "roundrobin", "nodes": up.nodes}}]
        self.gw.write_config(json.dumps({"routes": routes, "consumers": [*consumers, {"username": "bob", "plugins": {"key-auth": {"key": "same"}}}]}))
        self.gw.start()
        self.assertEqual([self.gw.get("/a", {"apikey": key}).status for key in ("same", "other")], [200, 401])
        self.assertEqual(up.last().get("X-Consumer-Username"), "bob")
        named = self.gw.status()["quarantined"]
        self.assertEqual([text.split(": ")[0] for text in named], ["consumers/aaron", "consumers/aaron/credentials/c1"])
        self.assertIn("moongate.yaml:1: consumers/aaron is in quarantine, and this with it", named[1])
        self.put("/routes/2", mocking("/b", "b"))
        self.assertEqual(self.gw.reload().returncode, 0)
        self.assertEqual(self.gw.status()["quarantined"], named)
        self.put("/consumers", {"username": "aaron", "plugins": {"key-auth": {"key": "another"}}})
        for key in ("another", "other"):
            self.assertEqual(self.gw.get("/a", {"apikey": key}).status, 200)
            self.assertEqual(up.last().get("X-Consumer-Username"), "aaron")
        self.assertEqual(self.gw.status()["quarantined"], [])

    def test_a_file_cannot_take_away_what_the_api_refers_to(self):
        self.put("/routes/1", {"uri": "/u", "upstream_id": "u"})
        self.gw.write_config(json.dumps({"routes": []}))
        refused = self.gw.reload()
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("routes/1.upstream_id: failed to fetch upstream info by upstream id [u]", refused.stderr + refused.stdout)

    def test_a_change_of_the_file_leaves_the_api_s_resources(self):
        self.put("/routes/1", mocking("/a", "api"))
        self.gw.apply({**self.config, "routes": [{"id": "other", **mocking("/other", "file")}]})
        self.assertEqual((self.gw.get("/a").body, self.gw.get("/other").body, self.gw.get("/mine").status), (b"api", b"file", 404))

    def test_a_file_that_is_written_as_it_was_makes_no_snapshot_of_what_the_api_brought(self):
        warned = {"routes": [{"id": "odd", **mocking("odd", "odd")}]}
        self.gw.apply(warned)
        self.put("/routes/1", {"uri": "/e", "plugins": {"echo": {"body": "echo"}}})
        before, looks = self.gw.status()["snapshot"], self.gw.log_text().count("no path is like this")
        self.gw.write_config(json.dumps(warned, indent=3))
        self.wait(lambda: self.gw.log_text().count("no path is like this") > looks, "the look at the file")
        self.assertEqual(self.gw.status()["snapshot"], before)

    def test_code_that_only_the_api_uses_is_taken_when_it_is_edited(self):
        source = """local _M = {version = 1, priority = 10, name = "mine", schema = {type = "object"}}
            function _M.access() return 200, "%s" end return _M"""
        self.gw.write_plugin("mine", source % "one")
        self.put("/routes/1", {"uri": "/p", "plugins": {"mine": {}}})
        self.assertIn(b"one", self.gw.get("/p").body)
        self.gw.write_plugin("mine", source % "two")
        self.wait(lambda: b"two" in self.gw.get("/p").body, "the edited plugin")

    def test_a_rollback_brings_back_what_the_api_had_made(self):
        self.put("/routes/1", mocking("/a", "one"))
        self.wait(lambda: any("routes/1" in s["reason"] for s in self.snapshots()), "the snapshot on disk")
        number = self.gw.status()["snapshot"]["number"]
        self.put("/routes/1", mocking("/a", "two"))
        self.put("/routes/2", mocking("/b", "two"))
        done = self.gw.run("rollback", str(number))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.gw.get("/a").body, self.gw.get("/b").status), (b"one", 404))
        self.assertEqual(self.admin("GET", "/routes/2").status, 404)
        self.put("/routes/3", mocking("/c", "three"))
        self.assertEqual(self.gw.get("/a").body, b"one")
        self.restart()
        self.assertEqual((self.gw.get("/a").body, self.gw.get("/b").status, self.gw.get("/c").body), (b"one", 404, b"three"))

    def snapshots(self):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.gw.run_dir, "control.sock"))
            s.sendall(b'{"command": "snapshots"}\n')
            with s.makefile() as f:
                return json.loads(f.readline())["snapshots"]


class Audit(AdminCase):
    def test_every_change_is_in_the_audit_log_with_secrets_masked(self):
        self.put("/routes/1", mocking("/a", "one"))
        self.admin("PUT", "/routes/1", {"uri": 1, "plugins": {}})
        self.put("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": "the-secret-key"}}})
        self.admin("PATCH", "/routes/1", {"desc": "new"})
        self.admin("DELETE", "/routes/1")
        path = os.path.join(self.gw.run_dir, "audit.log")
        with open(path) as f:
            text = f.read()
        self.assertNotIn("the-secret-key", text)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        lines = [json.loads(line) for line in text.splitlines()]
        self.assertEqual([(l["verb"], l["resource"], l["actor"], l["peer"]) for l in lines],
                         [("PUT", "routes/1", "admin", "127.0.0.1"), ("PUT", "consumers/jack", "admin", "127.0.0.1"),
                          ("PATCH", "routes/1", "admin", "127.0.0.1"), ("DELETE", "routes/1", "admin", "127.0.0.1")])
        self.assertEqual((lines[0]["before"], lines[0]["after"]["uri"]), (None, "/a"))
        self.assertEqual(lines[2]["after"]["desc"], "new")
        self.assertNotIn("uri", lines[2]["after"], "only what changed")
        self.assertIsNone(lines[3]["after"])


@sanitized
class Hostile(AdminCase):
    def test_a_rollback_is_in_the_audit_log_with_what_it_changed(self):
        self.put("/routes/1", mocking("/a", "one"))
        self.gw.status()  # what was made last is on disk then
        number = self.gw.status()["snapshot"]["number"]
        self.put("/routes/1", mocking("/a", "two"))
        self.put("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": "the-secret-key"}}})
        self.gw.status()
        headers = {"X-API-KEY": self.gw.admin_key(), "Content-Type": "application/json"}
        done = request(self.gw.admin_port, "POST", "/moongate/admin/rollback", headers, json.dumps({"number": number}).encode())
        self.assertEqual(done.status, 200, done.body)
        done = self.gw.run("rollback", str(number))
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(self.gw.run_dir, "audit.log")) as f:
            text = f.read()
        self.assertNotIn("the-secret-key", text)
        lines = [json.loads(line) for line in text.splitlines() if '"ROLLBACK"' in line]
        self.assertEqual([(l["resource"], l["actor"], l["peer"]) for l in lines],
                         [("code of plugin key-auth", "admin", "127.0.0.1"), ("consumers/jack", "admin", "127.0.0.1"),
                          ("routes/1", "admin", "127.0.0.1"), ("", "rollback", "")])
        self.assertEqual([lines[2][side]["plugins"]["mocking"]["response_example"] for side in ("before", "after")], ["two", "one"])
        self.assertEqual((lines[1]["before"]["username"], lines[1]["after"]), ("jack", None))
        self.assertEqual(lines[2]["snapshot"], lines[3]["snapshot"] - 1)

    def test_random_bodies_change_nothing_and_are_named(self):
        """Seeded: what a wrong byte or a wrong value does is the same in every run."""
        rng = random.Random(7)
        self.put("/routes/kept", mocking("/kept", "kept"))
        values = [None, True, -1, 1e308, "", "x" * 300, [], {}, [[]], {"a": {"b": []}}, "\u0000", 2**53]
        base = {"uri": "/f", "methods": ["GET"], "vars": [["arg_a", "==", "1"]], "plugins": {"key-auth": {}}, "upstream": nodes(),
                "labels": {"a": "b"}, "timeout": {"connect": 1, "send": 1, "read": 1}}
        for i in range(400):
            if i % 2:
                text = bytearray(json.dumps(base).encode())
                for _ in range(rng.randrange(1, 4)):
                    text[rng.randrange(len(text))] = rng.randrange(256)
                body = bytes(text)
            else:
                body = json.dumps({**base, rng.choice(list(base)): rng.choice(values)}).encode()
            answer = self.admin("PUT", "/routes/f", body)
            self.assertIn(answer.status, (200, 201, 400), f"{body} {answer}")
            if answer.status == 400:
                self.assertTrue(answer.json()["error_msg"], body)
            else:
                self.assertEqual(self.admin("DELETE", "/routes/f").status, 200)
        self.assertEqual(self.gw.get("/kept").body, b"kept")
        self.assertEqual(self.admin("GET", "/routes").json()["total"], 1)


if __name__ == "__main__":
    unittest.main()
