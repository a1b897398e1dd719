# SPDX-License-Identifier: Apache-2.0
from harness import Subject, find

CONF = """
global
    nbthread 1
    maxconn 15000
    no strict-limits
    tune.ssl.default-dh-param 2048
    ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
    timeout http-request 600s
    http-reuse always
    option forwardfor
frontend in
    bind {host}:{port} backlog 4096
    bind {host}:{tls_port} ssl crt {pem} alpn h2,http/1.1 backlog 4096
    {frontend}
    default_backend origin
backend origin
    server o1 {backend}
{backends}
"""


class Haproxy(Subject):
    name = "haproxy"
    about = "haproxy http mode, nbthread 1, http-reuse always"
    features = frozenset({"http", "tls", "h2", "routes", "valgrind"})
    needs = ("haproxy",)
    frontend = ""

    def prepare(self, ctx):
        frontend, backends = self.frontend, ""
        backend = f"{ctx.backend_host}:{ctx.backend_port}"
        if ctx.routes:
            # every prefix names one of 100 backends, found in a prefix map
            ctx.write("routes.map", "".join(
                f"/svc{i:05d}/ b{i % 100}\n" for i in range(ctx.routes)))
            frontend = f"use_backend %[path,map_beg({ctx.path('routes.map')},origin)]"
            backends = "".join(f"backend b{i}\n    server o1 {backend}\n" for i in range(100))
        ctx.write("haproxy.cfg", CONF.format(
            host=ctx.host, port=ctx.port, tls_port=ctx.tls_port, pem=ctx.pem, backend=backend,
            frontend=frontend, backends=backends))

    def argv(self, ctx):
        return [find("haproxy"), "-db", "-f", ctx.path("haproxy.cfg")]


class HaproxyLimit(Haproxy):
    name = "haproxy-limit"
    about = "haproxy with a stick-table rate on the API key"
    features = frozenset({"http", "tls", "h2", "valgrind"})
    frontend = """stick-table type string len 32 size 100k expire 60s store http_req_rate(10s)
    http-request track-sc0 req.hdr(apikey)
    http-request deny deny_status 429 if { sc_http_req_rate(0) gt 2000000000 }"""


SUBJECTS = [Haproxy, HaproxyLimit]
