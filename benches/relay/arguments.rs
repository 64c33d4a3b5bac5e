//! What is to be measured, as typed.

use std::path::PathBuf;

use crate::scenarios::{self, Scale};

pub struct Arguments {
    pub scenarios: Vec<String>,
    pub scale: Scale,
    pub json: PathBuf,
}

const USAGE: &str = "usage: cargo bench --bench relay -- [SCENARIO…] [--leads N] [--rounds N] [--json FILE]";

impl Arguments {
    pub fn read(given: &[String]) -> anyhow::Result<Self> {
        let mut read = Self {
            scenarios: Vec::new(),
            scale: Scale::FULL,
            json: [env!("CARGO_MANIFEST_DIR"), "target", "bench", "relay.json"].iter().collect(),
        };
        let mut given = given.iter();
        while let Some(argument) = given.next() {
            let mut value = || given.next().ok_or_else(|| anyhow::anyhow!("{argument} needs a value; {USAGE}"));
            match argument.as_str() {
                "--bench" => {}
                "--leads" => read.scale.leads = value()?.parse()?,
                "--rounds" => read.scale.rounds = value()?.parse()?,
                "--json" => read.json = value()?.into(),
                name if scenarios::ALL.contains(&name) => read.scenarios.push(name.to_owned()),
                other => anyhow::bail!("no scenario {other}; there are {}; {USAGE}", scenarios::ALL.join(", ")),
            }
        }
        if read.scenarios.is_empty() {
            read.scenarios = scenarios::ALL.map(str::to_owned).into();
        }
        Ok(read)
    }
}
