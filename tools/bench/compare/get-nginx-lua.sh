#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Unpacks Debian's nginx Lua module, its LuaJIT and its Lua libraries into DIR
# without installing them: the module's LuaJIT package conflicts with
# libluajit-5.1-dev, which a build of the gateway is likely to have installed.
# Afterwards:  NGINX_LUA_ROOT=DIR bench.py ...
set -eu
[ $# = 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download libnginx-mod-http-lua libnginx-mod-http-ndk libluajit2-5.1-2 \
  lua-resty-core lua-resty-lrucache
for deb in ./*.deb; do
  dpkg-deb -x "$deb" "$dir"
done
echo "NGINX_LUA_ROOT=$dir"
