# SPDX-License-Identifier: Apache-2.0
from harness import Subject, find

CONF = """
user: root
num-threads: 1
num-name-resolution-threads: 1
max-connections: 19000
pid-file: {dir}/h2o.pid
error-log: {dir}/h2o.log
http1-request-timeout: 600
http2-idle-timeout: 600
listen:
  host: {host}
  port: {port}
listen:
  host: {host}
  port: {tls_port}
  ssl:
    certificate-file: {cert}
    key-file: {key}
    minimum-version: TLSv1.2
    ocsp-update-interval: 0
proxy.timeout.keepalive: 600000
proxy.preserve-host: ON
hosts:
  default:
    paths:
{routes}      "/":
        proxy.reverse.url: "http://{backend}/"
"""


class H2o(Subject):
    name = "h2o"
    about = "h2o reverse proxy, one thread"
    features = frozenset({"http", "tls", "h2", "routes", "valgrind"})
    needs = ("h2o",)

    def prepare(self, ctx):
        backend = f"{ctx.backend_host}:{ctx.backend_port}"
        routes = "".join(f'      "/svc{i:05d}/":\n        proxy.reverse.url: '
                         f'"http://{backend}/svc{i:05d}/"\n' for i in range(ctx.routes))
        ctx.write("h2o.yaml", CONF.format(
            dir=ctx.dir, host=ctx.host, port=ctx.port, tls_port=ctx.tls_port, cert=ctx.cert,
            key=ctx.key, backend=backend, routes=routes))

    def argv(self, ctx):
        return [find("h2o"), "-m", "worker", "-c", ctx.path("h2o.yaml")]


SUBJECTS = [H2o]
