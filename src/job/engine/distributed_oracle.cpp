#include "engine/distributed_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/cpu_time.hpp"
#include "d2c/core/error.hpp"
#include "d2c/ops/threads.hpp"

#include "engine/race_unit.hpp"

namespace d2c::job {

using cluster::Query;
using cluster::TaskSet;

DistributedOracle::DistributedOracle(const Parts& parts, MergePlan plan,
                                     cluster::ExampleFolds folds, const MachineOptions& machine)
    : parts_(parts),
      plan_(plan),
      folds_(folds),
      machine_(machine),
      arena_(parts.comm, parts.adapters, machine.ranks_per_node),
      queues_(parts.comm, machine.ranks_per_node, machine.balance),
      costs_(parts.tasks) {}

MergeRequest DistributedOracle::request_for(const TaskSet& set) const {
  if (plan_.representative == Representative::merged) return members_of(set);
  return {{medoids_.at(set)}, {1.0}, plan_.scale};
}

MergeRequest DistributedOracle::request_for(const cluster::Recipe& recipe) const {
  MergeRequest request = request_for(recipe.members);
  request.scale = recipe.scale;
  request.way = recipe.method;
  if (recipe.weights.empty()) return request;
  std::map<int, double> weight_of_adapter;
  for (std::size_t i = 0; i < recipe.members.size(); ++i) {
    const auto task = static_cast<std::size_t>(recipe.members[i]);
    weight_of_adapter[parts_.adapter_of_task[task]] += recipe.weights[i];
  }
  for (std::size_t i = 0; i < request.adapters.size(); ++i) {
    request.weights[i] = weight_of_adapter.at(request.adapters[i]);
  }
  return request;
}

MergeRequest DistributedOracle::members_of(const TaskSet& set) const {
  std::map<int, double> tasks_of_adapter;
  for (const int task : set) {
    tasks_of_adapter[parts_.adapter_of_task[static_cast<std::size_t>(task)]] += 1.0;
  }
  MergeRequest request;
  request.scale = plan_.scale;
  for (const auto& [adapter, n] : tasks_of_adapter) {
    request.adapters.push_back(adapter);
    request.weights.push_back(n / static_cast<double>(set.size()));
  }
  return request;
}

std::vector<double> DistributedOracle::losses(std::span<const TaskSet> sets,
                                              std::span<const Query> queries, Split split) {
  choose_representatives(sets);
  std::vector<MergeRequest> requests;
  requests.reserve(sets.size());
  for (const TaskSet& set : sets) requests.push_back(request_for(set));
  return losses(requests, queries, split, part(split).folds);
}

std::vector<MergeRequest> DistributedOracle::requests_for(
    std::span<const cluster::Recipe> recipes) {
  std::vector<TaskSet> sets;
  sets.reserve(recipes.size());
  for (const cluster::Recipe& recipe : recipes) sets.push_back(recipe.members);
  choose_representatives(sets);
  std::vector<MergeRequest> requests;
  requests.reserve(recipes.size());
  for (const cluster::Recipe& recipe : recipes) requests.push_back(request_for(recipe));
  return requests;
}

void DistributedOracle::choose_representatives(std::span<const TaskSet> sets) {
  if (plan_.representative == Representative::medoid) choose_medoids(sets);
}

void DistributedOracle::choose_medoids(std::span<const TaskSet> sets) {
  std::vector<MergeRequest> singles;
  std::vector<Query> queries;
  std::map<int, int> single_of_adapter;
  for (const TaskSet& set : sets) {
    if (medoids_.contains(set)) continue;
    for (const int adapter : members_of(set).adapters) {
      for (const int task : set) {
        if (!single_losses_.emplace(std::pair(adapter, task), 0.0).second) continue;
        const auto [place, fresh] =
            single_of_adapter.emplace(adapter, static_cast<int>(singles.size()));
        if (fresh) singles.push_back({{adapter}, {1.0}, plan_.scale});
        queries.push_back({place->second, task});
      }
    }
  }
  const std::vector<double> values = losses(singles, queries, Split::few_shot, folds_);
  const auto n = static_cast<std::size_t>(n_folds());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const int adapter = singles[static_cast<std::size_t>(queries[q].set)].adapters.front();
    const int task = queries[q].task;
    single_losses_[{adapter, task}] = mean_to_choose_by(task, &values[q * n]);
  }

