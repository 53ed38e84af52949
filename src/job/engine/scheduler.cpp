#include "engine/scheduler.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "d2c/comm/distribution.hpp"
#include "d2c/core/error.hpp"
#include "d2c/eval/recent_adapter.hpp"

namespace d2c::job {
namespace {

/// Counts the evaluations of a list that all ranks work on, of which this rank sees its own: each
/// stands for one of every rank, and at the end all are done.
class CountedList {
 public:
  CountedList(Progress& progress, std::size_t n, int n_ranks)
      : progress_(progress), left_(static_cast<std::int64_t>(n)), n_ranks_(n_ranks) {}
  CountedList(const CountedList&) = delete;
  CountedList& operator=(const CountedList&) = delete;
  ~CountedList() { count(left_); }

  void count_one() { count(n_ranks_); }

 private:
  void count(std::int64_t n) {
    const std::scoped_lock lock(mutex_);
    const std::int64_t counted = std::min(n, left_);
    left_ -= counted;
    progress_.advance(counted);
  }

  Progress& progress_;
  std::mutex mutex_;
  std::int64_t left_;
  std::int64_t n_ranks_;
};

/// Evaluations as units of the engine.
class EvaluationUnits final : public eval::UnitSource {
 public:
  EvaluationUnits(WorkItems& items, const TaskStore& tasks, std::span<const Evaluation> evaluations,
                  const FoldedSplit& examples, const PrepareAdapter& prepare,
                  MeasuredLosses& measured, CountedList& counted)
      : items_(items),
        tasks_(tasks),
        evaluations_(evaluations),
        examples_(examples),
        adapters_(prepare),
        measured_(measured),
        counted_(counted) {}

  [[nodiscard]] std::optional<eval::Unit> take(Index least) override {
    return unit(items_.take(least));
  }
  [[nodiscard]] std::optional<eval::Unit> fetch() override { return unit(items_.fetch()); }

  void report(const eval::Unit& unit, eval::UnitResult result) override {
    const Evaluation& of = evaluation(unit.id);
    const std::int64_t n_examples = tasks_.facts(of.task, examples_.split).n_examples;
    const std::vector<FoldId> fold_of = examples_.folds.of(n_examples);
    std::vector<double> count(examples_.n_folds(), 0.0);
    double* values = &measured_.losses[of.entry * count.size()];
    std::size_t example = 0;
    for (const double loss : eval::example_losses(unit.batches, result.nll, n_examples)) {
      const std::size_t fold = fold_of[example++].index();
      values[fold] += loss;
      count[fold] += 1;
    }
    for (std::size_t fold = 0; fold < count.size(); ++fold) {
      if (count[fold] > 0) values[fold] /= count[fold];
    }
    measured_.seconds[of.entry] = result.seconds;
    counted_.count_one();
  }

 private:
  [[nodiscard]] const Evaluation& evaluation(Index item) const {
    return evaluations_[static_cast<std::size_t>(item)];
  }
  [[nodiscard]] std::optional<eval::Unit> unit(std::optional<Index> item) {
    if (!item) return std::nullopt;
    const Evaluation& of = evaluation(*item);
    const auto packed = tasks_.packed(of.task, examples_.split);
    return eval::Unit{.id = *item,
                      .adapter = adapters_(static_cast<Index>(of.adapter)),
                      .batches = packed->batches,
                      .owner = packed};
  }

  WorkItems& items_;
  const TaskStore& tasks_;
  std::span<const Evaluation> evaluations_;
  FoldedSplit examples_;
  eval::RecentAdapter adapters_;
  MeasuredLosses& measured_;
  CountedList& counted_;
};

}  // namespace

Scheduler::Scheduler(const JobParts& parts, int ranks_per_node, comm::Balance balance)
    : parts_(parts), queues_(parts.comm, ranks_per_node, balance), costs_(parts.tasks) {}

void Scheduler::measure(std::vector<Evaluation> evaluations, const FoldedSplit& examples,
                        const PrepareAdapter& prepare, MeasuredLosses& measured) {
  // Cut in the order of tasks, so that a rank meets the same tasks again and again; within a piece
  // by adapter, so that each is made ready once.
  std::ranges::stable_sort(evaluations, {}, &Evaluation::task);
  std::vector<double> costs;
  costs.reserve(evaluations.size());
  for (const Evaluation& of : evaluations) costs.push_back(costs_(of.task, examples.split));
  const std::vector<std::uint32_t> piece_begin = comm::cut(costs, parts_.comm.size());
  for (std::size_t rank = 0; rank + 1 < piece_begin.size(); ++rank) {
    std::ranges::stable_sort(evaluations.begin() + piece_begin[rank],
                             evaluations.begin() + piece_begin[rank + 1], {}, &Evaluation::adapter);
  }
  {
    const auto timer = parts_.timers.scope("wait");
    queues_.open(piece_begin);
  }
  SharedItems items(queues_);
  CountedList counted(parts_.progress, evaluations.size(), parts_.comm.size());
  EvaluationUnits units(items, parts_.tasks, evaluations, examples, prepare, measured, counted);
  const Stopwatch watch;
  parts_.engine.losses(units);
  parts_.timers.add("evaluate", watch.seconds() - items.seconds_waited());
  parts_.timers.add("wait", items.seconds_waited());
  const auto timer = parts_.timers.scope("wait");
  queues_.close();
}

void Scheduler::measure_own(std::vector<Evaluation> evaluations, const FoldedSplit& examples,
                            const PrepareAdapter& prepare, MeasuredLosses& measured) {
  std::ranges::stable_sort(evaluations, {}, &Evaluation::adapter);
  OwnItems items(evaluations.size());
  CountedList counted(parts_.progress, measured.seconds.size(), parts_.comm.size());
  EvaluationUnits units(items, parts_.tasks, evaluations, examples, prepare, measured, counted);
  {
    const auto timer = parts_.timers.scope("evaluate");
    parts_.engine.losses(units);
  }
  const auto timer = parts_.timers.scope("wait");
  parts_.comm.barrier();
}

std::vector<double> Scheduler::combine(MeasuredLosses measured, const FoldedSplit& examples,
                                       std::span<const TaskId> task_of) {
  {
    const auto timer = parts_.timers.scope("reduce");
    parts_.comm.sum(measured.losses);
    parts_.comm.sum(measured.seconds);
  }
  const std::size_t n_folds = examples.n_folds();
  for (std::size_t entry = 0; entry < task_of.size(); ++entry) {
    const TaskId task = task_of[entry];
    const std::span<double> losses = std::span(measured.losses).subspan(entry * n_folds, n_folds);
    if (!std::ranges::all_of(losses, [](double loss) { return std::isfinite(loss); })) {
      const InputError error(
          {}, {fmt::format("the loss of task '{}' is not finite", parts_.tasks.name(task)),
               "no cluster can be chosen for it",
               "check its adapter and the base model with `d2c evaluate`"});
      comm::agree(parts_.comm, [&] { throw error; });
    }
    costs_.add(task, examples.split, measured.seconds[entry]);
  }
  return std::move(measured.losses);
}

}  // namespace d2c::job
