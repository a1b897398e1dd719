#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Admin API in the form that APISIX 2 gave its answers, for clients that were written for it."""

import unittest

from admin import AdminCase, mocking


class OlderForm(AdminCase):
    config = {"routes": [], "moongate": {"admin": {"api_version": "v2"}}}

    def told(self, method, path, body=None, status=200):
        answer = self.admin(method, path, body)
        self.assertEqual((answer.status, answer.get("X-API-VERSION")), (status, "v2"), answer.body)
        return answer.json()

    def test_what_is_written_is_told_with_the_action_that_made_it(self):
        made = self.told("PUT", "/routes/1", mocking("/a", "1"), 201)
        self.assertEqual((sorted(made), made["action"], sorted(made["node"])), (["action", "node"], "set", ["key", "value"]))
        self.assertEqual((made["node"]["key"], made["node"]["value"]["uri"]), ("/apisix/routes/1", "/a"))
        self.assertEqual(self.told("PUT", "/routes/1", mocking("/a", "2"))["action"], "set")
        changed = self.told("PATCH", "/routes/1", {"desc": "x"})
        self.assertEqual((changed["action"], changed["node"]["value"]["desc"]), ("compareAndSwap", "x"))
        posted = self.told("POST", "/routes", mocking("/b", "b"), 201)
        self.assertEqual((posted["action"], len(posted["node"]["value"]["id"])), ("create", 20))
        self.assertEqual(self.told("DELETE", "/routes/1"),
                         {"action": "delete", "deleted": "1", "key": "/apisix/routes/1", "node": {}})
        self.assertEqual(self.told("DELETE", "/routes/1", status=404), {"message": "Key not found"})

    def test_one_is_a_node_and_a_list_is_a_folder_of_them(self):
        self.assertEqual(self.told("GET", "/routes"),
                         {"action": "get", "count": 0, "node": {"dir": True, "key": "/apisix/routes", "nodes": []}})
        self.told("PUT", "/routes/1", mocking("/a", "1"), 201)
        self.told("PUT", "/routes/2", mocking("/b", "2"), 201)
        one = self.told("GET", "/routes/1")
        self.assertEqual((sorted(one), one["action"], one["count"]), (["action", "count", "node"], "get", 1))
        self.assertEqual(sorted(one["node"]), ["createdIndex", "key", "modifiedIndex", "value"])
        listed = self.told("GET", "/routes")
        self.assertEqual((listed["count"], [node["key"] for node in listed["node"]["nodes"]]), (2, ["/apisix/routes/1", "/apisix/routes/2"]))
        self.assertEqual(listed["node"]["nodes"][0], one["node"])
        self.assertEqual(self.told("GET", "/routes/3", status=404), {"message": "Key not found"})

    def test_lists_have_neither_pages_nor_filters(self):
        for i in range(12):
            self.told("PUT", f"/routes/{i}", {**mocking(f"/a{i}", "x"), "name": f"n{i}"}, 201)
        self.assertEqual(len(self.told("GET", "/routes?page=1&page_size=10&name=n1")["node"]["nodes"]), 12)
        self.told("GET", "/routes?page=1&page_size=2")

    def test_credentials_are_a_folder_of_their_consumer(self):
        self.told("PUT", "/consumers", {"username": "jack"}, 201)
        self.told("PUT", "/consumers/jack/credentials/c1", {"plugins": {"key-auth": {"key": "one"}}}, 201)
        listed = self.told("GET", "/consumers/jack/credentials")["node"]
        self.assertEqual((listed["key"], len(listed["nodes"])), ("/apisix/consumers/jack/credentials", 1))

    def test_refusals_are_as_they_are_today_and_a_reload_changes_the_form(self):
        self.assertIn("error_msg", self.told("PUT", "/routes/1", {"uri": "/"}, 400))
        self.told("PUT", "/routes/1", mocking("/a", "1"), 201)
        self.gw.apply({"routes": [], "moongate": {"admin": {"api_version": "v3"}}})
        answer = self.admin("GET", "/routes/1")
        self.assertEqual((answer.get("X-API-VERSION"), answer.json()["key"]), ("v3", "/apisix/routes/1"))


if __name__ == "__main__":
    unittest.main()
