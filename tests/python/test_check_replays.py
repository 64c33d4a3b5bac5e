"""A checker that cannot fail proves nothing: here each of its findings is provoked."""

import unittest

from check_replays import judge

SECOND = 1_000_000


def deed(letter, what, plan="plan 1", at=0):
    return {"letter": letter, "at": at, "who": "olga", "what": what, "why": plan}


def letter(name, cause="expired", state="replayed", generation=1, died_generation=0):
    told = {"letter": name, "state": state, "generation": generation, "cause": cause, "digest": f"digest {name[0]}"}
    return told | {"died_generation": died_generation}


def replayed(name, end="delivered"):
    return [deed(name, "taken"), deed(name, "published"), deed(name, end, plan="")]


class CheckReplays(unittest.TestCase):
    def setUp(self):
        self.buried = [
            {"id": "a", "digest": "digest a", "reason": "expired"},
            {"id": "b", "digest": "digest b", "reason": "malformed"},
        ]
        again = letter("b again", "malformed", "dead", died_generation=1)
        self.letters = [letter("a"), letter("b", "malformed"), again]
        self.deeds = [*replayed("a"), *replayed("b", "dead")]

    def faults(self, rate=10):
        return list(judge(self.buried, self.letters, self.deeds, rate))

    def assert_fault(self, text, rate=10):
        faults = self.faults(rate)
        self.assertTrue(any(text in fault for fault in faults), faults)

    def test_each_replayed_once_is_good(self):
        self.assertEqual(self.faults(), [])
        self.deeds.insert(0, deed("a", "taken"))
        self.assertEqual(self.faults(), [], "taken again after a kill")
        self.deeds.remove(deed("a", "published"))
        self.assertEqual(self.faults(), [], "killed before it said so")

    def test_a_letter_that_is_missing_or_stands_twice(self):
        self.letters.append(letter("a"))
        self.assert_fault("a is 2 letters")
        self.letters = self.letters[1:3]
        self.assert_fault("a is 0 letters")

    def test_a_letter_that_was_never_replayed(self):
        self.letters[0] = letter("a", state="dead", generation=0)
        self.deeds = self.deeds[3:]
        self.assert_fault("a, expired is dead in generation 0")
        self.assert_fault("taken 0 times")
        self.assert_fault("ended as []")

    def test_a_letter_that_was_replayed_twice(self):
        self.deeds.append(deed("a", "published"))
        self.assert_fault("published 2 times")
        self.letters[0] = letter("a", generation=2)
        self.assert_fault("in generation 2")

    def test_a_letter_that_two_plans_won(self):
        self.deeds.append(deed("a", "taken", plan="plan 2"))
        self.assert_fault("won by ['plan 1', 'plan 2']")

    def test_a_letter_that_died_again_and_should_not_have(self):
        self.deeds[2] = deed("a", "dead")
        self.letters.append(letter("a again", "rejected", "dead", died_generation=1))
        self.assert_fault("ended as ['dead']")
        self.assert_fault("a, expired, died again 1 times")

    def test_a_letter_of_nobody(self):
        self.letters.append(letter("z"))
        self.assert_fault("there are 4 letters of 2")

    def test_a_plan_that_was_faster_than_it_was_allowed(self):
        more = [deed("c", "taken", at=(20 + n // 12) * SECOND) for n in range(60)]
        self.deeds += more
        self.assertEqual([fault for fault in self.faults(10) if "in 5 s" in fault], [])
        self.assert_fault("plan 1 published 60 in 5 s", rate=9)


if __name__ == "__main__":
    unittest.main()
