// SPDX-License-Identifier: Apache-2.0
#include "control/metrics_page.h"

#include <unistd.h>

#include <algorithm>

#include "metrics/labels.h"

namespace moongate::control {

using metrics::Family;
using metrics::Sample;

namespace {

struct Totals {
  double active = 0;
  double reading = 0;
  double writing = 0;
  double waiting = 0;
  double accepted = 0;
  double handled = 0;
  double requests = 0;
};

void add_sample(std::vector<Sample>& samples, Family family, const metrics::Labels& labels, double value) {
  samples.push_back({family, std::string(labels.text()), value});
}

void add_process(std::vector<Sample>& samples, const std::string& process, const shm::ProcessSlot& slot) {
  metrics::Labels labels;
  labels.add("process", process);
  add_sample(samples, Family::kWorkerRestarts, labels, slot.restart_count.load());
}

void add_worker(std::vector<Sample>& samples, uint32_t index, const shm::ProcessSlot& slot, Totals* totals) {
  const std::string name = std::to_string(index);
  metrics::Labels worker;
  worker.add("worker", name);
  add_sample(samples, Family::kWorkerUp, worker, slot.state.load() == shm::ProcessState::kServing ? 1 : 0);
  add_sample(samples, Family::kSnapshotNumber, worker, static_cast<double>(slot.snapshot_number.load()));
  add_process(samples, "worker " + name, slot);
  const auto reading = static_cast<double>(slot.reading_count.load());
  const auto writing = static_cast<double>(slot.writing_count.load());
  const auto waiting = static_cast<double>(slot.waiting_count.load());
  for (const auto& [state, value] :
       {std::pair("reading", reading), std::pair("writing", writing), std::pair("waiting", waiting)}) {
    metrics::Labels labels;
    labels.add("worker", name).add("state", state);
    add_sample(samples, Family::kConnections, labels, value);
  }
  totals->active += static_cast<double>(slot.active_count.load());
  totals->reading += reading;
  totals->writing += writing;
  totals->waiting += waiting;
  totals->accepted += static_cast<double>(slot.accepted_count.load());
  totals->handled += static_cast<double>(slot.handled_count.load());
  totals->requests += static_cast<double>(slot.request_count.load());
}

/// The names that APISIX's dashboards know.
void add_totals(std::vector<Sample>& samples, const Totals& totals) {
  const std::pair<const char*, double> states[] = {
      {"accepted", totals.accepted}, {"active", totals.active},   {"handled", totals.handled},
      {"reading", totals.reading},   {"waiting", totals.waiting}, {"writing", totals.writing}};
  for (const auto& [state, value] : states) {
    metrics::Labels labels;
    labels.add("state", state);
    add_sample(samples, Family::kNginxCurrentConnections, labels, value);
  }
  add_sample(samples, Family::kHttpRequestsTotal, {}, totals.requests);
}

void add_quarantined(std::vector<Sample>& samples, const shm::ProcessTable& processes) {
  for (const std::string& plugin : quarantined_plugins(processes)) {
    metrics::Labels labels;
    labels.add("plugin", plugin);
    add_sample(samples, Family::kPluginQuarantined, labels, 1);
  }
}

}  // namespace

std::vector<std::string> quarantined_plugins(const shm::ProcessTable& processes) {
  std::vector<std::string> names;
  for (uint32_t id = 1; id < shm::QuarantineBoard::kPluginsMax; id++) {
    if (processes.quarantine().is_quarantined(id)) names.emplace_back(processes.plugin_name(id));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Sample> sample_processes(const shm::ProcessTable& processes, uint32_t worker_count,
                                     const std::string& version) {
  std::vector<Sample> samples;
  Totals totals;
  for (uint32_t i = 0; i < worker_count; i++) add_worker(samples, i, processes.slot(i), &totals);
  add_process(samples, "control", processes.slot(shm::kControlSlot));
  add_totals(samples, totals);
  add_quarantined(samples, processes);
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  metrics::Labels node;
  node.add("hostname", host).add("version", version);
  add_sample(samples, Family::kNodeInfo, node, 1);
  return samples;
}

}  // namespace moongate::control
