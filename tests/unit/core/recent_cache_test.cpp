#include "d2c/core/recent_cache.hpp"

#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace d2c {
namespace {

using Cache = RecentCache<int, std::string>;

void insert(Cache& cache, int key, std::uint64_t size) {
  cache.insert(key, std::make_shared<const std::string>(std::to_string(key)), size);
}

TEST(RecentCache, DropsWhatWasNotUsedForLongest) {
  Cache cache(3);
  for (const int key : {1, 2, 3}) insert(cache, key, 1);
  EXPECT_EQ(*cache.find(1), "1");
  insert(cache, 4, 1);
  EXPECT_EQ(cache.find(2), nullptr);
  for (const int key : {1, 3, 4}) EXPECT_EQ(*cache.find(key), std::to_string(key));
}

TEST(RecentCache, NeverHoldsMoreThanItsRoom) {
  Cache cache(10);
  for (int key = 0; key < 100; ++key) {
    insert(cache, key, static_cast<std::uint64_t>(key % 13));
    EXPECT_LE(cache.size(), 10U);
    EXPECT_EQ(cache.find(key) != nullptr, key % 13 <= 10);
  }
}

TEST(RecentCache, AValueAsLargeAsItsRoomStandsAlone) {
  Cache cache(10);
  insert(cache, 1, 4);
  insert(cache, 2, 10);
  EXPECT_EQ(cache.find(1), nullptr);
  EXPECT_EQ(*cache.find(2), "2");
}

TEST(RecentCache, ADroppedValueLivesOnWhereItIsInUse) {
  Cache cache(1);
  insert(cache, 1, 1);
  const auto used = cache.find(1);
  insert(cache, 2, 1);
  EXPECT_EQ(cache.find(1), nullptr);
  EXPECT_EQ(*used, "1");
}

TEST(RecentCache, TakesSeveralThreads) {
  Cache cache(20);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&cache, t] {
      for (int i = 0; i < 1000; ++i) {
        const int key = (i * (t + 1)) % 40;
        if (const auto found = cache.find(key)) {
          EXPECT_EQ(*found, std::to_string(key));
        } else {
          insert(cache, key, 1);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache.size(), 20U);
}

}  // namespace
}  // namespace d2c
