"""Laws of scripts/scale_model.py."""
import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))
import scale_model as sm  # noqa: E402

LLAMA = sm.MODELS["llama-3.2-1b"]
MACHINE = sm.Machine()


class Sizes(unittest.TestCase):
    def test_llama_1b_has_its_published_number_of_parameters(self):
        self.assertEqual(LLAMA.weight_bytes(1) // 1_000_000, 1235)  # model card: 1.23 billion

    def test_rank_32_adapter_on_all_linear_modules(self):
        # 16 layers x 32 x (q 4096 + k, v 2 x 2560 + o 4096 + gate, up 2 x 10240 + down 10240)
        self.assertEqual(LLAMA.adapter_values(32), 16 * 32 * 44032)


class Predictions(unittest.TestCase):
    def test_more_ranks_are_never_slower_and_need_no_more_memory_each(self):
        job = sm.Job(LLAMA, 1000, 125)
        predictions = [sm.predict(job, MACHINE, ranks) for ranks in (1, 4, 16, 64, 256, 1024)]
        for fewer, more in zip(predictions, predictions[1:]):
            self.assertLess(more["iteration"], fewer["iteration"])
            self.assertLess(more["rank_bytes"], fewer["rank_bytes"])

    def test_evaluation_never_ends_before_its_longest_unit(self):
        job = sm.Job(LLAMA, 40, 5)
        one = sm.predict(job, MACHINE, 1)["seconds"]["evaluate"]
        self.assertGreaterEqual(sm.predict(job, MACHINE, 1024)["seconds"]["evaluate"], one / 200)

    def test_one_rank_sends_nothing(self):
        self.assertEqual(sm.predict(sm.Job(LLAMA, 40, 5), MACHINE, 1)["network_bytes"], 0)

    def test_time_on_one_rank_grows_with_tasks_times_clusters(self):
        few = sm.predict(sm.Job(LLAMA, 100, 10), MACHINE, 1)["seconds"]["evaluate"]
        many = sm.predict(sm.Job(LLAMA, 200, 20), MACHINE, 1)["seconds"]["evaluate"]
        self.assertAlmostEqual(many / few, 4.0, places=2)

    def test_similarity_grows_with_the_square_of_the_adapters_and_is_no_part_of_an_iteration(self):
        few = sm.predict(sm.Job(LLAMA, 1000, 10), MACHINE, 1)
        many = sm.predict(sm.Job(LLAMA, 4000, 10), MACHINE, 1)
        ratio = many["seconds"]["similarity"] / few["seconds"]["similarity"]
        self.assertAlmostEqual(ratio, 16.0, delta=0.1)
        phases = [seconds for name, seconds in few["seconds"].items() if name not in sm.ONCE]
        self.assertAlmostEqual(few["iteration"], sum(phases))


class Balancing(unittest.TestCase):
    def test_cut_gives_every_unit_to_one_rank_in_pieces_near_the_mean(self):
        costs = [1 + (7 * i) % 5 for i in range(1000)]
        begins = sm.cut(costs, 16)
        self.assertEqual((begins[0], begins[-1], len(begins)), (0, 1000, 17))
        mean = sum(costs) / 16
        for begin, end in zip(begins, begins[1:]):
            self.assertLessEqual(abs(sum(costs[begin:end]) - mean), max(costs))

    def test_ranks_of_one_speed_with_equal_units_have_nothing_to_balance(self):
        idle, end, moved = sm.Balancing(8, 4, 16, 4, 0.0, 0.0, 0).play()
        self.assertAlmostEqual(idle, 0.0)
        self.assertAlmostEqual(end, 8.0)
        self.assertEqual(moved, 0)

    def test_taking_over_work_bounds_the_wait_for_a_slow_rank(self):
        fixed, _, _ = sm.Balancing(64, 16, 128, 32, 0.5, 0.3, 1, dynamic=False).play()
        dynamic, _, moved = sm.Balancing(64, 16, 128, 32, 0.5, 0.3, 1).play()
        self.assertGreater(fixed, 0.15)
        self.assertLess(dynamic, 0.05)
        self.assertGreater(moved, 0)


if __name__ == "__main__":
    unittest.main()
