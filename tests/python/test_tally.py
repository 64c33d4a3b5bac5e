"""The tally's last line decides whether `make test` is green: it may not be talked into it."""

import importlib.machinery
import importlib.util
import pathlib
import unittest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "tally"
loader = importlib.machinery.SourceFileLoader("tally", str(SCRIPT))
tally_script = importlib.util.module_from_spec(importlib.util.spec_from_loader("tally", loader))
loader.exec_module(tally_script)

RUNNING = "     Running tests/tidy.rs (target/debug/deps/tidy-0)"
OK = "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s"


def tally_of(*lines):
    tally = tally_script.Tally()
    for line in lines:
        tally.read(line + "\n")
    tally.close()
    return tally


class Tally(unittest.TestCase):
    def test_results_of_cargo_and_unittest_add_up(self):
        tally = tally_of(RUNNING, OK, "   Doc-tests leadrelay", OK, "Ran 2 tests in 0.001s", "", "OK")
        self.assertEqual((tally.passed, tally.failed, tally.skipped), (8, 0, 0))
        self.assertTrue(tally.good())

    def test_nothing_ran_is_not_good(self):
        self.assertFalse(tally_of("warning: unused").good())

    def test_an_ignored_test_is_not_good(self):
        self.assertFalse(tally_of(RUNNING, OK.replace("0 ignored", "1 ignored")).good())

    def test_a_program_that_died_without_a_result_is_not_good(self):
        self.assertFalse(tally_of(RUNNING, RUNNING, OK).good())
        self.assertFalse(tally_of(RUNNING, OK, RUNNING).good())

    def test_failures_and_skips_of_unittest_are_told_apart(self):
        tally = tally_of("Ran 5 tests in 1.0s", "", "FAILED (failures=1, errors=1, skipped=1)")
        self.assertEqual((tally.passed, tally.failed, tally.skipped), (2, 2, 1))


if __name__ == "__main__":
    unittest.main()