  for (const TaskSet& set : sets) {
    if (medoids_.contains(set)) continue;
    double lowest = std::numeric_limits<double>::infinity();
    for (const int adapter : members_of(set).adapters) {
      double sum = 0.0;
      for (const int task : set) sum += single_losses_.at({adapter, task});
      if (sum < lowest) {
        lowest = sum;
        medoids_[set] = adapter;
      }
    }
  }
}

double DistributedOracle::mean_to_choose_by(int task, const double* fold_losses) const {
  std::vector<double> examples(static_cast<std::size_t>(folds_.choose), 0.0);
  for (const int fold : folds_.of(parts_.tasks.facts(task, Split::few_shot).n_examples)) {
    if (fold < folds_.choose) examples[static_cast<std::size_t>(fold)] += 1;
  }
  double sum = 0.0;
  double total = 0.0;
  for (std::size_t fold = 0; fold < examples.size(); ++fold) {
    sum += examples[fold] * fold_losses[fold];
    total += examples[fold];
  }
  return sum / total;
}

std::vector<double> DistributedOracle::losses(std::span<const MergeRequest> requests,
                                              std::span<const Query> queries, Split split,
                                              cluster::ExampleFolds folds) {
  const Part part{split, folds};
  std::vector<std::vector<std::size_t>> queries_of(requests.size());
  std::vector<int> task_of;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    task_of.push_back(queries[q].task);
    queries_of[static_cast<std::size_t>(queries[q].set)].push_back(q);
  }
  Measured measured(queries.size(), part.n_folds());
  for (std::size_t begin = 0; begin < requests.size();) {
    std::uint64_t bytes = 0;
    std::size_t end = begin;
    while (end < requests.size()) {
      bytes += merged_bytes(parts_.adapters, plan_, requests[end]);
      if (end > begin && bytes > machine_.merged_bytes) break;
      ++end;
    }
    merge_distributed(parts_.comm, parts_.adapters, plan_, requests.subspan(begin, end - begin),
                      arena_, parts_.timers);
    work_.merges += static_cast<std::int64_t>(end - begin);
    std::vector<Unit> units;
    for (std::size_t set = begin; set < end; ++set) {
      for (const std::size_t q : queries_of[set]) {
        const TaskFacts& facts = parts_.tasks.facts(queries[q].task, split);
        if (facts.n_examples == 0) continue;
        units.push_back({static_cast<int>(set - begin), queries[q].task, q});
        work_.units += 1;
        work_.tokens_computed += facts.n_computed;
        work_.tokens_total += facts.n_tokens;
      }
    }
    measure_units(
        std::move(units), part,
        [&](int index) { return parts_.evaluators.prepared(arena_.adapter(index)); }, measured);
    begin = end;
  }
  return combine(std::move(measured), part, task_of);
}

/// Units as a list for the threads of this rank.
class DistributedOracle::Units : public eval::UnitList {
 public:
  struct Content {
    const DistributedOracle& oracle;
    std::span<const Unit> units;
    const Part& part;
    const Prepare& prepare;
    Measured& measured;
  };
  explicit Units(const Content& content) : content_(content) {}

  [[nodiscard]] Index adapter(Index unit) const override { return at(unit).adapter; }
  [[nodiscard]] std::shared_ptr<const model::PreparedAdapter> prepare(Index adapter) override {
    return content_.prepare(static_cast<int>(adapter));
  }
  void measure(eval::Evaluator& evaluator, Index unit) override {
    content_.oracle.measure_unit(evaluator, at(unit), content_.part, content_.measured);
  }

 private:
  [[nodiscard]] const Unit& at(Index unit) const {
    return content_.units[static_cast<std::size_t>(unit)];
  }
  Content content_;
};

namespace {

std::span<double> figures_of(std::span<RaceWork> work) {
  constexpr std::size_t n_figures = sizeof(RaceWork) / sizeof(double);
  static_assert(std::is_standard_layout_v<RaceWork> && sizeof(RaceWork) % sizeof(double) == 0);
  return {work.empty() ? nullptr : &work.front().parts, work.size() * n_figures};
}

/// Takes from the queues of all ranks for the threads of this one.
class QueueTaker {
 public:
  explicit QueueTaker(comm::WorkQueues& queues) : queues_(queues) {}

  /// See eval::UnitList.
  [[nodiscard]] std::optional<Index> take(Index least) {
    if (std::this_thread::get_id() == caller_) queues_.serve();
    return queues_.take_own(static_cast<std::uint32_t>(least));
  }
  [[nodiscard]] std::optional<Index> fetch() {
    const Stopwatch watch;
    const auto unit = queues_.next();
    waited_ += watch.seconds();
    return unit;
  }
  [[nodiscard]] double seconds_waited() const { return waited_; }

