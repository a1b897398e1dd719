# SPDX-License-Identifier: Apache-2.0
"""Apache APISIX itself, standalone (routes from a file), one worker.

Only where one is installed: APISIX_HOME is a folder with apisix/, bin/ and
deps/ (what APISIX's own `bin/apisix` expects beside it), and the `openresty`
that it runs on is on PATH or in OPENRESTY_BIN.
"""

import json
import os
import subprocess

from harness import Subject, find


class Apisix(Subject):
    name = "apisix"
    about = "Apache APISIX, standalone, one route, no plugin"
    features = frozenset({"http", "tls", "h2"})
    start_seconds = 20.0
    plugins = {}
    home = os.environ.get("APISIX_HOME", "")

    def openresty(self):
        return find(os.environ.get("OPENRESTY_BIN", "openresty"))

    def available(self):
        return bool(self.openresty()) and os.path.exists(
            os.path.join(self.home, "bin", "apisix")) and bool(self.home)

    def prepare(self, ctx):
        for name in ("apisix", "bin", "deps"):
            os.symlink(os.path.join(os.path.realpath(self.home), name), ctx.path(name))
        os.mkdir(ctx.path("logs"))
        ctx.write("conf/mime.types", "types { text/html html; }\n")
        listen = {"ip": ctx.host}
        ctx.write("conf/config.yaml", json.dumps({
            "plugins": ["request-id", "key-auth", "limit-count", "proxy-rewrite",
                        "response-rewrite"],
            "stream_plugins": [],
            "apisix": {
                "node_listen": [{**listen, "port": ctx.port}],
                "enable_ipv6": False, "enable_control": False, "enable_admin": False,
                "ssl": {"enable": True, "listen": [{**listen, "port": ctx.tls_port}],
                        "ssl_protocols": "TLSv1.3", "fallback_sni": "api.example.test"}},
            "nginx_config": {
                "user": "root", "worker_processes": 1, "worker_rlimit_nofile": 20000,
                "error_log_level": "error",
                "event": {"worker_connections": 10620},
                "http_configuration_snippet": "keepalive_requests 1000000000;\n"
                                              "client_body_buffer_size 64k;",
                "http": {"enable_access_log": False, "keepalive_timeout": "600s",
                         "client_body_timeout": "600s", "send_timeout": "600s",
                         "upstream": {"keepalive": 320, "keepalive_requests": 1000000000,
                                      "keepalive_timeout": "600s"}}},
            "deployment": {"role": "data_plane",
                           "role_data_plane": {"config_provider": "yaml"}}}))
        with open(ctx.cert) as c, open(ctx.key) as k:
            pair = {"crt": c.read(), "key": k.read()}
        for ext, text in pair.items():      # what answers before SNI is known
            ctx.write(f"conf/cert/ssl_PLACE_HOLDER.{ext}", text)
        tls = {"id": "1", "cert": pair["crt"], "key": pair["key"],
               # wrk names the address it connects to
               "snis": ["api.example.test", ctx.host]}
        route = {"id": "all", "uri": "/*", "upstream": {
            "type": "roundrobin", "nodes": {f"{ctx.backend_host}:{ctx.backend_port}": 1}}}
        if self.plugins:
            route["plugins"] = self.plugins
        consumers = [{"username": f"user_{i}", "plugins": {"key-auth": {"key": f"key-{i:05d}"}}}
                     for i in range(1000 if self.plugins else 0)]
        ctx.write("conf/apisix.yaml", json.dumps(
            {"routes": [route], "consumers": consumers, "ssls": [tls]}) + "\n#END\n")
        subprocess.run(["bash", "bin/apisix", "init"], cwd=ctx.dir, check=True,
                       env={**os.environ, **self.env(ctx)}, stdout=subprocess.DEVNULL)

    def env(self, ctx):
        return {"PATH": os.path.dirname(self.openresty()) + os.pathsep + os.environ["PATH"]}

    def argv(self, ctx):
        return [self.openresty(), "-p", ctx.dir, "-c", ctx.path("conf/nginx.conf"),
                "-g", "daemon off;"]


class ApisixChain(Apisix):
    name = "apisix-chain"
    about = "Apache APISIX with the plugins of nginx-lua-chain"
    plugins = {
        "request-id": {"header_name": "X-Request-Id", "include_in_response": True},
        "key-auth": {},
        "limit-count": {"count": 1000000000, "time_window": 60, "rejected_code": 429,
                        "key_type": "var", "key": "consumer_name", "policy": "local"},
        "proxy-rewrite": {"headers": {"set": {"X-Gateway": "bench"}}},
        "response-rewrite": {"headers": {"set": {"X-Served-By": "gateway",
                                                 "X-Frame-Options": "DENY"},
                                         "remove": ["X-Powered-By"]}},
    }


SUBJECTS = [Apisix, ApisixChain]
