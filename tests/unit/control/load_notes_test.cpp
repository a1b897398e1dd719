// SPDX-License-Identifier: Apache-2.0
#include "control/load_notes.h"

#include <catch2/catch.hpp>

using namespace moongate;
using namespace moongate::control;

namespace {

const KnownGood::Surroundings kHere{1, 2};
const snapshot::Hash128 kRight{0x0a0a0a0a0a0a0a0a, 3};  // with bytes that end lines

KnownGood known_good() {
  KnownGood known;
  known.replace(kHere, {kRight, {4, 5}});
  return known;
}

}  // namespace

TEST_CASE("the notes of a load are read as they were written, and what it found right is known") {
  LoadNotes notes;
  notes.warnings = {"a.yaml:1: odd\nvery odd"};
  notes.file_hash = {UINT64_MAX, 7};
  notes.code["/p/a.lua"] = {UINT64_MAX - 1, true};
  notes.files = {"a.yaml", "b.yaml"};
  notes.folders = {"/p"};
  notes.stamps["a.yaml"] = "1:2:3";
  KnownGood known;
  const base::Result<LoadNotes> read = read_notes(write_notes(notes, known_good()), &known);
  REQUIRE(read.ok());
  CHECK(read->warnings == notes.warnings);
  CHECK(read->file_hash == notes.file_hash);
  CHECK(read->code.at("/p/a.lua").hash == UINT64_MAX - 1);
  CHECK(read->code.at("/p/a.lua").is_of_files);
  CHECK(read->files == notes.files);
  CHECK(read->folders == notes.folders);
  CHECK(read->stamps == notes.stamps);
  CHECK(known.has(kHere, kRight));
  CHECK(known.has(kHere, {4, 5}));
  CHECK_FALSE(known.has(kHere, {6, 7}));
  CHECK_FALSE(known.has({}, kRight));
}

TEST_CASE("notes that break off anywhere are an error, or nothing more is known from them") {
  const std::string whole = write_notes(LoadNotes(), known_good());
  for (size_t size = 0; size < whole.size(); size++) {
    KnownGood known;
    const base::Result<LoadNotes> read = read_notes(whole.substr(0, size), &known);
    const bool has_all = known.has(kHere, kRight) && known.has(kHere, {4, 5});
    CHECK_FALSE(has_all);
    if (!read) CHECK_FALSE(known.has(kHere, kRight));
  }
}
