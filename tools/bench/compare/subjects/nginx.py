# SPDX-License-Identifier: Apache-2.0
"""nginx and nginx with its Lua module, each one worker."""

import os
import re
import subprocess

from harness import Subject, find

MAIN = """
daemon off;
{process}
user root;
worker_processes 1;
error_log {dir}/error.log error;
pid {dir}/nginx.pid;
{modules}
events {{ worker_connections 19000; }}
http {{
    access_log off;
    server_tokens off;
    client_body_temp_path {dir}/t1;
    proxy_temp_path {dir}/t2;
    fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_buffer_size 64k;
    proxy_max_temp_file_size 0;
    upstream origin {{
        server {backend};
        keepalive 256;
        keepalive_requests 1000000000;
        keepalive_timeout 600s;
    }}
    proxy_http_version 1.1;
    proxy_set_header Host $host;
    proxy_set_header Connection "";
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    {http}
    server {{
        listen {host}:{port} backlog=4096;
        listen {host}:{tls_port} ssl http2 backlog=4096;
        http2_max_concurrent_streams 256;
        ssl_certificate {cert};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.3;
        {server}
    }}
}}
"""


class Nginx(Subject):
    name = "nginx"
    about = "nginx proxy_pass, upstream keepalive"
    features = frozenset({"http", "tls", "h2", "routes", "valgrind"})
    needs = ("nginx",)
    http = ""
    location = "proxy_pass http://origin;"

    def available(self):
        return super().available() and all(os.path.exists(m) for m in self.module_paths())

    def module_paths(self):
        return []

    def prepare(self, ctx):
        server = f"location / {{ {self.location} }}\n"
        for i in range(ctx.routes):
            server += f"        location /svc{i:05d}/ {{ {self.location} }}\n"
        ctx.write("nginx.conf", MAIN.format(
            dir=ctx.dir, host=ctx.host, port=ctx.port, tls_port=ctx.tls_port, cert=ctx.cert,
            key=ctx.key, backend=f"{ctx.backend_host}:{ctx.backend_port}", http=self.http,
            server=server, process="master_process off;" if ctx.valgrind else "",
            modules="".join(f"load_module {m};\n" for m in self.module_paths())))

    def argv(self, ctx):
        return [find("nginx"), "-p", ctx.dir, "-e", ctx.path("error.log"), "-c",
                ctx.path("nginx.conf")]


class NginxLimit(Nginx):
    name = "nginx-limit"
    about = "nginx with limit_req on the API key"
    features = frozenset({"http", "tls", "h2", "valgrind"})
    http = "limit_req_zone $http_apikey zone=k:10m rate=10000000r/s; limit_req_status 429;"
    location = "limit_req zone=k burst=100000 nodelay; proxy_pass http://origin;"


class NginxBigBuffers(Nginx):
    name = "nginx-bigbuf"
    about = "nginx with 64k proxy buffers instead of the default 4k, for W5"
    http = "proxy_buffer_size 16k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k;"


class NginxLua(Nginx):
    name = "nginx-lua"
    about = "nginx with an empty access_by_lua"
    features = frozenset({"http", "tls", "h2", "valgrind"})
    location = "access_by_lua_block { return } proxy_pass http://origin;"
    # where get-nginx-lua.sh unpacked the module; without it, the installed one
    root = os.environ.get("NGINX_LUA_ROOT", "")
    # beyond nginx's own directives: the default search path is the build's
    lua_path = ""

    def module_paths(self):
        where = subprocess.run([find("nginx") or "false", "-V"], text=True,
                               stderr=subprocess.PIPE, check=False).stderr
        m = re.search(r"--modules-path=(\S+)", where)
        base = self.root + (m.group(1) if m else "")
        return [os.path.join(base, m) for m in ("ndk_http_module.so", "ngx_http_lua_module.so")]

    def prepare(self, ctx):
        path = self.lua_path
        if self.root:
            for d, _, files in os.walk(self.root):
                if d.endswith("/resty") and "core.lua" in files:
                    path += os.path.dirname(d) + "/?.lua;"
        self.http = f'lua_package_path "{path};";\n    ' + type(self).http
        super().prepare(ctx)

    def env(self, ctx):
        for d, _, files in os.walk(self.root or os.devnull):
            if any(f.startswith("libluajit-5.1.so") for f in files):
                return {"LD_LIBRARY_PATH": d}
        return {}


class NginxLuaChain(NginxLua):
    name = "nginx-lua-chain"
    about = "nginx-lua: key-auth, limit-count, header rewrites, request-id as APISIX does them"
    location = """
        access_by_lua_block { require("chain").access() }
        header_filter_by_lua_block { require("chain").header_filter() }
        log_by_lua_block { require("chain").log() }
        proxy_pass http://origin;"""

    lua_path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "?.lua;")
    http = """lua_shared_dict limit_count 10m;
    init_by_lua_block { require("chain").init() }"""


SUBJECTS = [Nginx, NginxBigBuffers, NginxLimit, NginxLua, NginxLuaChain]
