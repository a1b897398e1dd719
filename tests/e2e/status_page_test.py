#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The status page: its files, the endpoints that it asks, and the page itself in a browser."""

import json
import os
import unittest

from admin import AdminCase, mocking
from browser import start_browser
from harness import ROOT, read_text, request, sanitized

try:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError:
    By = Keys = None    # the tests that need them are skipped

ANNA, VICTOR = "anna-has-a-key-of-length", "victor-has-a-key-of-length"
ADMIN = {"admin_key": [{"name": "anna", "key": ANNA, "role": "admin"}, {"name": "victor", "key": VICTOR, "role": "viewer"}]}
HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">"
FILES = {"/": "ui.html", "/ui": "ui.html", "/ui.css": "ui.css", "/ui.js": "ui.js"}
TIMERS = """const pendingTimers = new Set(), start = window.setTimeout, stop = window.clearTimeout;
window.setTimeout = (act, ms) => { const id = start(() => { pendingTimers.delete(id); act(); }, ms); pendingTimers.add(id); return id; };
window.clearTimeout = (id) => { pendingTimers.delete(id); stop(id); };"""


class StatusCase(AdminCase):
    def setUp(self):
        self.gw = self.serve(self.config, overlays=[{"moongate": {"admin": ADMIN}}], workers=1)
        self.gw.admin_key = lambda: ANNA
        self.gw.reload()  # the look at the files that follows a start is over then

    def ask(self, path, key=ANNA, method="GET", body=None):
        data = None if body is None else json.dumps(body).encode()
        return request(self.gw.admin_port, method, "/moongate/admin" + path, {"X-API-KEY": key} if key else {}, data)

    def page(self, path, method="GET", headers=None):
        return request(self.gw.admin_port, method, path, headers or {})

    def kept(self):
        """The snapshots when the one that serves is among them: what the API has made is kept a moment later."""
        def there():
            answer = self.ask("/snapshots").json()
            return answer if answer["current"] in [s["number"] for s in answer["snapshots"]] else None
        return self.wait(there, "the served snapshot on disk")

    def make_two_snapshots(self):
        """The numbers of one where /a says `one` and of the next, where it says `two`."""
        self.put("/routes/a", mocking("/a", "one"))
        first = self.kept()["current"]
        self.put("/routes/a", mocking("/a", "two"))
        return first, self.kept()["current"]


