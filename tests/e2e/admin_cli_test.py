#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""moongate diff, apply and history."""

import json
import unittest

from admin import AdminCase, mocking, nodes
from harness import Client, request_bytes


class Commands(AdminCase):
    config = {"routes": [{"id": "mine", **mocking("/mine", "file")}], "upstreams": [{"id": "u", **nodes()}]}

    def write(self, name, config):
        path = self.gw.path(name)
        with open(path, "w") as f:
            json.dump(config, f)
        return path

    def diff(self, config):
        path = self.write("proposed.yaml", config)
        done = self.gw.run("diff", "-c", path, "-c", self.gw.path("harness.yaml"))
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def test_diff_names_what_a_file_would_change_by_resource_and_field(self):
        self.put("/routes/api", {"uri": "/api", "upstream_id": "u"})
        self.assertEqual(self.diff(self.config), "no difference\n")
        changed = {"routes": [{**self.config["routes"][0], "uri": "/other"}, {"id": "new", **mocking("/n", "n")}],
                   "upstreams": [{"id": "u", **nodes("127.0.0.1:2")}]}
        lines = self.diff(changed).splitlines()
        self.assertIn("~ routes/mine", lines)
        self.assertIn('    uri: "/mine" -> "/other"', lines)
        self.assertIn("+ routes/new", lines)
        self.assertIn("~ upstreams/u", lines)
        self.assertFalse([line for line in lines if "routes/api" in line], "what the API made is not the file's to change")
        self.assertEqual(self.gw.get("/mine").body, b"file", "nothing has changed")

    def test_diff_refuses_what_a_load_would_refuse(self):
        done = self.gw.run("diff", "-c", self.write("bad.yaml", {"routes": [{"id": "1", "uri": "/", "upstream_id": "none"}]}))
        self.assertEqual(done.returncode, 1)
        self.assertIn("bad.yaml:1: routes[0].upstream_id", done.stderr)

    def test_apply_puts_all_or_nothing(self):
        good = {"upstreams": [{"id": "au", **nodes()}], "routes": [{"id": "a", "uri": "/u", "upstream_id": "au"}, {"id": "b", **mocking("/b", "b")}]}
        done = self.gw.run("apply", self.write("good.yaml", good), "--wait")
        self.assertEqual((done.returncode, done.stdout), (0, "applied; every worker serves it\n"), done.stderr)
        self.assertEqual(self.gw.get("/b").body, b"b")
        again = self.gw.run("apply", self.write("good.yaml", good))
        self.assertEqual(again.returncode, 0, again.stderr)
        bad = {"routes": [{"id": "b", **mocking("/b", "changed")}, {"id": "c", "uri": 1, "plugins": {}}]}
        done = self.gw.run("apply", self.write("bad.yaml", bad), "--wait")
        self.assertEqual(done.returncode, 1)
        self.assertIn('property "uri" validation failed', done.stderr)
        self.assertEqual(self.gw.get("/b").body, b"b")
        done = self.gw.run("apply", self.write("less.yaml", {"routes": [{"id": "b", **mocking("/b", "b2")}]}), "--wait", "--prune")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.gw.get("/b").body, b"b2")
        self.assertEqual(self.admin("GET", "/upstreams/au").status, 404)
        self.assertEqual(self.gw.get("/mine").body, b"file")
        done = self.gw.run("apply", self.gw.path("nothing.yaml"))
        self.assertEqual(done.returncode, 1)

    def test_check_judges_the_files_with_what_the_api_has_made(self):
        alone = self.gw.run("check", "-c", self.gw.path("harness.yaml"), "-c", self.write("same.yaml", self.config))
        self.assertEqual((alone.returncode, alone.stderr), (0, ""))
        self.assertIn("looked at the files alone: the Admin API has made nothing in " + self.gw.run_dir, alone.stdout)
        self.put("/routes/api", {"uri": "/api", "upstream_id": "u"})
        both = self.gw.run("check", "-c", self.write("same.yaml", self.config))
        self.assertEqual(both.returncode, 0, both.stderr)
        self.assertIn("ok: 2 routes", both.stdout)
        self.assertIn("looked at the files with 1 resource that the Admin API has made in " + self.gw.run_dir, both.stdout)
        broken = self.gw.run("check", "-c", self.write("less.yaml", {"routes": []}))
        self.assertEqual(broken.returncode, 1)
        self.assertIn("routes/api.upstream_id: failed to fetch upstream info by upstream id [u]", broken.stderr)
        self.assertIn("looked at the files with 1 resource", broken.stderr)

    def test_history_tells_who_changed_what(self):
        self.put("/routes/api", mocking("/api", "x"))
        listed = json.loads(self.gw.run("history", "--json").stdout)
        self.assertEqual(listed["snapshots"][-1]["reason"], "admin: routes/api")
        self.assertIn("admin: routes/api", self.gw.run("history").stdout)

    def test_history_has_every_one_of_many_quick_changes_and_says_which_can_be_gone_back_to(self):
        with Client(self.gw.admin_port, timeout=30) as client:
            for i in range(12):
                body = json.dumps(mocking(f"/{i}", "x")).encode()
                client.send(request_bytes("PUT", f"/apisix/admin/routes/r{i}", {"X-API-KEY": self.gw.admin_key()}, body))
            self.assertEqual([client.read("PUT").status for _ in range(12)], [201] * 12)
        listed = json.loads(self.gw.run("history", "--json").stdout)["snapshots"]
        self.assertEqual([one["reason"] for one in listed[-12:]], [f"admin: routes/r{i}" for i in range(12)])
        self.assertEqual(len({one["hash"] for one in listed}), len(listed))
        for one in [listed[-1], *(one for one in listed if not one["is_kept"])][:2]:
            self.assertEqual(self.gw.run("rollback", str(one["number"])).returncode, 0 if one["is_kept"] else 1)

    def test_routes_and_explain_see_what_was_just_put(self):
        self.put("/routes/api", mocking("/api", "x"))
        self.assertIn("/api", self.gw.run("routes").stdout)
        self.assertIn("api", self.gw.run("explain", "GET", "/api").stdout)


if __name__ == "__main__":
    unittest.main()
