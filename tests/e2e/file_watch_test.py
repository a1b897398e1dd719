# SPDX-License-Identifier: Apache-2.0
"""Changes on disk are noticed however they are made: files and folders that come to be, links that are swapped, renames,
writes in quick succession, and what changes while nothing good can be read."""

import json
import os
import shutil
import signal
import unittest

from harness import Gateway, TestCase, sanitized, wait_for, write_atomically


def answering(text, uri="/*", name="answer"):
    return {"routes": [{"id": name, "uri": uri, "plugins": {"mocking": {"response_example": text, "content_type": "text/plain"}}}]}


class WatchCase(TestCase):
    def served(self, gw, text, target="/", limit_s=10):
        wait_for(lambda: gw.get(target).body == text.encode(), limit_s, f"{text!r} being served")

    def number(self, gw):
        return gw.status()["snapshot"]["number"]


@sanitized
class Appearing(WatchCase):
    def test_a_file_in_an_include_folder_that_did_not_exist(self):
        gw = self.serve({"include": ["conf.d/*.yaml"], **answering("main", "/main", "main")})
        self.assertEqual(gw.get("/new").status, 404)
        write_atomically(gw.path("conf.d/new.yaml"), json.dumps(answering("new", "/new")))
        self.served(gw, "new", "/new")
        write_atomically(gw.path("conf.d/new.yaml"), json.dumps(answering("newer", "/new")))
        self.served(gw, "newer", "/new")
        shutil.rmtree(gw.path("conf.d"))
        wait_for(lambda: gw.get("/new").status == 404, 10, "the route going with its folder")
        write_atomically(gw.path("conf.d/again.yaml"), json.dumps(answering("again", "/new")))
        self.served(gw, "again", "/new")

    def test_a_file_in_a_new_folder_below_a_pattern(self):
        gw = self.serve({"include": ["teams/*/gate.yaml"], **answering("main", "/main", "main")}, files={"teams/a/gate.yaml": answering("a", "/a", "a")})
        self.assertEqual(gw.get("/a").body, b"a")
        write_atomically(gw.path("teams/b/gate.yaml"), json.dumps(answering("b", "/b", "b")))
        self.served(gw, "b", "/b")
        write_atomically(gw.path("teams/b/gate.yaml"), json.dumps(answering("b2", "/b", "b")))
        self.served(gw, "b2", "/b")

    def test_an_included_file_that_did_not_exist(self):
        gw = self.serve(answering("main", "/main", "main"))
        gw.write_config({"include": ["later/part.yaml"], **answering("main", "/main", "main")})
        gw.wait_log("later/part.yaml")
        self.assertEqual(gw.get("/main").body, b"main")
        write_atomically(gw.path("later/part.yaml"), json.dumps(answering("part", "/part", "part")))
        self.served(gw, "part", "/part")

    def test_a_plugin_folder_that_did_not_exist(self):
        gw = self.serve(answering("main", "/main", "main"))
        overlay = gw.config_paths[-1]
        with open(overlay) as f:
            settings = json.load(f)
        settings["moongate"]["plugin_paths"] = [gw.path("others")]
        write_atomically(overlay, json.dumps(settings))
        gw.write_config({"routes": [{"id": "r", "uri": "/greet", "plugins": {"greet": {}}}]})
        gw.wait_log("others: no such folder")
        staged = gw.path("staged")
        write_atomically(os.path.join(staged, "greet.lua"), GREET.format("hello"))
        os.rename(staged, gw.path("others"))
        self.served(gw, "hello", "/greet")
        write_atomically(gw.path("others/greet.lua"), GREET.format("good day"))
        self.served(gw, "good day", "/greet")


GREET = """return {{ version = 0.1, priority = 1, name = "greet", schema = {{ type = "object", properties = {{}} }},
  access = function() return 200, "{}" end }}
"""


