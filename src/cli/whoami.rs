//! Who sits at the terminal, as orders name them: `user@host`.

use std::env;

/// Behind sudo, who called it. Letters that could speak to a terminal are left out.
pub fn whoami() -> String {
    let named = |variable: &str| env::var(variable).ok().map(|name| plain(&name)).filter(|name| !name.is_empty());
    let user = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(named);
    let user = user.unwrap_or_else(|| format!("uid-{}", rustix::process::getuid().as_raw()));
    let host = plain(&rustix::system::uname().nodename().to_string_lossy());
    format!("{user}@{host}")
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_somewhere_is_always_named() {
        let (user, host) = whoami().split_once('@').map(|(user, host)| (user.to_owned(), host.to_owned())).unwrap();
        assert!(!user.is_empty() && !host.is_empty());
        assert_eq!(plain("a b\x1b[2J\n"), "ab[2J");
    }
}
