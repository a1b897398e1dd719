# SPDX-License-Identifier: Apache-2.0
"""The house rules' checker finds what it is for: each fault here, planted in a small tree, is reported with its line."""

import os
import subprocess
import tempfile
import unittest

from harness import ROOT, TestCase, moongate, moongate_bin

SPDX = "// SPDX-License-Identifier: Apache-2.0\n"


class Layers(TestCase):
    def check(self, files):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = os.path.join(folder, name)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w") as f:
                    f.write(text)
            done = subprocess.run(["luajit", os.path.join(ROOT, "tools", "check_layers.lua"), folder], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        return done.returncode, done.stdout

    def faults(self, name, text, *expected):
        status, said = self.check({name: text})
        self.assertEqual(status, 1, said)
        for e in expected:
            self.assertIn(e, said)
        self.assertEqual(len(said.strip().split("\n")), 1, said)

    def test_accepts_a_tree_in_order(self):
        good = SPDX + '#include "base/log.h"\n#include "net/timer.h"\n#include <event2/event.h>\nint f() {\n  return 1;\n}\n'
        lua = "-- SPDX-License-Identifier: Apache-2.0\nlocal x = function() return 1 end\nreturn x\n"
        self.assertEqual(self.check({"runtime/net/a.cpp": good, "lua/lib/moongate/x.lua": lua}), (0, ""))

    def test_finds_an_include_of_a_later_folder(self):
        self.faults("runtime/net/a.cpp", SPDX + '#include "http/uri.h"\n', "a.cpp:2", "http/ comes after it")

    def test_finds_control_that_includes_proxy(self):
        self.faults("runtime/control/a.cpp", SPDX + '#include "proxy/steps.h"\n', "a.cpp:2", "must not include")

    def test_finds_a_library_outside_its_folder(self):
        for header, owner in (("event2/event.h", "net"), ("ares.h", "net"), ("openssl/evp.h", "tls/openssl"), ("mbedtls/ssl.h", "tls/mbedtls"),
                              ("lua.h", "script"), ("pcre2.h", "script"),
                              ("yaml.h", "config"), ("cjson/cJSON.h", "base"), ("hiredis/hiredis.h", "redis"), ("zlib.h", "http"), ("zstd.h", "http")):
            self.faults("runtime/worker/a.cpp", SPDX + f"#include <{header}>\n", "a.cpp:2", f"only {owner}/")

    def test_finds_files_that_are_too_long(self):
        self.faults("runtime/base/a.cpp", SPDX + "int x;\n" * 600, "601 lines; 600 at most")
        self.faults("runtime/base/a.h", SPDX + "extern int x;\n" * 300, "301 lines; 300 at most")
        self.faults("lua/plugins/a.lua", "-- SPDX-License-Identifier: Apache-2.0\n" + "local x\n" * 400, "401 lines; 400 at most")

    def test_finds_functions_that_are_too_long(self):
        body = "  if (x) { g(\"}\"); }  // {\n" * 70
        self.faults("runtime/base/a.cpp", SPDX + "namespace a {\nclass B {\n  int f(int x) const {\n" + body + "  }\n};\n}\n",
                    "a.cpp:4", "a function of 72 lines")
        lua = "-- SPDX-License-Identifier: Apache-2.0\nlocal function f(x)\n" + "  if x then g('end') end -- end\n" * 70 + "end\nreturn f\n"
        self.faults("lua/plugins/a.lua", lua, "a.lua:2", "a function of 72 lines")

    def test_takes_long_tables_and_classes_for_what_they_are(self):
        table = SPDX + "const int t[] = {\n" + "  1,\n" * 100 + "};\nclass A {\n" + "  int x_;\n" * 100 + "};\n"
        self.assertEqual(self.check({"runtime/base/a.cpp": table}), (0, ""))

    def test_finds_names_that_say_nothing(self):
        for name in ("runtime/base/util.cpp", "runtime/base/string_utils.cpp", "runtime/common/a.cpp", "lua/lib/moongate/misc.lua", "runtime/base/parser2.cpp"):
            text = ("--" if name.endswith(".lua") else "//") + " SPDX-License-Identifier: Apache-2.0\n"
            status, said = self.check({name: text})
            self.assertEqual(status, 1, name)
            self.assertIn(name + ":1:", said)

    def test_finds_a_missing_licence_line(self):
        self.faults("tests/unit/base/a_test.cpp", "int x;\n", "a_test.cpp:1", "SPDX")
        self.faults("tools/thing", "#!/bin/sh\necho\n", "thing:1", "SPDX")

    def test_finds_paths_of_somebodys_machine(self):
        for path in ("/" + "work/main/x", "/" + "root/x", "/" + "home/someone/x"):
            self.faults("docs/a.md", f"text\nsee {path}\n", "a.md:2", "somebody's machine")


class Docs(TestCase):
    def test_the_documented_settings_are_those_of_the_binary(self):
        done = subprocess.run([os.path.join(ROOT, "tools", "docs"), "--check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={**os.environ, "MOONGATE_BIN": moongate_bin()})
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_help_settings_tells_type_unit_default_range_and_meaning(self):
        said = moongate("help", "settings").stdout
        self.assertIn("| `client.header_max_kb` | a whole number of kilobytes from 1 to 1024, or a size such as 64k | `32` | The largest request head", said)
        rows = [row.strip("|").split(" | ") for row in said.strip().split("\n")[2:]]
        self.assertGreaterEqual(len(rows), 40)
        for row in rows:
            self.assertEqual(len(row), 4, row)
            self.assertTrue(all(cell.strip(" `") for cell in row), row)


if __name__ == "__main__":
    unittest.main()
