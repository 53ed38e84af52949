#pragma once

#include "device/kernels/attention.hpp"
#include "device/kernels/rows.hpp"
#include "device/kernels/updates.hpp"
#include "device/memory.hpp"

namespace d2c::eval::device {

/// Runs a kernel for each of `tasks` tasks, after all work that was given before.
template <class Kernel>
class Launcher {
 public:
  virtual ~Launcher() = default;
  virtual void launch(Index tasks, const Kernel& kernel) = 0;
};

template <class... Kernels>
class Launchers : public Launcher<Kernels>... {
 public:
  using Launcher<Kernels>::launch...;
};

/// Use::With<all kernels ...>
template <class Use>
using WithKernels =
    typename Use::template With<Embed, Normalise, AddNormalised, AddScaled, AddBias, TakeRows, Gate,
                                AddLogits, PlaceHead, StoreKeys, Project, ProjectOneHot, Expand,
                                Attend<1, 2>, Attend<1, 4>, Attend<1, 8>, Attend<2, 2>,
                                Attend<2, 4>, Attend<2, 8>, Attend<3, 2>, Attend<3, 4>,
                                Attend<3, 8>, Attend<4, 2>, Attend<4, 4>, Attend<4, 8>>;

struct UseLaunchers {
  template <class... Kernels>
  using With = Launchers<Kernels...>;
};

/// What a forward pass asks of a device. Work is done in the order in which it is given; only
/// Memory may be used by several threads.
class Backend : public Memory, public WithKernels<UseLaunchers> {
 public:
  virtual void multiply(const Product& product) = 0;
};

/// Implements launch() of all kernels by Derived::run(tasks, kernel).
template <class Derived, class Base, class... Kernels>
class Runs : public Base {};
template <class Derived, class Base, class First, class... Rest>
class Runs<Derived, Base, First, Rest...> : public Runs<Derived, Base, Rest...> {
 public:
  using Base::launch;
  void launch(Index tasks, const First& kernel) override {
    static_cast<Derived*>(this)->run(tasks, kernel);
  }
};
template <class Derived>
struct UseRuns {
  template <class... Kernels>
  using With = Runs<Derived, Backend, Kernels...>;
};
template <class Derived>
using RunningBackend = WithKernels<UseRuns<Derived>>;

}  // namespace d2c::eval::device
