# SPDX-License-Identifier: Apache-2.0
import json

from harness import Subject, find


class Caddy(Subject):
    name = "caddy"
    about = "Caddy reverse_proxy, GOMAXPROCS=1"
    features = frozenset({"http", "tls", "h2", "routes"})
    needs = ("caddy",)
    start_seconds = 60.0

    def prepare(self, ctx):
        proxy = [{"handle": [{
            "handler": "reverse_proxy",
            "upstreams": [{"dial": f"{ctx.backend_host}:{ctx.backend_port}"}],
            "transport": {"protocol": "http", "compression": False, "keep_alive": {
                "max_idle_conns_per_host": 512, "max_idle_conns": 2048,
                "idle_timeout": "600s"}}}]}]
        # the routes only match and set a variable, so that all of them share
        # the one proxy handler and its connection pool
        proxy = [{"match": [{"path": [f"/svc{i:05d}/*"]}], "group": "svc",
                  "handle": [{"handler": "vars", "svc": str(i)}]}
                 for i in range(ctx.routes)] + proxy
        off = {"disable": True}
        ctx.write("caddy.json", json.dumps({
            "admin": {"disabled": True},
            "logging": {"logs": {"default": {"level": "ERROR"}}},
            "apps": {
                "tls": {"certificates": {"load_files": [
                    {"certificate": ctx.cert, "key": ctx.key}]}},
                "http": {"servers": {
                    "plain": {"listen": [f"{ctx.host}:{ctx.port}"], "routes": proxy,
                              "automatic_https": off, "idle_timeout": "600s",
                              "protocols": ["h1"]},
                    "tls": {"listen": [f"{ctx.host}:{ctx.tls_port}"], "routes": proxy,
                            "automatic_https": off, "idle_timeout": "600s",
                            "protocols": ["h1", "h2"],
                            "tls_connection_policies": [{"protocol_min": "tls1.3"}]}}}}}))

    def env(self, ctx):
        return {"GOMAXPROCS": "1", "XDG_DATA_HOME": ctx.dir, "XDG_CONFIG_HOME": ctx.dir,
                "HOME": ctx.dir}

    def argv(self, ctx):
        return [find("caddy"), "run", "--config", ctx.path("caddy.json")]


SUBJECTS = [Caddy]
