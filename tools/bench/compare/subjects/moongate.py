# SPDX-License-Identifier: Apache-2.0
"""Moongate, plain and with a chain of Lua plugins.  MOONGATE_BIN names the executable."""

import json
import os

from harness import Subject


class Moongate(Subject):
    name = "moongate"
    about = "Moongate, plain proxying"
    features = frozenset({"http", "tls", "h2", "routes", "valgrind"})
    plugins = None
    consumers = ()

    def available(self):
        return os.access(os.environ.get("MOONGATE_BIN", ""), os.X_OK)

    def config(self, ctx):
        node = {f"{ctx.backend_host}:{ctx.backend_port}": 1}
        upstream = {"id": "origin", "type": "roundrobin", "nodes": node}
        routes = [{"id": "all", "uri": "/*", "upstream_id": "origin"}]
        if self.plugins:
            routes[0]["plugins"] = self.plugins
        routes += [{"id": f"svc{i:05d}", "uri": f"/svc{i:05d}/*", "upstream_id": "origin"}
                   for i in range(ctx.routes)]
        conf = {
            "moongate": {
                "workers": 0 if ctx.valgrind else 1,
                "listen": [f"{ctx.host}:{ctx.port}"],
                "admin": {"listen": f"unix:{ctx.path('admin.sock')}"},
                "metrics": {"listen": f"unix:{ctx.path('metrics.sock')}"},
                "client": {"keepalive_timeout": 600, "header_timeout": 600,
                           "keepalive_requests": 1000000000},
                "access_log": "off",
            },
            "upstreams": [upstream], "routes": routes, "consumers": list(self.consumers),
        }
        if ctx.cert:
            conf["moongate"]["listen"].append(
                {"address": f"{ctx.host}:{ctx.tls_port}", "tls": True, "http2": True})
            with open(ctx.cert) as cert, open(ctx.key) as key:
                conf["ssls"] = [{"id": "any", "snis": ["*", "localhost"], "cert": cert.read(),
                                 "key": key.read(), "ssl_protocols": ["TLSv1.3"]}]
        return conf

    def prepare(self, ctx):
        ctx.write("moongate.yaml", json.dumps(self.config(ctx)))    # JSON is YAML

    def argv(self, ctx):
        return [os.environ["MOONGATE_BIN"], "start", "-c", ctx.path("moongate.yaml"),
                "-p", ctx.path("run")]


class MoongateChain(Moongate):
    """The plugins of nginx-lua-chain: request-id, key-auth over 1000 consumers, limit-count, headers both ways."""
    name = "moongate-chain"
    about = "Moongate with five Lua plugins"
    features = frozenset({"http", "tls", "h2", "valgrind"})
    consumers = tuple({"username": f"user_{i}", "plugins": {"key-auth": {"key": f"key-{i:05d}"}}}
                      for i in range(1000))
    plugins = {
        "request-id": {},
        "key-auth": {},
        "limit-count": {"count": 2000000000, "time_window": 60, "key": "consumer_name", "key_type": "var",
                        "policy": "local"},
        "proxy-rewrite": {"headers": {"set": {"X-Gateway": "moongate"}}},
        "response-rewrite": {"headers": {"set": {"X-Served-By": "gateway"}, "remove": ["X-Powered-By"]}},
    }


SUBJECTS = [Moongate, MoongateChain]
