//! Asks the worker that listens where the configuration says: on this machine, or where whoever configured it wants it to
//! be seen.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Method, Request, Url};

use crate::destination::http::{Answer, Failure, Http, HttpSettings, SetupError};

/// How long an answer may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub connect: Duration,
    pub whole: Duration,
}

/// One page of the worker's.
pub(super) struct Page {
    pub address: SocketAddr,
    pub url: Url,
    http: Http,
}

impl Page {
    /// `path`: without the slash before it.
    pub fn of(listen: SocketAddr, path: &str, patience: Patience) -> Result<Self, SetupError> {
        let address = reachable(listen);
        let http = Http::new(&HttpSettings {
            connect_timeout: patience.connect,
            timeout: patience.whole,
            allow_plaintext: true,
            ..HttpSettings::default()
        })?;
        let url = http.address("http.listen", &format!("http://{address}/{path}"))?;
        Ok(Self { address, url, http })
    }

    pub async fn get(&self) -> Result<Answer, Failure> {
        self.http.send(Request::new(Method::GET, self.url.clone())).await
    }
}

/// What listens on all addresses is reached on this machine's own.
fn reachable(listen: SocketAddr) -> SocketAddr {
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
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), expected);
        };
        check("0.0.0.0:9464", "127.0.0.1:9464");
        check("[::]:9464", "[::1]:9464");
        check("10.0.0.7:9464", "10.0.0.7:9464");
    }
}
