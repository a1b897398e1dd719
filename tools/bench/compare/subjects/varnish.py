# SPDX-License-Identifier: Apache-2.0
from harness import Subject, find

VCL = """
vcl 4.1;
backend origin {{ .host = "{host}"; .port = "{port}"; }}
sub vcl_recv {{ return (pass); }}
"""


class Varnish(Subject):
    name = "varnish"
    about = "Varnish, everything passed (no TLS in it)"
    features = frozenset({"http"})
    needs = ("varnishd", "gcc")
    start_seconds = 20.0

    def prepare(self, ctx):
        ctx.write("pass.vcl", VCL.format(host=ctx.backend_host, port=ctx.backend_port))

    def argv(self, ctx):
        return [find("varnishd"), "-F", "-f", ctx.path("pass.vcl"), "-n", ctx.path("work"),
                "-a", f"{ctx.host}:{ctx.port}", "-s", "malloc,32m", "-T", "none",
                "-j", "none", "-p", "timeout_idle=600", "-p", "thread_pools=1",
                "-p", "backend_idle_timeout=600", "-p", "thread_pool_min=80"]


SUBJECTS = [Varnish]
