// SPDX-License-Identifier: Apache-2.0
#include "metrics/labels.h"

#include <catch2/catch.hpp>

#include <string>

using moongate::metrics::find_label;
using moongate::metrics::Labels;

TEST_CASE("a label is found as it was written, whatever its neighbours hold", "[labels]") {
  Labels labels;
  labels.add("route", "a\",code=\"500").add("code", "200").add("path", "back\\slash\nline");
  CHECK(find_label(labels.text(), "route") == "a\",code=\"500");
  CHECK(find_label(labels.text(), "code") == "200");
  CHECK(find_label(labels.text(), "path") == "back\\slash\nline");
  CHECK_FALSE(find_label(labels.text(), "out"));
  CHECK_FALSE(find_label("", "route"));
}

TEST_CASE("an empty label is not the same as none", "[labels]") {
  Labels labels;
  labels.add("route", "");
  CHECK(find_label(labels.text(), "route") == "");
}

TEST_CASE("a label text that breaks off is read to its end and not beyond", "[labels]") {
  CHECK(find_label("route=\"a", "route") == "a");
  CHECK(find_label("route=\"a\\", "route") == "a\\");
  CHECK_FALSE(find_label("route", "route"));
}