 private:
  comm::WorkQueues& queues_;
  std::thread::id caller_ = std::this_thread::get_id();  ///< who may speak with other ranks
  double waited_ = 0.0;
};

}  // namespace

/// Units that ranks take over from each other.
class DistributedOracle::UnitsOfRanks final : public Units {
 public:
  UnitsOfRanks(const Content& content, comm::WorkQueues& queues) : Units(content), taker_(queues) {}

  [[nodiscard]] std::optional<Index> take(Index least) override { return taker_.take(least); }
  [[nodiscard]] std::optional<Index> fetch() override { return taker_.fetch(); }
  [[nodiscard]] double seconds_waited() const { return taker_.seconds_waited(); }

 private:
  QueueTaker taker_;
};

/// What races found out on this rank; 0 for those of others.
struct DistributedOracle::RaceResults {
  std::vector<std::size_t> begin;  ///< [races + 1] first contestant of each
  std::vector<double> losses;      ///< [contestants, folds]
  std::vector<RaceWork> work;      ///< [contestants]
};

/// Races that ranks take over from each other.
class DistributedOracle::RacesOfRanks final : public eval::UnitList {
 public:
  RacesOfRanks(const RaceUnit::Inputs& inputs, std::span<const cluster::Race> races,
               RaceResults& results, comm::WorkQueues& queues)
      : inputs_(inputs), races_(races), results_(results), taker_(queues) {}

  [[nodiscard]] std::optional<Index> take(Index least) override { return taker_.take(least); }
  [[nodiscard]] std::optional<Index> fetch() override { return taker_.fetch(); }
  [[nodiscard]] double seconds_waited() const { return taker_.seconds_waited(); }

  /// A race makes the adapters of its contestants ready by itself.
  [[nodiscard]] Index adapter(Index) const override { return 0; }
  [[nodiscard]] std::shared_ptr<const model::PreparedAdapter> prepare(Index) override {
    return nullptr;
  }
  void measure(eval::Evaluator& evaluator, Index unit) override {
    const auto race = static_cast<std::size_t>(unit);
    const std::size_t begin = results_.begin[race];
    const std::size_t n = results_.begin[race + 1] - begin;
    const auto n_folds = static_cast<std::size_t>(inputs_.folds.n_folds());
    RaceUnit(inputs_, races_[race], evaluator)
        .run(std::span(results_.losses).subspan(begin * n_folds, n * n_folds),
             std::span(results_.work).subspan(begin, n));
  }

 private:
  const RaceUnit::Inputs& inputs_;
  std::span<const cluster::Race> races_;
  RaceResults& results_;
  QueueTaker taker_;
};

/// Units that are this rank's alone.
class DistributedOracle::UnitsOfThisRank final : public Units {
 public:
  explicit UnitsOfThisRank(const Content& content) : Units(content), left_(content.units.size()) {}

  [[nodiscard]] std::optional<Index> take(Index least) override { return left_.take(least); }

 private:
  eval::Countdown left_;
};

void DistributedOracle::measure_units(std::vector<Unit> units, const Part& part,
                                      const Prepare& prepare, Measured& measured) {
  // Cut in the order of tasks, so that a rank meets the same tasks again and again; within a piece
  // by adapter, so that each is made ready once.
  std::ranges::stable_sort(units, {}, &Unit::task);
  std::vector<double> costs;
  costs.reserve(units.size());
  for (const Unit& unit : units) costs.push_back(costs_(unit.task, part.split));
  const std::vector<std::uint32_t> piece_begin = comm::cut(costs, parts_.comm.size());
  for (std::size_t rank = 0; rank + 1 < piece_begin.size(); ++rank) {
    std::ranges::stable_sort(units.begin() + piece_begin[rank],
                             units.begin() + piece_begin[rank + 1], {}, &Unit::adapter);
  }

  UnitsOfRanks list({*this, units, part, prepare, measured}, queues_);
  evaluate(piece_begin, list);
}

template <class List>
void DistributedOracle::evaluate(const std::vector<std::uint32_t>& piece_begin, List& list) {
  const auto wait_for = [&](const auto& what) {
    const auto timer = parts_.timers.scope("wait");
    return what();
  };
  wait_for([&] { queues_.open(piece_begin); });
  const Stopwatch watch;
  parts_.evaluators.run(list);
  parts_.timers.add("evaluate", watch.seconds() - list.seconds_waited());
  parts_.timers.add("wait", list.seconds_waited());
  wait_for([&] { queues_.close(); });
}

