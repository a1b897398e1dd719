# SPDX-License-Identifier: Apache-2.0
"""Apache Traffic Server with caching off and one event thread."""

import os

from harness import Subject, find

RECORDS = """
CONFIG proxy.config.http.server_ports STRING {port}:ip-in={host} {tls_port}:ssl:ip-in={host}
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.exec_thread.affinity INT 0
CONFIG proxy.config.accept_threads INT 0
CONFIG proxy.config.task_threads INT 1
CONFIG proxy.config.cache.threads_per_disk INT 1
CONFIG proxy.config.http.cache.http INT 0
CONFIG proxy.config.http.wait_for_cache INT 0
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.diags.output.diag STRING L
CONFIG proxy.config.http.keep_alive_enabled_in INT 1
CONFIG proxy.config.http.keep_alive_enabled_out INT 1
CONFIG proxy.config.http.keep_alive_no_activity_timeout_in INT 600
CONFIG proxy.config.http.keep_alive_no_activity_timeout_out INT 600
CONFIG proxy.config.http.transaction_no_activity_timeout_in INT 600
CONFIG proxy.config.http.transaction_no_activity_timeout_out INT 600
CONFIG proxy.config.net.default_inactivity_timeout INT 600
CONFIG proxy.config.net.connections_throttle INT 18000
CONFIG proxy.config.net.max_connections_in INT 17000
CONFIG proxy.config.http.server_session_sharing.match STRING both
CONFIG proxy.config.http.server_session_sharing.pool STRING thread
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.url_remap.pristine_host_hdr INT 1
CONFIG proxy.config.http.insert_request_via_str INT 0
CONFIG proxy.config.http.insert_response_via_str INT 0
CONFIG proxy.config.http.insert_squid_x_forwarded_for INT 1
CONFIG proxy.config.http.negative_caching_enabled INT 0
CONFIG proxy.config.http2.max_concurrent_streams_in INT 256
CONFIG proxy.config.ssl.TLSv1_2 INT 0
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.core_limit INT 0
CONFIG proxy.config.crash_log_helper STRING
CONFIG proxy.config.hostdb.storage_size INT 1048576
"""


class Ats(Subject):
    name = "ats"
    about = "Apache Traffic Server, cache off, one event thread"
    features = frozenset({"http", "tls", "h2", "routes"})
    needs = ("traffic_server",)
    start_seconds = 20.0

    def prepare(self, ctx):
        dirs = {k: ctx.path(k) for k in ("sysconfdir", "runtimedir", "logdir", "cachedir",
                                         "datadir", "localstatedir")}
        for d in dirs.values():
            os.mkdir(d)
        dirs["prefix"] = dirs["exec_prefix"] = ctx.dir
        dirs["bindir"] = dirs["sbindir"] = os.path.dirname(find("traffic_server"))
        for k in ("libdir", "libexecdir", "includedir"):
            dirs[k] = ctx.path("none")
        ctx.write("runroot.yaml", "".join(f"{k}: {v}\n" for k, v in dirs.items()))

        def put(name, text):
            ctx.write("sysconfdir/" + name, text)

        put("records.config", RECORDS.format(host=ctx.host, port=ctx.port, tls_port=ctx.tls_port))
        origin = f"http://{ctx.backend_host}:{ctx.backend_port}"
        put("remap.config", "".join(f"map /svc{i:05d}/ {origin}/svc{i:05d}/\n"
                                    for i in range(ctx.routes)) + f"map / {origin}/\n")
        for name in ("storage.config", "plugin.config", "hosting.config", "volume.config"):
            put(name, "")
        put("ip_allow.yaml", "ip_allow:\n  - apply: in\n    ip_addrs: 0/0\n    action: allow\n"
                             "    methods: ALL\n")
        put("ssl_multicert.config", f"dest_ip=* ssl_cert_name={ctx.cert} ssl_key_name={ctx.key}\n")

    def argv(self, ctx):
        return [find("traffic_server"), f"--run-root={ctx.path('runroot.yaml')}"]


SUBJECTS = [Ats]
