//! What every store of dead letters does: one suite, on memory and on SQLite.

use std::sync::Arc;

use leadrelay::store::dead_letters::DeadLetters;
use leadrelay::store::memory_letters::MemoryLetters;
use leadrelay::store::sqlite::SqliteLetters;
use leadrelay::telemetry::Telemetry;

mod letters;
mod letters_kept;
mod letters_planned;

use letters::keyring;
use letters_kept::*;
use letters_planned::*;

/// A store that several processes may open at once.
trait Store: Send + Sync {
    fn handle(&self) -> Box<dyn DeadLetters>;
}

impl Store for MemoryLetters {
    fn handle(&self) -> Box<dyn DeadLetters> {
        Box::new(self.clone())
    }
}

struct Sqlite(tempfile::TempDir);

impl Store for Sqlite {
    fn handle(&self) -> Box<dyn DeadLetters> {
        let path = self.0.path().join("letters.db");
        Box::new(SqliteLetters::create(&path, &keyring(), Arc::new(Telemetry::new())).expect("a thread"))
    }
}

macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::MemoryLetters::new()).await;
            })*
        }

        mod on_sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::Sqlite(tempfile::tempdir().expect("a folder"))).await;
            })*
        }
    };
}

on_every_store! {
    a_letter_comes_back_as_it_went_in_whoever_opens_the_store,
    a_letter_of_which_nothing_is_known_comes_back_too,
    the_same_letter_twice_is_one_letter,
    a_letter_that_arrives_again_is_dead_again_unless_it_is_dead_or_being_replayed,
    pages_hold_every_letter_once_though_letters_come_in_between,
    each_filter_lists_what_it_says_and_all_of_them_together_too,
    letters_are_counted_by_any_aspects,
    an_id_is_found_by_its_beginning,
    of_two_operators_who_saw_the_same_one_wins,
    a_discarded_letter_comes_back_by_undo_and_no_other_does,
    every_change_leaves_who_when_what_and_why,
    what_is_revealed_is_written_down_and_changes_nothing,
    an_edited_letter_keeps_its_id_and_its_first_body,
    only_a_dead_letter_as_it_was_seen_is_edited,
    of_two_who_edit_a_letter_one_wins_and_the_other_cannot_change_what_is_to_be_replayed,
    what_is_removed_is_gone_with_its_history_and_comes_in_as_new,
    what_was_settled_long_ago_is_purged_and_nothing_else_is,
    empty_batches_are_answered_empty,
    a_probe_succeeds_and_leaves_nothing,
    a_plan_is_what_stood_dead_when_it_was_frozen_in_the_order_of_death,
    a_plan_of_named_letters_has_those_that_are_dead,
    a_plan_is_one_owners_until_the_lease_is_over,
    letters_are_taken_in_turn_with_a_higher_generation_and_only_by_the_owner,
    what_is_taken_is_nobody_elses_to_discard_or_take,
    what_is_published_is_replayed_once_however_often_that_is_said,
    what_an_owner_left_behind_is_taken_first_by_the_next_with_the_same_generation,
    what_is_given_back_is_as_before_and_waits_again,
    without_the_lease_nothing_is_given_back,
    an_ending_is_counted_once_and_for_its_own_generation_only,
    an_ending_says_that_what_was_taken_was_published,
    a_message_that_died_and_lived_on_has_ended_as_it_ended_last,
    a_letter_that_is_dead_no_more_is_passed_over,
    a_plan_that_is_halted_hands_nothing_out_and_one_that_has_ended_stays_so,
    a_letter_in_two_plans_is_replayed_by_one,
    an_abandoned_replay_is_dead_again_by_undo_once_its_lease_is_over,
}