void DistributedOracle::measure_unit(eval::Evaluator& evaluator, const Unit& unit, const Part& part,
                                     Measured& measured) const {
  // Threads that help are counted too.
  const bool shared = ops::threads() > 1;
  const auto now = [&] { return shared ? process_cpu_seconds() : thread_cpu_seconds(); };
  const double begin = now();
  const auto packed = parts_.tasks.packed(unit.task, part.split);
  const std::vector<int> fold_of = part.folds.of(packed->n_examples);
  std::vector<double> examples(part.n_folds(), 0.0);
  double* values = &measured.losses[unit.entry * examples.size()];
  std::size_t example = 0;
  for (const double loss : evaluator.example_losses(packed->batches, packed->n_examples)) {
    const auto fold = static_cast<std::size_t>(fold_of[example++]);
    values[fold] += loss;
    examples[fold] += 1;
  }
  for (std::size_t fold = 0; fold < examples.size(); ++fold) {
    if (examples[fold] > 0) values[fold] /= examples[fold];
  }
  measured.seconds[unit.entry] = now() - begin;
}

std::vector<double> DistributedOracle::combine(Measured measured, const Part& part,
                                               std::span<const int> task_of) {
  {
    const auto timer = parts_.timers.scope("reduce");
    parts_.comm.sum(measured.losses);
    parts_.comm.sum(measured.seconds);
  }
  const std::size_t n_folds = part.n_folds();
  for (std::size_t entry = 0; entry < task_of.size(); ++entry) {
    const int task = task_of[entry];
    const std::span<double> losses = std::span(measured.losses).subspan(entry * n_folds, n_folds);
    if (parts_.tasks.facts(task, part.split).n_examples == 0) {
      std::ranges::fill(losses, std::numeric_limits<double>::quiet_NaN());
      continue;
    }
    if (!std::ranges::all_of(losses, [](double loss) { return std::isfinite(loss); })) {
      throw InputError({}, {fmt::format("the loss of task {} is not finite", task),
                            "no cluster can be chosen for it",
                            "check its adapter and the base model with `d2c evaluate`"});
    }
    costs_.add(task, part.split, measured.seconds[entry]);
  }
  return std::move(measured.losses);
}

std::vector<double> DistributedOracle::race(std::span<const TaskSet> sets,
                                            std::span<const cluster::Race> races) {
  choose_representatives(sets);
  std::vector<MergeRequest> requests;
  requests.reserve(sets.size());
  for (const TaskSet& set : sets) requests.push_back(request_for(set));
  if (!requests.empty()) {
    merge_distributed(parts_.comm, parts_.adapters, plan_, requests, arena_, parts_.timers);
    work_.merges += std::ssize(requests);
  }
  RaceResults results{.begin = {0}, .losses = {}, .work = {}};
  for (const cluster::Race& race : races) {
    results.begin.push_back(results.begin.back() + race.sets.size());
  }
  results.losses.resize(results.begin.back() * static_cast<std::size_t>(n_folds()));
  results.work.resize(results.begin.back());
  measure_races(races, results);
  {
    const auto timer = parts_.timers.scope("reduce");
    parts_.comm.sum(results.losses);
    parts_.comm.sum(figures_of(results.work));
  }
  for (std::size_t r = 0; r < races.size(); ++r) {
    for (std::size_t c = 0; c < races[r].sets.size(); ++c) take_over(races[r], c, r, results);
  }
  return std::move(results.losses);
}

void DistributedOracle::measure_races(std::span<const cluster::Race> races, RaceResults& results) {
  std::vector<double> costs;
  costs.reserve(races.size());
  for (const cluster::Race& race : races) {
    const auto measured = std::ranges::count_if(race.sets, [](int set) { return set >= 0; });
    costs.push_back(costs_(race.task, Split::few_shot) * static_cast<double>(measured));
  }
  const RaceUnit::Inputs inputs{
      .tasks = parts_.tasks,
      .folds = folds_,
      .prepare = [this](int set) { return parts_.evaluators.prepared(arena_.adapter(set)); },
      .token_bytes = parts_.evaluators.kept_token_bytes(),
      .kept_bytes = machine_.race_bytes};
  RacesOfRanks list(inputs, races, results, queues_);
  evaluate(comm::cut(costs, parts_.comm.size()), list);
}

