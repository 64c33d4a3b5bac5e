//! `leadrelay lead export`: everything, as it is read.

use std::io::{BufWriter, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::{Typed, csv, json, read};
use crate::cli::Exit;
use crate::cli::screen::count;
use crate::config::Config;

#[derive(Args)]
pub struct Export {
    #[command(flatten)]
    typed: Typed,
    /// CSV with a line of heads, or one JSON object a line
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Jsonl,
}

impl Export {
    pub fn run(&self, config: &Config) -> anyhow::Result<Exit> {
        let (name, wanted) = self.typed.meant(config)?;
        let mut out = BufWriter::new(std::io::stdout().lock());
        if self.format == Format::Csv {
            out.write_all(csv::heads().as_bytes())?;
        }
        let mut exported = 0;
        let read = read(config, &name, &wanted, None, self.typed.reveal, |lead| {
            exported += 1;
            let line = match self.format {
                Format::Csv => csv::line(&lead),
                Format::Jsonl => format!("{}\n", json::line(&lead)),
            };
            out.write_all(line.as_bytes()).context("failed to write the leads")
        });
        out.flush().context("failed to write the leads")?;
        eprintln!("{}", count(exported, "lead"));
        read.map(|_| Exit::Done)
    }
}
