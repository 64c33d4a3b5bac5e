//! A peer that accepts and then says nothing. In a process of its own, because it counts threads.

use std::sync::Arc;
use std::time::Duration;

use leadrelay::broker::BrokerError;
use leadrelay::broker::amqp::{AmqpBroker, Ownership, Settings};
use leadrelay::telemetry::Telemetry;
use secrecy::SecretString;

/// lapin's threads of this process.
fn io_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux");
    let name = |task: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(task.ok()?.path().join("comm")).ok().map(|name| name.trim().to_owned())
    };
    tasks.filter_map(name).filter(|name| name.starts_with("lapin-io")).count()
}

/// lapin's connect has no timeout, and giving up on its future leaks the thread that it runs on.
#[tokio::test]
async fn a_broker_that_accepts_and_says_nothing_is_given_up_and_leaks_no_thread() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let port = listener.local_addr().expect("bound").port();
    let (calls, mut called) = tokio::sync::watch::channel(0);
    tokio::spawn(async move {
        let mut silent = vec![];
        while let Ok((stream, _)) = listener.accept().await {
            silent.push(stream);
            calls.send_replace(silent.len());
        }
    });
    let settings = Settings {
        url: SecretString::from(format!("amqp://guest:guest@127.0.0.1:{port}/%2f")),
        prefix: "leads".into(),
        ownership: Ownership::Shared,
        authorities: None,
        fates: false,
    };
    let broker = AmqpBroker::connect(settings, Arc::new(Telemetry::new())).expect("a legal URL");
    let error = broker.ready(Duration::from_secs(12)).await.expect_err("nobody answers");
    assert!(matches!(&error, BrokerError::Unreachable(why) if why.contains("says nothing")), "{error:?}");

    // Two connections, tried again and again: each call that was given up has given back its thread.
    let tried_again = called.wait_for(|calls| *calls >= 6);
    tokio::time::timeout(Duration::from_secs(60), tried_again).await.expect("further calls").expect("we listen");
    assert!(io_threads() <= 2, "{} threads for two calls that are under way", io_threads());
    drop(broker);
    let all_gone = async {
        while io_threads() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all_gone).await.expect("every thread ends");
}
