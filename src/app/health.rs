//! Asks a worker on this machine how it is, as what watches a container does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, Request};

use super::Unreachable;
use crate::config::Config;
use crate::destination::http::{Http, HttpSettings};

/// What watches gives up soon as well.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the worker says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub good: bool,
    pub said: String,
}

/// `ready`: not only that it is alive, but that it can bring events to their end now. Fails as [`Unreachable`].
pub async fn health(config: &Config, ready: bool) -> anyhow::Result<Health> {
    let settings = HttpSettings { connect_timeout: PATIENCE, timeout: PATIENCE, ..HttpSettings::default() };
    let (address, path) = (from_here(config.http.listen), if ready { "readyz" } else { "healthz" });
    let http = Http::new(&HttpSettings { allow_plaintext: true, ..settings })?;
    let url = http.address("http.listen", &format!("http://{address}/{path}")).context("http.listen")?;
    let answer = http.send(Request::new(Method::GET, url)).await;
    let answer = answer.map_err(|failure| Unreachable(format!("the worker at {address} ({})", failure.code())))?;
    let said = String::from_utf8_lossy(&answer.body).trim().to_owned();
    Ok(Health { good: answer.status == 200, said })
}

/// Who listens everywhere is asked on loopback.
fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_asked_here() {
        let check = |listen: &str, expected: &str| {
            assert_eq!(from_here(listen.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:9464", "127.0.0.1:9464");
        check("[::]:9464", "[::1]:9464");
        check("10.0.0.7:9464", "10.0.0.7:9464");
    }
}
