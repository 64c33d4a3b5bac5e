//! The real program, killed at the steps that only trouble leads to: while it renews claims, and while it hands back.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use support::fault_proxy::{Fault, FaultProxy};
use support::process::{Rig, service, split_endpoint, wait_until};
use tokio::sync::Notify;

const MINUTE: Duration = Duration::from_secs(60);

/// Longer than half the time for which a claim stays verified (15 s), shorter than a request may take (15 s).
const HELD: Duration = Duration::from_secs(8);

/// What an Azure Table answers to a batch that it will never take; so the batch is split.
const INVALID: &str = r#"{"odata.error":{"code":"InvalidInput","message":{"lang":"en-US","value":"0:no"}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_before_or_after_claims_are_renewed_loses_nothing_and_doubles_nothing() {
    for killed in ["before", "after"].map(|edge| tokio::spawn(killed_at_renewal(edge))) {
        killed.await.unwrap();
    }
}

/// A batch is refused late, and its first half is answered late: by then the claims of the second half are old.
async fn killed_at_renewal(edge: &str) {
    let rig = Rig::new(&format!("renew{edge}"));
    let azurite = service("LEADRELAY_TEST_AZURITE");
    let (upstream, through) = split_endpoint(&azurite);
    let proxy = FaultProxy::start(&upstream).await;
    rig.configure("slow.toml", &through(proxy.address()));
    let held = Arc::new(AtomicUsize::new(0));
    let (refuse, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    proxy.set({
        let (held, refuse, answer) = (Arc::clone(&held), Arc::clone(&refuse), Arc::clone(&answer));
        let mut whole = String::new();
        move |seen| {
            let leads = seen.text();
            match held.load(SeqCst) {
                0 if leads.matches("RowKey").count() >= 4 => {
                    held.store(1, SeqCst);
                    whole = leads;
                    Fault::After(Arc::clone(&refuse), Box::new(Fault::json(400, INVALID.into())))
                }
                1 if is_part(&leads, &whole) => {
                    held.store(2, SeqCst);
                    Fault::pass_after(&answer)
                }
                _ => Fault::Pass,
            }
        }
    });
    tokio::task::block_in_place(|| {
        rig.publish(1, 60);
        let place = format!("renew.{edge}");
        let mut worker = rig.start_with("slow.toml", &[("LEADRELAY_CRASH_AT", &place)]);
        for (number, go) in [(1, refuse), (2, answer)] {
            wait_until(MINUTE, "a request to hold", || held.load(SeqCst) == number);
            std::thread::park_timeout(HELD);
            go.notify_one();
        }
        assert!(worker.wait(MINUTE).is_some_and(|status| !status.success()), "it did not crash at {place}");
        assert_nothing_is_lost(&rig);
    });
}

/// Whether a request writes a row that the batch wrote: the same keys.
fn is_part(leads: &str, batch: &str) -> bool {
    let row = leads.split("\"RowKey\":\"").nth(1).and_then(|rest| rest.split('"').next());
    row.is_some_and(|row| batch.contains(row))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_before_or_after_work_is_handed_back_loses_nothing_and_doubles_nothing() {
    for edge in ["before", "after"] {
        let rig = Rig::new(&format!("back{edge}"));
        let azurite = service("LEADRELAY_TEST_AZURITE");
        let (upstream, through) = split_endpoint(&azurite);
        let proxy = FaultProxy::start(&upstream).await;
        rig.configure("slow.toml", &through(proxy.address()));
        proxy.set(|seen| if seen.target.contains("$batch") { Fault::Hang } else { Fault::Pass });
        tokio::task::block_in_place(|| {
            rig.publish(1, 300);
            let place = format!("hand_back.{edge}");
            let mut worker = rig.start_with("slow.toml", &[("LEADRELAY_CRASH_AT", &place)]);
            wait_until(MINUTE, "it sends", || proxy.requests().iter().any(|seen| seen.target.contains("$batch")));
            worker.signal("TERM");
            worker.signal("INT");
            assert!(worker.wait(MINUTE).is_some_and(|status| !status.success()), "it did not crash at {place}");
            assert_nothing_is_lost(&rig);
        });
    }
}

fn assert_nothing_is_lost(rig: &Rig) {
    let worker = rig.start(&[]);
    rig.wait_until_drained(2 * MINUTE);
    assert_eq!(worker.stop().code(), Some(0));
    assert!(rig.check()["fates"]["queued"].is_null());
}
