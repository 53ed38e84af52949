#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "d2c/lora/factors.hpp"

#include "distill/adam.hpp"
#include "distill/distill.hpp"
#include "distill/gradient_rounds.hpp"
#include "distill/training_file.hpp"
#include "lessons/lessons.hpp"

namespace d2c::job {

/// Factors of one module that a rank trains.
class TrainedFactors {
 public:
  /// @param factors  scaling is folded into B, and both get the same root mean square, which moves
  ///                 neither the product nor the loss: one learning rate suits both
  /// @param rate     0 = a share of that root mean square
  TrainedFactors(lora::Factors factors, double rate);

  [[nodiscard]] const lora::Factors& factors() const { return factors_; }
  /// Adds the gradient of one task.
  /// @param gradient  of A and B, after each other
  void add(std::span<const float> gradient, double weight);
  /// Moves the factors by the sum of what was added, and forgets it.
  void step(double decay);

  /// Bytes of memory for so many values of A and B, the copy that others look at included.
  [[nodiscard]] static std::size_t held_bytes(std::size_t n);
  /// Bytes of the state of factors with so many values of A and of B.
  [[nodiscard]] static std::size_t state_bytes(std::size_t n_a, std::size_t n_b);
  [[nodiscard]] std::vector<std::byte> state() const;
  void restore(std::span<const std::byte> state);

 private:
  lora::Factors factors_;
  double rate_;
  std::vector<double> gradient_;  ///< of A and B, after each other
  Adam a_;
  Adam b_;
};

/// Trains clusters side by side, as distill() says. Members are collective.
class Trainer {
 public:
  Trainer(const DistillParts& parts, std::span<const DistillCluster> clusters,
          const DistillOptions& options);

  /// Has the tasks' own adapters asked, which comes before the first step.
  /// @return whether all were; if not, there is nothing to learn from
  [[nodiscard]] bool teach();
  /// Steps that are left.
  [[nodiscard]] int n_left() const { return options_.material.steps - n_done_; }
  void step();
  /// [cluster][steps so far] see Distilled::loss
  [[nodiscard]] const std::vector<std::vector<double>>& curves() const { return curves_; }

  /// Writes all that the next step depends on.
  /// @throws comm::AgreedError if that is not possible
  void save(const std::filesystem::path& file);
  /// Goes on from what save() wrote in a job that does the same; does nothing if there is no such
  /// file.
  /// @param job  digest of what decides the job's numbers
  void resume(const std::filesystem::path& file, std::uint64_t job);
  /// The adapters as they are now, in the type in which they are stored. No step may follow: what
  /// was learnt from is forgotten.
  [[nodiscard]] std::vector<std::shared_ptr<const TrainedAdapter>> adapters();

 private:
  void take_over_starts();
  void plan();
  void update_own();
  void lay_out();
  [[nodiscard]] std::vector<StatePart> state_parts() const;
  [[nodiscard]] std::vector<std::byte> progress() const;
  void run_round(std::span<const LearningTask> round, std::span<double> losses);

  DistillParts parts_;
  std::vector<DistillCluster> clusters_;
  DistillOptions options_;
  std::vector<std::shared_ptr<TrainedAdapter>> adapters_;   ///< by cluster
  std::map<std::pair<int, ModuleId>, TrainedFactors> own_;  ///< by cluster and module
  LearningPlan plan_;
  std::map<TaskId, TaskLessons> lessons_;  ///< by task
  int n_done_ = 0;
  std::vector<std::vector<double>> curves_;
  std::vector<TrainedFactors*> in_file_;  ///< by part of the state; null = not of this rank
  std::uint64_t key_ = 0;                 ///< of the state
  int n_saved_ = -1;                      ///< steps that the file has
};

}  // namespace d2c::job
