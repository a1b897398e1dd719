#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`data_encryption`: what the Admin API keeps encrypted, who sees what, and how keys change."""

import base64
import json
import os
import unittest

from admin import AdminCase, mocking
from certificates import certificate
from harness import HOST, moongate, sanitized, untrusting_tls

OLD, NEW = "edd1c9f0985e76a2", "qeddd145sfvddff3"
BAR = "77+NmbYqNfN+oLm0aX5akg=="  # what APISIX makes of `bar` under OLD


def jack(password="bar"):
    return {"username": "jack", "plugins": {"basic-auth": {"username": "jack", "password": password}}}


@sanitized
class Encrypted(AdminCase):
    more = {"moongate": {"data_encryption": {"keyring": [OLD]}}}

    def kept(self):
        """All that lies in the folder of the instance, keys of its own aside."""
        out = b""
        for folder, _, names in os.walk(self.gw.run_dir):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, "rb") as f:
                        out += f.read()
        return out

    def login(self, password):
        return self.gw.get("/in", {"Authorization": "Basic " + base64.b64encode(b"jack:" + password.encode()).decode()}).status

    def keyring(self, *keys):
        self.gw.add_config("keys.yaml", {"moongate": {"data_encryption": {"keyring": list(keys)}}})
        self.restart()

    def open_route(self):
        self.put("/routes/in", {**mocking("/in", "in"), "plugins": {**mocking("", "in")["plugins"], "basic-auth": {}}})

    def test_a_write_answers_what_is_stored_and_a_read_what_was_sent(self):
        self.open_route()
        made = self.put("/consumers", jack())
        self.assertEqual(made.json()["value"]["plugins"]["basic-auth"], {"username": "jack", "password": BAR})
        self.assertEqual(self.admin("GET", "/consumers/jack").json()["value"]["plugins"]["basic-auth"]["password"], "bar")
        self.assertEqual(self.admin("GET", "/consumers").json()["list"][0]["value"]["plugins"]["basic-auth"]["password"], "bar")
        self.assertEqual(self.admin("GET", "/configs").json()["consumers"][0]["plugins"]["basic-auth"]["password"], "bar")
        self.assertEqual((self.login("bar"), self.login(BAR), self.login("$aes://" + BAR)), (200, 401, 401))

    def test_nothing_on_disk_and_no_log_has_the_text(self):
        self.open_route()
        secret = "a-password-that-is-nowhere-else"
        self.put("/consumers", jack(secret))
        self.gw.status()  # the snapshot is on disk then
        self.assertEqual(self.login(secret), 200)
        self.assertNotIn(secret.encode(), self.kept())
        self.assertNotIn(secret, self.gw.log_text())
        self.restart()
        self.assertEqual((self.login(secret), self.login("wrong")), (200, 401))
        self.assertNotIn(secret.encode(), self.kept())

    def test_checks_see_the_text_and_their_complaints_do_not_show_it(self):
        self.put("/consumers", jack())
        refused = self.admin("PUT", "/consumers", {"username": "jill", "plugins": {"basic-auth": {"username": "jack", "password": "bar"}}})
        self.assert_refused(refused, 400, "duplicate username of plugin basic-auth found with consumer: jack")
        refused = self.admin("PUT", "/consumers", {"username": "jill", "plugins": {"jwt-auth": {"key": "k", "secret": "a-secret", "algorithm": "none"}}})
        self.assertEqual(refused.status, 400)
        self.assertNotIn("a-secret", refused.body.decode())

    def test_a_key_shared_by_two_is_found_though_it_is_encrypted(self):
        self.put("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": "one"}}})
        refused = self.admin("PUT", "/consumers", {"username": "jill", "plugins": {"key-auth": {"key": "one"}}})
        self.assert_refused(refused, 400, "duplicate key of plugin key-auth found with consumer: jack")

    def test_a_patch_changes_one_field_and_keeps_the_others(self):
        self.put("/routes/1", {"uri": "/l", "plugins": {"limit-count": {"count": 1, "time_window": 60, "redis_password": "bar"}}})
        patched = self.admin("PATCH", "/routes/1", {"desc": "new"})
        self.assertEqual(patched.status, 200, patched.body)
        self.assertEqual(patched.json()["value"]["plugins"]["limit-count"]["redis_password"], BAR)
        self.admin("PATCH", "/routes/1/plugins/limit-count", {"count": 2, "time_window": 60, "redis_password": "other"})
        self.assertEqual(self.admin("GET", "/routes/1").json()["value"]["plugins"]["limit-count"]["redis_password"], "other")

    def test_a_whole_configuration_goes_out_and_comes_back_unchanged(self):
        self.put("/consumers", jack())
        before = self.admin("GET", "/consumers/jack").json()
        whole = {k: v for k, v in self.admin("GET", "/configs").json().items() if not k.endswith("_conf_version")}
        done = self.admin("PUT", "/configs", whole, {"X-Digest": "1"})
        self.assertEqual(done.status, 202, done.body)
        self.assertEqual(self.admin("GET", "/consumers/jack").json(), before)

    def test_keys_of_certificates_are_encrypted_too_and_serve(self):
        gw = self.gw = self.serve(self.config, listen=[{"address": f"{HOST}:PORT", "tls": True}], **self.more)
        shop = certificate("shop.example")
        made = self.put("/ssls/1", {"snis": ["*"], "cert": shop.cert, "key": shop.key})
        self.assertNotIn("key", made.json()["value"])
        self.put("/routes/1", mocking("/", "shop"))
        gw.status()
        self.assertNotIn(b"PRIVATE KEY", self.kept())
        with gw.client(tls=untrusting_tls()) as client:
            self.assertEqual(client.get("/").body, b"shop")
        refused = self.admin("PUT", "/ssls/2", {"sni": "other.example", "cert": shop.cert, "key": shop.key.replace("\n", "\n!", 3)})
        self.assertEqual(refused.json(), {"error_msg": "failed to parse key: PEM_read_bio_PrivateKey() failed"})

    def test_keys_change_by_putting_the_next_one_before_the_last(self):
        self.open_route()
        self.put("/consumers", jack())
        self.keyring(NEW, OLD)
        self.assertEqual(self.login("bar"), 200, "stored under the old key")
        again = self.admin("PUT", "/consumers", jack())
        self.assertNotEqual(again.json()["value"]["plugins"]["basic-auth"]["password"], BAR)
        self.keyring(NEW)
        self.assertEqual(self.login("bar"), 200, "stored under the new key")

    def test_what_was_stored_before_there_was_a_key_is_served_and_shown(self):
        self.open_route()
        self.gw.add_config("keys.yaml", {"moongate": {"data_encryption": {"enable_encrypt_fields": False}}})
        self.restart()
        self.assertEqual(self.put("/consumers", jack()).json()["value"]["plugins"]["basic-auth"]["password"], "bar")
        self.gw.add_config("keys.yaml", {"moongate": {"data_encryption": {"enable_encrypt_fields": True}}})
        self.restart()
        self.assertEqual((self.login("bar"), self.admin("GET", "/consumers/jack").json()["value"]["plugins"]["basic-auth"]["password"]), (200, "bar"))
        self.assertEqual(self.put("/consumers", jack()).json()["value"]["plugins"]["basic-auth"]["password"], BAR)

    def test_a_rollback_brings_the_encrypted_text_back_as_it_was_stored(self):
        self.open_route()
        self.put("/consumers", jack())
        self.gw.status()
        number = self.gw.status()["snapshot"]["number"]
        self.put("/consumers", jack("other"))
        self.gw.status()
        done = self.gw.run("rollback", str(number))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((self.login("bar"), self.login("other")), (200, 401))
        self.assertEqual(self.admin("GET", "/consumers/jack").json()["value"]["plugins"]["basic-auth"]["password"], "bar")
        self.restart()
        self.assertEqual(self.login("bar"), 200)

    def test_a_key_of_another_length_is_refused(self):
        path = self.gw.path("short.yaml")
        with open(path, "w") as f:
            json.dump({"moongate": {"data_encryption": {"keyring": ["short"]}}}, f)
        done = moongate("check", "-c", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("expected a key of 16 or 32 bytes", done.stderr)


if __name__ == "__main__":
    unittest.main()
