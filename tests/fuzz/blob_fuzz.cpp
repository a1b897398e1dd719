// SPDX-License-Identifier: Apache-2.0
// folder: snapshot
// Damaged snapshots: whatever the bytes, opening them answers with a view in which everything lies inside
// them, or with an error. The checksums would stop nearly every input at the door, so they are made right
// first.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "snapshot/blob.h"

using namespace moongate::snapshot;

namespace {

void put(std::string& bytes, size_t at, uint64_t number) {
  for (size_t i = 0; i < 8; i++) bytes[at + i] = static_cast<char>((number >> (8 * i)) & 0xff);
}

void check(std::string_view bytes) {
  const auto view = BlobView::open(bytes);
  if (!view) return;
  for (const Record& record : view->records()) {
    for (const std::string_view text : {record.id, record.place, record.body}) {
      if (text.data() < bytes.data() || text.data() + text.size() > bytes.data() + bytes.size()) std::abort();
    }
    if (view->find(record.kind, record.id) != &record) std::abort();
  }
  // What can be read can be written, and reads the same.
  BlobWriter writer;
  writer.add_all(*view);
  const auto written = writer.finish({view->number(), view->made_at_ms(), std::string(view->reason())});
  if (!written) std::abort();
  const auto again = BlobView::open(*written);
  if (!again || again->hash() != view->hash()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  check(bytes);
  if (bytes.size() < 64) return 0;
  put(bytes, 40, bytes.size());
  put(bytes, 56, hash64(std::string_view(bytes).substr(64), hash64(std::string_view(bytes).substr(0, 56))));
  check(bytes);
  return 0;
}
