//! Who sits at the terminal, as orders and histories name them: `user@host`.

use std::env;

/// The name that was given for it; behind sudo, who called it. Letters that could speak to a terminal are left out.
pub fn whoami() -> String {
    let host = rustix::system::uname();
    named(|variable| env::var(variable).ok(), &host.nodename().to_string_lossy())
}

fn named(variable: impl Fn(&str) -> Option<String>, host: &str) -> String {
    let plain_name = |name: &str| variable(name).map(|name| plain(&name)).filter(|name| !name.is_empty());
    let user = ["LEADRELAY_OPERATOR", "SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(plain_name);
    let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", plain(host))
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_somewhere_is_always_named_by_the_most_telling_name_there_is() {
        let check = |variables: &[(&str, &str)], expected: &str| {
            let of =
                |name: &str| variables.iter().find(|(held, _)| *held == name).map(|(_, value)| (*value).to_owned());
            assert_eq!(named(of, "desk\n"), expected, "{variables:?}");
        };
        let all = [("LOGNAME", "logname"), ("USER", "root"), ("SUDO_USER", "ivan"), ("LEADRELAY_OPERATOR", "olga")];
        check(&all, "olga@desk");
        check(&all[..3], "ivan@desk");
        check(&all[..2], "root@desk");
        check(&all[..1], "logname@desk");
        check(&[("LEADRELAY_OPERATOR", " \n"), ("USER", "a b\x1b[2J")], "ab[2J@desk");
        check(&[], &format!("uid-{}@desk", rustix::process::getuid().as_raw()));
        assert!(whoami().split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty()));
    }
}