/// Adds what was known of a contestant to what was measured, and counts the work.
void DistributedOracle::take_over(const cluster::Race& race, std::size_t contestant,
                                  std::size_t index, RaceResults& results) {
  const std::size_t entry = results.begin[index] + contestant;
  const auto n = static_cast<std::size_t>(n_folds());
  const RaceWork& work = results.work[entry];
  const auto losses = std::span(results.losses).subspan(entry * n, n);
  const auto known = std::span(race.known).subspan(contestant * n, n);
  const auto n_parts = static_cast<int>(race.folds.size());
  const auto parts = static_cast<int>(work.parts);
  std::vector<char> is_measured(n, parts == n_parts ? 1 : 0);
  for (int part = 0; part < parts; ++part) {
    is_measured[static_cast<std::size_t>(race.folds[static_cast<std::size_t>(part)])] = 1;
  }
  for (std::size_t fold = 0; fold < n; ++fold) {
    if (is_measured[fold] == 0) losses[fold] = known[fold];
  }
  if (parts == 0) return;
  const TaskFacts& facts = parts_.tasks.facts(race.task, Split::few_shot);
  const double tokens = work.tokens + work.check_tokens;
  costs_.add(race.task, Split::few_shot, work.seconds, tokens);
  work_.units += 1;
  work_.tokens_computed += static_cast<std::int64_t>(tokens);
  work_.tokens_total += static_cast<std::int64_t>(work.tokens_unshared);
  race_tokens_.raced += static_cast<std::int64_t>(work.tokens);
  race_tokens_.checks += static_cast<std::int64_t>(work.check_tokens);
  // What an earlier race began is counted already.
  const bool is_new = std::ranges::all_of(known, [](double loss) { return std::isnan(loss); });
  race_tokens_.whole += is_new ? facts.n_computed : 0;
}

void DistributedOracle::UnitCosts::add(int task, Split split, double seconds, double part) {
  const auto tokens = part > 0 ? part : static_cast<double>(tasks_.facts(task, split).n_computed);
  for (Sum* sum : {&of_task_[{task, split}], &all_}) {
    sum->seconds += seconds;
    sum->tokens += tokens;
  }
}

double DistributedOracle::UnitCosts::operator()(int task, Split split) const {
  const auto tokens = static_cast<double>(tasks_.facts(task, split).n_computed);
  const auto place = of_task_.find({task, split});
  const Sum& known = place == of_task_.end() ? all_ : place->second;
  return known.tokens > 0 ? tokens * known.seconds / known.tokens : tokens;
}

bool DistributedOracle::can_merge(const TaskSet& set) const {
  return plan_.representative == Representative::medoid ||
         members_fit(parts_.adapters, plan_, request_for(set));
}

std::vector<double> DistributedOracle::base_losses(Split split) {
  std::vector<Unit> units;
  std::vector<int> task_of;
  for (int task = 0; task < n_tasks(); ++task) {
    task_of.push_back(task);
    if (parts_.tasks.facts(task, split).n_examples == 0) continue;
    units.push_back({0, task, static_cast<std::size_t>(task)});
  }
  const Part part = this->part(split);
  Measured measured(task_of.size(), part.n_folds());
  measure_units(
      std::move(units), part, [](int) { return nullptr; }, measured);
  return combine(std::move(measured), part, task_of);
}

std::vector<double> DistributedOracle::own_losses(Split split) {
  std::vector<Unit> units;
  std::vector<int> task_of;
  for (int task = 0; task < n_tasks(); ++task) {
    task_of.push_back(task);
    if (parts_.tasks.facts(task, split).n_examples == 0) continue;
    const int adapter = parts_.adapter_of_task[static_cast<std::size_t>(task)];
    if (parts_.adapters.owner(adapter) != parts_.comm.rank()) continue;
    units.push_back({adapter, task, static_cast<std::size_t>(task)});
  }
  std::ranges::stable_sort(units, {}, &Unit::adapter);
  const Part part = this->part(split);
  Measured measured(task_of.size(), part.n_folds());
  {
    const auto timer = parts_.timers.scope("evaluate");
    const Prepare prepare = [&](int adapter) {
      return parts_.evaluators.prepared(parts_.adapters.local(adapter));
    };
    UnitsOfThisRank list({*this, units, part, prepare, measured});
    parts_.evaluators.run(list);
  }
  {
    const auto timer = parts_.timers.scope("wait");
    parts_.comm.barrier();
  }
  return combine(std::move(measured), part, task_of);
}

lora::FactorMap DistributedOracle::merged(const MergeRequest& request) {
  merge_distributed(parts_.comm, parts_.adapters, plan_, std::span(&request, 1), arena_,
                    parts_.timers);
  return arena_.adapter(0);
}

}  // namespace d2c::job
