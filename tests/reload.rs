//! SIGHUP, to the real program on the real broker: another configuration, or the old one as if nothing had been asked.

mod support;

use std::fs;
use std::time::Duration;

use support::process::{Rig, Worker, service, wait_until};

const MINUTE: Duration = Duration::from_secs(60);

fn edit(rig: &Rig, from: &str, to: &str) {
    let text = fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    assert!(text.contains(from), "{from}: {text}");
    fs::write(rig.path("leadrelay.toml"), text.replace(from, to)).unwrap();
}

fn metric(worker: &Worker, prefix: &str) -> f64 {
    let of_line = |line: &str| line.rsplit_once(' ').and_then(|(_, value)| value.parse::<f64>().ok());
    worker.metrics().lines().filter(|line| line.starts_with(prefix)).filter_map(of_line).sum()
}

fn reload(worker: &Worker, result: &str) {
    let counted = format!("leadrelay_config_reloads_total{{result=\"{result}\"}}");
    let before = metric(worker, &counted);
    worker.signal("HUP");
    wait_until(MINUTE, &format!("a reload is {result}"), || metric(worker, &counted) > before);
}

#[test]
fn a_paused_destination_that_is_renamed_delivers_its_five_thousand_waiting_leads_under_its_new_name() {
    let rig = Rig::new("rename");
    let wrong = service("LEADRELAY_TEST_AZURITE").replace("AccountKey=", "AccountKey=AAAA");
    rig.configure("leadrelay.toml", &wrong);
    rig.publish(1, 6_500);
    let owner = rig.start(&[]);
    wait_until(MINUTE, "it works", || owner.is_ready());
    wait_until(2 * MINUTE, "they wait", || metric(&owner, "leadrelay_waiting{") >= 5_000.0);
    wait_until(2 * MINUTE, "the inbox is empty", || rig.messages_in("consent").is_empty());
    let waiting = metric(&owner, "leadrelay_waiting{destination=\"contoso-table\"}");
    assert!(
        waiting >= 5_000.0
            && metric(&owner, "leadrelay_lane_state{destination=\"contoso-table\",state=\"credentials\"}") == 1.0
    );

    rig.configure("standby.toml", &wrong);
    let standby = rig.start_with("standby.toml", &[]);
    wait_until(MINUTE, "another stands by", || standby.get("/readyz").is_some_and(|(status, _)| status == 503));
    edit(&rig, &wrong, &service("LEADRELAY_TEST_AZURITE"));
    edit(&rig, "contoso-table", "fabrikam-table");
    reload(&owner, "done");
    wait_until(3 * MINUTE, "nobody waits", || {
        metric(&owner, "leadrelay_waiting{") == 0.0 && metric(&owner, "leadrelay_in_flight") == 0.0
    });
    assert!(owner.is_ready() && !standby.is_ready(), "the ledger has changed hands");
    standby.stop();
    rig.wait_until_drained(MINUTE);
    let delivered =
        |name: &str| metric(&owner, &format!("leadrelay_settled_total{{destination=\"{name}\",fate=\"delivered\"}}"));
    assert_eq!(delivered("contoso-table"), 0.0);
    println!("{waiting} waited, {} were delivered under the new name", delivered("fabrikam-table"));
    let state = |name: &str| metric(&owner, &format!("leadrelay_lane_state{{destination=\"{name}\""));
    assert_eq!((state("contoso-table"), state("fabrikam-table")), (0.0, 1.0), "what is gone is not shown");
    assert_eq!(owner.stop().code(), Some(0));
    rig.check();
    let pruned = rig.command("leadrelay.toml").args(["topology", "prune"]).output().unwrap();
    assert!(String::from_utf8_lossy(&pruned.stdout).contains("wait.contoso-table"), "its queue is of no use any more");
}

#[test]
fn a_reload_that_is_refused_tells_every_problem_and_leaves_all_as_it_is_and_the_next_may_bring_another_route() {
    let rig = Rig::new("reload");
    let worker = rig.start(&[]);
    wait_until(MINUTE, "it works", || worker.is_ready());
    let sound = fs::read_to_string(rig.path("leadrelay.toml")).unwrap();

    edit(&rig, "kind = \"azure-table\"", "kind = \"azure-table\"\ntabel = \"canary\"");
    edit(&rig, "[http]", "[worker]\nprefetch = 0\n[http]");
    reload(&worker, "refused");
    let told =
        ["contoso-table.tabel is not a key that we know", "did you mean table?", "worker.prefetch is out of range"];
    let log = || fs::read_to_string(rig.path("worker.log")).unwrap();
    for told in told {
        assert!(log().contains(told), "{told}: {}", log());
    }

    fs::write(rig.path("leadrelay.toml"), sound.replace("a secret of the tests' own", "canary of another secret"))
        .unwrap();
    edit(&rig, "ledger.db", "other.db");
    edit(&rig, &format!("prefix = \"{}\"", rig.prefix), "prefix = \"other\"\nfates = true");
    edit(&rig, "level = \"debug\"", "level = \"info\"");
    edit(&rig, "listen = \"127.0.0.1:", "listen = \"127.0.0.2:");
    edit(&rig, "amqp://", "amqp://canary@");
    reload(&worker, "refused");
    for fixed in
        ["broker.url", "broker.prefix", "broker.fates", "store.url", "identity.key_secret", "http.listen", "log"]
    {
        assert!(log().contains(&format!("{fixed} was changed, which a reload cannot do")), "{fixed}: {}", log());
    }
    rig.publish(1, 100);
    rig.wait_until_drained(MINUTE);
    assert!(metric(&worker, "leadrelay_settled_total{destination=\"contoso-table\",fate=\"delivered\"}") > 50.0);

    fs::write(rig.path("leadrelay.toml"), sound.replace("offer = \"contoso.*\"", "offer = \"contoso.nothing\""))
        .unwrap();
    reload(&worker, "done");
    let before = metric(&worker, "leadrelay_settled_total{");
    rig.publish(2, 50);
    wait_until(MINUTE, "they have no route", || {
        metric(&worker, "leadrelay_dead_letters_total{destination=\"\",reason=\"unroutable\"}") > 20.0
    });
    assert!(metric(&worker, "leadrelay_settled_total{") > before, "counters go on");
    assert_eq!(worker.stop().code(), Some(0));
    rig.assert_no_canary_sang("");
}

#[test]
fn who_stands_by_reloads_too() {
    let rig = Rig::new("standbyreload");
    let owner = rig.start(&[]);
    wait_until(MINUTE, "the first works", || owner.is_ready());
    let text = fs::read_to_string(rig.path("leadrelay.toml")).unwrap();
    rig.configure("standby.toml", &service("LEADRELAY_TEST_AZURITE"));
    let standby = rig.start_with("standby.toml", &[]);
    wait_until(MINUTE, "the second stands by", || standby.get("/readyz").is_some_and(|(status, _)| status == 503));
    let own = fs::read_to_string(rig.path("standby.toml")).unwrap();
    fs::write(rig.path("standby.toml"), own.replace("contoso.*", "contoso.nothing")).unwrap();
    reload(&standby, "done");
    assert!(!standby.is_ready() && text != own);
    owner.stop();
    wait_until(MINUTE, "it takes over", || standby.is_ready());
    rig.publish(1, 20);
    wait_until(MINUTE, "by the new routes", || {
        metric(&standby, "leadrelay_dead_letters_total{destination=\"\",reason=\"unroutable\"}") > 10.0
    });
    assert_eq!(standby.stop().code(), Some(0));
}
