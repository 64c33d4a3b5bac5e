"""A checker that cannot fail proves nothing: here each of its findings is provoked."""

import json
import unittest

import events
from checker import judge
from outside import normalised_email


def row(event, actions=None):
    journey = [{"action": action} for action in actions or [event["Action"]]]
    return {
        "Email": event["CustomerInfo"]["Email"],
        "ProductId": event["Offer"],
        "Journey": json.dumps(journey),
    }


class Checker(unittest.TestCase):
    def setUp(self):
        self.events = [
            events.event(1, 1, "contoso.loadbalancer", "INS", "SPZA"),
            events.event(2, 2, "contoso.loadbalancer", "PLT", "SPZA"),
        ]
        self.confirmed = [events.confirmation(event) for event in self.events]
        self.rows = [row(event) for event in self.events]

    def test_all_delivered_is_good(self):
        result = judge(self.confirmed, self.rows, [], [])
        self.assertTrue(result.good())
        self.assertEqual(dict(result.fates), {"delivered": 2})

    def test_an_event_that_is_nowhere_is_lost(self):
        result = judge(self.confirmed, self.rows[:1], [], [])
        self.assertFalse(result.good())
        self.assertEqual(result.lost, ["generated-0-2"])

    def test_an_event_in_a_queue_or_dead_is_not_lost(self):
        message = {"digest": self.confirmed[1]["digest"]}
        self.assertEqual(judge(self.confirmed, self.rows[:1], [message], []).fates["dead"], 1)
        self.assertEqual(judge(self.confirmed, self.rows[:1], [], [message]).fates["queued"], 1)

    def test_two_rows_for_one_lead_are_doubled_however_they_are_written(self):
        again = dict(self.rows[0], Email=" PERSON-1@Seed-0.Example", ProductId="Contoso.LoadBalancer")
        result = judge(self.confirmed, [*self.rows, again], [], [])
        self.assertFalse(result.good())
        self.assertEqual(len(result.doubled), 1)

    def test_a_row_without_the_second_action_has_lost_the_second_event(self):
        second = events.event(3, 1, "contoso.loadbalancer", "Create", "SPZA")
        confirmed = [*self.confirmed, events.confirmation(second)]
        self.assertEqual(judge(confirmed, self.rows, [], []).lost, ["generated-0-3"])
        merged = [row(self.events[0], ["INS", "Create"]), self.rows[1]]
        self.assertTrue(judge(confirmed, merged, [], []).good())

    def test_a_row_that_nobody_can_change_answers_for_every_action_and_may_not_stand_twice(self):
        second = events.event(3, 1, "contoso.loadbalancer", "Create", "SPZA")
        confirmed = [*self.confirmed, events.confirmation(second)]
        form = dict(self.rows[0], Final=True)
        self.assertTrue(judge(confirmed, [form, self.rows[1]], [], []).good())
        self.assertEqual(judge(confirmed, [self.rows[1]], [], []).lost, ["generated-0-1", "generated-0-3"])
        self.assertEqual(len(judge(confirmed, [form, form, self.rows[1]], [], []).doubled), 1)

    def test_a_repeat_owes_nothing_of_its_own(self):
        self.assertEqual(judge(self.confirmed + self.confirmed, self.rows, [], []).fates["delivered"], 2)

    def test_a_malformed_message_must_be_dead_or_queued(self):
        confirmed = [*self.confirmed, {"id": "malformed-0", "lead": None, "action": None, "digest": "d"}]
        self.assertEqual(judge(confirmed, self.rows, [], []).lost, ["malformed-0"])
        self.assertTrue(judge(confirmed, self.rows, [{"digest": "d"}], []).good())

    def test_a_row_that_nobody_confirmed_is_told(self):
        self.assertEqual(len(judge(self.confirmed[:1], self.rows, [], []).unconfirmed), 1)


class Emails(unittest.TestCase):
    def test_one_person_however_typed(self):
        self.assertEqual(normalised_email(" Zoe@Bücher.Example "), normalised_email("zoe@XN--BCHER-KVA.example"))
        self.assertNotEqual(normalised_email("zoe+a@example.com"), normalised_email("zoe@example.com"))


class Generator(unittest.TestCase):
    def test_one_seed_gives_one_sequence(self):
        first, again, other = (list(events.generate(300, seed, ["a.b", "c.d"])) for seed in (7, 7, 8))
        self.assertEqual(first, again)
        self.assertNotEqual(first, other)

    def test_the_mix_holds_repeats_and_second_actions(self):
        made = [events.confirmation(event) for event in events.generate(1000, 1, ["a.b", "c.d"])]
        ids = {event["id"] for event in made}
        leads = {event["lead"] for event in made}
        self.assertLess(len(leads), len(ids))
        self.assertLess(len(ids), len(made))


if __name__ == "__main__":
    unittest.main()
