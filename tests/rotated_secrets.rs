//! A secret in a file that was rotated: the destination refuses the old one, the file is read again, and no lane pauses,
//! no lead waits, no attempt is charged. On a real Azurite and the sandbox.

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use leadrelay::config::Config;
use leadrelay::destination::Destination;
use leadrelay::destination::memory::{Fault as Memory, MemoryDestination};
use leadrelay::destination::renewing::Renewing;
use leadrelay::domain::found::Selection;
use leadrelay::domain::reply::{Code, Reply};
use leadrelay::sandbox::Options;
use leadrelay::steps::Steps;
use leadrelay::telemetry::Telemetry;
use tempfile::TempDir;
use tokio::time::Instant;

use support::azure::{Azurite, CREATED, create, each, leads};
use support::fault_proxy::{Fault, FaultProxy};
use support::org::Org;
use support::world::{Event, Life, World};

const LEADS: usize = 30;

/// A worker whose one destination was configured while the file held a secret that is refused by now.
struct Scene {
    world: World,
    folder: TempDir,
    life: Life,
}

impl Scene {
    async fn start(destination: &str, retired: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), retired).unwrap();
        let text = format!(
            "broker.url = 'amqp://localhost'\nstore.url = 'sqlite:x'\nidentity.key_secret = '0123456789abcdef'\n\
             [[routes]]\noffer = '*'\ndestination = 'contoso'\n[destinations.contoso]\n{destination}\n"
        );
        let config = Config::parse(&folder.path().join("x.toml"), &text);
        let config = config.unwrap_or_else(|problems| panic!("{problems:#?}"));
        let mut world = World::new(&["contoso"]);
        let health = &mut world.settings.health;
        (health.pause_first, health.pause_max) = (Duration::from_millis(50), Duration::from_millis(50));
        let destinations = leadrelay::app::parts::destinations(&config, &Arc::new(Telemetry::new())).unwrap();
        let life = world.launch(Arc::new(world.broker.clone()), destinations, Steps::default()).await;
        Self { world, folder, life }
    }

    fn rotate(&self, secret: &str) {
        std::fs::write(self.folder.path().join("secret"), secret).unwrap();
    }

    fn publish(&self) {
        for n in 0..LEADS {
            self.world.put(&Event::new(&format!("lead{n}@example.com"), "contoso.appliance"));
        }
    }

    async fn until(&self, what: &str, line: &str, count: usize) {
        let end = Instant::now() + Duration::from_secs(60);
        while self.life.metric(line) < count as f64 {
            assert!(Instant::now() < end, "not within a minute: {what}\n{}", self.life.telemetry.metrics.render());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All leads are delivered, and nobody but the destination has seen the retired secret.
    async fn assert_nothing_was_noticed(self) {
        self.until("all are delivered", DELIVERED, LEADS).await;
        let of = |line| self.life.metric(line);
        assert_eq!(of("leadrelay_settled_total"), LEADS as f64, "no lead waited, and none was retried");
        assert_eq!(of("leadrelay_attempts_total"), of("leadrelay_attempts_total{class=\"accepted\""));
        assert_eq!(of("leadrelay_lane_state{destination=\"contoso\",state=\"closed\"}"), 1.0);
        self.life.stop().await;
    }
}

const DELIVERED: &str = "leadrelay_settled_total{destination=\"contoso\",fate=\"delivered\"}";

async fn rotate_unnoticed(destination: &str, retired: &str, secret: &str) {
    let scene = Scene::start(destination, retired).await;
    scene.rotate(secret);
    scene.publish();
    scene.assert_nothing_was_noticed().await;
}

#[tokio::test]
async fn of_a_batch_only_what_was_refused_is_sent_again() {
    let leads = leads(3);
    let (old, new) = (Arc::new(MemoryDestination::like_a_table()), Arc::new(MemoryDestination::like_a_table()));
    let (refused, key) = (Reply::Credentials(Code::known("no")), leads[1].key);
    old.set_script(move |_| Memory::One(key, refused.clone()));
    let renewed = Arc::clone(&new);
    let destination = Renewing::new(Arc::clone(&old) as _, Arc::new(move || Some(Arc::clone(&renewed) as _)));
    assert_eq!(create(&destination, &leads).await, each(CREATED, 3));
    assert_eq!((old.holdings().len(), new.holdings().len()), (2, 1));
    assert!(new.held(key).is_some());
}

#[tokio::test]
async fn leads_are_read_back_with_the_secret_that_the_file_holds_by_now() {
    let azurite = Azurite::new().await;
    assert_eq!(create(&azurite.destination(), &leads(3)).await, each(CREATED, 3));
    let old = azurite.open(azurite.settings(&format!("AccountName={};AccountKey=QUJD", azurite.account)));
    let new: Arc<dyn Destination> = Arc::new(azurite.destination());
    let destination = Renewing::new(Arc::new(old), Arc::new(move || Some(Arc::clone(&new))));
    let page = destination.inspect().unwrap().page(&Selection::default(), 10, None).await;
    assert_eq!(page.map(|page| page.leads.len()), Ok(3));
}

fn connection_string(azurite: &Azurite, credential: &str) -> String {
    format!("TableEndpoint={};AccountName={};{credential}\n", azurite.endpoint(), azurite.account)
}

fn table(azurite: &Azurite) -> String {
    let table = &azurite.table;
    format!("kind = 'azure-table'\ntable = '{table}'\nconnection_string = {{ file = 'secret' }}")
}

#[tokio::test]
async fn the_key_of_a_storage_account() {
    let azurite = Azurite::new().await;
    let retired = connection_string(&azurite, "AccountKey=QUJD");
    let key = connection_string(&azurite, &format!("AccountKey={}", azurite.key));
    rotate_unnoticed(&table(&azurite), &retired, &key).await;
    assert_eq!(azurite.rows().await.len(), LEADS);
}

#[tokio::test]
async fn a_shared_access_signature() {
    let azurite = Azurite::new().await;
    azurite.call("POST", "Tables", &format!("{{\"TableName\":\"{}\"}}", azurite.table)).await;
    azurite.mend_sas("raud");
    let retired = connection_string(&azurite, "SharedAccessSignature=sv=2020-12-06&sig=QUJD");
    let signature = connection_string(&azurite, &format!("SharedAccessSignature={}", azurite.table_sas("raud")));
    rotate_unnoticed(&table(&azurite), &retired, &signature).await;
    assert_eq!(azurite.rows().await.len(), LEADS);
}

/// Entra ID, where a secret has run out: 401 and `invalid_client`.
#[tokio::test]
async fn the_secret_of_an_app_registration() {
    let (azurite, tokens) = (Azurite::new().await, FaultProxy::start("127.0.0.1:1").await);
    azurite.call("POST", "Tables", &format!("{{\"TableName\":\"{}\"}}", azurite.table)).await;
    tokens.set(|seen| match seen.text().contains("client_secret=fresh") {
        true => Fault::json(200, "{\"access_token\":\"good\",\"expires_in\":3600,\"token_type\":\"Bearer\"}".into()),
        false => Fault::json(401, "{\"error\":\"invalid_client\",\"error_description\":\"canary\"}".into()),
    });
    let sign = azurite.signer();
    azurite.proxy.set(move |seen| match seen.header("authorization") == Some("Bearer good") {
        true => Fault::Rewrite(sign(seen)),
        false => Fault::status(401).with("x-ms-error-code", "InvalidAuthenticationInfo"),
    });
    let destination = format!(
        "kind = 'azure-table'\ntable = '{}'\nendpoint = '{}'\nauth = {{ kind = 'client-secret', tenant = 'x', \
         client_id = 'x', client_secret = {{ file = 'secret' }}, token_endpoint = 'http://{}' }}",
        azurite.table,
        azurite.endpoint(),
        tokens.address()
    );
    rotate_unnoticed(&destination, "retired", "fresh").await;
    assert_eq!(azurite.rows().await.len(), LEADS);
}

fn org_with(org: &Org, auth: &str) -> String {
    let address = org.proxy.address();
    format!(
        "kind = 'salesforce'\ninstance_url = 'http://{address}'\nexternal_id_field = 'Leadrelay_Key__c'\n\
         auth = {{ client_id = 'sandbox-client', {auth} }}"
    )
}

#[tokio::test]
async fn the_secret_of_a_salesforce_app() {
    let org = Org::new().await;
    let auth = "kind = 'client-credentials', client_secret = { file = 'secret' }";
    rotate_unnoticed(&org_with(&org, auth), "retired", "sandbox-secret\r\n").await;
    assert_eq!(org.count(), LEADS);
}

#[tokio::test]
async fn the_key_of_a_salesforce_app() {
    let (retired, _) = key_pair(Path::new("retired"));
    let (key, public) = key_pair(Path::new("fresh"));
    let org = Org::with(Options { client_key: Some(public), ..Options::default() }).await;
    let auth = "kind = 'jwt-bearer', username = 'integration@sandbox.example', private_key = { file = 'secret' }";
    rotate_unnoticed(&org_with(&org, auth), &retired, &key).await;
    assert_eq!(org.count(), LEADS);
}

fn key_pair(name: &Path) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).arg(&path).output().expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"]);
    let public = openssl(&["pkey", "-pubout", "-in"]);
    (std::fs::read_to_string(&path).unwrap(), public)
}

