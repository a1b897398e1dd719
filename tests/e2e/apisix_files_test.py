#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A folder of APISIX's with config.yaml and apisix.yaml: converted, and loaded as it is."""

import os
import tempfile
import unittest

from harness import Gateway, TestCase, free_port, moongate, request, wait_for

SETTINGS = """\
apisix:
  node_listen:
    - port: {port}
      ip: 127.0.0.1
      enable_http2: false
  enable_ipv6: false
  ssl: {{enable: false}}
  enable_control: false
  router: {{http: radixtree_uri}}
  delete_uri_tail_slash: true
  trusted_addresses: [127.0.0.1]
  lru: {{secret: {{ttl: 300, count: 512}}}}
nginx_config:
  worker_processes: 1
  worker_shutdown_timeout: 30s
  error_log_level: info
  http_configuration_snippet: "proxy_buffering off;"
  http:
    access_log: {access_log}
    access_log_format: "$remote_addr $uri $status"
    client_max_body_size: 2m
    client_body_timeout: 1m
    keepalive_timeout: 500ms
    real_ip_header: X-Real-IP
    upstream: {{keepalive: 5, keepalive_timeout: 7s}}
    custom_lua_shared_dict: {{mine: 1m}}
plugins: [mocking, key-auth, server-info-of-mine]
plugin_attr:
  prometheus: {{export_addr: {{ip: 127.0.0.1, port: {metrics}}}}}
deployment:
  role: traditional
  role_traditional: {{config_provider: yaml}}
  admin:
    admin_listen: {{ip: 127.0.0.1, port: {admin}}}
    allow_admin: [127.0.0.0/8]
    admin_key:
      - {{name: admin, key: a-key-of-our-own-12345, role: admin}}
      - {{name: reader, key: "", role: viewer}}
"""
RESOURCES = """\
routes:
  - uri: /hello
    plugins:
      mocking: {response_example: "%s", content_type: text/plain, with_mock_header: false}
#END
"""


class Files(TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.port, self.admin, self.metrics = free_port(), free_port(), free_port()
        self.log = os.path.join(self.folder, "access.log")
        self.settings = self.write("config.yaml", SETTINGS.format(port=self.port, admin=self.admin, metrics=self.metrics, access_log=self.log))
        self.resources = self.write("apisix.yaml", RESOURCES % "hello")

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w") as f:
            f.write(text)
        os.rename(path + ".new", path)
        return path

    def convert(self, *paths):
        return moongate("convert", "apisix", *paths)

    def run_gateway(self, *paths):
        """A gateway on these paths and nothing else, so that their ports and settings are its own."""
        gw = Gateway({"routes": []}, start=False, port=self.port)
        gw.config_paths = list(paths)
        gw.start()
        self.addCleanup(gw.close)
        return gw

    def hello(self):
        return request(self.port, "GET", "/hello").body

    def test_what_maps_is_converted_and_what_does_not_is_named_with_its_line(self):
        done = self.convert(self.settings, self.resources)
        self.assertEqual(done.returncode, 1, "something was lost")
        for line in (f'- address: "127.0.0.1:{self.port}"', "router: radixtree_uri", "workers: 1", "drain_timeout: 30", "level: info", "body_max_mb: 2",
                     "body_timeout: 60", "keepalive_timeout: 0.5", "keepalive_size: 5", "mine: 1m", "trusted_addresses: [127.0.0.1]",
                     "allow_admin: [127.0.0.0/8]", "key: a-key-of-our-own-12345", "id: arr_1", "plugins: [mocking, key-auth, server-info-of-mine]"):
            self.assertIn(line, [l.strip() for l in done.stdout.splitlines()])
        for found in ("lost: {}:10: apisix.delete_uri_tail_slash: ", "note: {}:12: apisix.lru.secret.count: ",
                      "lost: {}:17: nginx_config.http_configuration_snippet: ", "lost: {}:24: nginx_config.http.real_ip_header: ",
                      "lost: {}:27: plugins[2]: there is no plugin `server-info-of-mine` here", "note: {}:38: deployment.admin.admin_key: "):
            self.assertIn(found.format(self.settings), done.stderr)
            self.assertIn("#   " + found.format(self.settings), done.stdout)
        self.assertEqual(len(done.stderr.splitlines()), 6, done.stderr)

    def test_the_converted_file_and_the_folder_itself_serve_alike(self):
        made = self.write("gate.yaml", self.convert(self.settings, self.resources).stdout)
        for paths in ((made,), (self.folder,), (self.settings, self.resources)):
            with self.subTest(paths):
                gw = self.run_gateway(*paths)
                self.assertEqual(self.hello(), b"hello")
                self.assertEqual(request(self.admin, "GET", "/apisix/admin/routes", {"X-API-KEY": "a-key-of-our-own-12345"}).json()["total"], 1)
                self.assertIn(b"moongate_requests_total", request(self.metrics, "GET", "/metrics").body)
                wait_for(lambda: os.path.exists(self.log) and "127.0.0.1 /hello 200" in open(self.log).read(), 10, "a line in the access log")
                gw.close()
                os.remove(self.log)

    def test_a_change_of_the_folder_is_served_once_it_ends_with_its_flag(self):
        gw = self.run_gateway(self.folder)
        self.write("apisix.yaml", (RESOURCES % "half").replace("#END\n", ""))
        gw.wait_log("missing valid end flag")
        self.assertEqual(self.hello(), b"hello")
        self.write("apisix.yaml", RESOURCES % "whole")
        wait_for(lambda: self.hello() == b"whole", 10, "the change being served")

    def test_what_would_open_the_gateway_refuses_the_file(self):
        text = SETTINGS.format(port=self.port, admin=self.admin, metrics=self.metrics, access_log=self.log)
        path = self.write("config.yaml", text.replace("    admin_key:", "    https_admin: true\n    admin_key:"))
        done = moongate("check", "-c", self.folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f"{path}:36: deployment.admin.https_admin: the Admin API speaks HTTP in clear", done.stderr)

    def test_resources_that_are_in_etcd_are_said_to_be_lost(self):
        path = self.write("config.yaml", "apisix:\n  node_listen: 9080\n")
        done = self.convert(path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("deployment.role_traditional.config_provider: what is in etcd is not in these files", done.stderr)
        for line in ('address: "0.0.0.0:9080"', 'address: "[::]:9443"', 'listen: "0.0.0.0:9180"', "allow_admin: [127.0.0.0/24]", 'listen: "127.0.0.1:9090"'):
            self.assertIn(line.replace('"', ""), done.stdout.replace('"', ""))

    def test_other_files_and_folders_are_named(self):
        done = self.convert(self.resources)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("this is no config.yaml of APISIX's", done.stderr)
        os.remove(self.resources)
        done = moongate("check", "-c", self.folder)
        self.assertEqual(done.returncode, 1)
        self.assertIn("nor a folder with APISIX's config.yaml and apisix.yaml", done.stderr)
        self.assertEqual(self.convert().returncode, 2)


if __name__ == "__main__":
    unittest.main()
