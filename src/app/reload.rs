//! Another configuration while we run: what SIGHUP asks for. It takes the place of the old one only as a whole, and only
//! if all of it is right.

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{configuration, parts};
use crate::broker::amqp::AmqpBroker;
use crate::config::Config;
use crate::telemetry::Telemetry;

/// The configuration's file, and who asks for it to be read again.
pub struct Reloads {
    file: PathBuf,
    hangups: Signal,
}

impl Reloads {
    pub fn new(file: PathBuf) -> std::io::Result<Self> {
        Ok(Self { file, hangups: signal(SignalKind::hangup())? })
    }

    /// Waits for a configuration that can take the place of `current`. One that cannot is told, and changes nothing. What
    /// it needs at the `broker` is declared there before anybody stops for it.
    pub async fn next(&mut self, current: &Config, broker: Option<&AmqpBroker>, telemetry: &Telemetry) -> Config {
        loop {
            if self.hangups.recv().await.is_none() {
                std::future::pending().await
            }
            match self.read(current, broker).await {
                Ok(config) => {
                    config.warnings.iter().for_each(|warning| telemetry.configuration_doubtful(&warning.to_string()));
                    return config;
                }
                Err(problems) => telemetry.reload_refused(&problems),
            }
        }
    }

    async fn read(&self, current: &Config, broker: Option<&AmqpBroker>) -> Result<Config, Vec<String>> {
        let told = |problems: Vec<_>| problems.iter().map(ToString::to_string).collect::<Vec<_>>();
        let config = configuration(&self.file).map_err(told)?;
        let fixed = changed_for_good(current, &config);
        if !fixed.is_empty() {
            let told =
                |key| format!("{key} was changed, which a reload cannot do; restart leadrelay, or change it back");
            return Err(fixed.into_iter().map(told).collect());
        }
        if let Some(broker) = broker {
            let declared = broker.apply_topology(&parts::names(&config)).await;
            declared.map_err(|error| vec![format!("the queues that it needs were not declared: {error}")])?;
        }
        Ok(config)
    }
}

/// Keys that say who we are, what we hold and where we are met. All else may change.
fn changed_for_good(old: &Config, new: &Config) -> Vec<&'static str> {
    let secrets =
        |config: &Config| (config.broker.url.value.expose().to_owned(), config.key_secret.expose().to_owned());
    let ((old_url, old_secret), (new_url, new_secret)) = (secrets(old), secrets(new));
    let compared = [
        ("broker.url", old_url == new_url),
        ("broker.prefix", old.broker.prefix == new.broker.prefix),
        ("broker.fates", old.broker.fates == new.broker.fates),
        ("store.url", old.store == new.store),
        ("office.url", old.office.store == new.office.store),
        ("office.ingest", old.office.ingest == new.office.ingest),
        ("identity.key_secret", old_secret == new_secret),
        ("http.listen", old.http == new.http),
        ("log", old.log == new.log),
    ];
    compared.into_iter().filter(|(_, same)| !same).map(|(key, _)| key).collect()
}