#[tokio::test]
async fn until_the_file_is_of_use_the_leads_wait_uncharged_and_then_the_next_probe_takes_it() {
    let azurite = Azurite::new().await;
    let retired = connection_string(&azurite, "AccountKey=QUJD");
    let scene = Scene::start(&table(&azurite), &retired).await;
    scene.publish();
    let probes = "leadrelay_attempts_total{class=\"credentials\"";
    scene.until("the leads wait", "leadrelay_settled_total{destination=\"contoso\",fate=\"waiting\"}", LEADS).await;
    assert_eq!(scene.life.metric("leadrelay_lane_state{destination=\"contoso\",state=\"credentials\"}"), 1.0);
    std::fs::remove_file(scene.folder.path().join("secret")).unwrap();
    let more = |scene: &Scene| scene.life.metric(probes) as usize + 2;
    scene.until("it probes without the file", probes, more(&scene)).await;
    scene.rotate("no connection string, canary");
    scene.until("it probes with a file that is of no use", probes, more(&scene)).await;
    scene.rotate(&connection_string(&azurite, &format!("AccountKey={}", azurite.key)));
    scene.until("all are delivered", DELIVERED, LEADS).await;
    assert_eq!(scene.life.metric("leadrelay_settled_total{destination=\"contoso\",fate=\"retried\"}"), 0.0);
    scene.life.stop().await;
}
