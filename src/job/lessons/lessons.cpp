#include "lessons/lessons.hpp"

#include <set>
#include <utility>

#include "d2c/core/error.hpp"
#include "d2c/core/wire.hpp"

#include "input/seen_examples.hpp"
#include "lessons/answers.hpp"

namespace d2c::job {
namespace {

/// Lessons whose targets are not known yet.
std::vector<eval::Lesson> untaught(std::span<const eval::Example> examples,
                                   const TaskStore& tasks) {
  std::vector<double> n_targets(examples.size(), 0.0);
  std::vector<eval::Lesson> lessons;
  for (eval::Batch& batch : tasks.pack(examples)) {
    for (const auto& place : batch.places) n_targets[static_cast<std::size_t>(place.example)] += 1;
    lessons.push_back({.batch = std::move(batch)});
  }
  for (eval::Lesson& lesson : lessons) {
    for (const auto& place : lesson.batch.places) {
      const double n = n_targets[static_cast<std::size_t>(place.example)];
      lesson.weight.push_back(static_cast<float>(1.0 / (static_cast<double>(examples.size()) * n)));
    }
  }
  return lessons;
}

TaskLessons untaught(Material material, int batch, const TaskStore& tasks) {
  TaskLessons lessons;
  for (const auto& portion : in_portions(std::move(material), batch)) {
    lessons.push_back(untaught(portion, tasks));
  }
  return lessons;
}

Material material_of(const TaskStore& tasks, TaskId task, const cluster::ExampleFolds& folds,
                     const MaterialOptions& options) {
  const std::vector<eval::Example> seen = seen_examples(tasks, task, folds);
  return learning_material(seen, n_variants(std::ssize(seen), options), task.index());
}

/// Asks a task's adapter, which this rank has.
/// @param parcel  gets the answers to all variants and the distributions of all targets
void ask(const Teachers& teachers, TaskId task, std::vector<std::byte>& parcel) {
  const eval::AdapterHandle adapter =
      teachers.engine.prepare(teachers.adapters.local(teachers.adapter_of_task[task]));
  Material material = material_of(teachers.tasks, task, teachers.folds, teachers.material);
  answer_variants(teachers.engine, adapter, teachers.tasks, material);
  for (const eval::Example& variant : material.variants()) append_list(parcel, variant.ids);
  std::vector<eval::Batch> batches;
  for (auto& portion : untaught(std::move(material), teachers.material.batch, teachers.tasks)) {
    for (eval::Lesson& lesson : portion) batches.push_back(std::move(lesson.batch));
  }
  for (const auto& of_batch :
       teachers.engine.most_probable(eval::units_of(adapter, batches), teachers.most_tokens)) {
    append_list(parcel, of_batch.front().begin);
    append_list(parcel, of_batch.front().tokens);
    append_list(parcel, of_batch.front().probabilities);
  }
}

/// Tells every rank how long the parcels for it are. @return  by rank that sends
std::map<int, std::uint64_t> parcel_sizes(comm::Communicator& comm, const std::set<int>& senders,
                                          const std::map<int, std::vector<std::byte>>& parcels) {
  std::vector<comm::Parcel> outgoing;
  for (const auto& [rank, bytes] : parcels) {
    const std::uint64_t size = bytes.size();
    comm::Parcel& parcel = outgoing.emplace_back(comm::Parcel{rank, {}});
    append_wire(parcel.bytes, std::span(&size, 1));
  }
  std::vector<comm::Parcel> incoming;
  for (const int rank : senders) {
    incoming.push_back({rank, std::vector<std::byte>(sizeof(std::uint64_t))});
  }
  comm.exchange(outgoing, incoming);
  std::map<int, std::uint64_t> sizes;
  for (const comm::Parcel& parcel : incoming) {
    std::span<const std::byte> bytes = parcel.bytes;
    take_wire(bytes, std::span(&sizes[parcel.rank], 1));
  }
  return sizes;
}

}  // namespace

TaskLessons untaught_lessons(const TaskStore& tasks, TaskId task,
                             const cluster::ExampleFolds& folds, const MaterialOptions& options) {
  Material material = material_of(tasks, task, folds, options);
  expect_longest_answers(material);
  return untaught(std::move(material), options.batch, tasks);
}

std::uint64_t lesson_bytes(const eval::Batch& batch, Index most_tokens) {
  constexpr std::size_t per_target =
      sizeof(model::Target) + sizeof(eval::Batch::Place) + sizeof(float) + sizeof(std::int64_t);
  const std::size_t per_token = sizeof(std::int32_t) + sizeof(float);
  return sizeof(eval::Lesson) + batch.forest.ids.size() * sizeof(std::int32_t) +
         batch.forest.segments.size() * sizeof(model::Segment) +
         batch.targets.size() * (per_target + static_cast<std::size_t>(most_tokens) * per_token);
}

std::optional<std::map<TaskId, TaskLessons>> taught_lessons(const Teachers& teachers,
                                                            std::span<const Learner> learners,
                                                            const std::function<bool()>& stop) {
  comm::Communicator& comm = teachers.comm;
  const auto teacher = [&](const Learner& learner) {
    return teachers.adapters.owner(teachers.adapter_of_task[learner.task]);
  };
  std::vector<Learner> asked;
  std::set<int> senders;
  for (const Learner& learner : learners) {
    if (teacher(learner) == comm.rank()) asked.push_back(learner);
    if (learner.rank == comm.rank()) senders.insert(teacher(learner));
  }
  std::map<int, std::vector<std::byte>> parcels;
  auto most = static_cast<double>(asked.size());
  comm.maximum({&most, 1});
  for (std::size_t i = 0; static_cast<double>(i) < most; ++i) {
    if (stop()) return std::nullopt;
    const auto timer = teachers.timers.scope("evaluate");
    if (i < asked.size()) ask(teachers, asked[i].task, parcels[asked[i].rank]);
  }
  const auto timer = teachers.timers.scope("exchange");
  std::vector<comm::Parcel> incoming;
  for (const auto& [rank, size] : parcel_sizes(comm, senders, parcels)) {
    incoming.push_back({rank, std::vector<std::byte>(size)});
  }
  std::vector<comm::Parcel> outgoing;
  outgoing.reserve(parcels.size());
  for (auto& [rank, bytes] : parcels) outgoing.push_back({rank, std::move(bytes)});
  comm.exchange(outgoing, incoming);
  outgoing.clear();
  std::map<int, std::span<const std::byte>> rest;
  for (const comm::Parcel& parcel : incoming) rest[parcel.rank] = parcel.bytes;
  std::map<TaskId, TaskLessons> mine;
  for (const Learner& learner : learners) {
    if (learner.rank != comm.rank()) continue;
    std::span<const std::byte>& bytes = rest.at(teacher(learner));
    Material material =
        material_of(teachers.tasks, learner.task, teachers.folds, teachers.material);
    for (eval::Example& variant : material.variants()) take_list(bytes, variant.ids);
    TaskLessons& portions = mine[learner.task] =
        untaught(std::move(material), teachers.material.batch, teachers.tasks);
    for (std::vector<eval::Lesson>& lessons : portions) {
      for (eval::Lesson& lesson : lessons) {
        take_list(bytes, lesson.targets.begin);
        take_list(bytes, lesson.targets.tokens);
        take_list(bytes, lesson.targets.probabilities);
        D2C_EXPECTS(lesson.targets.size() == std::ssize(lesson.batch.targets));
      }
    }
  }
  return mine;
}

}  // namespace d2c::job
