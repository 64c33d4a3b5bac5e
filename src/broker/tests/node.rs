//! A RabbitMQ of one test's own, to be killed, frozen and alarmed.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, PoisonError, Weak};

use tempfile::TempDir;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// A node, for one test at a time. It is stopped when the last test that waits for it has ended, as each takes
/// seconds to start.
pub(super) struct Node {
    shared: Arc<Shared>,
    pub url: String,
    _turn: OwnedMutexGuard<()>,
}

struct Shared {
    directory: TempDir,
    turns: Arc<Mutex<()>>,
}

fn shared() -> Arc<Shared> {
    static SHARED: std::sync::Mutex<Weak<Shared>> = std::sync::Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let new = Arc::new(Shared { directory: TempDir::new().expect("a temporary folder"), turns: Arc::default() });
        *shared = Arc::downgrade(&new);
        new
    })
}

const TLS: &str = r#"
    Options = [{digest, sha256}, {key, {rsa, 2048, 65537}}],
    Name = {'Extension', {2,5,29,17}, false, [{dNSName, "localhost"}]},
    Chain = fun(Peer) -> #{root => Options, intermediates => [], peer => Peer ++ Options} end,
    Chains = #{server_chain => Chain([{extensions, [Name]}]), client_chain => Chain([])},
    #{server_config := Server, client_config := Client} = public_key:pkix_test_data(Chains),
    ok = rabbit_networking:start_ssl_listener({"127.0.0.1", PORT}, Server, 2),
    [Root | _] = proplists:get_value(cacerts, Client),
    iolist_to_binary(public_key:pem_encode([{'Certificate', Root, not_encrypted}])).
"#;

/// Free a moment ago, which is what a test's port can be.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind");
    listener.local_addr().expect("bound").port()
}

impl Node {
    /// Running, and nobody else's until it is dropped.
    pub async fn start() -> Self {
        let shared = shared();
        let turn = shared.turns.clone().lock_owned().await;
        let mut node = Self { shared, url: String::new(), _turn: turn };
        node.start_again().await;
        node.url = node.script(&["url"]).await;
        node
    }

    /// On the same ports.
    pub async fn start_again(&self) {
        self.script(&["start"]).await;
    }

    /// As a power cut would, as far as the broker can tell.
    pub async fn kill(&self) {
        self.script(&["kill"]).await;
    }

    pub async fn control(&self, arguments: &[&str]) -> String {
        self.script(&[&["ctl"], arguments].concat()).await
    }

    /// `STOP`, `CONT` or `KILL`, at once.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().expect("the node runs");
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
        assert!(sent.expect("run kill").success());
    }

    fn pid(&self) -> std::io::Result<String> {
        Ok(std::fs::read_to_string(self.shared.directory.path().join("beam.pid"))?.trim().to_owned())
    }

    /// Listens with TLS too, under a certificate for `localhost` that Erlang's own test authority makes. Answers the
    /// URL and the authority, in PEM.
    pub async fn listen_with_tls(&self) -> (String, String) {
        let port = free_port();
        let script = TLS.replace("PORT", &port.to_string());
        let printed = self.control(&["eval", &script]).await;
        let pem = printed.trim_start_matches("<<\"").trim_end_matches("\">>").replace("\\n", "\n");
        (format!("amqps://guest:guest@localhost:{port}/%2f"), pem)
    }

    async fn script(&self, arguments: &[&str]) -> String {
        let mut command = command(&self.shared.directory, arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("no panic in the command");
        let output = output.expect("run scripts/rabbitmq");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }
}

impl Drop for Node {
    /// A test that has failed must not fail twice: nothing in here panics.
    fn drop(&mut self) {
        if let Ok(pid) = self.pid() {
            let _ = Command::new("kill").args(["-CONT", &pid]).status();
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = command(&self.directory, &["stop"]).status();
    }
}

fn command(directory: &TempDir, arguments: &[&str]) -> Command {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/rabbitmq");
    let mut command = Command::new(script);
    command.arg("--dir").arg(directory.path()).args(arguments);
    command
}