@sanitized
class Files(StatusCase):
    def test_the_page_is_served_without_a_key_and_holds_what_is_in_the_sources(self):
        for path, name in FILES.items():
            answer = self.page(path)
            self.assertEqual(answer.status, 200, path)
            self.assertEqual(answer.body.decode(), read_text(os.path.join(ROOT, "runtime/control/page", name)))
        self.assertEqual(self.page("/ui.js").get("Content-Type"), "text/javascript; charset=utf-8")
        self.assertEqual(self.page("/ui.css").get("Content-Type"), "text/css; charset=utf-8")
        self.assertEqual(self.page("/ui/nothing").status, 404)

    def test_every_file_forbids_foreign_scripts_and_frames(self):
        for path in FILES:
            answer = self.page(path)
            policy = answer.get("Content-Security-Policy")
            self.assertTrue(policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'"), policy)
            for word in ("unsafe", "http:", "https:", "*"):
                self.assertNotIn(word, policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertEqual((answer.get("X-Frame-Options"), answer.get("X-Content-Type-Options"), answer.get("Referrer-Policy")),
                             ("DENY", "nosniff", "no-referrer"))
            self.assertIsNone(answer.get("Access-Control-Allow-Origin"))

    def test_a_kept_file_is_asked_for_again_and_not_sent_again(self):
        first = self.page("/ui.js")
        self.assertEqual(first.get("Cache-Control"), "no-cache")
        again = self.page("/ui.js", headers={"If-None-Match": first.get("ETag")})
        self.assertEqual((again.status, again.body), (304, b""))
        self.assertEqual(self.page("/ui.js", headers={"If-None-Match": '"old"'}).status, 200)

    def test_the_page_is_only_read_and_only_under_its_own_name(self):
        answer = self.page("/", "POST")
        self.assertEqual((answer.status, answer.get("Allow")), (405, "GET, HEAD"))
        self.assertEqual(self.page("/", headers={"Host": "evil.example"}).status, 403)
        self.assertEqual(self.page("/", headers={"Origin": "http://evil.example"}).status, 403)


@sanitized
class Endpoints(StatusCase):
    def test_nothing_is_told_without_a_key(self):
        for path in ("/status", "/metrics", "/snapshots", "/snapshots/1/diff", "/nothing"):
            self.assertEqual(self.ask(path, key=None).status, 401, path)
            self.assertEqual(self.ask(path, key="wrong").json()["description"], "wrong apikey")
        self.assertEqual(self.ask("/rollback", key=None, method="POST", body={"number": 1}).status, 401)

    def test_status_is_what_the_command_says_and_who_asks(self):
        answer = self.ask("/status", key=VICTOR)
        self.assertEqual((answer.get("Cache-Control"), answer.get("Access-Control-Allow-Origin")), ("no-store", None))
        told, commands = answer.json(), self.gw.status()
        self.assertEqual(told.pop("caller"), {"name": "victor", "role": "viewer"})
        self.assertEqual(set(told), set(commands))
        self.assertEqual(told["snapshot"], commands["snapshot"])

    def test_metrics_count_by_route_code_and_time(self):
        self.put("/routes/a", mocking("/a", "one"))
        for _ in range(5):
            self.assertEqual(self.gw.get("/a").status, 200)
        self.assertEqual(self.gw.get("/nothing").status, 404)
        told = self.wait(lambda: (lambda m: m if {"a", ""} <= {r["id"] for r in m["routes"]} else None)(self.ask("/metrics").json()), "both in the metrics")
        routes = {r["id"]: r for r in told["routes"]}
        self.assertEqual((routes["a"]["codes"], routes[""]["codes"]), ({"200": 5}, {"404": 1}))
        self.assertEqual((sum(routes["a"]["buckets"]), len(routes["a"]["buckets"])), (5, len(told["bounds_s"]) + 1))

    def test_a_comparison_names_the_field_and_masks_secrets(self):
        first, second = self.make_two_snapshots()
        told = self.ask(f"/snapshots/{second}/diff", key=VICTOR).json()
        self.assertEqual((told["number"], told["before"]), (second, first))
        change = told["changes"][0]
        self.assertEqual((change["change"], change["name"], told["change_count"]), ("changed", "routes/a", 1))
        field = {f["field"]: f for f in change["fields"]}["plugins.mocking.response_example"]
        self.assertEqual((field["before"], field["after"]), ('"one"', '"two"'))
        for secret in ("a-secret-of-jack", "another-of-jack"):
            self.put("/consumers", {"username": "jack", "plugins": {"key-auth": {"key": secret}}})
            number = self.kept()["current"]
        answer = self.ask(f"/snapshots/{number}/diff", key=VICTOR)
        self.assertEqual(answer.json()["changes"][0]["fields"][0], {"field": "plugins.key-auth.key", "before": '"***"', "after": '"***"'})
        self.assertNotIn(b"jack-", answer.body)
        self.assertNotIn(b"-of-jack", answer.body)

    def test_keys_of_the_admin_api_are_not_in_a_comparison(self):
        self.gw.add_config("overlay0.yaml", {"moongate": {"admin": {"admin_key": [*ADMIN["admin_key"], {"name": "new", "key": "new-has-a-key-of-length", "role": "admin"}]}}})
        self.assertEqual(self.gw.reload().returncode, 0)
        answer = self.ask(f"/snapshots/{self.kept()['current']}/diff", key=VICTOR)
        self.assertEqual(answer.json()["changes"][0]["fields"][0]["after"], '"***"')
        self.assertNotIn(b"of-length", answer.body)

    def test_a_comparison_that_cannot_be_made_says_why(self):
        oldest = self.kept()["snapshots"][0]["number"]
        for number, status, text in ((oldest, 404, "the oldest"), (999, 404, "not kept"), ("x", 400, "not the number"), (0, 400, "not the number"),
                                     ("1.5", 400, "not the number"), ("-1", 400, "not the number"), ("1e300", 400, "not the number")):
            self.assert_refused(self.ask(f"/snapshots/{number}/diff"), status, text)
        self.assert_refused(self.ask("/nothing"), 404, "there are status")
        self.assert_refused(self.ask("/status", method="POST"), 405, "use GET")

    def test_an_admin_rolls_back_and_is_named(self):
        first, second = self.make_two_snapshots()
        answer = self.ask("/rollback", method="POST", body={"number": first})
        self.assertEqual((answer.status, answer.json()["changed"]), (200, True))
        self.assertEqual(self.gw.get("/a").body, b"one")
        self.assertGreater(answer.json()["snapshot"], second)
        self.assertEqual(self.ask("/status").json()["snapshot"]["reason"], f"rollback by anna to {first}")

    def test_a_viewer_and_a_foreign_page_do_not_roll_back(self):
        first, _ = self.make_two_snapshots()
        answer = self.ask("/rollback", key=VICTOR, method="POST", body={"number": first})
        self.assertEqual((answer.status, answer.json()["description"]), (401, "invalid method for role viewer"))
        body = json.dumps({"number": first}).encode()
        for headers in ({"Origin": "http://evil.example", "X-API-KEY": ANNA}, {"Origin": "null", "Cookie": "x_api_key=" + ANNA}):
            self.assertEqual(request(self.gw.admin_port, "POST", "/moongate/admin/rollback", headers, body).status, 403)
        self.assertEqual(self.gw.get("/a").body, b"two")

    def test_a_rollback_names_its_snapshot(self):
        _, second = self.make_two_snapshots()
        for body in ({}, {"number": 0}, {"number": "1"}, {"number": -1}, {"number": 1.5}, [], 1):
            self.assert_refused(self.ask("/rollback", method="POST", body=body), 400, "say which snapshot")
        self.assertEqual(self.ask("/rollback", method="POST", body={"number": 999}).status, 400)
        self.assertEqual(self.ask("/rollback").status, 405)
        self.assertEqual(self.kept()["current"], second)


class Page(StatusCase):
    limit_s = 180

    def setUp(self):
        super().setUp()
        self.browser = start_browser(self, "--window-size=1200,1400")

    def open(self, key=ANNA):
        self.browser.get(f"http://127.0.0.1:{self.gw.admin_port}/")
        self.type(key, Keys.ENTER)

    def type(self, *keys):
        """Into what has the focus."""
        self.browser.switch_to.active_element.send_keys(*keys)

    def text(self, id):
        return self.browser.find_element(By.ID, id).text

    def wait_text(self, id, text):
        return self.wait(lambda: text in self.text(id), f"{text!r} in #{id}, where there is {self.text(id)!r}")

    def tab_to(self, label):
        """Presses Tab until what has the focus bears this name."""
        for _ in range(60):
            focused = self.browser.switch_to.active_element
            if focused.accessible_name == label:
                return focused
            focused.send_keys(Keys.TAB)
        self.fail(f"no way to {label!r} by Tab")

    def complaints(self):
        return [entry["message"] for entry in self.browser.get_log("browser")]

    def test_it_shows_routes_workers_snapshots_and_plugins_and_follows_them(self):
        self.put("/routes/a", mocking("/a", "one"))
        self.assertEqual(self.gw.get("/a").status, 200)
        self.open()
        self.wait_text("routes", "/a")
        self.wait_text("workers", "serving")
        self.wait_text("snapshots", "serves")
        self.wait_text("overview", "1 of 1")
        self.wait_text("state", "Live")
        self.put("/routes/b", {**mocking("/b", "two"), "name": "second"})
        self.wait_text("routes", "second")
        row = next(r for r in self.browser.find_elements(By.CSS_SELECTOR, "#routes tr") if r.text.startswith("a"))
        self.assertTrue(row.text.endswith(" 1"), row.text)
        self.assertEqual(self.complaints(), [])

    def test_a_wrong_key_is_said_and_not_kept(self):
        self.open("wrong-key")
        self.wait_text("login-error", "not known")
        self.assertEqual(self.browser.execute_script("return sessionStorage.length + localStorage.length + document.cookie.length"), 0)
        self.type("no ascii: \u00e9", Keys.ENTER)
        self.wait_text("login-error", "cannot be a key")
        self.type(ANNA, Keys.ENTER)
        self.wait_text("workers", "serving")

    def test_a_rollback_needs_no_mouse_and_a_confirmation(self):
        first, second = self.make_two_snapshots()
        self.open()
        self.wait_text("snapshots", f"{second} ")
        self.tab_to(f"Changes of snapshot {second}").send_keys(Keys.ENTER)
        self.wait_text(f"changes-{second}", 'plugins.mocking.response_example: "one" \u2192 "two"')
        self.tab_to(f"Roll back to snapshot {first}").send_keys(Keys.ENTER)
        self.assertEqual(self.browser.switch_to.active_element.accessible_name, "Cancel")
        self.type(Keys.ESCAPE)
        self.assertFalse(self.browser.find_element(By.ID, "confirm").is_displayed())
        self.assertEqual(self.gw.get("/a").body, b"two")
        self.assertEqual(self.browser.switch_to.active_element.accessible_name, f"Roll back to snapshot {first}")
        self.type(Keys.ENTER)
        self.tab_to("Roll back").send_keys(Keys.ENTER)
        self.wait(lambda: self.gw.get("/a").body == b"one", "the rollback")
        self.wait_text("snapshots", f"rollback by anna to {first}")

    def test_what_was_refused_and_what_is_in_quarantine_is_told_with_its_reason(self):
        self.put("/upstreams/u", {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}})
        self.put("/routes/orphan", {"uri": "/orphan", "upstream_id": "u"})
        self.open()
        self.wait_text("state", "Live")
        self.assertFalse(self.browser.find_element(By.ID, "troubles").is_displayed())
        self.assertEqual(self.admin("DELETE", "/upstreams/u?force=true").status, 200)
        self.wait_text("troubles", "routes/orphan")
        self.gw.write_config({"routes": [{"uri": "/x", "plugins": {"no-such-plugin": {}}}]})
        self.wait_text("troubles", "no-such-plugin")

    def test_a_node_that_fails_its_checks_is_told_with_the_reason(self):
        checks = {"active": {"type": "tcp", "unhealthy": {"interval": 1, "tcp_failures": 1}}}
        self.put("/upstreams/u", {"type": "roundrobin", "nodes": {"127.0.0.1:1": 1}, "checks": checks})
        self.open()
        self.wait_text("nodes", "Connection refused")
        self.wait_text("health-note", "1 checked, 1 left alone")
        self.assertEqual(self.admin("DELETE", "/upstreams/u").status, 200)
        self.wait(lambda: not self.browser.find_element(By.ID, "health").is_displayed(), "nothing that is checked")

    def test_a_viewer_sees_all_and_cannot_press_roll_back(self):
        self.make_two_snapshots()
        self.open(VICTOR)
        self.wait_text("rollback-note", "victor's, a viewer")
        buttons = [b for b in self.browser.find_elements(By.CSS_SELECTOR, "#snapshots button") if b.text == "Roll back"]
        self.assertTrue(buttons)
        self.assertFalse(any(b.is_enabled() for b in buttons))

    def test_names_that_are_markup_stay_text(self):
        self.put("/routes/evil", {**mocking("/evil", "x"), "name": HOSTILE[:100], "desc": HOSTILE})
        number = self.kept()["current"]
        self.put("/routes/evil", {**mocking("/evil", "x"), "name": "<b>" + HOSTILE[:90], "desc": HOSTILE + HOSTILE})
        number = self.kept()["current"]
        self.assertEqual(self.gw.get("/evil").status, 200)
        self.open()
        self.wait_text("routes", "<b>" + HOSTILE[:90])
        self.tab_to(f"Changes of snapshot {number}").send_keys(Keys.ENTER)
        self.wait_text(f"changes-{number}", "<img src=x")
        self.assertEqual(self.browser.find_elements(By.CSS_SELECTOR, "img, #routes b"), [])
        self.assertEqual(self.browser.title, "Moongate")
        self.assertEqual(self.complaints(), [])

    def test_a_narrow_screen_scrolls_only_up_and_down(self):
        self.put("/routes/" + "long" * 12, {**mocking("/" + "path" * 40, "x"), "name": "name" * 20})
        self.open()
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": 320, "height": 640, "deviceScaleFactor": 1, "mobile": True})
        self.wait_text("routes", "namename")
        for button in self.browser.find_elements(By.CSS_SELECTOR, "#snapshots button[aria-expanded]"):
            if button.is_displayed():
                self.browser.execute_script("arguments[0].click()", button)
        self.wait(lambda: not [c for c in self.browser.find_elements(By.CLASS_NAME, "changes") if "Comparing" in c.text], "comparisons")
        self.assertEqual(self.browser.execute_script("return [window.innerWidth, document.documentElement.scrollWidth]"), [320, 320])

    def test_it_says_when_the_gateway_does_not_answer_and_goes_on_when_it_does(self):
        self.open()
        self.wait_text("state", "Live")
        self.gw.stop()
        self.wait_text("state", "does not answer")
        self.wait_text("workers", "serving")  # as it was
        self.gw.start()
        self.wait_text("state", "Live")

    def test_it_plans_no_refresh_while_it_is_paused(self):
        self.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": TIMERS})
        pending = lambda: self.browser.execute_script("return pendingTimers.size")
        self.open()
        self.wait_text("state", "Live")
        self.tab_to("Pause")
        self.wait(lambda: pending() == 1, "a planned refresh")
        self.type(Keys.ENTER)
        self.assertEqual((self.text("state"), pending()), ("Paused", 0))
        self.put("/routes/later", mocking("/later", "x"))
        self.type(Keys.ENTER)
        self.wait_text("routes", "later")


if __name__ == "__main__":
    unittest.main()