@sanitized
class Links(WatchCase):
    def test_swapping_the_data_link_of_a_mounted_config_map_reloads_once(self):
        """..data -> ..v1, moongate.yaml -> ..data/moongate.yaml; a new version is a new folder and one rename."""
        gw = Gateway(answering("v0"), start=False, workers=1)
        self.addCleanup(gw.close)
        mount = os.path.dirname(gw.config_path)

        def publish(version):
            write_atomically(os.path.join(mount, f"..v{version}", "moongate.yaml"), json.dumps(answering(f"v{version}")))
            os.symlink(f"..v{version}", os.path.join(mount, "..data_tmp"))
            os.rename(os.path.join(mount, "..data_tmp"), os.path.join(mount, "..data"))
            if version > 1:
                shutil.rmtree(os.path.join(mount, f"..v{version - 1}"))
        publish(1)
        os.unlink(gw.config_path)
        os.symlink("..data/moongate.yaml", gw.config_path)
        gw.start()
        self.assertEqual(gw.get("/").body, b"v1")
        first = self.number(gw)
        for version in (2, 3, 4):
            publish(version)
            self.served(gw, f"v{version}")
        self.assertEqual(self.number(gw), first + 3)

    def test_swapping_a_link_to_a_folder_on_the_way(self):
        gw = Gateway(answering("1"), start=False, workers=1)
        self.addCleanup(gw.close)
        for n in (1, 2):
            write_atomically(gw.path(f"releases/{n}/gate.yaml"), json.dumps(answering(f"release {n}")))
        os.symlink("releases/1", gw.path("current"))
        gw.config_paths[0] = gw.path("current/gate.yaml")
        gw.start()
        self.assertEqual(gw.get("/").body, b"release 1")
        os.symlink("releases/2", gw.path("next"))
        os.rename(gw.path("next"), gw.path("current"))
        self.served(gw, "release 2")
        write_atomically(gw.path("releases/2/gate.yaml"), json.dumps(answering("release 2, mended")))
        self.served(gw, "release 2, mended")

    def test_a_plugin_that_is_a_link_is_followed(self):
        gw = self.serve({"routes": [{"id": "r", "uri": "/*", "plugins": {"mocking": {"response_example": "none", "content_type": "text/plain"}}}]})
        write_atomically(gw.path("source/greet.lua"), GREET.format("one"))
        os.symlink(gw.path("source/greet.lua"), os.path.join(gw.plugin_dir, "greet.lua"))
        gw.apply({"routes": [{"id": "r", "uri": "/*", "plugins": {"greet": {}}}]})
        self.assertEqual(gw.get("/").body, b"one")
        write_atomically(gw.path("source/greet.lua"), GREET.format("two"))
        self.served(gw, "two")


@sanitized
class Edits(WatchCase):
    def test_each_rename_reloads_exactly_once(self):
        gw = self.serve(answering("0"), workers=1)
        first = self.number(gw)
        for i in range(1, 6):
            gw.write_config(answering(str(i)))
            self.served(gw, str(i))
        self.assertEqual(self.number(gw), first + 5)

    def test_an_editor_that_moves_the_old_file_away_first(self):
        gw = self.serve(answering("old"), workers=1)
        first = self.number(gw)
        os.rename(gw.config_path, gw.config_path + "~")
        with open(gw.config_path, "w") as f:
            f.write(json.dumps(answering("new")))
        self.served(gw, "new")
        self.assertEqual(self.number(gw), first + 1)

    def test_the_last_of_many_writes_is_served(self):
        gw = self.serve(answering("0"), workers=1)
        first = self.number(gw)
        for round_ in range(5):
            for i in range(60):
                with open(gw.config_path, "w") as f:
                    f.write(json.dumps(answering(f"{round_}.{i}")))
            self.served(gw, f"{round_}.59")
        self.assertGreater(self.number(gw), first)

    def test_writes_while_a_change_is_under_way_are_not_missed(self):
        gw = self.serve({"include": ["parts/*.yaml"], **answering("main", "/main", "main")}, workers=1)
        for i in range(20):  # each appears while the one before is being read
            write_atomically(gw.path(f"parts/{i}.yaml"), json.dumps(answering(str(i), f"/{i}", f"r{i}")))
            if i % 5 == 0:
                self.served(gw, str(i), f"/{i}")
        for i in range(20):
            self.served(gw, str(i), f"/{i}")


class AfterTrouble(WatchCase):
    def test_a_start_with_a_broken_part_recovers_when_the_part_is_mended(self):
        gw = self.serve({"include": ["part.yaml"], "routes": []}, files={"part.yaml": answering("good")}, workers=1)
        self.assertEqual(gw.get("/").body, b"good")
        gw.stop()
        write_atomically(gw.path("part.yaml"), "routes: [\n")
        gw.start()
        self.assertEqual(gw.get("/").body, b"good")
        write_atomically(gw.path("part.yaml"), json.dumps(answering("mended")))
        self.served(gw, "mended")

    def kill_control(self, gw):
        gw.is_crash_expected = True
        before = gw.status()["control_pid"]
        os.kill(before, signal.SIGKILL)

        def is_back():
            done = gw.run("status", "--json")
            return done.returncode == 0 and json.loads(done.stdout)["control_pid"] != before
        wait_for(is_back, 10, "another control process")

    def test_the_next_control_watches_the_parts_too(self):
        gw = self.serve({"include": ["part.yaml"], "routes": []}, files={"part.yaml": answering("one")}, workers=1)
        self.kill_control(gw)
        write_atomically(gw.path("part.yaml"), json.dumps(answering("two")))
        self.served(gw, "two")

    def test_a_rollback_outlives_control_until_the_files_really_change(self):
        gw = self.serve({"include": ["part.yaml"], "routes": []}, files={"part.yaml": answering("one")}, workers=1)
        write_atomically(gw.path("part.yaml"), json.dumps(answering("two")))
        self.served(gw, "two")
        self.assertEqual(gw.run("rollback").returncode, 0)
        self.kill_control(gw)
        self.assertEqual(gw.get("/").body, b"one")
        number = self.number(gw)
        write_atomically(gw.path("part.yaml"), json.dumps(answering("two")))  # as it was: not a change
        write_atomically(gw.path("other.yaml"), json.dumps(answering("three")))
        os.rename(gw.path("other.yaml"), gw.path("part.yaml"))
        self.served(gw, "three")
        self.assertEqual(self.number(gw), number + 1)


if __name__ == "__main__":
    unittest.main()
