# SPDX-License-Identifier: Apache-2.0
"""limit-count in Redis: real servers, killed, stopped, behind TLS and in a cluster. The limit is exact, and no request waits
longer than redis_timeout for any of it."""

import base64
import hashlib
import hmac
import json
import re
import socket
import threading
import time

from certificates import authority, certificate
from harness import HOST, ROOT, Load, TestCase, elapsed, hold_fixed_ports, ok, request, request_bytes, route, sanitized, wait_for
from redis_server import RedisCluster, RedisServer
from wire import can_bind, free_port

COUNT, WINDOW_S, TIMEOUT_MS = 40, 600, 10_000
SLACK_S = 15.0      # on top of redis_timeout, for a busy machine
LONG_MS = 2000      # a redis_timeout that many of would be more than the slack


def conf(redis=None, **more):
    server = {"redis_host": redis.host, "redis_port": redis.port} if redis else {}
    return {"count": COUNT, "time_window": WINDOW_S, "key": "http_x_key", "rejected_code": 429, "policy": "redis",
            "redis_timeout": TIMEOUT_MS, **server, **more}


def admitted(ports, requests, clients=8, headers=None):
    """How many of that many requests, sent at once to the gateways in turn, are let in; every other must be 429."""
    counts, lock = {}, threading.Lock()

    def ask(port, n):
        for _ in range(n):
            status = request(port, "GET", "/", {"Connection": "close", **(headers or {})}).status
            with lock:
                counts[status] = counts.get(status, 0) + 1
    threads = [threading.Thread(target=ask, args=(ports[i % len(ports)], requests // clients)) for i in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert set(counts) <= {200, 429}, counts
    return counts.get(200, 0)


class RedisCase(TestCase):
    def redis(self, *arguments, **more):
        server = RedisServer(*arguments, **more)
        self.addCleanup(server.close)
        return server

    def gateway(self, *confs, **more):
        """A gateway with the first conf for /, the others for /1, /2, ..."""
        up = self.upstream(ok("in"), keep_log=False)
        routes = [{"id": f"limited{i}", **route(f"/{i}" if i else "/", up, plugins={"limit-count": c})} for i, c in enumerate(confs)]
        return self.serve({"routes": routes}, **more)


@sanitized
class OneServer(RedisCase):
    def test_two_gateways_share_one_limit_exactly_and_ask_once_for_each_request(self):
        redis = self.redis()
        for window_type in ("fixed", "sliding"):
            gateways = [self.gateway(conf(redis, window_type=window_type)) for _ in range(2)]
            before = redis.scripts_run()
            ports = [gw.port for gw in gateways]
            self.assertEqual(admitted(ports, 4 * COUNT), COUNT, window_type)
            # Those who came before the server had the script sent it again, whole.
            repeated = redis.scripts_run() - before - 4 * COUNT
            self.assertTrue(1 <= repeated <= 8, repeated)
            before = redis.scripts_run()
            self.assertEqual(admitted(ports, COUNT), 0, window_type)
            self.assertEqual(admitted(ports, COUNT, headers={"X-Key": "other"}), COUNT, window_type)
            self.assertEqual(redis.scripts_run() - before, 2 * COUNT)
            self.assertEqual(sum(self.decisions(gw, "admitted") for gw in gateways), 2 * COUNT)
            self.assertEqual(sum(self.decisions(gw, "refused") for gw in gateways), 4 * COUNT)

    @staticmethod
    def decisions(gw, result):
        found = re.search(rf'moongate_limiter_decisions_total{{limiter="redis",result="{result}"}} (\d+)', gw.metrics().body.decode())
        return int(found.group(1)) if found else 0

    def test_tells_the_quota_and_opens_again_when_the_window_is_over(self):
        redis = self.redis()
        gw = self.gateway(conf(redis, count=2, time_window=1), conf(redis, count=1, time_window=30, rejected_msg="later"))
        first = gw.get("/")
        self.assertEqual((first.status, first.get("X-RateLimit-Limit"), first.get("X-RateLimit-Remaining")), (200, "2", "1"))
        self.assertTrue(0 < float(first.get("X-RateLimit-Reset")) <= 1)
        wait_for(lambda: gw.get("/").status == 429, 10, "the window being full")
        wait_for(lambda: gw.get("/").status == 200, 10, "the next window")
        gw.get("/1")
        refused = gw.get("/1")
        self.assertEqual((refused.status, refused.json(), refused.get("X-RateLimit-Remaining")), (429, {"error_msg": "later"}, "0"))
        self.assertTrue(25 < float(refused.get("X-RateLimit-Reset")) <= 30)

    def test_a_server_that_lost_its_scripts_is_sent_them_again(self):
        redis = self.redis()
        gw = self.gateway(conf(redis))
        self.assertEqual(gw.get("/").status, 200)
        redis.command("SCRIPT", "FLUSH")
        self.assertEqual([gw.get("/").status for _ in range(4)], [200] * 4)

    def test_user_password_and_database(self):
        redis = self.redis(password="main")
        redis.command("ACL", "SETUSER", "limiter", "on", ">its own", "~*", "+eval", "+evalsha", "+select", "+pttl", "+set", "+get", "+incr")
        gw = self.gateway(conf(redis, redis_password="main", redis_database=3),
                          conf(redis, redis_username="limiter", redis_password="its own"),
                          conf(redis, redis_password="wrong secret"), conf(redis),
                          conf(redis, redis_password="wrong secret", allow_degradation=True))
        self.assertEqual([gw.get("/").status, gw.get("/1").status], [200, 200])
        self.assertIn("db3:keys=1", redis.command("INFO", "keyspace"))
        for path in ("/2", "/3"):
            refused = gw.get(path)
            self.assertEqual((refused.status, refused.json()), (500, {"error_msg": "failed to limit count"}))
        self.assertEqual(gw.get("/4").status, 200)
        self.assertEqual([self.decisions(gw, result) for result in ("admitted", "refused", "unavailable")], [2, 0, 3])
        gw.wait_log("WRONGPASS")
        gw.wait_log("NOAUTH")
        self.assertNotIn("wrong secret", gw.log_text())

    def test_killed_and_back_under_load_stalls_no_request(self):
        redis = self.redis()
        gw = self.gateway(conf(redis, count=10 ** 9, redis_timeout=LONG_MS), conf(redis, count=10 ** 9, redis_timeout=LONG_MS, allow_degradation=True))
        verdicts = [request_bytes("GET", path, {}) for path in ("/", "/1")]
        loads = [Load(gw.port, lambda _n, data=data: (data, lambda *_: None), connections=4, pace_s=0.01).start() for data in verdicts]
        wait_for(lambda: all(load.statuses[200] > 50 for load in loads), 20, "the load")
        redis.kill()
        wait_for(lambda: loads[0].statuses[500] > 20, 20, "refusals")
        self.assertEqual(self.paths(gw), [500, 200])
        redis.restart()
        wait_for(lambda: self.paths(gw) == [200, 200], 20, "the limit being back")
        for load in loads:
            load.stop()
            self.assertEqual(load.failures(), 0, load.summary())
            self.assertLess(max(load.latencies), LONG_MS / 1000 + SLACK_S)
        self.assertEqual(set(loads[1].statuses), {200})
        self.assertEqual(set(loads[0].statuses), {200, 500})

    @staticmethod
    def paths(gw):
        return [gw.get("/").status, gw.get("/1").status]

    def test_a_server_that_hangs_costs_one_timeout_and_then_nothing(self):
        redis = self.redis()
        gw = self.gateway(conf(redis, redis_timeout=LONG_MS), workers=1)
        self.assertEqual(gw.get("/").status, 200)
        redis.pause()
        self.addCleanup(redis.go_on)
        took, answer = elapsed(lambda: gw.get("/"))
        self.assertEqual(answer.status, 500)
        self.assertTrue(LONG_MS / 1000 - 0.05 <= took <= LONG_MS / 1000 + SLACK_S, took)
        self.assertLess(sum(elapsed(lambda: gw.get("/"))[0] for _ in range(10)), SLACK_S)
        redis.go_on()
        wait_for(lambda: gw.get("/").status == 200, 20, "the server being asked again")

    def test_a_server_that_takes_no_connections_costs_one_timeout(self):
        with socket.socket() as hole:
            hole.bind((HOST, 0))
            hole.listen(0)
            port, held = hole.getsockname()[1], []
            for _ in range(4):    # the kernel's queue is full: from now on nobody is answered
                s = socket.socket()
                s.setblocking(False)
                s.connect_ex((HOST, port))
                held.append(s)
            gw = self.gateway(conf(redis_host=HOST, redis_port=port, redis_timeout=LONG_MS), workers=1)
            took, answer = elapsed(lambda: gw.get("/"))
            self.assertEqual(answer.status, 500)
            self.assertLessEqual(took, LONG_MS / 1000 + SLACK_S)
            self.assertLess(sum(elapsed(lambda: gw.get("/"))[0] for _ in range(10)), SLACK_S)
            for s in held:
                s.close()

    def test_what_is_no_redis_is_a_failure_that_says_so(self):
        other = self.upstream(ok("hello"))
        gw = self.gateway(conf(redis_host=HOST, redis_port=other.port, redis_timeout=LONG_MS))
        self.assertEqual(gw.get("/").status, 500)
        gw.wait_log(f"redis {HOST}:{other.port}: ")

    def test_a_name_is_resolved_by_the_gateway_and_a_wrong_one_is_a_failure(self):
        redis = self.redis()
        gw = self.gateway(conf(redis, redis_host="counters.test"), conf(redis, redis_host="nobody.invalid"),
                          moongate={"dns": {"hosts": {"counters.test": HOST}}})
        self.assertEqual(gw.get("/").status, 200)
        self.assertEqual(gw.get("/1").status, 500)


@sanitized
class OverTls(RedisCase):
    def test_asks_over_tls_and_verifies_when_told_to(self):
        redis = self.redis(tls=certificate("counters.test"))
        tls = {"redis_host": "counters.test", "redis_ssl": True}
        gw = self.gateway(conf(redis, **tls, redis_ssl_verify=True), conf(redis, **{**tls, "redis_host": HOST}, redis_ssl_verify=True),
                          conf(redis, **{**tls, "redis_host": HOST}), conf(redis),
                          files={"ca.pem": authority().cert},
                          moongate={"dns": {"hosts": {"counters.test": HOST}}, "upstream": {"tls_trusted_certificate": "ca.pem"}})
        self.assertEqual(gw.get("/").status, 200)
        self.assertEqual(gw.get("/1").status, 500, "a certificate for another name")
        self.assertEqual(gw.get("/2").status, 200, "not verified")
        self.assertEqual(gw.get("/3").status, 500, "in clear")

    def test_an_authority_nobody_trusts_is_refused(self):
        redis = self.redis(tls=certificate("counters.test", issuer="stranger"))
        gw = self.gateway(conf(redis, redis_host="counters.test", redis_ssl=True, redis_ssl_verify=True),
                          files={"ca.pem": authority().cert},
                          moongate={"dns": {"hosts": {"counters.test": HOST}}, "upstream": {"tls_trusted_certificate": "ca.pem"}})
        self.assertEqual(gw.get("/").status, 500)
        gw.wait_log("the TLS handshake failed")


class Cluster(RedisCase):
    KEYS = [f"user{i}" for i in range(60)]

    def setUp(self):
        self.cluster = RedisCluster()
        self.addCleanup(self.cluster.close)

    def cluster_conf(self, **more):
        return conf(**{"policy": "redis-cluster", "redis_cluster_nodes": self.cluster.nodes, "redis_cluster_name": "test", **more})

    def statuses(self, gw):
        return {gw.get("/", {"X-Key": key}).status for key in self.KEYS}

    def slot_in_use(self):
        """A slot with a counter, and a server that does not have it."""
        key = self.cluster.servers[0].command("KEYS", "*").splitlines()[0]
        slot = int(self.cluster.servers[0].command("CLUSTER", "KEYSLOT", key))
        owner = self.cluster.owner(slot)
        return key, slot, next(s for s in self.cluster.servers if s is not owner)

    def test_counts_in_all_servers_and_two_gateways_share_the_limit(self):
        gateways = [self.gateway(self.cluster_conf(count=2)) for _ in range(2)]
        self.assertEqual([self.statuses(gw) for gw in (*gateways, *gateways)], [{200}, {200}, {429}, {429}])
        sizes = [int(s.command("DBSIZE")) for s in self.cluster.servers]
        self.assertEqual(sum(sizes), len(self.KEYS))
        self.assertTrue(all(sizes), sizes)

    def test_follows_a_slot_that_moves_without_losing_what_was_counted(self):
        gw = self.gateway(self.cluster_conf(count=3))
        self.assertEqual(self.statuses(gw), {200})
        key, slot, target = self.slot_in_use()
        self.cluster.begin_move(slot, target)
        self.assertEqual(self.statuses(gw), {200})     # counters that are still at the old place
        source = self.cluster.owner(slot)
        source.command("MIGRATE", target.host, target.port, key, 0, 5000)
        self.assertEqual(self.statuses(gw), {200})     # one that has gone ahead: ASK
        self.cluster.end_move(slot, target)
        self.assertEqual(self.statuses(gw), {429})     # MOVED
        self.assertIn(key, target.command("KEYS", "*").splitlines())

    def test_a_server_that_is_gone_costs_its_own_keys_only(self):
        gw = self.gateway(self.cluster_conf(count=10 ** 6, redis_timeout=LONG_MS), workers=1)
        self.statuses(gw)
        self.cluster.servers[1].command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        self.cluster.servers[2].command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        self.cluster.servers[0].kill()
        took, statuses = elapsed(lambda: self.statuses(gw))
        self.assertEqual(statuses, {200, 500})
        self.assertLess(took, LONG_MS / 1000 + len(self.KEYS) * 0.05 + SLACK_S)

    def test_begins_with_whichever_server_it_is_given_that_works(self):
        dead = f"{HOST}:{free_port()}"
        up = self.cluster_conf(redis_cluster_nodes=[dead, self.cluster.nodes[1]])
        self.assertEqual(self.statuses(self.gateway(up)), {200})


@sanitized
class AdminPut(RedisCase):
    """tests/acceptance/admin-put.json, unchanged: a PUT to a gateway that has nothing yet."""

    SECRET = "a-secret-of-the-test-that-is-long-enough"

    def address(self, *ports):
        for n in range(2, 250):
            address = f"127.81.{n}.7"
            if all(can_bind(port, address) for port in ports):
                return address
        raise AssertionError("no loopback address has these ports free")

    def token(self):
        def encode(data):
            return base64.urlsafe_b64encode(data).rstrip(b"=")
        signed = encode(b'{"alg":"HS256","typ":"JWT"}') + b"." + encode(json.dumps({"key": "app", "exp": int(time.time()) + 600}).encode())
        return (signed + b"." + encode(hmac.new(self.SECRET.encode(), signed, hashlib.sha256).digest())).decode()

    def test_is_made_and_limits_each_consumer_in_redis(self):
        hold_fixed_ports(self)
        address = self.address(6379, 8080)
        redis = self.redis(host=address, port=6379)
        up = self.upstream(ok("product"), host=address, port=8080)
        gw = self.serve({}, moongate={"dns": {"hosts": {"redis.default.svc": address, "product-service.default.svc": address}}})
        with open(f"{ROOT}/tests/acceptance/admin-put.json", "rb") as f:
            made = request(gw.admin_port, "PUT", "/apisix/admin/routes/1", {"X-API-KEY": gw.admin_key()}, f.read())
        self.assertEqual(made.status, 201, made.body)
        self.assertIn(gw.admin("PUT", "/consumers", {"username": "app", "plugins": {"jwt-auth": {"key": "app", "secret": self.SECRET}}}).status, (200, 201))
        bearer = {"Authorization": "Bearer " + self.token()}
        wait_for(lambda: gw.get("/api/v1/products/1", bearer).status == 200, 10, "the route")
        self.assertEqual(gw.get("/api/v1/products/1").status, 401)
        answers = [gw.get("/api/v1/products/1", bearer) for _ in range(205)]
        refused = [a for a in answers if a.status == 429]
        self.assertTrue(up.request_count == 200 and refused, up.request_count)
        self.assertEqual(refused[0].json(), {"error_msg": "Rate limit exceeded. Please retry later."})
        self.assertEqual(redis.command("DBSIZE"), "1")
        redis.kill()
        self.assertEqual(gw.get("/api/v1/products/1", bearer).status, 500)
