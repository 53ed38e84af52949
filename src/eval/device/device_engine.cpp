#include "device/device_engine.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "d2c/core/error.hpp"
#include "d2c/eval/cpu_engine.hpp"

namespace d2c::eval::device {
namespace {

const Adapter* adapter_of(const AdapterHandle& handle) {
  return static_cast<const Adapter*>(handle.get());
}
AdapterHandle cpu_handle(const AdapterHandle& handle) {
  return handle == nullptr ? nullptr : adapter_of(handle)->on_cpu();
}

Index n_rows_of(const Batch& batch) { return std::ssize(batch.forest.ids); }

const model::Model& checked(const model::Model& model, bool is_bf16) {
  check_model(model.config());
  check_format(model, is_bf16);
  return model;
}

constexpr Index assumed_joint_rank = 192;  // q, k and v of rank 64

/// Tokens of a pass: as asked, or those that three quarters of the room suffice for; the rest is
/// for adapters.
Index fitting_rows(const model::ModelConfig& config, bool is_bf16, Index asked, std::size_t room) {
  const std::size_t each = bytes_per_row(config, is_bf16, assumed_joint_rank);
  const auto fitting = static_cast<Index>(room / 4 * 3 / each);
  return std::min(asked, std::max(row_padding, fitting / row_padding * row_padding));
}

}  // namespace

DeviceEngine::DeviceEngine(const model::Model& model, int threads, std::unique_ptr<Backend> backend,
                           const Settings& settings)
    : model_(checked(model, settings.is_bf16)),
      cpu_(make_cpu_engine(model, threads)),
      backend_(std::move(backend)),
      settings_(settings),
      sites_(model.config()),
      weights_(*backend_, model, settings.is_bf16),
      pass_(*backend_, model.config(), sites_, weights_) {
  settings_.pass_rows =
      fitting_rows(model.config(), settings.is_bf16, settings.pass_rows, backend_->room());
}

std::string DeviceEngine::description() const {
  constexpr double mib = 1 << 20;
  const std::size_t bytes = weight_bytes(model_.config(), settings_.is_bf16);
  const std::size_t of_row = bytes_per_row(model_.config(), settings_.is_bf16, assumed_joint_rank);
  return fmt::format("{}, {}: weights {:.0f} MiB, passes of {} tokens {:.0f} MiB", settings_.name,
                     settings_.is_bf16 ? "BF16" : "F32", static_cast<double>(bytes) / mib,
                     settings_.pass_rows,
                     static_cast<double>(of_row) * static_cast<double>(settings_.pass_rows) / mib);
}

AdapterHandle DeviceEngine::prepare(const lora::FactorMap& factors) {
  return std::make_shared<const Adapter>(*backend_, sites_, factors, cpu_->prepare(factors));
}

void DeviceEngine::losses(UnitSource& units) {
  waiting_.clear();
  waiting_rows_ = 0;
  // An exception leaves the device with a pass, whose tables the next one would write over.
  if (!flying_.empty()) static_cast<void>(pass_.finish());
  flying_.clear();
  since_.reset();
  while (true) {
    while (waiting_rows_ < settings_.pass_rows) {
      auto unit = units.take(1);
      if (!unit) break;
      add(std::move(*unit), units);
    }
    if (waiting_.empty()) {
      land(units);
      auto unit = units.fetch();
      if (!unit) return;
      add(std::move(*unit), units);
      continue;
    }
    Items items = next_pass();
    const PassTables tables = tables_of(items);
    land(units);
    if (!since_) since_.emplace();
    pass_.start(tables);
    flying_ = std::move(items);
  }
}

void DeviceEngine::add(Unit unit, UnitSource& source) {
  const auto taken = std::make_shared<Taken>(Taken{std::move(unit), {}, 0});
  std::size_t n_targets = 0;
  for (const Batch& batch : taken->unit.batches) {
    waiting_.push_back({taken, &batch, n_targets});
    waiting_rows_ += n_rows_of(batch);
    n_targets += batch.targets.size();
  }
  taken->missing = taken->unit.batches.size();
  taken->result.nll.resize(n_targets);
  if (taken->missing == 0) source.report(taken->unit, std::move(taken->result));
}

DeviceEngine::Items DeviceEngine::next_pass() {
  Items items;
  Index rows = 0;
  while (!waiting_.empty()) {
    const Item& next = waiting_.front();
    const Index more = n_rows_of(*next.batch);
    const bool fits =
        rows + more <= settings_.pass_rows &&
        (items.empty() || next.batch->forest.is_long == items.front().batch->forest.is_long);
    if (!items.empty() && !fits) break;
    rows += more;
    items.push_back(next);
    waiting_.pop_front();
  }
  waiting_rows_ -= rows;
  // One adapter after another; which comes first changes no bit.
  std::ranges::stable_sort(items, {},
                           [](const Item& item) { return item.taken->unit.adapter.get(); });
  return items;
}

PassTables DeviceEngine::tables_of(const Items& items) const {
  std::vector<PassItem> of;
  of.reserve(items.size());
  for (const Item& item : items) {
    of.push_back({item.batch, adapter_of(item.taken->unit.adapter)});
  }
  return {model_.config(), of};
}

void DeviceEngine::land(UnitSource& source) {
  if (flying_.empty()) return;
  const std::vector<double> nll = pass_.finish();
  const double seconds = since_->seconds();
  since_.reset();
  const Items landed = std::exchange(flying_, {});
  Index rows = 0;
  for (const Item& item : landed) rows += n_rows_of(*item.batch);
  std::size_t target = 0;
  for (const auto& [taken, batch, first_target] : landed) {
    std::copy_n(nll.begin() + static_cast<std::ptrdiff_t>(target), batch->targets.size(),
                taken->result.nll.begin() + static_cast<std::ptrdiff_t>(first_target));
    target += batch->targets.size();
    taken->result.seconds +=
        seconds * static_cast<double>(n_rows_of(*batch)) / static_cast<double>(rows);
    if (--taken->missing == 0) source.report(taken->unit, std::move(taken->result));
  }
}

std::vector<Unit> DeviceEngine::on_cpu(std::span<const Unit> units) const {
  std::vector<Unit> result(units.begin(), units.end());
  for (Unit& unit : result) unit.adapter = cpu_handle(unit.adapter);
  return result;
}

void DeviceEngine::add_inputs(const AdapterHandle& adapter, std::span<const Batch> batches,
                              std::span<const std::unique_ptr<lora::InputMomentSum>> sums) {
  cpu_->add_inputs(cpu_handle(adapter), batches, sums);
}

std::vector<std::vector<ops::SoftTargets>> DeviceEngine::most_probable(std::span<const Unit> units,
                                                                       Index most) {
  return cpu_->most_probable(on_cpu(units), most);
}

std::vector<std::vector<std::vector<std::int32_t>>> DeviceEngine::generate(
    std::span<const Unit> units, const model::GenerationLimits& limits) {
  return cpu_->generate(on_cpu(units), limits);
}

void DeviceEngine::gradients(std::span<const GradientUnit> units, const GradientReport& report) {
  std::vector<GradientUnit> there(units.begin(), units.end());
  for (GradientUnit& unit : there) unit.adapter = cpu_handle(unit.adapter);
  cpu_->gradients(there, report);
}

std::size_t DeviceEngine::activation_bytes(const model::BatchSize& largest,
                                           Index adapter_rank) const {
  // The CPU's forward pass serves where adapters are asked for more than losses.
  return cpu_->activation_bytes(largest, adapter_rank);
}

std::size_t DeviceEngine::gradient_bytes(const model::BatchSize& largest,
                                         Index adapter_rank) const {
  return cpu_->gradient_bytes(largest, adapter_rank);
}

}  // namespace d2c::eval::device
